//! Amounts of memory and processor time, as Kubernetes writes them.

/// What suffixes of memory mean, in bytes.
const UNITS: [(&str, f64); 11] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("k", 1e3),
    ("K", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("m", 1e-3),
    ("", 1.0),
];

/// Bytes of an amount of memory: `64Mi`, `500M`, `1.5Gi`, `1048576`.
///
/// # Errors
///
/// What is wrong, as it continues a sentence that begins with the text.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let wrong = || "is not an amount of memory such as 64Mi".to_owned();
    let bytes = amount(text, &UNITS).ok_or_else(wrong)?.ceil();
    if (1.0..=1e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("is no amount of memory that there is".to_owned())
    }
}

/// Thousandths of a processor: `500m` and `0.5` are half a one.
///
/// # Errors
///
/// What is wrong, as it continues a sentence that begins with the text.
pub fn parse_cpu(text: &str) -> Result<u64, String> {
    let wrong = || "is not an amount of processors such as 500m or 2".to_owned();
    let millis = (amount(text, &[("m", 1.0), ("", 1e3)]).ok_or_else(wrong)?).ceil();
    if (1.0..=1e9).contains(&millis) {
        Ok(millis as u64)
    } else {
        Err("is no amount of processors that there is".to_owned())
    }
}

/// The shortest way to write so many bytes.
pub fn format_memory(bytes: u64) -> String {
    let binary = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = binary
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    match fits {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// So many thousandths of a processor.
pub fn format_cpu(thousandths: u64) -> String {
    format!("{thousandths}m")
}

/// A decimal number and one of the units.
fn amount(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_decimal_and_binary_units() {
        for (text, bytes) in [
            ("5Mi", Some(5 * 1024 * 1024)),
            ("1.5Gi", Some(1_610_612_736)),
            ("128974848", Some(128_974_848)),
            ("129M", Some(129_000_000)),
            ("1000m", Some(1)),
            ("", None),
            ("Mi", None),
            ("5 Mi", None),
            ("-5Mi", None),
            ("5MiB", None),
            ("0", None),
            ("1e3", None),
            ("99999999999Ti", None),
        ] {
            assert_eq!(parse_memory(text).ok(), bytes, "{text:?}");
        }
    }

    #[test]
    fn what_is_formatted_reads_the_same() {
        for (bytes, text) in [
            (64 << 20, "64Mi"),
            (1536, "1536"),
            (3 << 40, "3Ti"),
            (1000, "1000"),
        ] {
            assert_eq!(format_memory(bytes), text);
            assert_eq!(parse_memory(text), Ok(bytes));
        }
    }

    #[test]
    fn processors_are_whole_or_thousandths() {
        for (text, millis) in [
            ("100m", Some(100)),
            ("0.5", Some(500)),
            ("2", Some(2000)),
            ("0.0001", Some(1)),
            ("0", None),
            ("", None),
            ("1Gi", None),
            ("half", None),
        ] {
            assert_eq!(parse_cpu(text).ok(), millis, "{text:?}");
        }
    }
}
