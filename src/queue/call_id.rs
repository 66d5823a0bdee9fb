//! What a queued call is asked about by.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Names one queued call: letters, digits, `-` and `_`, so that it is safe in a path, a subject and
/// a file. It is the call's `X-Call-Id` where that is of this kind and not taken; a function that
/// hands its own `X-Call-Id` on to several calls gets another id for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Arc<str>);

impl CallId {
    /// Longest id, in bytes.
    pub const MAX: usize = 64;

    /// A new one. New ones are in order of time, which keeps those close together that are stored
    /// together.
    pub fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text: &str = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        Self(text.into())
    }

    /// Takes a text over; `None` if it is not of this kind.
    pub fn parse(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(good);
        fits.then(|| Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl Default for CallId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a call's id"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_in_order() {
        let ids: Vec<_> = (0..100).map(|_| CallId::new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(CallId::parse(ids[0].as_str()).unwrap(), ids[0]);
    }

    #[test]
    fn what_is_not_safe_everywhere_is_no_id() {
        let long = "a".repeat(65);
        for text in ["", "a.b", "a b", "a/b", "*", ">", "ü", long.as_str()] {
            assert!(CallId::parse(text).is_none(), "{text}");
        }
    }
}
