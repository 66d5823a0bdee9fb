//! What stands before the proxy: a cap on client connections, and a deadline for request heads.
//!
//! Pingora bounds neither: a client that sends one byte of a header now and then would hold a
//! connection for good.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::time::{Sleep, sleep};

use super::Proxy;
use super::upstream::limit;
use crate::gateway::Gateway;

/// Requests on one connection: no limit in practice, but Pingora counts down from it, and so a new
/// connection can be told from a kept one.
const REUSES: u32 = u32::MAX;

thread_local! {
    /// Set once the head of a request has been read in the poll that is going on.
    static HEAD_READ: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the head has been read, so that its deadline does not end the call.
pub fn head_read() {
    HEAD_READ.set(true);
}

/// See the module.
pub struct Guard {
    inner: Arc<HttpProxy<Proxy>>,
    gateway: Arc<Gateway>,
    options: HttpServerOptions,
    max_connections: usize,
    connections: Arc<AtomicUsize>,
}

impl Guard {
    /// Guards `inner`, and keeps the count of its connections.
    pub fn new(
        inner: HttpProxy<Proxy>,
        gateway: Arc<Gateway>,
        mut options: HttpServerOptions,
        max_connections: usize,
        connections: Arc<AtomicUsize>,
    ) -> Self {
        options.keepalive_request_limit = Some(REUSES);
        Self {
            inner: Arc::new(inner),
            gateway,
            options,
            max_connections,
            connections,
        }
    }

    /// When the head of the next request is due. HTTP/2 sees to it by itself.
    fn deadline(&self, session: &ServerSession) -> Deadline {
        let timeouts = self.gateway.registry.current().config.timeouts;
        let Some(read) = limit(timeouts.read).filter(|_| !session.is_http2()) else {
            return Deadline::Met;
        };
        if session.get_keepalive_reuses_remaining() == Some(REUSES) {
            return Deadline::New(Box::pin(sleep(read)));
        }
        // A kept connection may be idle first, and where that ends cannot be seen from here.
        match limit(timeouts.idle) {
            Some(idle) => Deadline::Kept(read + idle, None),
            None => Deadline::Met,
        }
    }
}

#[async_trait]
impl HttpServerApp for Guard {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let Some(_connection) = Connection::count(self) else {
            self.gateway.metrics.connections_refused.inc();
            return None;
        };
        let serving = Serving {
            deadline: self.deadline(&session),
            inner: self.inner.process_new_http(session, shutdown),
        };
        serving.await
    }

    async fn http_cleanup(&self) {
        self.inner.http_cleanup().await;
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.inner.h2_options()
    }
}

/// When a request's head must have been read.
enum Deadline {
    /// It has been read, or nobody minds.
    Met,
    /// On a new connection: a timer.
    New(Pin<Box<Sleep>>),
    /// On a kept connection: so long after it was first waited for. A timer for each request would
    /// cost as much as routing it, so this is looked at when bytes arrive; a client that sends
    /// none is Pingora's to close, after `timeouts.idle`.
    Kept(Duration, Option<Instant>),
}

impl Deadline {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        match self {
            Self::Met => false,
            Self::New(timer) => timer.as_mut().poll(context).is_ready(),
            Self::Kept(limit, since) => since.get_or_insert_with(Instant::now).elapsed() > *limit,
        }
    }
}

/// A connection while its next request is read and served.
struct Serving<F> {
    inner: F,
    deadline: Deadline,
}

impl<F: Future<Output = Option<ReusedHttpStream>> + Unpin> Future for Serving<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        HEAD_READ.set(false);
        let served = Pin::new(&mut self.inner).poll(context);
        if HEAD_READ.get() {
            self.deadline = Deadline::Met;
        }
        if served.is_pending() && self.deadline.is_over(context) {
            return Poll::Ready(None);
        }
        served
    }
}

/// One client connection (one stream, in HTTP/2).
struct Connection<'a>(&'a AtomicUsize);

impl<'a> Connection<'a> {
    fn count(guard: &'a Guard) -> Option<Self> {
        let counted = Self(&guard.connections);
        let before = guard.connections.fetch_add(1, Ordering::Relaxed);
        (before < guard.max_connections).then_some(counted)
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
