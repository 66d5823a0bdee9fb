//! HTTP mode: a process that lives long and serves a port of its own.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinSet;

use super::child::{self, Equipment, Process, Program};
use super::logs::{self, LineWriter, Stream};
use super::port::{self, Port};
use super::slot::{Belongings, Host};
use super::usage::Runs;
use crate::config;

/// Longest wait for the last lines of a process that has ended: its pipes are closed by then,
/// unless somebody who left its group holds them.
const LAST_LINES: Duration = Duration::from_millis(200);

/// A running process, its port, and the tasks that read what it writes.
#[derive(Debug)]
pub(super) struct Resident {
    process: Process,
    port: Port,
    logs: JoinSet<()>,
    _equipment: Equipment,
    _runs: Runs,
}

/// Why a process did not become ready.
#[derive(Debug)]
pub(super) enum Ended {
    /// It ended by itself, in words.
    Itself(String),
    /// It took longer than `start_timeout`.
    Late,
    /// Nobody wants it any more.
    Unwanted,
}

impl Resident {
    /// Starts the process on a free port. The error is in words for the function's owner.
    pub async fn start(
        host: &Host,
        process: &config::Process,
        instance: &Arc<str>,
        belongings: &Belongings,
        equipment: Equipment,
    ) -> Result<Self, String> {
        let mark = host.dir.mark();
        let program = Program::resolve(process, &host.confinement, &equipment, mark);
        let program = program.map_err(|error| error.to_string())?;
        let start = async {
            let port = host.ports.take()?;
            let mut command = program.command_on_port(port.number())?;
            let (stdout, writer) = io::pipe()?;
            command.stdin(Stdio::null()).stdout(writer);
            let (stderr, writer) = io::pipe()?;
            command.stderr(writer);
            let process = host.nursery.spawn(command).await?;
            let runs = belongings.running.note(process.pid());

            let mut logs = JoinSet::new();
            for (pipe, stream) in [(stdout, Stream::Stdout), (stderr, Stream::Stderr)] {
                let lines =
                    LineWriter::new(Arc::clone(&belongings.logs), Arc::clone(instance), stream);
                let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe))?;
                logs.spawn(logs::copy(pipe, lines));
            }
            Ok(Self {
                process,
                port,
                logs,
                _equipment: equipment,
                _runs: runs,
            })
        };
        start
            .await
            .map_err(|error: io::Error| format!("cannot start {program}: {error}"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Waits until it can be called.
    pub async fn ready(&mut self, settings: &config::Watchdog) -> Result<(), Ended> {
        let ready = port::ready(self.address(), settings.ready_path.as_deref());
        tokio::select! {
            // An end counts first: then it was somebody else who answered on the port.
            biased;
            how = self.ended() => Err(Ended::Itself(how)),
            ready = tokio::time::timeout(settings.start_timeout, ready) => {
                ready.map_err(|_| Ended::Late)
            }
        }
    }

    /// Waits for its end, however long it lives, and tells how it ended.
    pub async fn ended(&mut self) -> String {
        let status = self.process.wait().await;
        read_on(&mut self.logs).await;
        child::describe(status)
    }

    /// Asks it to end, and insists after `patience`.
    pub async fn stop(mut self, patience: Duration) {
        self.process.stop(patience).await;
        read_on(&mut self.logs).await;
    }
}

async fn read_on(logs: &mut JoinSet<()>) {
    let all = async { while logs.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_LINES, all).await;
}
