//! The built-in watchdog: an HTTP server on a Unix socket that forks a process per call
//! (users.md section 5.3).
//!
//! In **classic** mode the exit status decides the status of the reply: 200, or 500 with the
//! output as body. So output is held until the process ends, up to [`MAX_HELD`]; beyond that it is
//! sent on live under status 200, and a failure from then on breaks the reply off. In
//! **streaming** mode the reply begins with the first byte of output, and stderr goes to the log.
//!
//! The proxy is its only client, as the socket lies in a directory of the gateway's own.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::call::{Call, Outcome};
use super::child::Program;
use super::ledger::Ledger;
use super::logs::{LineWriter, LogRing, Stream};
use super::raised;
use super::usage::Running;
use crate::config;

/// Output of a classic call that is held until its exit status is known, in bytes.
pub const MAX_HELD: usize = 8 * 1024 * 1024;

/// Header lines of one request: as many as the proxy itself accepts.
const MAX_HEADERS: usize = 256;

/// Pause after a connection could not be accepted, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");
const ERROR: HeaderName = HeaderName::from_static("x-gateway-error");

type Reply = Response<Either<Full<Bytes>, Live>>;

/// What the watchdog of one function knows.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// What to fork.
    pub program: Program,
    /// How.
    pub settings: config::Watchdog,
    /// Whether output is sent on as it comes.
    pub streaming: bool,
    /// Free places for calls, where they are limited.
    pub inflight: Option<Arc<Semaphore>>,
    /// The function's log.
    pub logs: Arc<LogRing>,
    /// Its name in the log.
    pub instance: Arc<str>,
    /// Where processes are noted.
    pub ledger: Arc<Ledger>,
    /// Those of this function.
    pub running: Arc<Running>,
    /// Turns true when processes shall end.
    pub ending: watch::Receiver<bool>,
}

impl Watchdog {
    /// Writes a line of the watchdog's own.
    pub fn log(&self, text: impl Into<Arc<str>>) {
        self.logs.push(&self.instance, Stream::Watchdog, text);
    }

    /// Where to write what is read from a process.
    pub fn lines(&self, stream: Stream) -> LineWriter {
        LineWriter::new(Arc::clone(&self.logs), Arc::clone(&self.instance), stream)
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        if matches!(request.uri().path(), "/_/health" | "/_/ready") {
            return text(StatusCode::OK, "OK\n");
        }
        let permit = match &self.inflight {
            None => None,
            Some(places) => match Arc::clone(places).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return self.busy(),
            },
        };
        let content_type = self.content_type(&request);
        let call = match Call::start(&self, request, permit) {
            Ok(call) => call,
            Err(error) => return self.cannot_start(&error),
        };
        let mut reply = if self.streaming {
            stream(call).await
        } else {
            hold(call).await
        };
        reply
            .headers_mut()
            .entry(CONTENT_TYPE)
            .or_insert(content_type);
        reply
    }

    fn busy(&self) -> Reply {
        let limit = self
            .settings
            .max_inflight
            .map_or(0, std::num::NonZeroUsize::get);
        let problem = format!("max_inflight of {limit} calls reached, try again later\n");
        refuse(StatusCode::TOO_MANY_REQUESTS, "max_inflight", problem)
    }

    fn cannot_start(&self, error: &io::Error) -> Reply {
        self.log(format!("cannot start {}: {error}", self.program));
        // Commands and paths are for the function's owner.
        let problem = "the function cannot be started, its log says why\n";
        refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "cannot_start",
            problem.to_owned(),
        )
    }

    /// The type of the reply: as declared, else the request's, else plain text.
    fn content_type(&self, request: &Request<Incoming>) -> HeaderValue {
        let declared = self.settings.content_type.as_deref();
        declared
            .and_then(|value| HeaderValue::from_str(value).ok())
            .or_else(|| request.headers().get(CONTENT_TYPE).cloned())
            .unwrap_or(TEXT)
    }
}

/// Serves until [`Watchdog::ending`]; from then on takes no new connection, and returns when the
/// last call is over. Dropping it ends all calls.
pub(super) async fn serve(watchdog: Arc<Watchdog>, listener: UnixListener) {
    let mut ending = watchdog.ending.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&watchdog), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, instance = %watchdog.instance, "accepting a call");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = raised(&mut ending) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(watchdog: Arc<Watchdog>, stream: UnixStream) {
    let mut ending = watchdog.ending.clone();
    let hung_up = hung_up(&stream);
    let service = service_fn(move |request| {
        let watchdog = Arc::clone(&watchdog);
        async move { Ok::<_, std::convert::Infallible>(watchdog.respond(request).await) }
    });
    let mut server = http1::Builder::new();
    let connection = server
        .max_headers(MAX_HEADERS)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error here is a caller that went away or a reply that was broken off; both are told
    // where they happen.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = hung_up => return,
        () = raised(&mut ending) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Waits until the caller has closed the connection. The server sees that itself while it reads,
/// but not while a body waits in the socket for a process that does not want it.
#[cfg(target_os = "linux")]
fn hung_up(stream: &UnixStream) -> impl Future<Output = ()> + use<> {
    // A second descriptor, so that the wait has a readiness of its own. Nothing is ever sent out
    // of band, so it does not wake for data.
    let watched = stream
        .as_fd()
        .try_clone_to_owned()
        .and_then(|socket| UnixStream::from_std(socket.into()));
    async {
        match watched {
            Ok(watched) => drop(watched.ready(Interest::PRIORITY).await),
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn hung_up(_: &UnixStream) -> impl Future<Output = ()> + use<> {
    std::future::pending()
}

/// Classic mode.
async fn hold(mut call: Call) -> Reply {
    let mut held = BytesMut::new();
    while let Some(piece) = call.next().await {
        held.extend_from_slice(&piece);
        if held.len() > MAX_HELD {
            return Response::new(Either::Right(Live::new(held.freeze(), call)));
        }
    }
    let duration = format!("{:.6}", call.duration().as_secs_f64());
    let mut reply = finish(call.outcome(), held.freeze());
    if let Ok(duration) = HeaderValue::from_str(&duration) {
        reply.headers_mut().insert(DURATION, duration);
    }
    reply
}

/// Streaming mode.
async fn stream(mut call: Call) -> Reply {
    match call.next().await {
        Some(first) => Response::new(Either::Right(Live::new(first, call))),
        None => finish(call.outcome(), Bytes::new()),
    }
}

/// The reply of a call that is over, with what it wrote.
fn finish(outcome: Outcome, output: Bytes) -> Reply {
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    match outcome {
        Outcome::Done => Response::new(Either::Left(Full::new(output))),
        Outcome::TimedOut(limit) => refuse(
            failed,
            "exec_timeout",
            format!("exec_timeout of {limit:?} reached\n"),
        ),
        Outcome::Failed(how) if output.is_empty() => {
            refuse(failed, "exit_status", format!("the function {how}\n"))
        }
        Outcome::Failed(_) => {
            let mut reply = Response::new(Either::Left(Full::new(output)));
            *reply.status_mut() = failed;
            reply
                .headers_mut()
                .insert(ERROR, HeaderValue::from_static("exit_status"));
            reply
        }
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body.into())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, TEXT);
    reply
}

fn refuse(status: StatusCode, reason: &'static str, body: String) -> Reply {
    let mut reply = text(status, body);
    reply
        .headers_mut()
        .insert(ERROR, HeaderValue::from_static(reason));
    reply
}

/// A reply that is sent while the process still writes it. A process that then fails breaks it
/// off, as the status is out already.
struct Live {
    ready: Option<Bytes>,
    next: Pin<Box<dyn Future<Output = (Call, Option<Bytes>)> + Send>>,
    over: bool,
}

impl Live {
    fn new(ready: Bytes, call: Call) -> Self {
        Self {
            ready: Some(ready),
            next: Box::pin(step(call)),
            over: false,
        }
    }
}

async fn step(mut call: Call) -> (Call, Option<Bytes>) {
    let piece = call.next().await;
    (call, piece)
}

impl Body for Live {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(ready) = self.ready.take() {
            return Poll::Ready(Some(Ok(Frame::data(ready))));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let (call, piece) = ready!(self.next.as_mut().poll(context));
        if let Some(piece) = piece {
            self.next = Box::pin(step(call));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        self.over = true;
        Poll::Ready(match call.outcome() {
            Outcome::Done => None,
            Outcome::Failed(how) => Some(Err(io::Error::other(how))),
            Outcome::TimedOut(_) => Some(Err(io::ErrorKind::TimedOut.into())),
        })
    }
}
