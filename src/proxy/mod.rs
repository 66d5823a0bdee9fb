//! The hot path: Pingora's phases, each a few lines that say what happens and call the module that
//! does it.

mod admin_bridge;
mod answer;
mod body;
mod check;
mod context;
mod enqueue;
mod find;
pub mod guard;
pub mod headers;
mod place;
mod upgrade;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use tokio::sync::Semaphore;

use crate::access_log::{AccessLog, Record};
use crate::admin;
use crate::config::LogFormat;
use crate::error::Failure;
use crate::functions::PathRule;
use crate::functions::path::{self, Destination};
use crate::gateway::Gateway;
use crate::metrics::ERROR;

use admin_bridge::AdminBridge;
use answer::{answered, redirect, respond, status};
use body::Unanswered;
use context::{Call, Target};
use find::own_route;
use upstream::{limit, rewrite_path};

/// The proxy service's application.
pub struct Proxy {
    gateway: Arc<Gateway>,
    admin: Option<AdminBridge>,
    /// Whether this is the API's own address, which functions share as guests only.
    apart: bool,
    /// Kilobytes of bodies of asynchronous calls that may be held at once.
    bodies: Arc<Semaphore>,
    log: AccessLog,
}

impl Proxy {
    /// A proxy for the functions of `gateway`.
    pub fn new(gateway: Arc<Gateway>, log: AccessLog) -> Self {
        Self {
            gateway,
            admin: None,
            apart: false,
            bodies: Arc::new(Semaphore::new(body::KILOBYTES)),
            log,
        }
    }

    /// The same with the API and the portal. Both share the bound of bodies. `apart`: at an address of
    /// the API's own.
    pub fn with_admin(&self, router: admin::Router, apart: bool) -> Self {
        Self {
            gateway: Arc::clone(&self.gateway),
            admin: Some(AdminBridge::new(router)),
            apart,
            bodies: Arc::clone(&self.bodies),
            log: self.log.clone(),
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
        let outcome = match check::check(session) {
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
        if self.apart {
            // The API trusts pages of its own origin: what a function sends must not become one.
            response.append_header(header::CONTENT_SECURITY_POLICY, "sandbox")?;
        }
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
        if let Some(failure) = &call.failure {
            note_rejected(call, failure);
        }
        if status >= ERROR {
            note_error(call, status);
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

/// Counts a call that failed on its function: also one that never got a place on it, which no other
/// metric counts.
fn note_rejected(call: &Call, failure: &Failure) {
    let live = call.function().map(|function| &function.live);
    if let Some(live) = call.counted_on().or(live) {
        live.metrics.reject(failure.reason());
    }
}

/// Has the function remember a call that failed, also one that never got a place on it. That a call
/// could not be queued is no fault of its function's.
fn note_error(call: &Call, status: u16) {
    if let Some(function) = call.function().filter(|_| !call.queued) {
        let reason = call.failure.as_ref().map(Failure::reason);
        let last_error = &function.live.last_error;
        last_error.note(status, reason, call.call_id());
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
        // Own domains and paths are public ones: none of them takes a path of the API's own address.
        if !self.apart
            && let Some((function, prefix)) = own_route(session, call, path)
        {
            call.identify(session.req_header());
            return self.call(session, call, function, 0, prefix).await;
        }
        if let Some(clean) = path::cleaned(path) {
            return Ok(redirect(session, call, &clean, uri.query()).await);
        }
        match path::parse(path) {
            Destination::Function { name, rest } => {
                call.identify(session.req_header());
                let function = self.find(call, &name).await?;
                let rest = match function.path {
                    PathRule::Trimmed => rest,
                    PathRule::Whole => 0,
                };
                self.call(session, call, function, rest, None).await
            }
            Destination::AsyncFunction { .. } if session.req_header().method != Method::POST => {
                Err(Failure::MethodNotAllowed)
            }
            Destination::AsyncFunction { name, rest } => {
                self.enqueue(session, call, path, &name, rest).await
            }
            Destination::Nowhere => Err(Failure::NoRoute),
            Destination::System | Destination::Ui | Destination::Health | Destination::Root => {
                self.administer(session, call, path).await
            }
        }
    }

    /// A call that is made later.
    async fn enqueue(
        &self,
        session: &mut Session,
        call: &mut Call,
        path: &str,
        name: &str,
        rest: usize,
    ) -> Result<Routed, Failure> {
        call.identify(session.req_header());
        call.queued = true;
        let function = self.find_known(call, name).await?;
        let enqueued = enqueue::enqueue(session, call, function, rest, &self.bodies).await;
        self.answered(call, path, enqueued)
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
        let trusted = &call.snapshot.config.server.trusted_proxies;
        let caller = |peer| admin::caller(peer, &request.headers, trusted);
        self.log.log(Record {
            format,
            time: call.time,
            client: call.client.map(caller),
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
