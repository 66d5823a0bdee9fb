//! The words of the wire: what a function is called, what is asked of it and what is told of it, as
//! the JSON of the faas-provider API has them (wire.md section 9).
//!
//! Fields that we do not know are kept, so that what goes through the gateway arrives whole.

mod deployment;
mod info;
mod labels;
mod log;
mod namespace;
mod retry;
mod scaling;
mod secret;
mod status;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use deployment::{Deployment, Removal, Resources, ScaleRequest};
pub use info::{ProviderInfo, Version};
pub use log::{LogLine, LogQuery};
pub use namespace::Namespace;
pub use retry::{Codes, MAX_ATTEMPTS, RetryLabels};
pub use scaling::{
    MAX_REPLICAS, MAX_WINDOW, Measure, Scaling, Target, ZERO_AFTER, is_load, is_proportion,
};
pub use secret::{Secret, SecretName};
pub use status::{FunctionStatus, Usage, whole};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name or namespace, in bytes: a DNS label (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 63;

/// Longest name of a secret, in bytes: what Kubernetes allows.
pub const MAX_SECRET_NAME: usize = 253;

/// A function's name and the namespace it lives in, written `name.namespace`.
///
/// Both parts are made of ASCII letters, digits, `-` and `_` (wire.md section 1.2), at most
/// [`MAX_NAME`] bytes each, so either is safe as a file name and as a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName {
    // Shared: names are keys of many tables, which are copied whenever one entry changes.
    name: Arc<str>,
    namespace: Arc<str>,
}

/// Why a text is not a function's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing where the name should stand.
    #[error("a name cannot be empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("`{0}` is longer than {MAX_NAME} bytes")]
    TooLong(String),
    /// A character outside the allowed set.
    #[error("`{0}` may only contain letters, digits, `-` and `_`")]
    BadCharacter(String),
}

/// Why a text is not a secret's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a secret's name: letters, digits, `-`, `_` and `.` can be, at most \
     {MAX_SECRET_NAME}, no dot in front"
)]
pub struct SecretNameError(String);

impl FunctionName {
    /// Checks both parts. An empty namespace is allowed: a provider may not know any.
    pub fn new(name: &str, namespace: &str) -> Result<Self, NameError> {
        check_name(name)?;
        if !namespace.is_empty() {
            check_name(namespace)?;
        }
        Ok(Self {
            name: name.into(),
            namespace: namespace.into(),
        })
    }

    /// Reads `name` or `name.namespace`, split at the last dot (wire.md section 5.1).
    pub fn parse(text: &str, default_namespace: &str) -> Result<Self, NameError> {
        match text.rsplit_once('.') {
            Some((name, namespace)) if !namespace.is_empty() => Self::new(name, namespace),
            _ => Self::new(text, default_namespace),
        }
    }

    /// The name without its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, to be kept.
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The namespace; empty when none is known.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

/// `name.namespace`, or the bare name where no namespace is known.
impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.name, self.namespace)
        }
    }
}

impl FromStr for FunctionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text, "")
    }
}

impl Serialize for FunctionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FunctionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether `byte` may stand in a function's name or namespace.
pub const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Checks a name or a namespace alone.
pub fn check_name(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        Err(NameError::Empty)
    } else if part.len() > MAX_NAME {
        Err(NameError::TooLong(part.to_owned()))
    } else if !part.bytes().all(is_name_byte) {
        Err(NameError::BadCharacter(part.to_owned()))
    } else {
        Ok(())
    }
}

/// Checks a secret's name: it is a file's name as well.
pub fn check_secret_name(name: &str) -> Result<(), SecretNameError> {
    let good = |byte: u8| is_name_byte(byte) || byte == b'.';
    let fits = (1..=MAX_SECRET_NAME).contains(&name.len());
    if fits && !name.starts_with('.') && name.bytes().all(good) {
        Ok(())
    } else {
        Err(SecretNameError(name.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dot_splits_name_and_namespace() {
        let name = FunctionName::parse("hello.prod", "openfaas-fn").unwrap();
        assert_eq!((name.name(), name.namespace()), ("hello", "prod"));
        assert_eq!(name.to_string(), "hello.prod");
    }

    #[test]
    fn a_bare_name_gets_the_default_namespace() {
        let name = FunctionName::parse("hello", "openfaas-fn").unwrap();
        assert_eq!(name.to_string(), "hello.openfaas-fn");
        assert_eq!(
            FunctionName::parse("hello", "").unwrap().to_string(),
            "hello"
        );
    }

    #[test]
    fn what_could_leave_a_folder_or_break_a_label_is_refused() {
        for bad in ["", "..", ".", "a/b", "a b", "a.b.c", "ü", "a\0"] {
            assert!(FunctionName::parse(bad, "ns").is_err(), "{bad:?}");
        }
        assert!(FunctionName::parse(&"a".repeat(64), "ns").is_err());
    }
}
