//! Who may use the API and the portal (wire.md section 8): basic authentication or an external
//! check, a limit on guessing, and no call that another site makes in the name of a browser.

mod client;
mod lockout;
mod origin;
mod plugin;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::Client;
use crate::credentials::names_a_user;
use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;

pub use origin::same_origin;

use lockout::Lockout;
use plugin::Plugin;

/// What authentication keeps between requests.
pub struct Auth {
    gateway: Arc<Gateway>,
    lockout: Lockout,
    plugin: Plugin,
}

impl Auth {
    /// Guards the API of `gateway`.
    pub fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            lockout: Lockout::default(),
            plugin: Plugin::default(),
        })
    }

    async fn check(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Response> {
        let snapshot = self.gateway.registry.current();
        let config = &snapshot.config;
        let Some(own) = self.gateway.credentials.load_full() else {
            let address = config.admin.listen.unwrap_or(config.server.listen);
            return origin::check_host(headers, address).map_err(IntoResponse::into_response);
        };
        if let Some(url) = &config.admin.auth_proxy_url {
            let limit = config.timeouts.upstream;
            return self.plugin.ask(url, headers, limit).await;
        }
        // Who brings none, or a token as clients do that never logged in, does not guess.
        let given = headers.get(header::AUTHORIZATION);
        let Some(given) = given.filter(|given| names_a_user(given)) else {
            return Err(unauthorized());
        };
        let client = client::address(peer, headers, &config.server.trusted_proxies);
        if let Err(wait) = self.lockout.admits(client) {
            return Err(locked_out(wait.as_secs().max(1)));
        }
        if own.check(Some(given)) {
            self.lockout.succeeded(client);
            return Ok(());
        }
        self.gateway.metrics.auth_failures.inc();
        self.lockout.failed(client);
        Err(unauthorized())
    }
}

/// Lets a request pass that may.
pub async fn require(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Client>>();
    let peer = peer.and_then(|ConnectInfo(Client(address))| *address);
    match auth.check(request.headers(), peer).await {
        Ok(()) => next.run(request).await,
        Err(refused) => refused,
    }
}

fn unauthorized() -> Response {
    let headers = [
        (header::WWW_AUTHENTICATE, r#"Basic realm="Restricted""#),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (StatusCode::UNAUTHORIZED, headers, "invalid credentials").into_response()
}

fn locked_out(seconds: u64) -> Response {
    let refusal = Refusal::new(
        Cause::TooManyFailures,
        format!("too many wrong credentials came from this address: try again in {seconds} s"),
    );
    ([(header::RETRY_AFTER, seconds.to_string())], refusal).into_response()
}

/// A header as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
