//! The live functions: what a name leads to, with its gate, replicas and metric handles resolved.
//!
//! A [`Snapshot`] is immutable and replaced as a whole whenever the configuration, a provider's view
//! or an address changes; a call keeps the one it began with. What must outlive a snapshot - the
//! gate and the metric handles of a function - is shared between snapshots in [`Live`].

mod gate;
mod hosts;
mod last_error;
pub mod path;
mod registry;
mod resolver;
mod snapshot;
mod workshop;

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

pub use gate::{Gate, OPEN, Place, Waiting};
pub use last_error::{LastError, Noted};
pub use registry::{Inputs, Registry, Writer};
pub use resolver::Resolver;
pub use snapshot::{Route, Snapshot};

use crate::config::{Retry, Timeouts};
use crate::error::Failure;
use crate::function::{FunctionName, Scaling};
use crate::metrics::FunctionMetrics;
use crate::provider::{Hold, Replica};

/// One function as a call sees it.
pub struct Function {
    /// Its name.
    pub name: FunctionName,
    /// `name.namespace`, the key it is found by again in a newer snapshot.
    pub key: Arc<str>,
    /// What the replica sees as path.
    pub path: PathRule,
    /// Where it can be called; empty while it starts or when it failed.
    pub replicas: Vec<Arc<Replica>>,
    /// Why it cannot be called, if that is known.
    pub problem: Option<Problem>,
    /// Limits of its calls.
    pub timeouts: Timeouts,
    /// Replicas that its provider was asked for; `None`: no provider scales it.
    pub desired: Option<u64>,
    /// How many replicas it has when.
    pub scaling: Scaling,
    /// When its queued calls are tried again.
    pub retry: Retry,
    /// Calls that one address takes at once; `None`: as many as come, or the gate counts.
    pub each: Option<usize>,
    /// Replicas that can be called, whoever has their addresses.
    pub available: u64,
    /// Whether a new revision of it is about to take over.
    pub updating: bool,
    /// What outlives the snapshot.
    pub live: Arc<Live>,
}

/// Why a function cannot be called.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What its callers are told.
    pub failure: Failure,
    /// What its owner is told.
    pub why: Arc<str>,
}

/// What a replica sees as path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRule {
    /// What follows the function's name.
    Trimmed,
    /// `/function/NAME` and what follows, as the faas-provider API asks for.
    Whole,
}

/// What all snapshots of one function share.
pub struct Live {
    /// The gate calls pass.
    pub gate: Gate,
    /// Metric handles.
    pub metrics: FunctionMetrics,
    /// The last call that failed.
    pub last_error: LastError,
    /// Asynchronous calls that wait for their first try, as last measured.
    pub queued: AtomicU64,
    /// Whether somebody is waking it: set by the first who asks.
    pub rousing: AtomicBool,
    /// Held while its replicas are changed by the gateway itself: one change after the other.
    pub scaling: tokio::sync::Mutex<()>,
}

impl Live {
    /// What a function has that nobody has called yet.
    pub fn new(capacity: usize, metrics: FunctionMetrics) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(capacity),
            metrics,
            last_error: LastError::default(),
            queued: AtomicU64::new(0),
            rousing: AtomicBool::new(false),
            scaling: tokio::sync::Mutex::new(()),
        })
    }
}

/// The right to make one call on one replica; dropping it gives the place back.
pub struct Lease {
    // Dropped in this order: the replica has room before the next in line is told.
    hold: Hold,
    _place: Entered,
}

/// A place behind a function's gate.
struct Entered {
    function: Arc<Function>,
    place: Place,
}

impl Lease {
    /// The replica to call.
    pub fn replica(&self) -> &Arc<Replica> {
        self.hold.replica()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.function.live.gate.leave(self.place);
    }
}

impl Function {
    /// Whether it was scaled to nothing.
    pub fn asleep(&self) -> bool {
        self.desired == Some(0)
    }

    /// Replicas that were asked for; where no provider scales it, those that there are.
    pub fn replicas_wanted(&self) -> u64 {
        self.desired.unwrap_or(self.replicas.len() as u64)
    }

    /// Takes a place and a replica if both are free now, and nobody waits for them. `avoid` is a
    /// replica that has just refused this call; it is taken only if there is no other.
    pub fn try_lease(self: &Arc<Self>, avoid: Option<&Arc<Replica>>) -> Option<Lease> {
        if self.scaling.concurrency.is_some() && self.live.gate.waiting() > 0 {
            return None;
        }
        self.lease_in_turn(avoid)
    }

    /// The same for a call from the line.
    pub fn lease_in_turn(self: &Arc<Self>, avoid: Option<&Arc<Replica>>) -> Option<Lease> {
        let gate = &self.live.gate;
        let place = gate.enter()?;
        let Some(hold) = self.pick(avoid) else {
            gate.retreat(place);
            return None;
        };
        let function = Arc::clone(self);
        Some(Lease {
            hold,
            _place: Entered { function, place },
        })
    }

    /// Calls that it takes at once; `None`: as many as come.
    pub fn room(&self) -> Option<usize> {
        let concurrency = self.scaling.concurrency?;
        Some(match self.each {
            Some(each) => each.saturating_mul(self.replicas.len()),
            None => places(concurrency, self.available),
        })
    }

    /// Wakes those in line who may find a place; where there is none, all of them, to be told why.
    pub fn wake_line(&self) {
        let gate = &self.live.gate;
        match self.room() {
            Some(room) if !self.replicas.is_empty() => gate.wake_first(room),
            _ => gate.wake(),
        }
    }

    /// The replica with the fewest calls in flight. Ties go round, as always taking the first would
    /// load it alone.
    fn pick(&self, avoid: Option<&Arc<Replica>>) -> Option<Hold> {
        let hold = |replica: &Arc<Replica>| match self.each {
            None => replica.hold(),
            Some(limit) => replica.hold_within(limit),
        };
        if let [only] = self.replicas.as_slice() {
            return hold(only);
        }
        let count = self.replicas.len();
        if count == 0 {
            return None;
        }
        let start = next_turn() % count;
        let avoided = |replica: &Arc<Replica>| {
            avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, replica)) || replica.penalized()
        };
        let best = (0..count)
            .map(|offset| &self.replicas[(start + offset) % count])
            .min_by_key(|replica| (avoided(replica), replica.in_flight()))?;
        // Closed or filled since it was looked at: any other will do.
        hold(best).or_else(|| self.replicas.iter().find_map(hold))
    }
}

/// Calls that so many replicas take at once.
fn places(each: NonZeroUsize, replicas: u64) -> usize {
    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
    each.get().saturating_mul(replicas)
}

fn next_turn() -> usize {
    thread_local!(static TURN: Cell<usize> = const { Cell::new(0) });
    TURN.with(|turn| {
        turn.set(turn.get().wrapping_add(1));
        turn.get()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;
    use crate::provider::Address;

    fn function(replicas: usize, capacity: usize) -> Arc<Function> {
        let name = FunctionName::new("f", "").unwrap();
        Arc::new(Function {
            key: name.to_string().into(),
            path: PathRule::Trimmed,
            replicas: (0..replicas)
                .map(|port| Replica::new(Address::Tcp(([127, 0, 0, 1], port as u16).into())))
                .collect(),
            problem: None,
            timeouts: Timeouts {
                read: Duration::ZERO,
                write: Duration::ZERO,
                upstream: Duration::ZERO,
                idle: Duration::ZERO,
            },
            desired: None,
            scaling: Scaling::default(),
            retry: Retry {
                attempts: 1,
                min_wait: Duration::ZERO,
                max_wait: Duration::ZERO,
                codes: Default::default(),
            },
            each: None,
            available: replicas as u64,
            updating: false,
            live: Live::new(capacity, Metrics::new().unwrap().function("f")),
            name,
        })
    }

    #[test]
    fn calls_spread_by_least_in_flight() {
        let function = function(3, OPEN);
        let leases: Vec<_> = (0..9).map(|_| function.try_lease(None).unwrap()).collect();
        assert!(function.replicas.iter().all(|r| r.in_flight() == 3));
        drop(leases);
        assert!(function.replicas.iter().all(|r| r.in_flight() == 0));
    }

    #[test]
    fn a_replica_that_refused_is_the_last_choice() {
        let function = function(2, OPEN);
        let avoid = Arc::clone(&function.replicas[0]);
        let leases: Vec<_> = (0..5)
            .map(|_| function.try_lease(Some(&avoid)).unwrap())
            .collect();
        assert_eq!(avoid.in_flight(), 0);
        drop(leases);
        function.replicas[1].penalize();
        let _lease = function.try_lease(None).unwrap();
        assert_eq!(function.replicas[0].in_flight(), 1);
    }

    #[test]
    fn no_replica_gets_more_than_its_share() {
        let mut function = function(3, OPEN);
        Arc::get_mut(&mut function).unwrap().each = Some(2);
        let _held = [(); 2].map(|()| function.replicas[0].hold().unwrap());
        let leases: Vec<_> = (0..4).map(|_| function.try_lease(None).unwrap()).collect();
        assert!(function.try_lease(None).is_none());
        assert!(function.replicas.iter().all(|r| r.in_flight() == 2));
        drop(leases);
    }

    #[test]
    fn who_has_just_come_does_not_pass_the_line_of_a_limited_function() {
        let mut function = function(1, OPEN);
        {
            let function = Arc::get_mut(&mut function).unwrap();
            function.each = Some(1);
            function.scaling.concurrency = NonZeroUsize::new(1);
        }
        let waiting = function.live.gate.join(10).unwrap();
        assert!(function.try_lease(None).is_none());
        let lease = function.lease_in_turn(None).unwrap();
        drop(waiting);
        assert!(function.try_lease(None).is_none());
        drop(lease);
        assert!(function.try_lease(None).is_some());
    }

    #[test]
    fn a_closed_replica_is_passed_over() {
        let function = function(2, OPEN);
        function.replicas[0].close();
        for _ in 0..4 {
            let lease = function.try_lease(None).unwrap();
            assert!(Arc::ptr_eq(lease.replica(), &function.replicas[1]));
        }
        function.replicas[1].close();
        assert!(function.try_lease(None).is_none());
    }

    #[test]
    fn a_failed_lease_gives_its_place_back() {
        let function = function(1, 1);
        function.replicas[0].close();
        assert!(function.try_lease(None).is_none());
        assert!(function.live.gate.enter().is_some());
    }
}
