//! How often and when a queued call is tried again, as labels and annotations say.

use std::collections::BTreeMap;
use std::time::Duration;

use super::labels::Labels;

/// Tries of one call at most, whatever its labels say.
pub const MAX_ATTEMPTS: u32 = 1000;

/// What one function has of its own; the rest is `queue.retry` of the file. What cannot be read
/// counts as not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryLabels {
    /// Tries in all: `com.openfaas.retry.attempts`.
    pub attempts: Option<u32>,
    /// Statuses that are tried again: `com.openfaas.retry.codes`, separated by commas.
    pub codes: Option<Codes>,
    /// Wait before the second try: `com.openfaas.retry.min_wait`.
    pub min_wait: Option<Duration>,
    /// Longest wait between two tries: `com.openfaas.retry.max_wait`.
    pub max_wait: Option<Duration>,
}

/// A set of statuses from 400 to 599.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes([u128; 2]);

impl RetryLabels {
    /// Reads the labels of a function, and its annotations, which is what these are in OpenFaaS. A
    /// label counts more.
    pub fn of(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Self {
        let (own, other) = (Self::read(labels), Self::read(annotations));
        Self {
            attempts: own.attempts.or(other.attempts),
            codes: own.codes.or(other.codes),
            min_wait: own.min_wait.or(other.min_wait),
            max_wait: own.max_wait.or(other.max_wait),
        }
    }

    fn read(texts: &BTreeMap<String, String>) -> Self {
        let labels = Labels(texts);
        let attempts = labels.read("retry.attempts");
        Self {
            attempts: attempts.filter(|attempts| (1..=MAX_ATTEMPTS).contains(attempts)),
            codes: labels.text("retry.codes").and_then(Codes::parse),
            min_wait: labels.duration("retry.min_wait"),
            max_wait: labels.duration("retry.max_wait"),
        }
    }
}

impl Codes {
    /// A set of these; `None` if one is not from 400 to 599.
    pub fn of(codes: &[u16]) -> Option<Self> {
        let mut set = Self::default();
        for code in codes {
            let (half, bit) = place(*code)?;
            set.0[half] |= bit;
        }
        Some(set)
    }

    /// Whether a status is one of them.
    pub fn contains(self, code: u16) -> bool {
        place(code).is_some_and(|(half, bit)| self.0[half] & bit != 0)
    }

    /// All of them, in their order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (400..600).filter(move |code| self.contains(*code))
    }

    fn parse(text: &str) -> Option<Self> {
        let code = |code: &str| code.trim().parse().ok();
        let codes: Option<Vec<u16>> = text.split(',').map(code).collect();
        Self::of(&codes?)
    }
}

fn place(code: u16) -> Option<(usize, u128)> {
    let bit = |base: u16| 1_u128.checked_shl(u32::from(code - base));
    match code {
        400..500 => Some((0, bit(400)?)),
        500..600 => Some((1, bit(500)?)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let text = |(name, value): &(&str, &str)| {
            (format!("com.openfaas.retry.{name}"), (*value).to_owned())
        };
        pairs.iter().map(text).collect()
    }

    fn labels(pairs: &[(&str, &str)]) -> RetryLabels {
        RetryLabels::of(&texts(pairs), &BTreeMap::new())
    }

    #[test]
    fn labels_are_read_and_nonsense_counts_as_not_set() {
        let read = labels(&[
            ("attempts", "3"),
            ("codes", "500, 429"),
            ("min_wait", "50ms"),
            ("max_wait", "1m"),
        ]);
        assert_eq!(read.attempts, Some(3));
        assert_eq!(read.codes.unwrap().iter().collect::<Vec<_>>(), [429, 500]);
        assert_eq!(read.min_wait, Some(Duration::from_millis(50)));
        assert_eq!(read.max_wait, Some(Duration::from_secs(60)));
        let read = labels(&[
            ("attempts", "0"),
            ("codes", "500,200"),
            ("min_wait", "soon"),
            ("max_wait", ""),
        ]);
        assert_eq!(read, RetryLabels::default());
    }

    #[test]
    fn annotations_say_what_labels_do_not() {
        let labels = texts(&[("attempts", "3"), ("max_wait", "soon")]);
        let annotations = texts(&[("attempts", "5"), ("codes", "429"), ("max_wait", "1m")]);
        let read = RetryLabels::of(&labels, &annotations);
        assert_eq!((read.attempts, read.codes), (Some(3), Codes::of(&[429])));
        assert_eq!(read.max_wait, Some(Duration::from_secs(60)));
        assert_eq!(read.min_wait, None);
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        for code in [400, 499, 500, 599] {
            let set = Codes::of(&[code]).unwrap();
            assert_eq!(set.iter().collect::<Vec<_>>(), [code]);
        }
        assert!(Codes::of(&[399]).is_none() && Codes::of(&[600]).is_none());
        assert!(!Codes::default().contains(200));
    }
}
