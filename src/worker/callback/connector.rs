//! Connects to where a URL leads, as far as the guard permits: it judges the very address that is
//! connected to, after the name was resolved, so that no name and no odd way of writing an address
//! leads past it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tower_service::Service;

use super::PostError;
use super::guard::Guard;
use super::target::Target;
use crate::config::Callbacks;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// Makes one connection.
#[derive(Clone)]
pub struct Connector {
    guard: Guard,
    timeout: Duration,
    target: Target,
}

impl Connector {
    /// A connector to `target`.
    pub fn new(settings: &Callbacks, target: Target) -> Self {
        Self {
            guard: Guard::new(settings),
            timeout: settings.timeout,
            target,
        }
    }

    /// Tries the addresses one after the other. Each has its share of the time, and one share is
    /// left for the post, so that a dead address does not use up what a living one needs.
    pub async fn connect(self) -> Result<TokioIo<TcpStream>, PostError> {
        let addresses = self.permitted().await?;
        let share = self.timeout / (addresses.len() as u32 + 1);
        let mut why = String::new();
        for address in addresses {
            why = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
        }
        Err(PostError::Unconnected {
            host: self.target.place().to_owned(),
            why,
        })
    }

    /// The addresses of the host that the guard permits, at least one.
    async fn permitted(&self) -> Result<Vec<SocketAddr>, PostError> {
        let host = self.target.host.clone();
        let found = lookup_host((self.target.host.as_str(), self.target.port)).await;
        let found: Vec<SocketAddr> = match found {
            Ok(found) => found.collect(),
            Err(error) => {
                let why = error.to_string();
                return Err(PostError::Unresolved { host, why });
            }
        };
        let permitted = found
            .iter()
            .filter(|address| self.guard.permits(address.ip()));
        let permitted: Vec<SocketAddr> = permitted.take(ADDRESSES).copied().collect();
        if permitted.is_empty() {
            let literal = self.target.is_literal();
            return Err(PostError::Refused { host, literal });
        }
        Ok(permitted)
    }
}

/// What [`hyper_rustls`] puts TLS on.
impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = PostError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, PostError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PostError>> {
        Poll::Ready(Ok(()))
    }

    /// The URL is the target's.
    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}
