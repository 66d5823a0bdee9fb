//! What stands before the proxy: a cap on client connections, and a deadline for request heads.
//!
//! Pingora bounds neither: a client that sends one byte of a header now and then would hold a
//! connection for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::prelude::sleep;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::Proxy;
use super::upstream::limit;
use crate::gateway::Gateway;

/// Requests on one connection: no limit in practice, but Pingora counts down from it, and so a new
/// connection can be told from a kept one.
const REUSES: u32 = u32::MAX;

tokio::task_local! {
    /// Set once the head of the request that this task serves has been read.
    static HEAD_READ: Arc<AtomicBool>;
}

/// Notes that the head has been read, so that its deadline does not end the call.
pub fn head_read() {
    // Outside of a guard (the deadline does not apply to HTTP/2) there is nothing to note.
    let _ = HEAD_READ.try_with(|read| read.store(true, Ordering::Relaxed));
}

/// See the module.
pub struct Guard {
    inner: Arc<HttpProxy<Proxy>>,
    gateway: Arc<Gateway>,
    options: HttpServerOptions,
    max_connections: usize,
    connections: AtomicUsize,
}

impl Guard {
    /// Guards `inner`.
    pub fn new(
        inner: HttpProxy<Proxy>,
        gateway: Arc<Gateway>,
        mut options: HttpServerOptions,
        max_connections: usize,
    ) -> Self {
        options.keepalive_request_limit = Some(REUSES);
        Self {
            inner: Arc::new(inner),
            gateway,
            options,
            max_connections,
            connections: AtomicUsize::new(0),
        }
    }

    /// Longest wait for a head. A kept connection may be idle first, and where that ends cannot be
    /// seen from here, so it is the sum of both limits.
    fn head_deadline(&self, session: &ServerSession) -> Option<Duration> {
        let timeouts = self.gateway.registry.current().config.timeouts;
        let read = limit(timeouts.read)?;
        if session.get_keepalive_reuses_remaining() == Some(REUSES) {
            return Some(read);
        }
        Some(read + limit(timeouts.idle)?)
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
        let deadline = self.head_deadline(&session);
        let (false, Some(deadline)) = (session.is_http2(), deadline) else {
            return self.inner.process_new_http(session, shutdown).await;
        };
        let read = Arc::new(AtomicBool::new(false));
        let serving = HEAD_READ.scope(
            Arc::clone(&read),
            self.inner.process_new_http(session, shutdown),
        );
        let overdue = async {
            sleep(deadline).await;
            if read.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            reused = serving => reused,
            () = overdue => None,
        }
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
