//! Programs of others that tests run and start: on the path, or where `make test-tools` unpacks them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::client::try_request;
use super::process::signal;
use super::{PATIENCE, eventually, unused_port};

/// Where `make test-tools` unpacks what the machine lacks.
const UNPACKED: &str = "target/tools/usr";

/// Folders with programs: those of the machine, and those that are unpacked.
pub fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let of_the_machine: Vec<_> = std::env::split_paths(&path).collect();
    let unpacked = ["bin", "sbin"].map(|folder| shipped(UNPACKED).join(folder));
    // Not every user has these in the path.
    let of_root = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    of_the_machine.into_iter().chain(unpacked).chain(of_root)
}

/// Whether there is a program of this name.
pub fn is_installed(program: &str) -> bool {
    program_of(&[program]).is_some()
}

/// A command that starts a program which has one of these names.
#[track_caller]
pub fn tool(names: &[&str]) -> Command {
    Command::new(find(names))
}

/// The same for a program that reads files of its package below `/usr/share`: one that is unpacked
/// but not installed finds them in a mount namespace of its own.
#[track_caller]
pub fn tool_with_files(names: &[&str]) -> Command {
    let program = find(names);
    let unpacked = shipped(UNPACKED);
    if !program.starts_with(&unpacked) {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount --bind \"$0\" /usr/share && exec \"$@\"")
        .arg(unpacked.join("share"))
        .arg(program);
    command
}

/// Where a file of this project is.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of this project with some of its words replaced. Each of them stands there exactly once,
/// so nothing is replaced by mistake, and nothing that is no longer there.
#[track_caller]
pub fn adapted(path: &str, words: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(shipped(path)).unwrap();
    words.iter().fold(text, |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {path}");
        text.replace(old, new)
    })
}

#[track_caller]
fn find(names: &[&str]) -> PathBuf {
    program_of(names).unwrap_or_else(|| panic!("no {names:?}; `make test-tools` fetches it"))
}

fn program_of(names: &[&str]) -> Option<PathBuf> {
    folders()
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|program| program.is_file())
}

/// A server of others; it ends with its value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
    ready: Ready,
}

/// Says whether the server at an address is ready.
pub type Ready = fn(SocketAddr) -> bool;

impl Server {
    /// Starts what `command` says, given a folder of its own and a free address, and waits until it
    /// says at `/-/ready` that it is.
    #[track_caller]
    pub fn start(command: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        Self::start_until(says_ready, command)
    }

    /// The same for one that shows in another way that it is ready.
    #[track_caller]
    pub fn start_until(ready: Ready, command: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        // A port that was free may be taken a moment later; then there is another.
        let mut log = String::new();
        for _ in 0..5 {
            let mut server = Self::new(ready, &command);
            if server.is_ready() {
                return server;
            }
            log = server.log();
        }
        panic!("it ends at once:\n{log}");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(&self.dir)).unwrap_or_default()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with its folder and address, after it was killed.
    #[track_caller]
    pub fn restart(&mut self, command: impl Fn(&Path, SocketAddr) -> Command) {
        self.child = spawn(command(self.dir.path(), self.address), &self.dir);
        assert!(self.is_ready(), "it ends at once:\n{}", self.log());
    }

    /// Sends it a signal. Once this returns, a server that is to stop does nothing any more.
    #[track_caller]
    pub fn signal(&self, which: Signal) {
        signal(self.child.id(), which);
        if which == Signal::STOP {
            eventually("it has stopped", || has_stopped(self.child.id()));
        }
    }

    fn new(ready: Ready, command: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], unused_port()));
        Self {
            child: spawn(command(dir.path(), address), &dir),
            dir,
            address,
            ready,
        }
    }

    /// Whether it becomes ready, and does not end before that.
    #[track_caller]
    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE * 2;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if (self.ready)(self.address) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it is not ready:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of a server ---\n{}", self.log());
        }
    }
}

fn says_ready(address: SocketAddr) -> bool {
    let answer = try_request(address, "GET", "/-/ready", &[], b"");
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Whether all threads of a process are stopped (proc(5), the state in `stat`).
fn has_stopped(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_stopped = |task: PathBuf| {
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
    };
    tasks.flatten().all(|task| is_stopped(task.path()))
}

fn spawn(mut command: Command, dir: &TempDir) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(dir))
        .unwrap();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn log_path(dir: &TempDir) -> PathBuf {
    dir.path().join("log")
}
