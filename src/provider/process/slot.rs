//! One copy of a function: a task that keeps it running until nobody wants it any more.
//!
//! The copy is wanted while its [`Slot`] lives. When the slot is dropped, the task takes no new
//! call, waits for those in flight, and ends the process; when the gateway stops, it does not wait
//! for calls. A copy that fails is started again, later each time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::{Notify, Semaphore, watch};

use super::backoff::Backoff;
use super::child::{Equipment, Nursery, Program};
use super::isolation::Confinement;
use super::ledger::Ledger;
use super::logs::{LogRing, Stream};
use super::port::Ports;
use super::resident::{Ended, Resident};
use super::runtime_dir::RuntimeDir;
use super::secrets::SecretDir;
use super::usage::Running;
use super::watchdog::{self, Watchdog};
use super::{ReplicaStatus, State, raised};
use crate::config::{Mode, Process};
use crate::function::FunctionName;
use crate::provider::{Address, Replica};

/// What all copies share.
#[derive(Debug)]
pub(super) struct Host {
    pub dir: RuntimeDir,
    pub ledger: Arc<Ledger>,
    pub nursery: Nursery,
    pub ports: Arc<Ports>,
    /// Longest wait for calls in flight on a copy that is no longer wanted.
    pub drain: Duration,
    pub confinement: Confinement,
    /// Where secrets lie, one folder for each namespace.
    pub secrets_dir: PathBuf,
    /// Told after every change of a [`Condition`].
    pub changed: Notify,
    /// Turns true when the gateway stops.
    pub stop: watch::Sender<bool>,
}

/// What all copies of one function have together.
#[derive(Clone, Debug)]
pub(super) struct Belongings {
    /// The function's namespace.
    pub namespace: Arc<str>,
    /// What it writes.
    pub logs: Arc<LogRing>,
    /// What runs of it.
    pub running: Arc<Running>,
    /// Whether the condition of a copy has changed since it was looked at.
    pub changed: Arc<AtomicBool>,
}

impl Belongings {
    /// Those of a function that has just been declared.
    pub fn new(name: &FunctionName) -> Self {
        Self {
            namespace: name.namespace().into(),
            logs: LogRing::new(),
            running: Arc::default(),
            changed: Arc::default(),
        }
    }
}

/// Crashes in a row that callers wait out: the restart follows within some tenths of a second.
const MISHAPS: u32 = 2;

/// How a copy is, now.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub status: ReplicaStatus,
    /// Set while it takes calls.
    pub replica: Option<Arc<Replica>>,
    /// Whether callers had better wait: it crashed, and the restart is near.
    pub mishap: bool,
}

/// The wish for a copy; dropping it withdraws the wish.
#[derive(Debug)]
pub(super) struct Slot {
    condition: watch::Receiver<Condition>,
    _wanted: watch::Sender<()>,
}

impl Slot {
    /// A slot, and the task that fills it.
    pub fn new(
        host: Arc<Host>,
        process: Arc<Process>,
        instance: Arc<str>,
        belongings: Belongings,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let status = ReplicaStatus {
            instance: Arc::clone(&instance),
            state: State::Starting,
            pid: None,
            restarts: 0,
            problem: None,
        };
        let replica = None;
        let (condition, seen) = watch::channel(Condition {
            status,
            replica,
            mishap: false,
        });
        let (wanted, wish) = watch::channel(());
        let task = Task {
            stop: host.stop.subscribe(),
            host,
            process,
            instance,
            belongings,
            condition,
            wish,
        };
        let slot = Self {
            condition: seen,
            _wanted: wanted,
        };
        (slot, task.run())
    }

    /// How the copy is.
    pub fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// Whether it takes calls.
    pub fn is_ready(&self) -> bool {
        self.condition.borrow().replica.is_some()
    }
}

struct Task {
    host: Arc<Host>,
    process: Arc<Process>,
    instance: Arc<str>,
    belongings: Belongings,
    condition: watch::Sender<Condition>,
    wish: watch::Receiver<()>,
    stop: watch::Receiver<bool>,
}

/// How one life of a copy ended.
enum Life {
    /// It was no longer wanted.
    Unwanted,
    /// It failed, in words, after it was ready for so long.
    Failed(String, Duration),
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let life = match self.process.mode {
                Mode::Http => self.serve_port().await,
                Mode::Classic | Mode::Streaming => self.serve_socket().await,
            };
            let Life::Failed(problem, ready_for) = life else {
                return;
            };
            let wait = backoff.next(ready_for);
            let seconds = wait.as_secs_f64();
            let restart = backoff.failures();
            let problem = format!("{problem}; restart {restart} follows in {seconds:.1} s");
            tracing::warn!(instance = %self.instance, problem, "a function failed");
            let mishap = restart <= MISHAPS && !ready_for.is_zero();
            self.report(|condition| {
                condition.status.state = State::Failed;
                condition.status.pid = None;
                condition.status.restarts += 1;
                condition.status.problem = Some(problem.into());
                condition.mishap = mishap;
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = unwanted(&mut self.wish) => return,
            }
        }
    }

    /// HTTP mode: a long-lived process with a port of its own.
    async fn serve_port(&mut self) -> Life {
        let failed = |problem| Life::Failed(problem, Duration::ZERO);
        let process = Arc::clone(&self.process);
        let settings = &process.watchdog;
        let equipment = match self.equip() {
            Ok(equipment) => equipment,
            Err(problem) => return failed(problem),
        };
        let start = Resident::start(
            &self.host,
            &process,
            &self.instance,
            &self.belongings,
            equipment,
        );
        let mut resident = match start.await {
            Ok(resident) => resident,
            Err(problem) => return failed(problem),
        };
        self.report(|condition| {
            condition.status.state = State::Starting;
            condition.status.pid = Some(resident.pid());
        });

        let ready = tokio::select! {
            ready = resident.ready(settings) => ready,
            () = unwanted(&mut self.wish) => Err(Ended::Unwanted),
        };
        match ready {
            Ok(()) => {}
            Err(Ended::Itself(how)) => return failed(self.with_last_line(how)),
            Err(Ended::Late) => {
                resident.stop(settings.stop_timeout).await;
                let limit = settings.start_timeout;
                return failed(self.with_last_line(format!("was not ready within {limit:?}")));
            }
            Err(Ended::Unwanted) => {
                resident.stop(settings.stop_timeout).await;
                return Life::Unwanted;
            }
        }

        let replica = Replica::new(Address::Tcp(resident.address()));
        let since = Instant::now();
        self.report_ready(&replica);
        let how = tokio::select! {
            how = resident.ended() => how,
            () = unwanted(&mut self.wish) => {
                replica.close();
                tokio::select! {
                    () = drained(&replica, self.host.drain, &mut self.stop) => {}
                    _ = resident.ended() => {}
                }
                resident.stop(settings.stop_timeout).await;
                return Life::Unwanted;
            }
        };
        replica.close();
        Life::Failed(self.with_last_line(how), since.elapsed())
    }

    /// Classic and streaming mode: a watchdog on a socket of its own, and no process yet.
    async fn serve_socket(&mut self) -> Life {
        let failed = |problem| Life::Failed(problem, Duration::ZERO);
        // Stays until the last call is over.
        let equipment = match self.equip() {
            Ok(equipment) => equipment,
            Err(problem) => return failed(problem),
        };
        let (confinement, mark) = (&self.host.confinement, self.host.dir.mark());
        let program = match Program::resolve(&self.process, confinement, &equipment, mark) {
            Ok(program) => program,
            Err(error) => return failed(error.to_string()),
        };
        let path = self.host.dir.socket();
        let listener = match UnixListener::bind(&path) {
            Ok(listener) => listener,
            Err(error) => return failed(format!("listening on {}: {error}", path.display())),
        };
        let (end, ending) = watch::channel(false);
        let watchdog = self.watchdog(program, ending);
        let mut serving = std::pin::pin!(watchdog::serve(watchdog, listener));
        let replica = Replica::new(Address::Unix(Arc::clone(&path)));
        self.report_ready(&replica);

        tokio::select! {
            () = serving.as_mut() => {}
            () = unwanted(&mut self.wish) => {}
        }
        replica.close();
        tokio::select! {
            () = serving.as_mut() => {}
            () = drained(&replica, self.host.drain, &mut self.stop) => {}
        }
        end.send_replace(true);
        // Whoever does not end in time is killed as `serving` is dropped.
        let _ = tokio::time::timeout(self.process.watchdog.stop_timeout, serving).await;
        let _ = std::fs::remove_file(&path);
        Life::Unwanted
    }

    /// What has to be there before anything can be started. The error is in words.
    fn equip(&self) -> Result<Equipment, String> {
        let confinement = &self.host.confinement;
        confinement.permits()?;
        let namespace = &*self.belongings.namespace;
        let from = self.host.secrets_dir.join(namespace);
        let name = format!("{namespace}.{}", self.instance);
        let cgroup = confinement.cgroup(&name, self.process.limits);
        Ok(Equipment {
            secrets: SecretDir::fill(self.host.dir.secrets(), &from, &self.process.secrets)?,
            cgroup: cgroup.map_err(|error| format!("cannot make a control group: {error}"))?,
        })
    }

    fn watchdog(&self, program: Program, ending: watch::Receiver<bool>) -> Arc<Watchdog> {
        let settings = self.process.watchdog.clone();
        let places = settings.max_inflight;
        Arc::new(Watchdog {
            program,
            settings,
            streaming: self.process.mode == Mode::Streaming,
            inflight: places.map(|places| Arc::new(Semaphore::new(places.get()))),
            logs: Arc::clone(&self.belongings.logs),
            instance: Arc::clone(&self.instance),
            ledger: Arc::clone(&self.host.ledger),
            running: Arc::clone(&self.belongings.running),
            ending,
        })
    }

    fn with_last_line(&self, how: String) -> String {
        let lines = self.belongings.logs.entries(0);
        let last = lines
            .iter()
            .rev()
            .find(|line| *line.instance == *self.instance && line.stream != Stream::Watchdog);
        match last {
            Some(line) => format!("{how}, its last line: {}", line.text),
            None => how,
        }
    }

    fn report_ready(&self, replica: &Arc<Replica>) {
        self.report(|condition| {
            condition.status.state = State::Ready;
            condition.status.problem = None;
            condition.replica = Some(Arc::clone(replica));
        });
    }

    fn report(&self, change: impl FnOnce(&mut Condition)) {
        self.condition.send_modify(|condition| {
            condition.replica = None;
            change(condition);
        });
        self.belongings.changed.store(true, Ordering::Release);
        self.host.changed.notify_one();
    }
}

/// Waits until the slot is dropped.
async fn unwanted(wish: &mut watch::Receiver<()>) {
    while wish.changed().await.is_ok() {}
}

/// Waits for the calls in flight on a closed replica, at most `limit`, and no longer once the
/// gateway stops.
async fn drained(replica: &Replica, limit: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        _ = tokio::time::timeout(limit, replica.drained()) => {}
        () = raised(stop) => {}
    }
}
