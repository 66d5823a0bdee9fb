//! Durations and sizes as people write them: `1m30s`, `250ms`, `10MiB`.

use std::time::Duration;

/// Units of a Go duration, longest spelling first so that `ms` is not read as `m`.
const TIME_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, micro sign
    ("μs", 1_000), // U+03BC, Greek letter mu
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of a size; binary ones end in `iB`.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Reads a Go duration (`1m30s`, `250ms`, `1.5h`) or a bare integer, which is seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let mut rest = text;
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        nanos = nanos.checked_add(part)?;
        rest = after;
    }
    Some(Duration::from_nanos(nanos))
}

/// Writes a duration as Go does: `1m30s`, `250ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let total = duration.as_secs();
    let nanos = duration.subsec_nanos();
    if total == 0 && nanos > 0 {
        return format_below_a_second(nanos);
    }
    let (hours, minutes) = (total / 3600, total / 60 % 60);
    let seconds = format_fraction(total % 60, nanos, 9);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    if seconds != "0" || text.is_empty() {
        text.push_str(&format!("{seconds}s"));
    }
    text
}

/// Reads a size: bytes, or a whole number with a unit such as `10MiB` or `10MB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        1
    } else {
        SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Writes a size with the largest binary unit that divides it.
pub fn format_size(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    match SIZE_UNITS[..4].iter().rev().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// One number with its unit, in nanoseconds, and what follows it.
fn parse_part(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, after) = text.split_at(end);
    let (unit, factor) = TIME_UNITS
        .iter()
        .find(|(unit, _)| after.starts_with(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    let mut nanos = whole.checked_mul(*factor)?;
    let mut place = *factor;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some((nanos, &after[unit.len()..]))
}

fn format_below_a_second(nanos: u32) -> String {
    let (unit, factor, digits) = match nanos {
        1_000_000.. => ("ms", 1_000_000, 6),
        1_000.. => ("µs", 1_000, 3),
        _ => ("ns", 1, 0),
    };
    format!(
        "{}{unit}",
        format_fraction(u64::from(nanos / factor), nanos % factor, digits)
    )
}

/// `whole.fraction`, the fraction of so many digits without its trailing zeros.
fn format_fraction(whole: u64, fraction: u32, digits: usize) -> String {
    if fraction == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{fraction:0digits$}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_bare_seconds_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("8", 8_000),
            ("0s", 0),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1h2m3s4ms", 3_723_004),
            ("2000us", 2),
            ("2000µs", 2),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "-5s",
            "-5",
            "1.5",
            "5 s",
            "s",
            ".s",
            "1d",
            "1m30",
            "1..5s",
            "99999999999h",
            "ten",
            "99999999999999999999",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "0s", "8s", "1m30s", "250ms", "1h30m", "1.5s", "1h", "1.5ms", "7µs", "3ns",
        ] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn sizes_are_bytes_or_carry_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("10B", 10),
            ("10MiB", 10 << 20),
            ("10MB", 10_000_000),
            ("1 GiB", 1 << 30),
            ("3kB", 3_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "10mb", "99999999999TiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
        assert_eq!(format_size(1 << 20), "1MiB");
        assert_eq!(format_size(1500), "1500");
    }
}
