//! The hot path: Pingora's phases, each a few lines that say what happens and call the module that
//! does it.

mod admin_bridge;
mod body;
mod context;
mod enqueue;
pub mod guard;
pub mod headers;
pub mod route;
mod upgrade;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use tokio::sync::Semaphore;

use crate::access_log::{AccessLog, Record};
use crate::admin;
use crate::config::{LogFormat, PathPattern};
use crate::error::{Failure, REASON_HEADER};
use crate::function::FunctionName;
use crate::functions::{Function, Lease, PathRule};
use crate::gateway::Gateway;
use crate::scale::{self, Wish};

use admin_bridge::AdminBridge;
use body::Unanswered;
use context::{Call, Target};
use headers::{CALL_ID, START_TIME};
use route::Route;
use upstream::limit;

/// The proxy service's application.
pub struct Proxy {
    gateway: Arc<Gateway>,
    admin: Option<AdminBridge>,
    /// Kilobytes of bodies of asynchronous calls that may be held at once.
    bodies: Semaphore,
    log: AccessLog,
}

impl Proxy {
    /// A proxy for `gateway`. Without a router, the API and the portal live elsewhere.
    pub fn new(gateway: Arc<Gateway>, router: Option<admin::Router>, log: AccessLog) -> Self {
        Self {
            gateway,
            admin: router.map(AdminBridge::new),
            bodies: Semaphore::new(body::KILOBYTES),
            log,
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Call;

    fn new_ctx(&self) -> Call {
        guard::head_read();
        Call::new(&self.gateway)
    }

    /// No modules: the default one compresses, and what a function sends is passed on as it is.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, call: &mut Call) -> Result<()> {
        let timeouts = call.snapshot.config.timeouts;
        let draining = self.gateway.drain.draining();
        let downstream = session.as_downstream_mut();
        downstream.set_read_timeout(limit(timeouts.read));
        downstream.set_write_timeout(limit(timeouts.write));
        downstream.set_pipelining_enabled(true);
        // Where the parser has ruled reuse out, it stays ruled out.
        if downstream.get_keepalive().is_some() {
            let idle = limit(timeouts.idle).map_or(0, |idle| idle.as_secs().max(1));
            downstream.set_keepalive((!draining).then_some(idle));
        }
        call.client = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(|address| address.ip());
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, call: &mut Call) -> Result<bool> {
        let outcome = match check(session) {
            Ok(()) => self.route(session, call).await,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(Routed::Upstream) => Ok(false),
            Ok(Routed::Answered) => Ok(true),
            Err(failure) => {
                respond(session, call, &failure).await?;
                call.failure = Some(failure);
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, call: &mut Call) -> Result<Box<HttpPeer>> {
        call.tries += 1;
        if call.lease.is_none() {
            self.lease_again(call).await?;
        }
        let Some(function) = call.function() else {
            return Err(Error::explain(
                ErrorType::InternalError,
                "no function to call",
            ));
        };
        let timeouts = function.timeouts;
        let silence = if call.stream {
            timeouts.idle
        } else {
            timeouts.upstream
        };
        match &call.lease {
            Some(lease) => {
                let upgrade = session.is_upgrade_req();
                upstream::peer(lease.replica(), timeouts, limit(silence), upgrade)
            }
            None => Err(Error::new(ErrorType::InternalError)),
        }
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        call: &mut Call,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(lease) = call.lease.take() {
            lease.replica().penalize();
            call.refused = Some(Arc::clone(lease.replica()));
        }
        let retry = upstream::may_reconnect(call, &error);
        if retry && let Some(live) = call.counted_on() {
            live.metrics.connect_retries.inc();
        }
        error.set_retry(retry);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        call: &mut Call,
        reused: bool,
    ) -> Box<Error> {
        let body_lost = session.as_ref().retry_buffer_truncated();
        let answered = session.response_written().is_some();
        let retry = upstream::may_resend(&error, reused, body_lost, answered);
        if retry && let Some(live) = call.counted_on() {
            live.metrics.stale_retries.inc();
        }
        error.set_retry(retry);
        error
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        call: &mut Call,
    ) -> Result<()> {
        let Some(lease) = &call.lease else {
            return Err(Error::new(ErrorType::InternalError));
        };
        let replica = lease.replica();
        let trusted = &call.snapshot.config.server.trusted_proxies;
        let authority = replica.authority();
        let forward = |headers: &mut HeaderMap| {
            headers::forward(headers, call.client, trusted, authority);
        };
        match (&call.target, &call.identity) {
            (Target::Function { rest, prefix, .. }, Some(identity)) => {
                headers::edit(request, |headers| {
                    headers::identify(headers, identity);
                    forward(headers);
                });
                rewrite_path(request, replica.base_path(), prefix.as_deref(), *rest)
            }
            // Only functions have an upstream.
            _ => Err(Error::new(ErrorType::InternalError)),
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end: bool,
        call: &mut Call,
    ) -> Result<()> {
        // The session bounds each read; this bounds their sum.
        let read = call.snapshot.config.timeouts.read;
        if !end
            && !call.stream
            && !read.is_zero()
            && call.started.elapsed().saturating_sub(call.waited) > read
        {
            call.failure = Some(Failure::ReadTimeout(read));
            return Err(Error::new_down(ErrorType::ReadTimedout));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        call: &mut Call,
    ) -> Result<()> {
        headers::strip_hop_headers(response);
        if call.cold {
            // Rounded up: who waited at all is not told of 0.
            let waited = (call.waited.as_secs_f64() * 1e3).ceil() as u64;
            response.insert_header(headers::COLD_START, waited)?;
        }
        match &call.identity {
            Some(identity) => headers::finish_response(response, identity),
            None => Ok(()),
        }
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        call: &mut Call,
    ) -> FailToProxy {
        let failure = upstream::failure(call, error);
        tracing::debug!(function = call.function_name(), %error, "call failed");
        let unheard = matches!(failure, Failure::ClientGone | Failure::WriteTimeout(_));
        let mut error_code = 0;
        // Pingora closes the connection after a failed call; the client is told.
        session.set_keepalive(None);
        if !unheard && !answered(session) && respond(session, call, &failure).await.is_ok() {
            error_code = failure.status().as_u16();
        }
        call.failure = Some(failure);
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, call: &mut Call) {
        let status = status(session, call);
        let duration = call.started.elapsed();
        let seconds = duration.saturating_sub(call.waited).as_secs_f64();
        if let Some(live) = call.counted_on() {
            live.metrics.count(status, seconds);
        }
        if call.queued {
            let path = "/async-function/{name}";
            let (metrics, seconds) = (&self.gateway.metrics, duration.as_secs_f64());
            metrics.api_request(Method::POST.as_str(), path, status, seconds);
        }
        self.notice_unknown(call, status);
        self.log_access(session, call, status, duration);
    }

    /// The access log says it all; the details are in our own debug log.
    fn suppress_error_log(&self, _session: &Session, _call: &Call, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _call: &Call,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// What became of a request in routing.
enum Routed {
    /// It goes to a function or to the provider.
    Upstream,
    /// It has been answered.
    Answered,
}

impl Proxy {
    async fn route(&self, session: &mut Session, call: &mut Call) -> Result<Routed, Failure> {
        let uri = session.req_header().uri.clone();
        let path = uri.path();
        if let Some((function, prefix)) = own_route(session, call, path) {
            call.identify(session.req_header());
            return self.call(session, call, function, 0, prefix).await;
        }
        if let Some(clean) = route::cleaned(path) {
            return redirect(session, call, &clean, uri.query()).await;
        }
        match route::parse(path) {
            Route::Function { name, rest } => {
                call.identify(session.req_header());
                let function = self.find(call, &name).await?;
                let rest = match function.path {
                    PathRule::Trimmed => rest,
                    PathRule::Whole => 0,
                };
                self.call(session, call, function, rest, None).await
            }
            Route::AsyncFunction { .. } if session.req_header().method != Method::POST => {
                Err(Failure::MethodNotAllowed)
            }
            Route::AsyncFunction { name, rest } => {
                call.identify(session.req_header());
                call.queued = true;
                let function = self.find_known(call, &name).await?;
                let room = &self.bodies;
                let enqueued = enqueue::enqueue(session, call, function, rest, room).await;
                self.answered(call, path, enqueued)
            }
            Route::Nowhere => Err(Failure::NoRoute),
            Route::System | Route::Ui | Route::Health | Route::Root => {
                self.administer(session, call, path).await
            }
        }
    }

    /// The function of a name; a call to a name nobody knows is counted without it.
    async fn find(&self, call: &mut Call, name: &str) -> Result<Arc<Function>, Failure> {
        if let Some(function) = call.snapshot.function(name) {
            return Ok(Arc::clone(function));
        }
        if let Some(fallback) = &call.snapshot.fallback {
            if !call.snapshot.direct() {
                return Ok(Arc::clone(fallback));
            }
            let bound = limit(fallback.timeouts.upstream).unwrap_or(Duration::from_secs(10));
            if let Some(function) = self.gateway.registry.adopt(name, bound).await {
                return Ok(function);
            }
        }
        call.count_on(&Arc::clone(&call.snapshot.unknown));
        call.target = Target::Missing { name: name.into() };
        // A name that is called directly is a host name: what is missing is its address.
        Err(match call.snapshot.fallback {
            Some(_) => Failure::ConnectFailed,
            None => Failure::NoFunction,
        })
    }

    /// The function of a name, which has to be there: a call that is made later is not found missing
    /// by its caller any more.
    async fn find_known(&self, call: &mut Call, name: &str) -> Result<Arc<Function>, Failure> {
        if let Some(function) = call.snapshot.function(name) {
            return Ok(Arc::clone(function));
        }
        call.target = Target::Missing { name: name.into() };
        let namespace = call.snapshot.config.default_namespace();
        let name = FunctionName::parse(name, namespace).map_err(|_| Failure::NoFunction)?;
        let found = self.gateway.find(&call.snapshot, &name).await;
        found.ok_or(Failure::NoFunction)
    }

    /// Gets a place on the function: at once where one is free, otherwise in line.
    async fn call(
        &self,
        session: &mut Session,
        call: &mut Call,
        function: Arc<Function>,
        rest: usize,
        prefix: Option<Box<str>>,
    ) -> Result<Routed, Failure> {
        let request = session.req_header();
        call.stream = session.is_upgrade_req() || wants_stream(request);
        call.target = Target::Function {
            function: Arc::clone(&function),
            rest,
            prefix,
        };
        call.lease = match function.try_lease(None) {
            Some(lease) => Some(lease),
            None => Some(self.wait(session, call, &function).await?),
        };
        call.count_on(&function.live);
        Ok(Routed::Upstream)
    }

    async fn wait(
        &self,
        session: &mut Session,
        call: &mut Call,
        function: &Arc<Function>,
    ) -> Result<Lease, Failure> {
        let snapshot = Arc::clone(&call.snapshot);
        let begun = Instant::now();
        let Gateway {
            registry, waker, ..
        } = &*self.gateway;
        let wish = Wish {
            scale: &snapshot.config.scale,
            wakes: may_wake(session.req_header()),
            avoid: None,
        };
        let waiting = scale::acquire(registry, waker, function, &wish);
        let downstream = session.as_downstream_mut();
        let acquired = if downstream.is_body_empty() {
            tokio::select! {
                acquired = waiting => acquired,
                // A request with a body still to come cannot be watched without reading it.
                _ = downstream.read_body_or_idle(true) => Err(Failure::ClientGone),
            }
        } else {
            waiting.await
        };
        call.waited = begun.elapsed();
        let acquired = acquired?;
        if acquired.cold {
            call.cold = true;
            let seconds = call.waited.as_secs_f64();
            function.live.metrics.cold_start(seconds);
        }
        Ok(acquired.lease)
    }

    /// Another replica after one has refused; the same one, a little later, if there is no other.
    async fn lease_again(&self, call: &mut Call) -> Result<()> {
        let lease = match call.function().cloned() {
            Some(function) => self.other_lease(&function, call).await,
            None => Err(Failure::Internal),
        };
        call.lease = Some(lease.map_err(|failure| {
            call.failure = Some(failure);
            Error::new(ErrorType::InternalError)
        })?);
        Ok(())
    }

    async fn other_lease(
        &self,
        function: &Arc<Function>,
        call: &mut Call,
    ) -> Result<Lease, Failure> {
        let refused = call.refused.take();
        if function.replicas.len() < 2 {
            tokio::time::sleep(Duration::from_millis(1 << call.tries.min(6))).await;
        }
        if call.counted_on().is_none() || function.path == PathRule::Whole {
            // The provider itself is called; the registry does not know it by a name.
            return function
                .try_lease(refused.as_ref())
                .ok_or(Failure::ConnectFailed);
        }
        let Gateway {
            registry, waker, ..
        } = &*self.gateway;
        let wish = Wish {
            scale: &call.snapshot.config.scale,
            wakes: true,
            avoid: refused.as_ref(),
        };
        let acquired = scale::acquire(registry, waker, function, &wish).await?;
        Ok(acquired.lease)
    }

    /// The API and the portal.
    async fn administer(
        &self,
        session: &mut Session,
        call: &mut Call,
        path: &str,
    ) -> Result<Routed, Failure> {
        let Some(bridge) = &self.admin else {
            return Err(Failure::NoRoute);
        };
        let answered = bridge.answer(session, call).await;
        self.answered(call, path, answered)
    }

    /// What became of a request that the gateway answers itself.
    fn answered(
        &self,
        call: &mut Call,
        path: &str,
        answered: Result<(), Unanswered>,
    ) -> Result<Routed, Failure> {
        match answered {
            Ok(()) => Ok(Routed::Answered),
            Err(Unanswered::Failure(failure)) => Err(failure),
            Err(Unanswered::Broken(error)) => {
                tracing::debug!(%error, path, "client went away");
                call.failure = Some(Failure::ClientGone);
                Ok(Routed::Answered)
            }
        }
    }

    /// Somebody answered under a name that is not listed, or could not: it may have been deployed
    /// meanwhile, and sleep.
    fn notice_unknown(&self, call: &Call, status: u16) {
        if let Some(live) = call.counted_on()
            && Arc::ptr_eq(live, &call.snapshot.unknown)
            && !(400..500).contains(&status)
        {
            self.gateway.provider.refresh();
        }
    }

    fn log_access(&self, session: &Session, call: &Call, status: u16, duration: Duration) {
        let format = call.snapshot.config.access_log.format;
        if format == LogFormat::Off {
            return;
        }
        let request = session.req_header();
        self.log.log(Record {
            format,
            time: call.time,
            client: call.client,
            call_id: call.identity.as_ref().map(|identity| identity.id.clone()),
            method: request.method.clone(),
            uri: request.uri.clone(),
            function: match &call.target {
                Target::Function { function, .. } => Some(Arc::clone(function)),
                _ => None,
            },
            status,
            bytes_in: session.body_bytes_read(),
            bytes_out: session.body_bytes_sent(),
            duration,
            waited: call.waited,
            retries: call.tries.saturating_sub(1),
            reason: call.failure.as_ref().map(Failure::reason),
        });
    }
}

/// What the parser lets pass and a gateway must not (RFC 9112, sections 3.2 and 6).
fn check(session: &mut Session) -> Result<(), Failure> {
    let request = session.req_header_mut();
    match request.headers.get(header::HOST) {
        Some(host) if !host.as_bytes().iter().all(is_host_byte) => {
            return Err(Failure::BadRequest("the Host header is not a host"));
        }
        None if request.version == Version::HTTP_11 => {
            return Err(Failure::BadRequest(
                "an HTTP/1.1 request needs a Host header",
            ));
        }
        _ => {}
    }
    let mut encodings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (!encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some())
    {
        return Err(Failure::BadRequest(
            "the only transfer encoding taken is chunked",
        ));
    }
    if !request.raw_path_is_utf8() {
        return Err(Failure::BadRequest("the path is not percent-encoded UTF-8"));
    }
    if request.raw_path().first() != Some(&b'/') {
        to_origin_form(request)?;
    }
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(first), Some(_)) = (lengths.next(), lengths.next()) {
        // Equal ones, or the parser would have refused them: one is enough for the function.
        let first = first.clone();
        request
            .insert_header(header::CONTENT_LENGTH, first)
            .map_err(|_| Failure::Internal)?;
    }
    // Pingora copies the head for the function: without the names' case that is half the work.
    headers::edit(request, |_| {});
    Ok(())
}

/// Turns `GET http://host/path` into `GET /path` for that host, which is what it means (RFC 9112,
/// section 3.2.2). No other form but the path itself is for a gateway.
fn to_origin_form(request: &mut RequestHeader) -> Result<(), Failure> {
    const NO_PATH: Failure = Failure::BadRequest("the request target is not a path");
    let target = request.raw_path();
    let is_http = |scheme: &&[u8]| {
        let start = target.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let schemes = [&b"http://"[..], b"https://"];
    let scheme = schemes
        .iter()
        .find(|scheme| is_http(scheme))
        .ok_or(NO_PATH)?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    let host = HeaderValue::from_bytes(&rest[..end.unwrap_or(rest.len())]).map_err(|_| NO_PATH)?;
    // Pingora keeps the path of such a target apart.
    let path = request
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let path = path.to_owned();
    request.set_raw_path(path.as_bytes()).map_err(|_| NO_PATH)?;
    request
        .insert_header(header::HOST, host)
        .map_err(|_| NO_PATH)
}

/// What a host and port can consist of (RFC 3986, section 3.2.2).
fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte)
}

/// The first of the own host and path rules that fits. Rules without a host never hide the
/// gateway's own paths.
fn own_route(
    session: &Session,
    call: &Call,
    path: &str,
) -> Option<(Arc<Function>, Option<Box<str>>)> {
    let routes = &call.snapshot.routes;
    if routes.is_empty() {
        return None;
    }
    let request = session.req_header();
    let host = request
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri.host())
        .unwrap_or_default();
    let host = without_port(host);
    let own_path = !matches!(route::parse(path), Route::Nowhere | Route::Root);
    let fits = |route: &&crate::functions::Route| {
        let host_fits = match &route.host {
            Some(wanted) => wanted.eq_ignore_ascii_case(host),
            None => !own_path,
        };
        host_fits
            && match &route.path {
                PathPattern::Exact(exact) => path == exact,
                PathPattern::Prefix(prefix) => path
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            }
    };
    let function = routes.iter().find(fits)?.function.clone()?;
    let prefix = match function.path {
        PathRule::Trimmed => None,
        PathRule::Whole => Some(format!("/function/{}", function.key).into()),
    };
    Some((function, prefix))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request is a call, for which a function is woken. A preflight (Fetch standard, section
/// 4.8) and a health check (users.md section 5) only ask.
fn may_wake(request: &RequestHeader) -> bool {
    let path = request.uri.path();
    let asks = ["/_/health", "/_/ready"]
        .iter()
        .any(|end| path.ends_with(end));
    request.method != Method::OPTIONS && !asks
}

/// Whether the caller announces that it will listen for long (wire.md section 2.6).
fn wants_stream(request: &RequestHeader) -> bool {
    request.headers.get(header::ACCEPT).is_some_and(|accept| {
        let accept = accept.as_bytes();
        [&b"text/event-stream"[..], b"application/x-ndjson"]
            .iter()
            .any(|kind| accept.windows(kind.len()).any(|part| part == *kind))
    })
}

/// The path the replica sees: base, prefix, and the caller's path from `rest` on, byte for byte.
fn rewrite_path(
    request: &mut RequestHeader,
    base: &str,
    prefix: Option<&str>,
    rest: usize,
) -> Result<()> {
    let raw = request.raw_path();
    let tail = raw.get(rest..).unwrap_or_default();
    if base.is_empty() && prefix.is_none() && rest == 0 {
        return Ok(());
    }
    let mut path = Vec::with_capacity(base.len() + prefix.map_or(0, str::len) + tail.len() + 1);
    path.extend_from_slice(base.as_bytes());
    path.extend_from_slice(prefix.unwrap_or_default().as_bytes());
    if path.is_empty() && tail.first() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(tail);
    request.set_raw_path(&path)
}

fn answered(session: &Session) -> bool {
    session
        .response_written()
        .is_some_and(|response| !response.status.is_informational() || response.status == 101)
}

fn status(session: &Session, call: &Call) -> u16 {
    match (session.response_written(), &call.failure) {
        (Some(response), _) if answered(session) => response.status.as_u16(),
        (_, Some(failure)) => failure.status().as_u16(),
        (_, None) => 499,
    }
}

async fn redirect(
    session: &mut Session,
    call: &Call,
    path: &str,
    query: Option<&str>,
) -> Result<Routed, Failure> {
    let location = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let written = async {
        let mut response = ResponseHeader::build(301, Some(2))?;
        response.insert_header(header::LOCATION, location)?;
        response.insert_header(header::CONTENT_LENGTH, 0)?;
        session
            .write_response_header(Box::new(response), true)
            .await
    };
    match written.await {
        Ok(()) => Ok(Routed::Answered),
        Err(error) => {
            tracing::debug!(%error, call_id = call.call_id(), "cannot redirect");
            Ok(Routed::Answered)
        }
    }
}

/// Answers with a failure: the one place where the gateway speaks for itself.
async fn respond(session: &mut Session, call: &Call, failure: &Failure) -> Result<()> {
    let body = failure.body(call.function_name(), call.call_id());
    let mut response = ResponseHeader::build(failure.status(), Some(8))?;
    response.insert_header(header::CONTENT_TYPE, "application/json")?;
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(REASON_HEADER, failure.reason())?;
    if let Some(seconds) = failure.retry_after() {
        response.insert_header(header::RETRY_AFTER, seconds)?;
    }
    if let Some(method) = failure.allow() {
        response.insert_header(header::ALLOW, method)?;
    }
    if let Some(identity) = &call.identity {
        response.insert_header(CALL_ID, identity.id.clone())?;
        response.insert_header(START_TIME, identity.start_time.clone())?;
    }
    session
        .write_response_header(Box::new(response), false)
        .await?;
    session
        .write_response_body(Some(Bytes::from(body)), true)
        .await
}
