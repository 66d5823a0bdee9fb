//! The companion process that leaves no orphan behind: `gateway reaper DIR`.
//!
//! It holds one end of a pipe whose other end only the gateway holds. When the gateway ends, even
//! by `kill -9`, the pipe closes; then the reaper kills every process group that the
//! ledger of the runtime directory still names, and every process that carries the mark of the
//! directory: one that had just been started, or that left its group (`setsid`). Then it removes the
//! directory and exits. A reaper that ends before its gateway is started again.
//!
//! A process that leaves its group and clears its environment escapes; only a cgroup or a process
//! namespace would hold it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};

use super::ledger::{self, Record};
use super::runtime_dir;

/// What `gateway reaper DIR` runs: standard input is the pipe. It must be called before the
/// process has any other business, with nothing else on standard input.
pub fn main(dir: &Path) -> ExitCode {
    match watch(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the reaper cannot do its work");
            ExitCode::FAILURE
        }
    }
}

/// The variable by which processes and their descendants are found: it holds the name of the runtime
/// directory of the gateway that started them.
pub(super) const MARK: &str = "GATEWAY_INSTANCE";

/// Bounds of the time until a reaper that ended is started again, doubled with each failure.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Looks for marked processes at most: one that is just forking, or that just becomes another program,
/// may be missed by a look.
const LOOKS: usize = 10;
/// Between two looks of which the first killed nobody.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// A running reaper. It ends by itself, after the gateway or this value.
#[derive(Debug)]
pub(super) struct Reaper {
    // The writing end of the pipe; `None` once the reaper is no longer wanted. Held to look at it or
    // to replace it.
    lifeline: Arc<Mutex<Option<PipeWriter>>>,
}

impl Reaper {
    /// Starts `command`, with `dir` as its last argument, and again whenever it ends too soon.
    pub fn start(command: &[OsString], dir: &Path) -> io::Result<Self> {
        let (mut process, lifeline) = start(command, dir)?;
        let lifeline = Arc::new(Mutex::new(Some(lifeline)));
        let (held, command, dir) = (Arc::clone(&lifeline), command.to_vec(), dir.to_owned());
        std::thread::Builder::new()
            .name("reaper".to_owned())
            .spawn(move || {
                let mut again = AGAIN.0;
                loop {
                    // It ends when it is no longer wanted, or when somebody killed it.
                    let _ = process.wait();
                    std::thread::sleep(again);
                    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                    if held.is_none() {
                        return;
                    }
                    match start(&command, &dir) {
                        Ok((started, lifeline)) => {
                            tracing::warn!("the reaper had ended; it was started again");
                            (process, *held) = (started, Some(lifeline));
                            again = AGAIN.0;
                        }
                        Err(error) => {
                            if again == AGAIN.0 {
                                tracing::error!(%error, "the reaper cannot be started again");
                            }
                            again = (again * 2).min(AGAIN.1);
                        }
                    }
                }
            })?;
        Ok(Self { lifeline })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let mut lifeline = self.lifeline.lock().unwrap_or_else(PoisonError::into_inner);
        *lifeline = None;
    }
}

fn start(command: &[OsString], dir: &Path) -> io::Result<(Child, PipeWriter)> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no reaper program",
        ));
    };
    let (reader, lifeline) = io::pipe()?;
    let process = Command::new(program)
        .args(arguments)
        .arg(dir)
        // A group of its own: a Ctrl-C or a stop meant for the gateway does not reach it.
        .process_group(0)
        .stdin(reader)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            let text = format!("starting the reaper {}: {error}", program.display());
            io::Error::new(error.kind(), text)
        })?;
    Ok((process, lifeline))
}

fn watch(dir: &Path) -> io::Result<()> {
    // Opened now: another gateway may remove the directory as stale before we come to read it.
    let mut ledger = File::open(ledger::path(dir))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _signals = {
        let _inside = runtime.enter();
        outlive_signals()?
    };
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;

    let mut records = Vec::new();
    ledger.rewind()?;
    ledger.read_to_end(&mut records)?;
    for record in ledger::read(&records) {
        kill(record);
    }
    for _ in 0..LOOKS {
        match kill_marked(dir) {
            Look::Killed => {}
            Look::Unclear => std::thread::sleep(BETWEEN_LOOKS),
            Look::Nobody => break,
        }
    }
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes the signals that end a process and does nothing with them, so that a service manager
/// which signals everybody cannot end the reaper before the gateway.
fn outlive_signals() -> io::Result<[tokio::signal::unix::Signal; 4]> {
    Ok([
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::quit())?,
    ])
}

fn kill(record: Record) {
    let leader = i32::try_from(record.group).ok().and_then(Pid::from_raw);
    let Some(leader) = leader else { return };
    // A leader that is gone while its group lives on still keeps the id from being given away; a
    // leader that started later is a stranger who got the id of an empty group.
    if start_time(record.group).is_none_or(|start| start <= record.started) {
        let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    }
}

/// What a look for marked processes came to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Nobody,
    /// Nobody carried the mark, but some process does not show its environment yet.
    Unclear,
    Killed,
}

/// Kills every process with the mark of `dir` in its environment.
fn kill_marked(dir: &Path) -> Look {
    let mark = format!("{MARK}={}", runtime_dir::mark(dir)).into_bytes();
    let mut look = Look::Nobody;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        // Processes of other users cannot be read, and are not ours.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark)
        {
            if rustix::process::kill_process(pid, Signal::KILL).is_ok() {
                look = Look::Killed;
            }
        } else if environment.is_empty()
            && look == Look::Nobody
            && std::fs::read_link(entry.path().join("exe")).is_ok()
        {
            // It has a program, as threads of the kernel and the dead have not. In the middle of
            // execve(2), its environment is empty though its parent already goes on.
            look = Look::Unclear;
        }
    }
    look
}

/// When a process started, in ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold any character.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_start_time_is_that_of_the_process() {
        let before = ledger::ticks_since_boot();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let after = ledger::ticks_since_boot();
        let start = start_time(child.id()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(
            (before..=after + 1).contains(&start),
            "{before} {start} {after}"
        );
    }

    #[test]
    fn who_carries_the_mark_is_found_wherever_it_went() {
        let dir = tempfile::tempdir().unwrap();
        let start = |dir: &Path| {
            Command::new("sleep")
                .arg("300")
                .env(MARK, &*runtime_dir::mark(dir))
                .process_group(0)
                .spawn()
                .unwrap()
        };
        let (mut ours, mut other) = (start(dir.path()), start(&dir.path().join("other")));
        let until = Instant::now() + Duration::from_secs(10);
        // Not always by the first look: spawn(3) returns before the environment is to be seen.
        loop {
            let look = kill_marked(dir.path());
            if look == Look::Killed {
                break;
            }
            assert_eq!(look, Look::Unclear, "missed");
            assert!(Instant::now() < until, "not to be seen");
        }
        ours.wait().unwrap();
        assert_ne!(kill_marked(dir.path()), Look::Killed);
        assert!(other.try_wait().unwrap().is_none(), "a stranger is spared");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_stranger_with_a_used_id_is_spared() {
        use std::os::unix::process::ExitStatusExt;

        let start = |record: fn(u32) -> Record| {
            let mut child = Command::new("cat")
                .stdin(Stdio::piped())
                .process_group(0)
                .spawn()
                .unwrap();
            kill(record(child.id()));
            drop(child.stdin.take());
            child.wait().unwrap().signal()
        };
        let ours = |group| Record {
            group,
            started: ledger::ticks_since_boot() + 1,
        };
        let later = |group| Record { group, started: 1 };
        assert_eq!(start(ours), Some(9));
        assert_eq!(start(later), None);
    }
}
