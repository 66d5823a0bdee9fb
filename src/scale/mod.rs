//! Getting a place on a function: at once, or in line until it is ready.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::config::Wait;
use crate::error::Failure;
use crate::functions::{Function, Lease, Registry};
use crate::provider::Replica;

/// Waits for a place on `function` and a replica to use it on, as long and in a line as long as
/// `wait` says.
///
/// Call [`Function::try_lease`] first: it needs no await. A caller that goes away just drops the
/// future and leaves the line.
///
/// # Errors
///
/// The function's own [`Problem`](crate::functions::Problem) when it is known that it cannot be called,
/// [`Failure::NoFunction`] when it was deleted meanwhile, [`Failure::LineFull`] and
/// [`Failure::WaitTimeout`] when the wait is over.
pub async fn acquire(
    registry: &Registry,
    function: &Arc<Function>,
    avoid: Option<&Arc<Replica>>,
    wait: Wait,
) -> Result<Lease, Failure> {
    let live = &function.live;
    let Some(place_in_line) = live.gate.join(wait.line) else {
        return Err(Failure::LineFull(wait.line));
    };
    let _held = live.metrics.hold();
    let deadline = Instant::now() + wait.timeout;
    loop {
        let turn = place_in_line.turn();
        tokio::pin!(turn);
        turn.as_mut().enable();
        // The newest snapshot may have replicas that the caller's does not know.
        let newest = registry.current();
        let Some(newest) = newest.function(&function.key) else {
            return Err(Failure::NoFunction);
        };
        if let Some(lease) = newest.try_lease(avoid) {
            return Ok(lease);
        }
        if let (true, Some(problem)) = (newest.replicas.is_empty(), &newest.problem) {
            return Err(problem.failure.clone());
        }
        if timeout_at(deadline, turn).await.is_err() {
            return Err(Failure::WaitTimeout(wait.timeout));
        }
    }
}
