//! One try of a queued call: a place behind the function's gate, and a request to its replica.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use super::connector::{Connector, authority};
use crate::config::Provider;
use crate::duration::format_duration;
use crate::error::Failure;
use crate::functions::{Function, Lease, PathRule, Snapshot};
use crate::gateway::Gateway;
use crate::hop_by_hop;
use crate::metrics::ERROR;
use crate::queue::{Invocation, Outcome};
use crate::scale::{self, Wish};

/// How long an unused connection to a function is kept: shorter than a function keeps it, as a call
/// that meets a closed one is a failed try.
const KEEP_IDLE: Duration = Duration::from_secs(5);

const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Why no answer came from a function.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not called.
    #[error("{why}")]
    Refused {
        /// Whether it is there, or may be, and has no place for the call now.
        busy: bool,
        /// In words.
        why: String,
    },
    /// The connection failed.
    #[error("function {function}: {source}")]
    Broken {
        /// Which.
        function: String,
        /// How.
        source: hyper_util::client::legacy::Error,
    },
    /// Its answer broke off.
    #[error("the answer of function {function} broke off: {source}")]
    BrokeOff {
        /// Which.
        function: String,
        /// How.
        source: hyper::Error,
    },
    /// It cannot be sent.
    #[error("the call is no HTTP request: {0}")]
    Unsendable(#[from] http::Error),
    /// It took longer than this.
    #[error("it took longer than {} (queue.timeout)", format_duration(*.0))]
    TimedOut(Duration),
}

impl CallError {
    /// Whether the function has not even been tried, and a while later may be.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { busy: true, .. })
    }

    /// What the proxy would call it, of a try that was made.
    fn failure(&self) -> Failure {
        match self {
            Self::TimedOut(limit) => Failure::UpstreamTimeout(*limit),
            Self::Unsendable(_) => Failure::BadRequest("the call is no HTTP request"),
            Self::Broken { source, .. } if source.is_connect() => Failure::ConnectFailed,
            _ => Failure::UpstreamFailed,
        }
    }
}

/// A try that came to nothing.
struct Failed {
    error: CallError,
    /// What the proxy would call it.
    failure: Failure,
}

impl Failed {
    /// It waited for its place until the try was over.
    fn late(limit: Duration) -> Self {
        Self {
            error: CallError::TimedOut(limit),
            failure: Failure::WaitTimeout(limit),
        }
    }

    /// There is no place for it.
    fn refused(failure: Failure, function: &str, busy: bool) -> Self {
        let why = failure.message(function);
        Self {
            error: CallError::Refused { busy, why },
            failure,
        }
    }
}

impl<E: Into<CallError>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error = error.into();
        Self {
            failure: error.failure(),
            error,
        }
    }
}

/// Whether who owns the functions cannot be asked.
fn is_away(gateway: &Gateway, snapshot: &Snapshot) -> bool {
    let remote = matches!(snapshot.config.provider, Provider::Remote(_));
    remote && gateway.metrics.provider.up.get() == 0
}

/// Calls functions, and keeps connections to them.
pub struct Caller {
    client: Client<Connector, Full<Bytes>>,
}

impl Caller {
    /// A caller without connections.
    pub fn new() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP_IDLE)
            .pool_timer(TokioTimer::new())
            .build(Connector);
        Self { client }
    }

    /// Makes one try, which takes `queue.timeout` at most. One that comes to nothing is counted once,
    /// whether its function was called or not, as the proxy counts what fails.
    pub async fn call(
        &self,
        gateway: &Gateway,
        snapshot: &Snapshot,
        invocation: Invocation,
        call_id: &str,
    ) -> Result<Outcome, CallError> {
        let limit = snapshot.config.queue.timeout;
        let deadline = Instant::now() + limit;
        let id = invocation.headers.get(&CALL_ID).cloned();
        let id = id.as_ref().and_then(|id| id.to_str().ok());
        let found = timeout_at(deadline, gateway.find(snapshot, &invocation.function)).await;
        let (live, result) = match found {
            Ok(Some(function)) => {
                let tried =
                    self.try_on(&function, gateway, snapshot, invocation, call_id, deadline);
                let result = tried.await;
                (Arc::clone(&function.live), result)
            }
            Ok(None) => {
                let name = invocation.function.to_string();
                // Who cannot be asked may have it all the same.
                let busy = is_away(gateway, snapshot);
                let failed = Failed::refused(Failure::NoFunction, &name, busy);
                (Arc::clone(&snapshot.unknown), Err(failed))
            }
            Err(_) => (Arc::clone(&snapshot.unknown), Err(Failed::late(limit))),
        };
        let (status, reason) = match &result {
            Ok(outcome) => (outcome.status, None),
            Err(Failed { failure, .. }) => (failure.status(), Some(failure.reason())),
        };
        if let Some(reason) = reason {
            live.metrics.reject(reason);
        }
        if status.as_u16() >= ERROR {
            let id = id.or(Some(call_id));
            live.last_error.note(status.as_u16(), reason, id);
        }
        result.map_err(|failed| failed.error)
    }

    /// A place on the function, and a request to its replica.
    async fn try_on(
        &self,
        function: &Arc<Function>,
        gateway: &Gateway,
        snapshot: &Snapshot,
        invocation: Invocation,
        call_id: &str,
        deadline: Instant,
    ) -> Result<Outcome, Failed> {
        let settings = &snapshot.config.queue;
        let name = invocation.function.to_string();
        let placed = timeout_at(deadline, place(gateway, snapshot, function, &name)).await;
        let lease = placed.map_err(|_| Failed::late(settings.timeout))??;
        let request = request(function, &lease, invocation, call_id)?;
        let counted = Counted::begin(function);
        let sent = self.send(request, &function.key, settings.results.max_body);
        let answered = timeout_at(deadline, sent).await;
        let answered = answered.unwrap_or(Err(CallError::TimedOut(settings.timeout)));
        let status = match &answered {
            Ok(outcome) => outcome.status,
            Err(error) => error.failure().status(),
        };
        counted.end(status.as_u16());
        if let Err(CallError::Broken { source, .. }) = &answered
            && source.is_connect()
        {
            lease.replica().penalize();
        }
        Ok(answered?)
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        function: &str,
        most: usize,
    ) -> Result<Outcome, CallError> {
        let response = self.client.request(request).await.map_err(|source| {
            let function = function.to_owned();
            CallError::Broken { function, source }
        })?;
        let (head, body) = response.into_parts();
        let (body, truncated) = read(body, most).await.map_err(|source| {
            let function = function.to_owned();
            CallError::BrokeOff { function, source }
        })?;
        let mut headers = head.headers;
        hop_by_hop::strip(&mut headers);
        Ok(Outcome {
            status: head.status,
            headers,
            body,
            truncated,
        })
    }
}

/// A place on a function. Whatever it has none for, it may have one later, unless it is gone.
async fn place(
    gateway: &Gateway,
    snapshot: &Snapshot,
    function: &Arc<Function>,
    name: &str,
) -> Result<Lease, Failed> {
    if let Some(lease) = function.try_lease(None) {
        return Ok(lease);
    }
    let wish = Wish {
        scale: &snapshot.config.scale,
        wakes: true,
        avoid: None,
    };
    let acquired = scale::acquire(&gateway.registry, &gateway.waker, function, &wish).await;
    let acquired = acquired.map_err(|failure| {
        let gone = matches!(failure, Failure::NoFunction);
        Failed::refused(failure, name, !gone || is_away(gateway, snapshot))
    })?;
    Ok(acquired.lease)
}

/// A call in its function's numbers; one that is broken off counts as a 499, as it does for callers
/// who go away.
struct Counted<'a> {
    function: &'a Function,
    begun: Instant,
    status: u16,
}

impl<'a> Counted<'a> {
    fn begin(function: &'a Function) -> Self {
        function.live.metrics.begin();
        Self {
            function,
            begun: Instant::now(),
            status: 499,
        }
    }

    fn end(mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let metrics = &self.function.live.metrics;
        metrics.count(self.status, self.begun.elapsed().as_secs_f64());
        metrics.end();
    }
}

fn request(
    function: &Function,
    lease: &Lease,
    invocation: Invocation,
    call_id: &str,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let replica = lease.replica();
    let mut path = replica.base_path().to_owned();
    if function.path == PathRule::Whole {
        path.push_str("/function/");
        path.push_str(&function.key);
    }
    path.push_str(&invocation.path);
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    if !invocation.query.is_empty() {
        path.push('?');
        path.push_str(&invocation.query);
    }
    let uri = Uri::builder()
        .scheme("http")
        .authority(authority(replica.address()))
        .path_and_query(path)
        .build()?;
    let length = invocation.body.len();
    let mut request = Request::new(Full::new(invocation.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    *headers = invocation.headers;
    hop_by_hop::strip(headers);
    // Also of nothing: a post without a length is refused by some servers.
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::HOST, replica.authority().clone());
    if !headers.contains_key(&CALL_ID) {
        headers.insert(CALL_ID, HeaderValue::from_str(call_id)?);
    }
    if !invocation.host.is_empty() && !headers.contains_key(&FORWARDED_HOST) {
        headers.insert(FORWARDED_HOST, HeaderValue::from_str(&invocation.host)?);
    }
    Ok(request)
}

/// Reads a whole body, and keeps so much of it. Says whether there was more.
async fn read(mut body: Incoming, most: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut kept = BytesMut::new();
    let mut more = false;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = (most - kept.len()).min(data.len());
            kept.extend_from_slice(&data[..room]);
            more |= room < data.len();
        }
    }
    Ok((kept.freeze(), more))
}
