//! What was decided of each function's replicas, and why: for `GET /system/scaling/NAME`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use crate::function::FunctionName;

/// Decisions kept of each function.
pub const KEPT: usize = 50;

/// A change of the number of replicas.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Decision {
    /// When it was decided (RFC 3339).
    pub at: String,
    /// Replicas before.
    pub from: u64,
    /// Replicas asked for.
    pub to: u64,
    /// `up` or `down`.
    pub direction: &'static str,
    /// Why.
    pub reason: Reason,
    /// Why, in numbers.
    pub inputs: Numbers,
    /// Why it could not be done, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why the number of replicas was changed. The words are part of the interface: never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was called while it had none.
    Woken,
    /// Nobody had called it for long enough.
    Idle,
    /// More successful calls per second than the classic rule leaves to one step.
    Busy,
    /// The classic rule takes back what it had added.
    Quiet,
    /// The target of calls begun per second.
    Rps,
    /// The target of calls in flight.
    Capacity,
    /// The target of calls in line.
    Queue,
    /// An alert fires.
    AlertFiring,
    /// An alert is over.
    AlertResolved,
    /// Somebody asked for it through the API.
    Asked,
}

/// What a function does, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Numbers {
    /// Replicas asked for.
    pub replicas: u64,
    /// Replicas that can be called.
    pub available: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Calls in line.
    pub waiting: u64,
    /// Asynchronous calls that wait for their first try.
    pub queued: u64,
    /// Calls begun per second, over the last ten seconds.
    pub calls_per_second: f64,
    /// Successful calls per second, over the last ten seconds.
    pub successes_per_second: f64,
    /// The load that the function's type measures; with the type `rps` or `capacity` or `queue`
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Seconds since the last call ended.
    pub idle_seconds: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Journal {
    // Held for a moment at each decision and look, never by a call.
    pages: Mutex<HashMap<FunctionName, Page>>,
}

#[derive(Debug, Default)]
struct Page {
    numbers: Numbers,
    decisions: VecDeque<Decision>,
}

impl Reason {
    /// As metrics and logs say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Woken => "woken",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Quiet => "quiet",
            Self::Rps => "rps",
            Self::Capacity => "capacity",
            Self::Queue => "queue",
            Self::AlertFiring => "alert_firing",
            Self::AlertResolved => "alert_resolved",
            Self::Asked => "asked",
        }
    }
}

impl Decision {
    /// A decision of this moment.
    pub fn now(from: u64, to: u64, reason: Reason, inputs: Numbers) -> Self {
        Self {
            at: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            from,
            to,
            direction: if to < from { "down" } else { "up" },
            reason,
            inputs,
            error: None,
        }
    }
}

impl Journal {
    /// Notes a decision. The oldest one is forgotten where there are too many.
    pub fn note(&self, function: &FunctionName, decision: Decision) {
        let mut pages = self.pages();
        let decisions = &mut pages.entry(function.clone()).or_default().decisions;
        if decisions.len() == KEPT {
            decisions.pop_front();
        }
        decisions.push_back(decision);
    }

    /// Notes what a function does now.
    pub fn measured(&self, function: &FunctionName, numbers: Numbers) {
        self.pages().entry(function.clone()).or_default().numbers = numbers;
    }

    /// What a function did when it was last looked at.
    pub fn numbers(&self, function: &FunctionName) -> Numbers {
        let pages = self.pages();
        pages
            .get(function)
            .map_or_else(Numbers::default, |page| page.numbers)
    }

    /// The last decisions, the newest first.
    pub fn decisions(&self, function: &FunctionName) -> Vec<Decision> {
        let pages = self.pages();
        let decisions = pages.get(function).map(|page| page.decisions.iter());
        decisions.into_iter().flatten().rev().cloned().collect()
    }

    /// Forgets the functions that are gone.
    pub fn keep(&self, there: impl Fn(&FunctionName) -> bool) {
        self.pages().retain(|name, _| there(name));
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<FunctionName, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_decisions_are_kept_newest_first() {
        let (journal, name) = (Journal::default(), FunctionName::new("f", "ns").unwrap());
        for to in 1..=KEPT as u64 + 7 {
            let decision = Decision::now(0, to, Reason::Rps, Numbers::default());
            journal.note(&name, decision);
        }
        let kept: Vec<u64> = journal.decisions(&name).iter().map(|d| d.to).collect();
        assert_eq!(kept, (8..=57).rev().collect::<Vec<_>>());
        journal.keep(|_| false);
        assert!(journal.decisions(&name).is_empty());
    }
}
