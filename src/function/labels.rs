//! Labels by which a function's owner tells the gateway what to do with it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::duration::parse_duration;

/// The labels in front of which stands `com.openfaas.`.
pub struct Labels<'a>(pub &'a BTreeMap<String, String>);

impl Labels<'_> {
    /// The text of a label.
    pub fn text(&self, name: &str) -> Option<&str> {
        Some(self.0.get(&format!("com.openfaas.{name}"))?.trim())
    }

    /// A label that is a `T`; what is none counts as not set.
    pub fn read<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// A label that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.read(name)
    }

    /// A label that is a duration.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        parse_duration(self.text(name)?)
    }
}
