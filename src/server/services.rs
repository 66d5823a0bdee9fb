//! What Pingora runs for us: the proxy on a bound listener, and background tasks.

use std::future::Future;
use std::os::fd::IntoRawFd;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use tokio::sync::watch;

use super::listeners::Bound;
use super::runtimes::Place;
use crate::admin;
use crate::proxy::guard::Guard;

/// Work that ends by itself or with the process.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves a router on a port of its own.
pub fn http(bound: Bound, router: admin::Router) -> Task {
    Box::pin(async move {
        let served = match tokio::net::TcpListener::from_std(bound.listener) {
            Ok(listener) => admin::serve(listener, router).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::error!(%error, address = %bound.address, "stopped serving");
        }
    })
}

/// The proxy on a listener that is bound already, under a stop signal of our own: Pingora's closes
/// the listener at once, before load balancers have noticed the end.
pub struct ProxyService {
    /// What it is called, and where it says that it has begun.
    pub place: Place,
    /// Taken when the service starts.
    pub bound: Option<Bound>,
    /// Pingora's part.
    pub inner: ListeningService<Guard>,
    /// Turns true when nothing more is to be accepted.
    pub stop: watch::Receiver<bool>,
    /// How many serve it.
    pub threads: usize,
}

#[async_trait]
impl Service for ProxyService {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        let (Some(bound), Some(fds)) = (self.bound.take(), fds) else {
            return;
        };
        let address = bound.address.to_string();
        fds.lock()
            .add(address.clone(), bound.listener.into_raw_fd());
        // Heads and bodies have buffers of their own: another 64 KiB in front of them would be
        // copied from once more, and be what a thousand idle connections cost.
        let buffers = L4BufferSettings::default().read(0);
        self.inner
            .add_listener(ListenerConfig::tcp(&address).l4_buffer(buffers));
        let _serving = self.place.begin();
        self.inner
            .start_service(Some(fds), self.stop.clone(), listeners_per_fd)
            .await;
    }

    fn name(&self) -> &str {
        self.place.name()
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }
}

/// A task with a runtime of its own.
pub struct Background {
    place: Place,
    threads: usize,
    // Only ever taken once; the lock makes the task shareable as the trait asks.
    task: Mutex<Option<Task>>,
}

impl Background {
    /// A service around `task`.
    pub fn new(place: Place, threads: usize, task: Task) -> Self {
        Self {
            place,
            threads,
            task: Mutex::new(Some(task)),
        }
    }
}

#[async_trait]
impl Service for Background {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        _listeners_per_fd: usize,
    ) {
        let _serving = self.place.begin();
        let task = self.task.get_mut();
        if let Some(task) = task.unwrap_or_else(PoisonError::into_inner).take() {
            task.await;
        }
    }

    fn name(&self) -> &str {
        self.place.name()
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }
}
