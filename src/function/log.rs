//! What functions wrote, and which of it is asked for (wire.md section 11).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which lines of a function's log are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The function, without its namespace.
    pub name: String,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Only the lines of this replica, when not empty.
    pub instance: String,
    /// Only the last so many of the lines there are; `None`: all.
    pub tail: Option<usize>,
    /// Whether to go on with the lines to come.
    pub follow: bool,
    /// Only lines written at this time or later.
    pub since: Option<SystemTime>,
}

/// One line of a function's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// The function, without its namespace.
    pub name: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// The replica that wrote it.
    pub instance: String,
    /// When it was written (RFC 3339, with nanoseconds).
    pub timestamp: String,
    /// The line without its end.
    pub text: String,
}

impl LogQuery {
    /// Reads the parameters of a query; the last of a repeated one counts.
    ///
    /// # Errors
    ///
    /// A sentence about the parameter that is wrong.
    pub fn read<'a>(
        parameters: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in parameters {
            match &*name {
                "name" => query.name = value.into_owned(),
                "namespace" => query.namespace = value.into_owned(),
                "instance" => query.instance = value.into_owned(),
                "tail" => query.tail = tail(&value)?,
                "follow" => query.follow = is_true(&value),
                "since" => query.since = since(&value)?,
                _ => {}
            }
        }
        Ok(query)
    }
}

/// Zero and less is no limit, as nothing is.
fn tail(text: &str) -> Result<Option<usize>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let lines: i64 = text
        .parse()
        .map_err(|_| format!("could not parse the log request: tail `{text}` is not a number"))?;
    Ok(usize::try_from(lines).ok().filter(|lines| *lines > 0))
}

fn since(text: &str) -> Result<Option<SystemTime>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    time(text).map(Some).ok_or_else(|| {
        format!(
            "could not parse the log request: since `{text}` is not an RFC 3339 time such as \
             2026-01-31T12:00:00Z"
        )
    })
}

/// An RFC 3339 time with any offset. Clients in Go send local time, and forget to escape the `+`
/// of its offset, which then reads as a space.
fn time(text: &str) -> Option<SystemTime> {
    let Some((local, offset)) = text
        .len()
        .checked_sub("+00:00".len())
        .and_then(|at| text.split_at_checked(at))
        .filter(|(_, offset)| offset.starts_with(['+', '-', ' ']))
    else {
        return utc(text);
    };
    let time = utc(&format!("{local}Z"))?;
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let ahead = Duration::from_secs(hours * 3600 + minutes * 60);
    if offset.starts_with('-') {
        time.checked_add(ahead)
    } else {
        time.checked_sub(ahead)
    }
}

/// A time before 1970 is the beginning: there are no older lines.
fn utc(text: &str) -> Option<SystemTime> {
    let (year, rest) = text.split_at_checked("1970".len())?;
    match year.parse::<u16>() {
        // The rest is checked in a year that has all days.
        Ok(..1970) => humantime::parse_rfc3339(&format!("1972{rest}"))
            .ok()
            .map(|_| SystemTime::UNIX_EPOCH),
        _ => humantime::parse_rfc3339(text).ok(),
    }
}

/// What Go takes for true (`strconv.ParseBool`); all else is false.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(query: &[(&'static str, &'static str)]) -> Result<LogQuery, String> {
        let parameters = query
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        LogQuery::read(parameters)
    }

    #[test]
    fn what_faas_cli_sends_is_read() {
        let sent = [
            ("name", "fig"),
            ("follow", "true"),
            ("tail", "-1"),
            ("namespace", "ns"),
        ];
        let query = read(&sent).unwrap();
        assert_eq!(
            (query.name.as_str(), query.namespace.as_str()),
            ("fig", "ns")
        );
        assert_eq!((query.follow, query.tail, query.since), (true, None, None));
    }

    #[test]
    fn a_time_may_have_any_offset() {
        let at = |text| read(&[("since", text)]).unwrap().since.unwrap();
        let noon = at("2026-01-31T12:00:00Z");
        for same in [
            "2026-01-31T14:00:00+02:00",
            "2026-01-31T14:00:00 02:00",
            "2026-01-31T06:30:00-05:30",
            "2026-01-31T12:00:00.000Z",
        ] {
            assert_eq!(at(same), noon, "{same}");
        }
        assert_eq!(at("0287-02-29T05:10:58.104763Z"), SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_an_odd_follow_is_false() {
        for (name, value) in [
            ("tail", "many"),
            ("since", "yesterday"),
            ("since", "é+02:00"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        assert!(!read(&[("follow", "yes")]).unwrap().follow);
        assert!(read(&[("follow", "0"), ("follow", "1")]).unwrap().follow);
    }
}
