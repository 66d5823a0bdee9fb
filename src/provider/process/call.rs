//! One call of a classic or streaming function: a process from its fork to its end.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Sleep};

use super::child::{self, Process};
use super::logs::{LineWriter, Stream};
use super::usage::Runs;
use super::watchdog::Watchdog;
use super::{cgi, logs, raised};

/// Bytes of output read at once.
const PIECE: usize = 16 * 1024;

/// After its process has ended, a call goes on for at most so long: to read on what the caller
/// still sends, so that it gets the reply and no broken pipe, and to read what the process wrote,
/// should somebody who left its group hold the pipe open.
const AFTER_EXIT: Duration = Duration::from_secs(5);

/// A deadline that is none.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A call in progress. Dropping it kills its process and the whole group.
pub(super) struct Call {
    watchdog: Arc<Watchdog>,
    process: Process,
    output: Receiver,
    request: Side<bool>,
    stderr: Side<()>,
    debug: Option<LineWriter>,
    ending: watch::Receiver<bool>,
    deadline: Pin<Box<Sleep>>,
    started: Instant,
    written: u64,
    progress: Progress,
    _permit: Option<OwnedSemaphorePermit>,
    _runs: Runs,
}

/// How far a call has come.
#[derive(Debug, Default)]
struct Progress {
    exit: Option<io::Result<ExitStatus>>,
    output_ended: bool,
    terminated: bool,
    timed_out: bool,
    request_broken: bool,
    over: bool,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Exit status 0.
    Done,
    /// Another status, or a signal; in words.
    Failed(String),
    /// It ran longer than `exec_timeout`.
    TimedOut(Duration),
}

impl Call {
    /// Forks the process and begins to feed it.
    pub fn start(
        watchdog: &Arc<Watchdog>,
        request: Request<Incoming>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> io::Result<Self> {
        let settings = &watchdog.settings;
        let (head, body) = request.into_parts();
        let mut command = watchdog.program.command()?;
        if settings.cgi_headers {
            command.envs(cgi::variables(&head, &body.size_hint()));
        }
        // Without a body /dev/null says the same as an empty pipe, and is cheaper.
        let stdin = if body.is_end_stream() {
            command.stdin(Stdio::null());
            None
        } else {
            let (reader, writer) = io::pipe()?;
            command.stdin(reader);
            Some(sender(writer)?)
        };
        let (output, writer) = io::pipe()?;
        let stderr = if settings.combine_output && !watchdog.streaming {
            command.stderr(writer.try_clone()?);
            Side::none()
        } else {
            let (stderr, writer) = io::pipe()?;
            command.stderr(writer);
            Side::new(logs::copy(
                receiver(stderr)?,
                watchdog.lines(Stream::Stderr),
            ))
        };
        command.stdout(writer);

        watchdog.log("Forking fprocess.");
        let started = Instant::now();
        let process = child::spawn(command, &watchdog.ledger)?;
        let runs = watchdog.running.note(process.pid());
        let read_debug = settings.read_debug.then(|| watchdog.lines(Stream::Request));
        let limit = match settings.exec_timeout {
            Duration::ZERO => NEVER,
            limit => limit,
        };
        Ok(Self {
            process,
            output: receiver(output)?,
            request: Side::new(feed(body, stdin, read_debug)),
            stderr,
            debug: settings.write_debug.then(|| watchdog.lines(Stream::Stdout)),
            ending: watchdog.ending.clone(),
            deadline: Box::pin(tokio::time::sleep(limit)),
            started,
            written: 0,
            progress: Progress::default(),
            watchdog: Arc::clone(watchdog),
            _permit: permit,
            _runs: runs,
        })
    }

    /// The next piece of output; `None` once the process has ended and all is read.
    pub async fn next(&mut self) -> Option<Bytes> {
        let mut piece = BytesMut::with_capacity(PIECE);
        while !self.is_over() {
            tokio::select! {
                read = self.output.read_buf(&mut piece), if !self.progress.output_ended => {
                    if let Ok(1..) = read {
                        return Some(self.count(piece.freeze()));
                    }
                    self.progress.output_ended = true;
                }
                status = self.process.wait(), if self.progress.exit.is_none() => {
                    self.progress.exit = Some(status);
                    self.deadline.as_mut().reset(Instant::now() + AFTER_EXIT);
                }
                whole = self.request.end() => if !whole {
                    // A body that broke off must not look like a short one.
                    self.progress.request_broken = true;
                    self.process.signal(Signal::KILL);
                },
                () = self.stderr.end() => {}
                () = self.deadline.as_mut() => self.expire(),
                () = raised(&mut self.ending), if !self.progress.terminated => {
                    self.progress.terminated = true;
                    self.process.signal(Signal::TERM);
                }
            }
        }
        None
    }

    /// How it ended; to be asked after [`next`](Self::next) gave `None`.
    pub fn outcome(&self) -> Outcome {
        match &self.progress.exit {
            _ if self.progress.timed_out => Outcome::TimedOut(self.watchdog.settings.exec_timeout),
            _ if self.progress.request_broken => Outcome::Failed("lost its caller".to_owned()),
            Some(Ok(status)) if status.success() => Outcome::Done,
            Some(Ok(status)) => Outcome::Failed(child::describe(Ok(*status))),
            Some(Err(error)) => Outcome::Failed(format!("ended: {error}")),
            None => Outcome::Failed("does not end".to_owned()),
        }
    }

    /// Time since the fork.
    pub fn duration(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_over(&mut self) -> bool {
        let progress = &mut self.progress;
        let read = progress.output_ended && self.request.is_over() && self.stderr.is_over();
        if !progress.over && progress.exit.is_some() && read {
            progress.over = true;
            self.report();
        }
        self.progress.over
    }

    fn count(&mut self, piece: Bytes) -> Bytes {
        self.written += piece.len() as u64;
        if let Some(debug) = &mut self.debug {
            debug.write(&piece);
        }
        piece
    }

    /// The deadline passed: of the call, or of what follows its end.
    fn expire(&mut self) {
        let progress = &mut self.progress;
        if progress.exit.is_some() || progress.timed_out {
            progress.over = true;
            self.report();
        } else {
            progress.timed_out = true;
            self.process.signal(Signal::KILL);
            self.deadline.as_mut().reset(Instant::now() + AFTER_EXIT);
        }
    }

    /// The classic watchdog's line, word for word (users.md section 5.3), after what went wrong.
    fn report(&mut self) {
        // Dropped first, so that the last of the output stands before the line.
        self.debug = None;
        match self.outcome() {
            Outcome::Done => {}
            Outcome::Failed(how) => self.watchdog.log(format!("The process {how}.")),
            Outcome::TimedOut(limit) => {
                self.watchdog
                    .log(format!("exec_timeout of {limit:?} reached, killed."));
            }
        }
        let seconds = self.duration().as_secs_f64();
        let line = format!(
            "Wrote {} Bytes - Duration: {seconds:.6} seconds",
            self.written
        );
        self.watchdog.log(line);
    }
}

/// Work beside the output, until it is over.
struct Side<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Side<T> {
    fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }

    fn none() -> Self {
        Self(None)
    }

    fn is_over(&self) -> bool {
        self.0.is_none()
    }

    /// Ends once, with the work; then never again.
    async fn end(&mut self) -> T {
        let Some(work) = &mut self.0 else {
            return std::future::pending().await;
        };
        let result = work.as_mut().await;
        self.0 = None;
        result
    }
}

/// Writes the body to the process. What the process does not want is read all the same, as the
/// caller sends it all the same. `false`: the body broke off.
async fn feed(
    mut body: Incoming,
    mut stdin: Option<Sender>,
    mut debug: Option<LineWriter>,
) -> bool {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if let Some(debug) = &mut debug {
            debug.write(&data);
        }
        if let Some(pipe) = &mut stdin
            && pipe.write_all(&data).await.is_err()
        {
            stdin = None;
        }
    }
    true
}

fn receiver(pipe: PipeReader) -> io::Result<Receiver> {
    Receiver::from_owned_fd(OwnedFd::from(pipe))
}

fn sender(pipe: PipeWriter) -> io::Result<Sender> {
    Sender::from_owned_fd(OwnedFd::from(pipe))
}
