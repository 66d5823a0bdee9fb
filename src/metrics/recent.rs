//! What was counted of a function since somebody last looked, for the history: the counters that
//! Prometheus sees only grow, and a histogram's differences would have to be kept twice.

use std::sync::atomic::{AtomicU32, Ordering};

use super::latency::{Durations, Latency};

/// Lowest status that counts as an error: the function or the gateway failed, not the caller.
pub const ERROR: u16 = 500;

/// Counts until somebody takes what there is.
#[derive(Debug, Default)]
pub(super) struct Counting {
    latency: Latency,
    errors: AtomicU32,
    cold_starts: AtomicU32,
}

/// What has happened between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// How long the calls took that ended; `None`: none did.
    pub durations: Option<Durations>,
    /// Those of them whose status was [`ERROR`] or more.
    pub errors: u32,
    /// Calls that waited for a function that had no replica.
    pub cold_starts: u32,
}

impl Counting {
    /// A call has ended.
    pub fn call(&self, status: u16, seconds: f64) {
        self.latency.count(seconds);
        if status >= ERROR {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call has waited.
    pub fn cold_start(&self) {
        self.cold_starts.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the last time.
    pub fn take(&self) -> Recent {
        // Errors first: a call in between is one without its error, and never an error without its call.
        let errors = self.errors.swap(0, Ordering::Relaxed);
        Recent {
            durations: self.latency.take(),
            errors,
            cold_starts: self.cold_starts.swap(0, Ordering::Relaxed),
        }
    }
}
