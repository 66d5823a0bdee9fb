//! Starting and ending processes: a clean environment, a process group of their own, no new
//! privileges, and nobody left behind.
//!
//! There are two ways to start one, as they cost differently:
//!
//! - [`spawn`] for most. The standard library then uses `posix_spawn`, which does not copy the
//!   gateway's page tables, however much memory the gateway uses, nor has calls pay for the copy.
//!   The reaper ends the group if the gateway dies.
//! - [`Nursery::spawn`] for long-lived processes that are launched into namespaces of their own.
//!   They are forked, and ask the kernel for a KILL when the gateway dies: what happens in a
//!   namespace ends with its first process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};

use super::cgroup::Cgroup;
use super::isolation::Confinement;
use super::launcher::{self, Plan, SECRETS};
use super::ledger::{Group, Ledger};
#[cfg(target_os = "linux")]
use super::open_files;
use super::reaper;
use super::secrets::SecretDir;
use crate::config;

/// Longest wait for a process that was sent KILL: it can only be stuck in the kernel.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Processes that may wait for the nursery at once; more wait before the line.
const NURSERY_LINE: usize = 64;

/// Gives up the right to gain privileges, for this thread and all it starts: a function cannot
/// become another user through a set-uid program, and leaves no core file. Call it before any other
/// thread starts.
pub fn harden() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_no_new_privs(true)?;
    // A core file would hold secrets.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    Ok(())
}

/// A command that was found, and how it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    path: PathBuf,
    command: Vec<String>,
    dir: Option<PathBuf>,
    search: OsString,
    environment: BTreeMap<String, String>,
    memory: Option<u64>,
    launch: Option<Plan>,
    /// By which the reaper knows it.
    mark: Arc<str>,
}

/// What one copy of a function has been given, for as long as it lives.
#[derive(Debug, Default)]
pub(super) struct Equipment {
    /// Its secrets.
    pub secrets: Option<SecretDir>,
    /// Its control group.
    pub cgroup: Option<Cgroup>,
}

/// A command, ready to be spawned.
#[derive(Debug)]
pub(super) struct Prepared {
    command: Command,
    memory: Option<u64>,
    launched: bool,
}

/// Why a command cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// No words at all.
    #[error(
        "no command: set the function's envProcess, or map its image in provider.images of the \
         configuration"
    )]
    Empty,
    /// A bare name that no directory of `PATH` has.
    #[error("program `{0}` not found in PATH")]
    NotInPath(String),
    /// A path that leads to nothing we may run.
    #[error("`{}` is not an executable file", .0.display())]
    NotExecutable(PathBuf),
}

/// Finds the program as a shell would: a name with a slash counts from the working directory, a bare
/// name is looked up in the function's own `PATH` or else in the gateway's. The `PATH` comes with it.
pub(super) fn find(process: &config::Process) -> Result<(PathBuf, OsString), ResolveError> {
    let name = process.command.first().ok_or(ResolveError::Empty)?;
    let search = match process.environment.get("PATH") {
        Some(path) => path.into(),
        None => std::env::var_os("PATH").unwrap_or_default(),
    };
    let dir = process.dir.as_deref();
    let path = if name.contains('/') {
        let path = absolute(dir, Path::new(name));
        is_executable(&path)
            .then_some(path.clone())
            .ok_or(ResolveError::NotExecutable(path))?
    } else {
        std::env::split_paths(&search)
            .map(|folder| absolute(dir, &folder).join(name))
            .find(|path| is_executable(path))
            .ok_or_else(|| ResolveError::NotInPath(name.clone()))?
    };
    Ok((path, search))
}

impl Program {
    /// Finds the program, and notes all that it is started with. `mark` is what the reaper knows it
    /// by.
    pub fn resolve(
        process: &config::Process,
        confinement: &Confinement,
        equipment: &Equipment,
        mark: Arc<str>,
    ) -> Result<Self, ResolveError> {
        let (path, search) = find(process)?;
        let secrets = equipment.secrets.as_ref().map(SecretDir::path);
        let cgroup = equipment.cgroup.as_ref().map(Cgroup::path);
        let mut program = Self {
            launch: confinement.launch(secrets, cgroup, process.dir.as_deref()),
            path,
            command: process.command.clone(),
            dir: process.dir.clone(),
            search,
            environment: process.environment.clone(),
            memory: process
                .limits
                .memory
                .filter(|_| confinement.limits_each_process()),
            mark,
        };
        if let Some(secrets) = secrets {
            program.show_secrets(secrets, confinement.shows_secrets());
        }
        Ok(program)
    }

    /// Says where the secrets are: at the usual path, or, where the kernel does not allow that, in
    /// their own folder; then the command's words are changed as well.
    fn show_secrets(&mut self, folder: &Path, at_usual_path: bool) {
        let folder = folder.to_string_lossy();
        if !at_usual_path {
            for word in &mut self.command {
                *word = word.replace(SECRETS, &folder);
            }
        }
        let place = if at_usual_path { SECRETS } else { &folder };
        for name in ["secret_mount_path", "OPENFAAS_SECRETS_DIR"] {
            let variable = self.environment.entry(name.to_owned());
            variable.or_insert_with(|| place.to_owned());
        }
    }

    /// The command as declared.
    pub fn command(&self) -> io::Result<Prepared> {
        self.command_with(false, str::to_owned)
    }

    /// The command with `{port}` filled in, and the port in the environment under the three names
    /// that functions look for (users.md section 5.4).
    pub fn command_on_port(&self, port: u16) -> io::Result<Prepared> {
        let port = port.to_string();
        let mut prepared = self.command_with(true, |argument| argument.replace("{port}", &port))?;
        for name in ["PORT", "port", "http_port"] {
            prepared.env(name, &port);
        }
        Ok(prepared)
    }

    fn command_with(
        &self,
        dies_with_parent: bool,
        argument: impl Fn(&str) -> String,
    ) -> io::Result<Prepared> {
        let mut words = self.command.iter();
        let name = words.next().map_or("", String::as_str);
        let mut command = match &self.launch {
            None => {
                let mut command = Command::new(&self.path);
                command.arg0(name);
                command
            }
            Some(plan) => {
                let mut command = launcher::command(&Plan {
                    program: self.path.clone(),
                    dies_with_parent,
                    memory: self.memory,
                    #[cfg(target_os = "linux")]
                    open_files: open_files::of_functions(),
                    ..plan.clone()
                })?;
                command.arg(name);
                command
            }
        };
        command
            .args(words.map(|word| argument(word)))
            .process_group(0)
            .env_clear()
            .env("PATH", &self.search);
        for (name, value) in &self.environment {
            let name = match self.launch {
                Some(_) => launcher::carried(name),
                None => name.into(),
            };
            command.env(&*name, value);
        }
        // Last, as no function says whose it is.
        command.env(reaper::MARK, &*self.mark);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        Ok(Prepared {
            command,
            // A launcher sets its limits itself, this one once it needs no more memory of its own.
            memory: self.memory.filter(|_| self.launch.is_none()),
            launched: self.launch.is_some(),
        })
    }
}

impl Deref for Prepared {
    type Target = Command;

    fn deref(&self) -> &Command {
        &self.command
    }
}

impl DerefMut for Prepared {
    fn deref_mut(&mut self) -> &mut Command {
        &mut self.command
    }
}

/// The command in words, for messages.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.command.join(" "))
    }
}

/// A process and the group it leads. Dropping it kills the whole group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
    pid: u32,
}

impl Process {
    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end, then kills what it left in its group. May be called again after it
    /// returned or was dropped. The caller bounds the wait.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.group.end();
        status
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        self.group.signal(signal);
    }

    /// Asks the group to end with TERM, and insists with KILL after `patience`.
    pub async fn stop(mut self, patience: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(patience, self.wait()).await.is_err() {
            self.signal(Signal::KILL);
            if tokio::time::timeout(AFTER_KILL, self.wait()).await.is_err() {
                tracing::error!(pid = self.pid, "a killed process does not end");
            }
        }
    }
}

/// Starts a process for a call. Inside a tokio runtime only.
pub(super) fn spawn(prepared: Prepared, ledger: &Arc<Ledger>) -> io::Result<Process> {
    let child = tokio::process::Command::from(prepared.command).spawn()?;
    let pid = child.id().unwrap_or_default();
    let leader = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let leader = leader.ok_or_else(|| io::Error::other("the process has no id"))?;
    let group = ledger.enter(leader)?;
    #[cfg(target_os = "linux")]
    {
        if let Some(bytes) = prepared.memory {
            launcher::limit_memory(leader, bytes)?;
        }
        if let Some(files) = open_files::of_functions().filter(|_| !prepared.launched) {
            open_files::limit(leader, files)?;
        }
    }
    Ok(Process { child, group, pid })
}

/// In words, as in `exited with status 1`.
pub(super) fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Err(error) => format!("ended: {error}"),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
    }
}

/// Starts long-lived processes. Those that are launched come all from one thread: the kernel sends
/// the signal of a parent's death when the very *thread* that forked ends, and threads of a runtime
/// come and go.
#[derive(Debug)]
pub(super) struct Nursery {
    orders: mpsc::Sender<Order>,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
struct Order {
    prepared: Prepared,
    runtime: tokio::runtime::Handle,
    reply: oneshot::Sender<io::Result<Process>>,
}

impl Nursery {
    /// Starts the thread, which ends with this value.
    pub fn start(ledger: Arc<Ledger>) -> io::Result<Self> {
        let (orders, mut incoming) = mpsc::channel::<Order>(NURSERY_LINE);
        let own = Arc::clone(&ledger);
        std::thread::Builder::new()
            .name("nursery".to_owned())
            .spawn(move || {
                #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
                while let Some(mut order) = incoming.blocking_recv() {
                    let _inside = order.runtime.enter();
                    #[cfg(target_os = "linux")]
                    super::kernel::die_with_parent(&mut order.prepared);
                    let _ = order.reply.send(spawn(order.prepared, &ledger));
                }
            })?;
        Ok(Self {
            orders,
            ledger: own,
        })
    }

    /// Starts a long-lived process. Inside a tokio runtime only.
    pub async fn spawn(&self, prepared: Prepared) -> io::Result<Process> {
        if !prepared.launched {
            return spawn(prepared, &self.ledger);
        }
        let (reply, answer) = oneshot::channel();
        let order = Order {
            prepared,
            runtime: tokio::runtime::Handle::current(),
            reply,
        };
        let gone = || io::Error::other("the thread that starts processes is gone");
        self.orders.send(order).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn absolute(dir: Option<&Path>, path: &Path) -> PathBuf {
    let path = dir.map_or_else(|| path.to_owned(), |dir| dir.join(path));
    std::path::absolute(&path).unwrap_or(path)
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
