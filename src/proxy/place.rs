//! A place on the function for a call: at once where one is free, otherwise in line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::context::{Call, Target};
use super::{Proxy, Routed};
use crate::error::Failure;
use crate::functions::{Function, Lease, PathRule};
use crate::gateway::Gateway;
use crate::scale::{self, Wish};

impl Proxy {
    /// Gets a place on the function: at once where one is free, otherwise in line.
    pub(super) async fn call(
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
    pub(super) async fn lease_again(&self, call: &mut Call) -> Result<()> {
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
