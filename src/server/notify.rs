//! What a service manager is told, such as systemd (sd_notify(3)): that the gateway serves, reads its
//! configuration again and ends, how it stands in one line, and that it is alive. Nothing is said
//! where no `NOTIFY_SOCKET` asks for it.

use std::io;
use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::listeners::Listeners;
use super::runtimes::Runtimes;
use super::services::Task;
use crate::config::env::Environment;
use crate::gateway::Gateway;
use crate::health::{Question, ask};

/// Longest wait for the manager to take a message: it is a busy process's queue.
const TAKING: Duration = Duration::from_secs(1);
/// Longest wait for one answer of our own metrics port at the start, and the time between two questions.
const ANSWER: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(10);
/// The status follows the number of functions, but not each of a thousand deployments.
const PAUSE: Duration = Duration::from_millis(500);
/// Signs of life per `WatchdogSec`: one may be late.
const SIGNS: u32 = 3;

/// Whoever started the gateway and wants to be told how it is.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Its socket; `None`: nobody wants to know.
    socket: Option<Arc<Socket>>,
    /// Whether the gateway serves, so that there is something to tell.
    serves: watch::Sender<bool>,
    /// It ends a gateway that gives no sign of life for so long.
    watchdog: Option<Duration>,
    metrics: SocketAddr,
    api: Option<SocketAddr>,
}

impl Manager {
    /// The one this environment names.
    pub fn new(environment: &Environment, listeners: &Listeners) -> Self {
        Self {
            socket: environment.given("NOTIFY_SOCKET").map(Socket::at),
            serves: watch::Sender::new(false),
            watchdog: watchdog(environment),
            metrics: listeners.metrics.address,
            api: listeners.api(),
        }
    }

    /// What tells it of the start, of what changes, and of life; `None`: nobody wants to know.
    pub fn follow(&self, gateway: Arc<Gateway>, runtimes: Runtimes) -> Option<Task> {
        let manager = self.clone();
        self.socket.is_some().then(|| {
            Box::pin(async move {
                let told = manager.started(&gateway, &runtimes).await;
                let status = manager.status(&gateway, told);
                tokio::join!(status, manager.alive(&gateway, &runtimes));
            }) as Task
        })
    }

    /// Says that a reload begins, and that it has ended. Before the gateway serves nothing is said: the
    /// end of a reload would be taken for that of the start.
    pub async fn reloading<T>(&self, gateway: &Gateway, reload: impl Future<Output = T>) -> T {
        if !*self.serves.borrow() {
            return reload.await;
        }
        // Without the time a manager of version 253 or newer would not take it as the answer to its signal.
        let time = format!("MONOTONIC_USEC={}", monotonic().as_micros());
        self.tell(&["RELOADING=1", &time]).await;
        let outcome = reload.await;
        self.ready(gateway).await;
        outcome
    }

    /// The end has begun.
    pub async fn stopping(&self, gateway: &Gateway) {
        let status = format!("ending, {} calls in flight", gateway.drain.calls());
        self.tell(&["STOPPING=1", &in_words(&status)]).await;
    }

    /// The gateway serves with the configuration that is in force. Returns the status that was told,
    /// unless the manager takes no message.
    async fn ready(&self, gateway: &Gateway) -> Option<String> {
        let status = self.line(gateway);
        let taken = self.tell(&["READY=1", &in_words(&status)]).await;
        taken.then_some(status)
    }

    /// Says that the gateway serves, once it does: every service runs, and an answer comes back. Says so
    /// until it is taken: the manager would end a gateway that it has not heard of.
    async fn started(&self, gateway: &Gateway, runtimes: &Runtimes) -> Option<String> {
        runtimes.begun().await;
        // The manager has a limit of its own for the start.
        while !gateway.drain.draining() {
            if ask(self.metrics, Question::Ready, ANSWER).await.is_ok() {
                // Before it is said: the manager may ask for a reload as soon as it hears.
                self.serves.send_replace(true);
                if let Some(told) = self.ready(gateway).await {
                    return Some(told);
                }
            }
            sleep(AGAIN).await;
        }
        None
    }

    /// Keeps the status true until the end begins.
    async fn status(&self, gateway: &Gateway, mut told: Option<String>) {
        let mut configurations = gateway.config_changes();
        let mut snapshots = gateway.registry.changes();
        while !gateway.drain.draining() {
            let line = self.line(gateway);
            if told.as_ref() != Some(&line) {
                self.tell(&[&in_words(&line)]).await;
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

    /// Gives signs of life for as long as every service works and the metrics port answers, until the
    /// very end.
    async fn alive(&self, gateway: &Gateway, runtimes: &Runtimes) {
        let Some(limit) = self.watchdog else { return };
        let beat = limit / SIGNS;
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let answer = ask(self.metrics, Question::Live, beat);
            let (mut stuck, answer) = tokio::join!(runtimes.stuck(beat), answer);
            let ended = runtimes.ended();
            // Asked last: the drain ends services, too.
            if !gateway.drain.draining() {
                stuck.extend(ended);
            }
            match answer {
                Ok(_) if stuck.is_empty() => {
                    self.tell(&["WATCHDOG=1"]).await;
                }
                Ok(_) => {
                    let services = stuck.join(", ");
                    tracing::error!(
                        services,
                        "no sign of life for the watchdog: these do not work"
                    );
                }
                Err(error) => tracing::error!(%error, "no sign of life for the watchdog"),
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

    /// False where the manager's queue stays full; another failure is not worth another try.
    async fn tell(&self, lines: &[&str]) -> bool {
        let Some(socket) = &self.socket else {
            return true;
        };
        let sent = timeout(TAKING, socket.send(&lines.join("\n"))).await;
        match &sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot tell the service manager"),
            Err(_) => tracing::warn!("the service manager takes no message"),
        }
        sent.is_ok()
    }
}

/// Where the manager listens.
#[derive(Debug)]
struct Socket {
    name: String,
    /// Messages arrive in the order in which they are sent, also while the manager's queue is full.
    turn: Mutex<()>,
}

impl Socket {
    fn at(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            turn: Mutex::default(),
        })
    }

    /// Waits while the queue is full. A connection of its own for each message finds a manager that was
    /// started anew, and waits in the runtime of whoever sends.
    async fn send(&self, message: &str) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        let socket = unix::net::UnixDatagram::unbound()?;
        socket.connect_addr(&self.address()?)?;
        socket.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(socket)?;
        socket.send(message.as_bytes()).await.map(drop)
    }

    /// `@` stands for the zero byte that an abstract name begins with.
    fn address(&self) -> io::Result<unix::net::SocketAddr> {
        #[cfg(target_os = "linux")]
        if let Some(name) = self.name.strip_prefix('@') {
            return unix::net::SocketAddr::from_abstract_name(name);
        }
        unix::net::SocketAddr::from_pathname(&self.name)
    }
}

fn in_words(status: &str) -> String {
    format!("STATUS={status}")
}

/// How long the manager waits for a sign of life, if it does, and for one of this process.
fn watchdog(environment: &Environment) -> Option<Duration> {
    let of = environment.given("WATCHDOG_PID");
    if of.is_some_and(|of| of.parse() != Ok(std::process::id())) {
        return None;
    }
    let limit = environment.given("WATCHDOG_USEC")?.parse().ok()?;
    Some(Duration::from_micros(limit)).filter(|limit| !limit.is_zero())
}

/// The clock that a manager compares with.
fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
