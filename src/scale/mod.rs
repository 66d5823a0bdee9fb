//! Getting a place on a function: at once, or in line until it is ready; waking it where it has no
//! replica; and giving it as many replicas as its load asks for.
//!
//! ```text
//! a call -> acquire -> waker ------.
//! counters -> window -> rules -> autoscaler, idler -> scaler -> provider
//! an alert ------------------------'       `-> journal
//! ```

mod autoscaler;
mod idler;
mod journal;
pub mod rules;
mod scaler;
mod waker;
mod window;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub use autoscaler::Autoscaler;
pub use journal::{Decision, Journal, Numbers, Reason};
pub use scaler::Scaler;
pub use waker::{Waker, Waking};

use crate::config::Scale;
use crate::error::Failure;
use crate::functions::{Function, Lease, Registry};
use crate::provider::Replica;

/// Time after which who waits for a function that has no replica asks for one once more.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What is waited for, and how.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// How long, and in which line.
    pub scale: &'a Scale,
    /// Whether a function that is asleep is woken for it.
    pub wakes: bool,
    /// A replica that has just refused the call.
    pub avoid: Option<&'a Arc<Replica>>,
}

/// What a wait has led to.
pub struct Acquired {
    /// The place.
    pub lease: Lease,
    /// Whether the function had no replica meanwhile.
    pub cold: bool,
}

/// Waits for a place on `function` and a replica to use it on. A function that is asleep is woken.
///
/// Call [`Function::try_lease`] first: it needs no await. A caller that goes away just drops the
/// future and leaves the line.
///
/// # Errors
///
/// The function's own [`Problem`](crate::functions::Problem) when it is known that it cannot be called,
/// [`Failure::NoFunction`] when it was deleted meanwhile, [`Failure::Asleep`] when nobody is to wake
/// it, [`Failure::LineFull`] and [`Failure::WaitTimeout`] when the wait is over.
pub async fn acquire(
    registry: &Registry,
    waker: &Waker,
    function: &Arc<Function>,
    wish: &Wish<'_>,
) -> Result<Acquired, Failure> {
    let Wish {
        scale,
        wakes,
        avoid,
    } = *wish;
    let wait = scale.wait;
    let live = &function.live;
    let Some(place_in_line) = live.gate.join(wait.line) else {
        return Err(Failure::LineFull(wait.line));
    };
    let _held = live.metrics.hold();
    let deadline = Instant::now() + wait.timeout;
    let mut cold = false;
    loop {
        let turn = place_in_line.turn();
        tokio::pin!(turn);
        turn.as_mut().enable();
        // The newest snapshot may have replicas that the caller's does not know.
        let newest = registry.current();
        let Some(newest) = newest.function(&function.key) else {
            return Err(Failure::NoFunction);
        };
        if let Some(lease) = newest.lease_in_turn(avoid) {
            return Ok(Acquired { lease, cold });
        }
        let mut until = deadline;
        if newest.replicas.is_empty() {
            cold = true;
            if let Some(problem) = &newest.problem {
                return Err(problem.failure.clone());
            }
            if newest.asleep() && !scale.from_zero {
                return Err(Failure::NotReady);
            }
            if newest.asleep() && !wakes {
                return Err(Failure::Asleep);
            }
            if newest.desired.is_some() {
                waker.rouse(newest);
                until = until.min(Instant::now() + ASK_AGAIN);
            }
        }
        if Instant::now() >= deadline {
            return Err(Failure::WaitTimeout(wait.timeout));
        }
        // Whether it was woken or not, it looks again.
        let _ = timeout_at(until, turn).await;
    }
}
