//! Functions as processes of this machine.
//!
//! [`ProcessProvider`] is the API in front, with a durable store behind it. The [`Runner`] knows
//! nothing of either: [`Runner::declare`] says what shall run, and [`Runner::run`] makes it so:
//!
//! ```text
//! declaration -> supervisor -> slot (one per copy) -> resident   a process serving HTTP on a port
//!                                                  -> watchdog -> call   a process per call
//! ```
//!
//! Every process has a clean environment and a process group of its own, which ends with it. No
//! process survives the gateway: TERM and then KILL when it stops, and when it dies without a
//! word, the [`reaper`] does it, which knows them by a mark in their environment.

mod backoff;
#[cfg(target_os = "linux")]
mod burial;
mod call;
mod cgi;
mod cgroup;
mod child;
mod isolation;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
pub mod launcher;
#[cfg(not(target_os = "linux"))]
#[path = "launcher_elsewhere.rs"]
pub mod launcher;
mod ledger;
mod logs;
#[cfg(target_os = "linux")]
pub mod open_files;
mod plan;
mod port;
mod provider;
pub mod reaper;
mod resident;
mod runtime_dir;
mod secrets;
mod slot;
mod store;
mod supervisor;
mod usage;
mod watchdog;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub use child::harden;
pub use isolation::{IsolationReport, Missing};
pub use logs::{Entry, LogRing, Stream};
pub use provider::{ProcessProvider, StartError};
pub use store::StoreError;
pub use watchdog::MAX_HELD;

use self::child::Nursery;
use self::isolation::Confinement;
use self::ledger::Ledger;
use self::port::Ports;
use self::reaper::Reaper;
use self::runtime_dir::RuntimeDir;
use self::slot::Host;
use self::supervisor::Supervisor;
use self::usage::Running;
use super::{FunctionView, Spent, View};
use crate::config;
use crate::function::{FunctionName, RetryLabels, Scaling, Usage};

/// What is asked of the provider for one function.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The command and how it is run; also how many copies.
    pub process: config::Process,
    /// What is said of its scaling; told to whoever asks, and not obeyed here.
    pub scaling: Scaling,
    /// What is said of retries, in the same way.
    pub retry: RetryLabels,
}

/// Where and how the provider works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder in which the provider makes its private runtime directory. Its path must be short,
    /// as sockets lie below it.
    pub runtime_parent: PathBuf,
    /// Program and arguments of the [`reaper`], the runtime directory is added; `None`: nobody
    /// cleans up after a killed gateway.
    pub reaper: Option<Vec<OsString>>,
    /// Longest wait for calls in flight on a copy that is replaced or removed.
    pub drain: Duration,
    /// Whether this very program can be started as the [`launcher`].
    pub launcher: bool,
    /// How far functions are kept apart.
    pub isolation: config::Isolation,
    /// The gateway's state, not to be seen in a sandbox.
    pub state_dir: PathBuf,
    /// More folders that are not to be seen there.
    pub hidden: Vec<PathBuf>,
}

impl Options {
    /// The usual ones: sockets in `XDG_RUNTIME_DIR` or the folder for temporary files, this very
    /// program as reaper and launcher, an hour for calls in flight: each has limits of its own, and
    /// who works is not killed because fewer are needed.
    pub fn standard(isolation: config::Isolation, state_dir: &Path) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self {
            runtime_parent: runtime_dir::default_parent(),
            reaper: Some(vec![program.into(), "reaper".into()]),
            drain: Duration::from_secs(3600),
            launcher: cfg!(target_os = "linux"),
            isolation,
            state_dir: state_dir.to_owned(),
            hidden: Vec::new(),
        })
    }
}

/// How a function is, for its owner.
#[derive(Clone, Debug)]
pub struct Status {
    /// One for each running copy, and for each copy of a revision that is about to replace them.
    /// Functions in classic and streaming mode have at most one, which stands for the watchdog.
    pub replicas: Vec<ReplicaStatus>,
    /// What is wrong, in words.
    pub problem: Option<Arc<str>>,
    /// What it wrote.
    pub logs: Arc<LogRing>,
    running: Arc<Running>,
}

/// How one copy of a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its name in the log.
    pub instance: Arc<str>,
    /// Where it is in its life.
    pub state: State,
    /// Its process in HTTP mode, while it runs.
    pub pid: Option<u32>,
    /// How often it failed and was started again.
    pub restarts: u64,
    /// The latest failure, until it is ready again.
    pub problem: Option<Arc<str>>,
}

/// Where a copy is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not ready yet.
    Starting,
    /// Takes calls.
    Ready,
    /// Waits to be started again.
    Failed,
}

/// Time in which what is declared shows in the statuses.
const SHOWN_SOON: Duration = Duration::from_secs(2);
/// Folder of the secrets below the state folder.
const SECRETS: &str = "secrets";

type Declaration = Arc<BTreeMap<FunctionName, Arc<Desired>>>;
type Statuses = Arc<BTreeMap<FunctionName, Arc<Status>>>;

/// What the supervisor tells the world.
#[derive(Debug, Default)]
struct Published {
    view: watch::Sender<View>,
    statuses: watch::Sender<Statuses>,
}

/// Runs functions as processes of this machine.
#[derive(Debug)]
pub struct Runner {
    declared: watch::Sender<Declaration>,
    published: Arc<Published>,
    host: Arc<Host>,
    // Dropped last of all that runs: until then a killed gateway is cleaned up after.
    _reaper: Option<Reaper>,
}

impl Runner {
    /// A provider with nothing declared. Starts the reaper, so call it after [`harden`].
    pub fn new(options: Options) -> io::Result<Arc<Self>> {
        let dir = RuntimeDir::create(&options.runtime_parent)?;
        let ledger = Ledger::create(dir.path())?;
        let mut hidden = options.hidden;
        hidden.push(options.state_dir.clone());
        // Before the reaper: a control group is only taken over by whoever is alone in it.
        let confinement =
            Confinement::probe(options.isolation, options.launcher, dir.path(), hidden)?;
        let reaper = options
            .reaper
            .map(|command| Reaper::start(&command, dir.path()));
        let host = Host {
            confinement,
            secrets_dir: options.state_dir.join(SECRETS),
            nursery: Nursery::start(Arc::clone(&ledger))?,
            dir,
            ledger,
            ports: Arc::new(Ports::default()),
            drain: options.drain,
            changed: Notify::new(),
            stop: watch::Sender::new(false),
        };
        Ok(Arc::new(Self {
            declared: watch::Sender::default(),
            published: Arc::default(),
            host: Arc::new(host),
            _reaper: reaper.transpose()?,
        }))
    }

    /// Says what shall run from now on: all of it, what is left out ends. Returns at once.
    pub fn declare(&self, functions: BTreeMap<FunctionName, Arc<Desired>>) {
        self.declared.send_replace(Arc::new(functions));
    }

    /// Shows what is declared as functions that start, so that nobody takes them for missing. To be
    /// called before [`Runner::run`], which then tells more.
    pub fn foretell(&self) {
        let starting = |(name, desired): (&FunctionName, &Arc<Desired>)| {
            let view = FunctionView {
                replicas: Vec::new(),
                desired: desired.process.replicas,
                available: 0,
                scaling: desired.scaling,
                retry: desired.retry,
                slots: 1,
                updating: false,
                problem: None,
            };
            (name.clone(), Arc::new(view))
        };
        let view = self.declared.borrow().iter().map(starting).collect();
        self.published.view.send_replace(Arc::new(view));
    }

    /// The functions as they can be called.
    pub fn view(&self) -> watch::Receiver<View> {
        self.published.view.subscribe()
    }

    /// What keeps functions apart here.
    pub fn isolation(&self) -> IsolationReport {
        self.host.confinement.report()
    }

    /// How every function is.
    pub fn statuses(&self) -> Arc<BTreeMap<FunctionName, Arc<Status>>> {
        Arc::clone(&self.published.statuses.borrow())
    }

    /// How one function is; `None` if it is not declared, or was declared this very moment.
    pub fn status(&self, function: &FunctionName) -> Option<Arc<Status>> {
        self.statuses().get(function).cloned()
    }

    /// What a function wrote; `None` if it is not declared. One that was declared this very moment is
    /// waited for.
    pub async fn logs(&self, function: &FunctionName) -> Option<Arc<LogRing>> {
        if !self.declared.borrow().contains_key(function) {
            return None;
        }
        let mut statuses = self.published.statuses.subscribe();
        let shown = statuses.wait_for(|statuses| statuses.contains_key(function));
        let statuses = timeout(SHOWN_SOON, shown).await.ok()?.ok()?;
        let status = statuses.get(function)?;
        Some(Arc::clone(&status.logs))
    }

    /// What a function's processes use now; looks twice, some tenths of a second apart.
    pub async fn usage(&self, function: &FunctionName) -> Option<Usage> {
        let status = self.status(function)?;
        Some(Arc::clone(&status.running).usage().await)
    }

    /// What every function's processes have used so far, as far as looks have seen it, and use now.
    pub async fn spent(&self) -> HashMap<FunctionName, Spent> {
        let statuses = self.statuses();
        let running = statuses.values().map(|status| Arc::clone(&status.running));
        let spent = usage::look(running.collect()).await;
        statuses.keys().cloned().zip(spent).collect()
    }

    /// Makes what runs equal to what is declared, until `stop`; then ends every process, TERM
    /// first and KILL after the function's `stop_timeout`, and returns when none is left.
    ///
    /// A fork takes a good part of a millisecond of the thread it happens on, so give it a
    /// runtime that does not also proxy calls. To be called once: after it returned, nothing runs.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let supervisor = Supervisor::new(Arc::clone(&self.host), Arc::clone(&self.published));
        let supervise = supervisor.run(self.declared.subscribe(), stop);
        #[cfg(target_os = "linux")]
        if burial::is_ours() {
            tokio::select! {
                () = supervise => {}
                () = burial::bury(self.host.dir.path()) => {}
            }
            return;
        }
        supervise.await;
    }
}

/// Waits until a flag is raised, or nobody is left to raise it.
async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
