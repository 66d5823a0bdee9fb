//! How the gateway itself is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Provider;
use crate::gateway::Gateway;
use crate::release::{ARCH, COMMIT, RELEASE};

/// How the gateway is.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "GatewayStatus")]
pub struct Status {
    gateway: Program,
    config: Config,
    provider: ProviderStatus,
    queue: Queue,
    /// Whether the gateway is about to end.
    draining: bool,
}

/// What runs.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
struct Program {
    /// The gateway's version.
    release: &'static str,
    /// The commit it was built from, or `unknown`.
    sha: &'static str,
    /// The architecture it was built for.
    arch: &'static str,
    /// When it was started (RFC 3339).
    started_at: String,
}

/// How the configuration stands.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ConfigSummary")]
struct Config {
    /// Counts the configurations that took effect, from 1.
    generation: u64,
    /// Why the last reload changed nothing; `null` after a good one.
    last_error: Option<String>,
    /// Keys whose new values wait for a restart.
    pending_restart: Vec<String>,
    /// Things worth knowing about the file that are no errors.
    warnings: Vec<String>,
}

/// Who owns the functions.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
struct ProviderStatus {
    /// `process` or `remote`.
    kind: &'static str,
    /// Whether it answered when last asked.
    up: bool,
}

/// Asynchronous calls.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "QueueSummary")]
struct Queue {
    /// Why no call can be queued now.
    problem: Option<String>,
    /// Calls that wait for their first try.
    queued: usize,
    /// Calls that wait for another try.
    retrying: usize,
    /// Calls that run.
    running: usize,
}

impl Status {
    /// How the gateway is now.
    pub fn of(gateway: &Gateway) -> Self {
        Self {
            gateway: Program::of(gateway),
            config: Config::of(gateway),
            provider: ProviderStatus::of(gateway),
            queue: Queue::of(gateway),
            draining: gateway.drain.draining(),
        }
    }
}

impl Program {
    fn of(gateway: &Gateway) -> Self {
        Self {
            release: RELEASE,
            sha: COMMIT,
            arch: ARCH,
            started_at: gateway.started_at.clone(),
        }
    }
}

impl Config {
    fn of(gateway: &Gateway) -> Self {
        let status = gateway.config_status();
        Self {
            generation: status.generation,
            last_error: status.last_error.clone(),
            pending_restart: status.pending_restart.clone(),
            warnings: status.warnings.clone(),
        }
    }
}

impl ProviderStatus {
    fn of(gateway: &Gateway) -> Self {
        match gateway.registry.current().config.provider {
            Provider::Process(_) => Self {
                kind: "process",
                up: true,
            },
            Provider::Remote(_) => Self {
                kind: "remote",
                up: gateway.metrics.provider.up.get() == 1,
            },
        }
    }
}

impl Queue {
    fn of(gateway: &Gateway) -> Self {
        let depths = gateway.queue.depths();
        Self {
            problem: gateway.queue.problem(),
            queued: depths.iter().map(|depth| depth.queued).sum(),
            retrying: depths.iter().map(|depth| depth.retrying).sum(),
            running: depths.iter().map(|depth| depth.running).sum(),
        }
    }
}
