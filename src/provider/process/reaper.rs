//! The companion process that leaves no orphan behind: `gateway reaper DIR`.
//!
//! It holds one end of a pipe whose other end only the gateway holds. When the gateway ends, even
//! by `kill -9`, the pipe closes; then the reaper kills every process group that the
//! ledger of the runtime directory still names, removes the directory and exits.
//!
//! A process that left its group on purpose (`setsid`) escapes; only a cgroup or a process
//! namespace would hold it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};

use super::ledger::{self, Record};

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

/// A running reaper. It ends by itself, after the gateway or this value.
#[derive(Debug)]
pub(super) struct Reaper {
    _lifeline: PipeWriter,
    _process: Child,
}

impl Reaper {
    /// Starts `command`, with `dir` as its last argument.
    pub fn start(command: &[OsString], dir: &Path) -> io::Result<Self> {
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
        Ok(Self {
            _lifeline: lifeline,
            _process: process,
        })
    }
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
