//! Why a post got no answer, in words for the caller who named the URL: no address is told that the
//! caller did not write.

use std::time::Duration;

use crate::duration::format_duration;
use crate::outbound::NoRoots;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The URL is of another kind.
    #[error("a callback's URL begins with http:// or https://")]
    Scheme,
    /// The URL leads nowhere.
    #[error("the callback's URL needs a host, and a port from 1 to 65535 if it has one")]
    Host,
    /// The guard refuses every address of the host.
    #[error("{host} is in no network that callbacks may reach; `queue.callbacks.allow` adds some")]
    Refused {
        /// The host.
        host: String,
        /// Whether it is an address itself, so that it will always be this one.
        literal: bool,
    },
    /// The host has no address.
    #[error("{host} cannot be resolved: {why}")]
    Unresolved {
        /// The host.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// No address of the host takes a connection.
    #[error("cannot connect to {host}: {why}")]
    Unconnected {
        /// The host, and its port.
        host: String,
        /// What the last of them said.
        why: String,
    },
    /// No certificate can be checked on this machine.
    #[error("{0}")]
    NoRoots(String),
    /// The host is not who it says, or speaks no TLS.
    #[error("no secure connection to {host}: {why}")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// It took too long.
    #[error("no answer within {}", format_duration(*.0))]
    Timeout(Duration),
    /// What came back is no answer, or the connection broke.
    #[error("no answer: {0}")]
    Broken(String),
}

impl From<NoRoots> for PostError {
    fn from(error: NoRoots) -> Self {
        Self::NoRoots(error.to_string())
    }
}

impl PostError {
    /// Whether another try cannot help. Names may lead elsewhere tomorrow, addresses do not.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Scheme | Self::Host => true,
            Self::Refused { literal, .. } => *literal,
            _ => false,
        }
    }
}
