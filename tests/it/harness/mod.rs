//! What every test needs: a gateway, a client, something behind the gateway, and patience.

mod alertmanager;
mod calls;
mod client;
mod functions;
mod gateway;
mod h2;
mod metrics;
mod nats;
mod output;
mod process;
mod prometheus;
mod provider;
mod queue;
mod served;
mod tests;
mod tool;
mod upstream;
mod valve;
mod wire;

use std::thread;
use std::time::{Duration, Instant};

pub use alertmanager::Alertmanager;
pub use client::{Connection, Response, basic, try_request};
pub use functions::under_load;
pub use gateway::Gateway;
pub use h2::H2Connection;
pub use metrics::Metrics;
pub use nats::Nats;
pub use output::Exit;
pub use process::{alive, descendants, kill};
pub use prometheus::Prometheus;
pub use provider::Provider;
pub use queue::{Kind, Queued};
pub(crate) use queue::{on_each_queue, on_jetstream};
pub use served::{command as served, saying};
pub use tool::{folders, is_installed, shipped, tool};
pub use upstream::{Recorded, Upstream, full_backlog, unused_port};
pub use valve::Valve;
pub use wire::{Framing, is_gone};

pub use rustix::process::Signal;

/// Longest wait for anything that should happen. Generous, because the machine may be busy: only a
/// failing test ever waits this long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; `what` names it in the failure.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// The same for what takes long by itself.
#[track_caller]
pub fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `get` gives something, and returns it.
#[track_caller]
pub fn eventually_some<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        found = get();
        found.is_some()
    });
    found.expect("the condition held")
}
