//! The program between the gateway and a function that needs more than a new process:
//! `gateway launch PLAN ARG0 ARGS...`.
//!
//! It gives the function its view of files and processes, and then becomes it. It is a program of its
//! own because namespaces can only be left by a process with one thread. In the sandbox it stays as
//! the parent of an init (`gateway launch-init`), the first process of the function's own process
//! namespace: when that ends, the kernel ends all others in it, whatever they did to escape.
//!
//! What goes wrong is written to standard error, the function's log, with exit code 126.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{
    CapabilitySet, UnshareFlags, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::{cgroup, kernel, open_files};

/// Where functions find their secrets, on every platform of OpenFaaS.
pub(super) const SECRETS: &str = "/var/openfaas/secrets";

/// The command of the first step.
const LAUNCH: &str = "launch";
/// The command of the second one.
const INIT: &str = "launch-init";
/// This very program, for itself and its children, even if its file has been replaced.
const SELF: &str = "/proc/self/exe";
/// Exit code of a function that could not be launched.
const FAILED: u8 = 126;

/// What is to be done for one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The program.
    pub program: PathBuf,
    /// The process ends with the thread that started it.
    pub dies_with_parent: bool,
    /// Bytes of memory that the process may use; the launcher itself may need more.
    pub memory: Option<u64>,
    /// Files that it may have open at once.
    pub open_files: Option<u64>,
    /// The control group that the process belongs in.
    pub cgroup: Option<PathBuf>,
    /// A folder that is to be seen at [`SECRETS`].
    pub secrets: Option<PathBuf>,
    /// An empty folder to build things in; what is mounted there is seen by nobody else.
    pub bench: PathBuf,
    /// The view of a sandbox.
    pub sandbox: Option<Sandbox>,
}

/// What is to be seen in a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sandbox {
    /// The folder that may be written to, beside `/tmp`.
    pub writable: Option<PathBuf>,
    /// Folders that are to be empty.
    pub hidden: Vec<PathBuf>,
}

/// In front of the names of variables that would change the launcher itself; it takes them back for
/// the function.
const KEPT: &str = "GATEWAY_LAUNCH_";

/// The name of a function's variable on its way through the launcher. What the dynamic linker obeys
/// (ld.so(8)) would otherwise run the function's code before it is confined.
pub(super) fn carried(name: &str) -> std::borrow::Cow<'_, str> {
    if name.starts_with("LD_") || name == "GLIBC_TUNABLES" {
        format!("{KEPT}{name}").into()
    } else {
        name.into()
    }
}

/// A command that launches what a plan says; words follow as arguments, the first is `argv[0]`.
pub(super) fn command(plan: &Plan) -> io::Result<Command> {
    let mut command = Command::new(SELF);
    command
        .arg0("gateway")
        .arg(LAUNCH)
        .arg(serde_json::to_string(plan)?);
    Ok(command)
}

/// Launches if this process was started to, and returns only if that fails. To be called before
/// anything else.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    let step = match arguments.next()?.to_str()? {
        LAUNCH => launch,
        INIT => init,
        _ => return None,
    };
    let outcome = arguments
        .next()
        .and_then(|plan| serde_json::from_str(plan.to_str()?).ok())
        .ok_or_else(|| io::Error::other("the plan cannot be read"))
        .and_then(|plan| step(&plan, &arguments.collect::<Vec<_>>()));
    Some(outcome.unwrap_or_else(|error| {
        eprintln!("gateway: cannot launch the function: {error}");
        ExitCode::from(FAILED)
    }))
}

fn launch(plan: &Plan, words: &[OsString]) -> io::Result<ExitCode> {
    if let Some(cgroup) = &plan.cgroup {
        cgroup::enter(cgroup).map_err(|error| told("entering a control group", error))?;
    }
    if plan.secrets.is_none() && plan.sandbox.is_none() {
        return become_program(plan, words);
    }
    let here = std::env::current_dir()?;
    leave(plan)?;
    if plan.dies_with_parent {
        // Asked for again: the kernel forgets it when the rights of the process change.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .map_err(|error| told("making mounts private", error))?;
    tmpfs(&plan.bench)?;
    if let Some(secrets) = &plan.secrets {
        expose(secrets, Path::new(SECRETS), &plan.bench)
            .map_err(|error| told("showing secrets", error))?;
    }
    if let Some(sandbox) = &plan.sandbox {
        sandbox.build(&plan.bench)?;
    }
    // What has been mounted over is no longer where the path leads. The gateway's own folder may not
    // be there in a sandbox, and a function that counts on one has said which.
    match std::env::set_current_dir(here) {
        Err(_) if plan.sandbox.is_some() => std::env::set_current_dir("/")?,
        here => here?,
    }
    match plan.sandbox {
        None => become_program(plan, words),
        Some(_) => outlive(plan, words),
    }
}

/// Leaves the namespaces that have to be left.
fn leave(plan: &Plan) -> io::Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mounts = UnshareFlags::NEWNS;
    if plan.sandbox.is_none() && kernel::unshare(mounts).is_ok() {
        return Ok(());
    }
    let mut namespaces = mounts | UnshareFlags::NEWUSER;
    if plan.sandbox.is_some() {
        namespaces |= UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    }
    kernel::unshare(namespaces).map_err(|error| told("new namespaces", error))?;
    // Everybody stays who they are (user_namespaces(7)).
    let (user, group) = (user.as_raw(), group.as_raw());
    let map = || {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
    };
    map().map_err(|error: io::Error| told("mapping users", error))
}

/// Makes a folder seen at a place that may not exist, read-only. Nothing is made outside of this
/// namespace: where a part of the path is missing, its nearest folder is rebuilt with all it holds.
fn expose(folder: &Path, place: &Path, bench: &Path) -> io::Result<()> {
    if !place.is_dir() {
        let mut ancestors = place.ancestors().skip(1);
        let nearest = ancestors.find(|path| path.is_dir());
        let nearest = nearest.filter(|path| *path != Path::new("/"));
        let nearest = nearest.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let copy = bench.join("copy");
        rebuild(nearest, &copy)?;
        if let Ok(rest) = place.strip_prefix(nearest) {
            fs::create_dir_all(copy.join(rest))?;
        }
        mount_bind_recursive(&copy, nearest)?;
    }
    mount_bind(folder, place)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    let flags = flags | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_remount(place, flags, c"")?;
    Ok(())
}

/// Fills a folder with all that another holds: the same files, not copies of them.
fn rebuild(original: &Path, copy: &Path) -> io::Result<()> {
    fs::create_dir(copy)?;
    for entry in fs::read_dir(original)? {
        let entry = entry?;
        let (from, to) = (entry.path(), copy.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_dir() {
            fs::create_dir(&to)?;
            mount_bind_recursive(&from, &to)?;
        } else {
            fs::write(&to, "")?;
            mount_bind(&from, &to)?;
        }
    }
    fs::set_permissions(copy, original.metadata()?.permissions())
}

impl Sandbox {
    fn build(&self, bench: &Path) -> io::Result<()> {
        let writable = self.writable.as_deref();
        for hidden in self.hidden.iter().filter(|path| path.is_dir()) {
            cover(hidden, writable, bench)
                .map_err(|error| told(&format!("hiding {}", hidden.display()), error))?;
        }
        cover(Path::new("/tmp"), writable, bench).map_err(|error| told("a /tmp", error))?;
        fs::set_permissions("/tmp", Permissions::from_mode(0o1777))?;
        if let Some(writable) = writable {
            mount_bind_recursive(writable, writable)?;
        }
        self.make_read_only()
            .map_err(|error| told("making files read-only", error))
    }

    /// Every mount but the ones that are to be written to, and those that are no files.
    fn make_read_only(&self) -> io::Result<()> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        for (place, options) in mounts.lines().filter_map(mount_line) {
            let below = |folder: &Path| place.starts_with(folder);
            let exempt = ["/tmp", "/proc", "/dev"]
                .iter()
                .any(|path| below(Path::new(path)));
            if exempt || self.writable.as_deref().is_some_and(below) || !place.exists() {
                continue;
            }
            let flags = MountFlags::BIND | MountFlags::RDONLY | flags(options);
            mount_remount(&place, flags, c"")
                .map_err(|error| told(&place.display().to_string(), error))?;
        }
        Ok(())
    }
}

/// Puts an empty folder in place of one, in which only `kept` is left, should it lie there.
fn cover(folder: &Path, kept: Option<&Path>, bench: &Path) -> io::Result<()> {
    let Some(kept) = kept.filter(|kept| kept.starts_with(folder)) else {
        return tmpfs(folder);
    };
    let aside = bench.join("kept");
    fs::create_dir_all(&aside)?;
    mount_bind_recursive(kept, &aside)?;
    // The bench may lie in there as well: from here on it is found by its handle only.
    let aside = fs::File::open(&aside)?;
    tmpfs(folder)?;
    fs::create_dir_all(kept)?;
    let handle = aside.as_raw_fd();
    mount_bind_recursive(format!("/proc/self/fd/{handle}"), kept)?;
    Ok(())
}

fn tmpfs(place: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", place, "tmpfs", flags, Some(c"mode=0755"))
        .map_err(|error| told("mounting a tmpfs", error))
}

/// Place and options of a line of `mountinfo` (proc(5)).
fn mount_line(line: &str) -> Option<(PathBuf, &str)> {
    let mut fields = line.split(' ').skip(4);
    let place = fields.next()?;
    // Space, tab, line feed and backslash are written as octal numbers.
    let place = place.replace("\\040", " ").replace("\\011", "\t");
    let place = place.replace("\\012", "\n").replace("\\134", "\\");
    Some((place.into(), fields.next()?))
}

/// What a mount may not lose when it is changed from within a user namespace.
fn flags(options: &str) -> MountFlags {
    let flag = |option| match option {
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    };
    options
        .split(',')
        .map(flag)
        .fold(MountFlags::empty(), |all, one| all | one)
}

/// Stays as the parent of the init and ends as it does. TERM is for the function: this process gets
/// it as well, being of the same group, and waits.
fn outlive(plan: &Plan, words: &[OsString]) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _signals = {
        let _inside = runtime.enter();
        [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ]
        .map(signal)
    };
    keep_capabilities().map_err(|error| told("keeping capabilities", error))?;
    let mut command = Command::new(SELF);
    command
        .arg0("gateway")
        .arg(INIT)
        .arg(serde_json::to_string(plan)?)
        .args(words);
    let status = command.spawn()?.wait()?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(FAILED)
        .into())
}

/// The first process of its own namespace: starts the program, buries whoever dies, and ends with the
/// program.
fn init(plan: &Plan, words: &[OsString]) -> io::Result<ExitCode> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(|error| told("a /proc", error))?;
    drop_capabilities().map_err(|error| told("dropping capabilities", error))?;
    let child = program(plan, words).spawn()?;
    limit(plan, Pid::from_child(&child))?;
    let leader = i64::from(child.id());
    loop {
        let Some((pid, status)) = rustix::process::wait(WaitOptions::empty())? else {
            continue;
        };
        if i64::from(pid.as_raw_nonzero().get()) == leader {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            let code = status.exit_status().or(signal);
            let code = code.and_then(|code| u8::try_from(code).ok());
            return Ok(code.unwrap_or(FAILED).into());
        }
    }
}

/// Hands on what the init needs: whoever is not root loses its capabilities with every program it
/// starts (capabilities(7)). They only mean something in the namespaces that were made here.
fn keep_capabilities() -> io::Result<()> {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETPCAP;
    let mut sets = capabilities(None)?;
    sets.inheritable |= needed;
    set_capabilities(None, sets)?;
    for capability in needed.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Leaves nothing for the program: with them it could undo what has been done.
fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all().iter() {
        // The kernel may know fewer than we do.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let mut sets = capabilities(None)?;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets)?;
    Ok(())
}

fn become_program(plan: &Plan, words: &[OsString]) -> io::Result<ExitCode> {
    let mut program = program(plan, words);
    // The last thing before the end of this program, as from here on it can hardly do anything.
    limit(plan, rustix::process::getpid())?;
    Err(program.exec())
}

fn limit(plan: &Plan, pid: Pid) -> io::Result<()> {
    if let Some(files) = plan.open_files {
        open_files::limit(pid, files).map_err(|error| told("limiting open files", error))?;
    }
    plan.memory.map_or(Ok(()), |bytes| limit_memory(pid, bytes))
}

fn program(plan: &Plan, words: &[OsString]) -> Command {
    let mut command = Command::new(&plan.program);
    if let Some((name, arguments)) = words.split_first() {
        command.arg0(name).args(arguments);
    }
    for (carried, value) in std::env::vars_os() {
        let name = carried.to_str().and_then(|name| name.strip_prefix(KEPT));
        if let Some(name) = name {
            command.env(name, value).env_remove(&carried);
        }
    }
    command
}

/// Limits what a process may use of its own memory. `RLIMIT_DATA` counts what it can write to;
/// `RLIMIT_AS` would count what runtimes only reserve.
pub(super) fn limit_memory(pid: Pid, bytes: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    match rustix::process::prlimit(Some(pid), Resource::Data, limit) {
        // Whoever has ended uses nothing.
        Ok(_) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(told("limiting memory", error)),
    }
}

fn told(what: &str, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_escapes() {
        let line = "36 35 98:0 /mnt1 /mnt\\040two rw,noatime,nosuid master:1 - ext3 /dev/root rw";
        let (place, options) = mount_line(line).unwrap();
        assert_eq!(place, Path::new("/mnt two"));
        assert_eq!(flags(options), MountFlags::NOATIME | MountFlags::NOSUID);
        assert_eq!(mount_line("36 35"), None);
    }

    #[test]
    fn other_commands_are_not_for_the_launcher() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(run(words(&["gateway"])).is_none());
        assert!(run(words(&["gateway", "run"])).is_none());
        assert!(run(words(&["gateway", "launch", "nonsense"])).is_some());
    }
}
