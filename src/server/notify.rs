//! What a service manager is told, such as systemd (sd_notify(3)): that the gateway serves, reads its
//! configuration again and ends, how it stands in one line, and that it is alive. Nothing is said
//! where no `NOTIFY_SOCKET` asks for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::listeners::Listeners;
use super::runtimes::Runtimes;
use super::services::Task;
use crate::config::env::Environment;
use crate::gateway::Gateway;
use crate::health::{Question, ask};

/// Longest wait for the manager to take a message: it is a busy process's queue.
const TAKING: Duration = Duration::from_secs(1);
/// Longest wait for one answer of our own metrics port, and the time between two questions.
const ANSWER: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(10);
/// The status follows the number of functions, but not each of a thousand deployments.
const PAUSE: Duration = Duration::from_millis(500);
/// Signs of life per `WatchdogSec`: one may be late.
const SIGNS: u32 = 3;

/// Whoever started the gateway and wants to be told how it is.
#[derive(Clone, Debug)]
pub struct Manager {
    wants: bool,
    /// It ends a gateway that gives no sign of life for so long.
    watchdog: Option<Duration>,
    metrics: SocketAddr,
    api: Option<SocketAddr>,
}

impl Manager {
    /// The one this environment names.
    pub fn new(environment: &Environment, listeners: &Listeners) -> Self {
        Self {
            wants: environment.raw("NOTIFY_SOCKET").is_some(),
            watchdog: sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()),
            metrics: listeners.metrics.address,
            api: listeners.api(),
        }
    }

    /// What tells it of the start, of what changes, and of life; `None`: nobody wants to know.
    pub fn follow(&self, gateway: Arc<Gateway>, runtimes: Runtimes) -> Option<Task> {
        let manager = self.clone();
        self.wants.then(|| {
            Box::pin(async move {
                manager.started(&gateway, &runtimes).await;
                tokio::join!(manager.status(&gateway), manager.alive(&runtimes));
            }) as Task
        })
    }

    /// A reload has begun; [`Self::ready`] ends it.
    pub async fn reloading(&self) {
        let mut words = vec![NotifyState::Reloading];
        // Without the time a manager of version 253 or newer would not take it as the answer to its signal.
        words.extend(NotifyState::monotonic_usec_now());
        self.tell(words, None).await;
    }

    /// The gateway serves with the configuration that is in force.
    pub async fn ready(&self, gateway: &Gateway) {
        let status = self.line(gateway);
        self.tell(vec![NotifyState::Ready], Some(status)).await;
    }

    /// The end has begun.
    pub async fn stopping(&self, gateway: &Gateway) {
        let status = format!("ending, {} calls in flight", gateway.drain.calls());
        self.tell(vec![NotifyState::Stopping], Some(status)).await;
    }

    /// Says that the gateway serves, once it does: every service runs, and an answer comes back.
    async fn started(&self, gateway: &Gateway, runtimes: &Runtimes) {
        runtimes.begun().await;
        // The manager has a limit of its own for the start.
        while !gateway.drain.draining() {
            if ask(self.metrics, Question::Ready, ANSWER).await.is_ok() {
                return self.ready(gateway).await;
            }
            sleep(AGAIN).await;
        }
    }

    /// Keeps the status true until the end begins.
    async fn status(&self, gateway: &Gateway) {
        let mut configurations = gateway.config_changes();
        let mut snapshots = gateway.registry.changes();
        let mut told = None;
        while !gateway.drain.draining() {
            let line = self.line(gateway);
            if told.as_ref() != Some(&line) {
                self.tell(Vec::new(), Some(line.clone())).await;
                told = Some(line);
            }
            let functions = async {
                sleep(PAUSE).await;
                snapshots.changed().await
            };
            tokio::select! {
                Ok(()) = configurations.changed() => {}
                Ok(()) = functions => {}
                () = gateway.drain.begun() => return,
            }
        }
    }

    /// Gives signs of life for as long as every service answers, until the very end.
    async fn alive(&self, runtimes: &Runtimes) {
        let Some(limit) = self.watchdog else { return };
        let beat = limit / SIGNS;
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let stuck = runtimes.stuck(beat).await;
            if stuck.is_empty() {
                self.tell(vec![NotifyState::Watchdog], None).await;
            } else {
                let services = stuck.join(", ");
                tracing::error!(services, "no sign of life for the watchdog: these hang");
            }
        }
    }

    fn line(&self, gateway: &Gateway) -> String {
        if let Some(error) = &gateway.config_status().last_error {
            let mut problems = error.lines();
            let first = problems.next().unwrap_or_default();
            return match problems.count() {
                0 => format!("configuration not changed: {first}"),
                more => format!("configuration not changed: {first} (and {more} more)"),
            };
        }
        let functions = gateway.registry.current().functions().count();
        match self.api {
            Some(api) => format!("{functions} functions at http://{api}"),
            None => format!("making queued calls of {functions} functions"),
        }
    }

    async fn tell(&self, words: Vec<NotifyState<'static>>, status: Option<String>) {
        if !self.wants {
            return;
        }
        // The socket blocks while the manager's queue is full.
        let telling = spawn_blocking(move || {
            let status = status.as_deref().map(NotifyState::Status);
            let message: Vec<_> = words.into_iter().chain(status).collect();
            sd_notify::notify(&message)
        });
        match timeout(TAKING, telling).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "cannot tell the service manager"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot tell the service manager"),
            Err(_) => tracing::warn!("the service manager takes no message"),
        }
    }
}
