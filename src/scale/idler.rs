//! Putting a function to sleep without losing the call that comes just then.
//!
//! First its replicas are closed to new calls, which only works while none is in flight: count and
//! closing are one atomic word. A call that comes later waits in line, as for every function
//! without a replica, and wakes it once it sleeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::journal::{Numbers, Reason};
use super::scaler::{SHOWN, Scaler};
use crate::functions::{Function, Snapshot};
use crate::provider::Replica;

/// Longest wait until a provider shows that nothing runs any more. Whoever is called before that
/// may end before it answers.
const GONE: Duration = Duration::from_secs(10);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// Puts a function to sleep, unless somebody has called it since it was looked at: it had begun
/// `begun` calls then.
pub async fn put_to_sleep(scaler: &Scaler, seen: &Function, begun: u64, numbers: Numbers) {
    let live = &seen.live;
    // Somebody wakes it, or is at it already.
    let Ok(_alone) = live.scaling.try_lock() else {
        return;
    };
    let snapshot = scaler.registry().current();
    let Some(function) = snapshot.function(&seen.key) else {
        return;
    };
    let Some(current @ 1..) = function.desired else {
        return;
    };
    let queued = live.queued.load(Ordering::Relaxed);
    if live.metrics.begun() != begun || live.gate.waiting() > 0 || queued > 0 {
        return;
    }
    let Some(closed) = close_all(function) else {
        // Those that were closed for a moment may have turned somebody away.
        live.gate.wake();
        return;
    };
    let asleep = scaler.resize(&function.name, current, 0, Reason::Idle, numbers);
    match asleep.await {
        Ok(()) => gone(scaler, function).await,
        // It may have been done all the same; who cannot be asked is asked again later.
        Err(_) => drop(scaler.look(&function.name).await),
    }
    // Whatever became of it: what calls are sent to takes calls.
    let snapshot = scaler.registry().current();
    if let Some(function) = snapshot.function(&seen.key) {
        let used =
            |replica: &Arc<Replica>| function.replicas.iter().any(|r| Arc::ptr_eq(r, replica));
        closed
            .into_iter()
            .filter(|replica| used(replica))
            .for_each(|replica| replica.reopen());
    }
    live.gate.wake();
}

/// Closes every replica, or none if one of them has a call in flight.
fn close_all(function: &Function) -> Option<Vec<&Arc<Replica>>> {
    let mut closed = Vec::with_capacity(function.replicas.len());
    for replica in &function.replicas {
        if !replica.retire() {
            closed
                .iter()
                .for_each(|replica: &&Arc<Replica>| replica.reopen());
            return None;
        }
        closed.push(replica);
    }
    Some(closed)
}

/// Waits until the snapshot shows that nothing runs any more.
async fn gone(scaler: &Scaler, function: &Function) {
    let is_gone = |snapshot: &Snapshot| {
        let function = snapshot.function(&function.key);
        function.is_none_or(|function| function.available == 0)
    };
    if scaler.provider().shows_changes() {
        let shown = scaler.registry().until(is_gone);
        let _ = tokio::time::timeout(SHOWN, shown).await;
        return;
    }
    let deadline = Instant::now() + GONE;
    while Instant::now() < deadline {
        // Who cannot be asked now is asked again.
        let _ = scaler.look(&function.name).await;
        if is_gone(&scaler.registry().current()) {
            return;
        }
        sleep(LOOK).await;
    }
}
