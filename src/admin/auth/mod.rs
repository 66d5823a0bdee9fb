//! Who may use the API: basic authentication or an external check (wire.md section 8), a limit to
//! guessing, and nothing that another site does in the name of a browser.

mod auth_proxy;
mod browser;
mod guesses;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use super::client;
use crate::config::Config;
use crate::credentials::{Credentials, has_password};
use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;
use auth_proxy::{AuthProxy, Verdict};
use guesses::Guesses;

use browser::is_same_origin;

/// What stands in front of the API and the portal.
pub struct Door {
    gateway: Arc<Gateway>,
    auth_proxy: AuthProxy,
    guesses: Guesses,
    /// Whether only this machine reaches the API.
    loopback: bool,
}

/// Why a request may not pass.
enum Denial {
    /// It carries no password, or a wrong one.
    Unauthorized,
    /// The external check says so, with this answer.
    AuthProxy(Box<Response>),
    /// The external check says nothing.
    NoAuthProxy,
    /// Its address has been wrong too often, and may try again after this time.
    TooManyFailures(Duration),
    /// It was sent to a name that anybody may have made up.
    BadHost,
}

impl Door {
    /// A door for a gateway that is about to start: the addresses of its configuration are those
    /// it will listen on.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let loopback = gateway.registry.current().config.api_is_local();
        Self {
            gateway,
            auth_proxy: AuthProxy::default(),
            guesses: Guesses::default(),
            loopback,
        }
    }

    async fn admit(&self, head: &Parts) -> Result<(), Denial> {
        let Some(credentials) = self.gateway.credentials.load_full() else {
            // Where a password is asked for, a browser has none for a name that is not ours.
            let stray = self.loopback && !browser::is_for_this_machine(head);
            return if stray { Err(Denial::BadHost) } else { Ok(()) };
        };
        let snapshot = self.gateway.registry.current();
        let config = &snapshot.config;
        // Who sends no password does not guess.
        if !has_password(&head.headers) {
            return self.check(&credentials, head, config).await;
        }
        let client = client::address(head, &config.server.trusted_proxies);
        if let Some(wait) = self.guesses.wait(client, Instant::now()) {
            self.gateway.metrics.auth_failures.inc();
            return Err(Denial::TooManyFailures(wait));
        }
        let outcome = self.check(&credentials, head, config).await;
        self.learn(client, &outcome, config);
        outcome
    }

    /// Asks the external check if there is one, and compares the password itself otherwise.
    async fn check(
        &self,
        credentials: &Credentials,
        head: &Parts,
        config: &Config,
    ) -> Result<(), Denial> {
        let Some(url) = &config.admin.auth_proxy_url else {
            let right = credentials.check(head.headers.get(header::AUTHORIZATION));
            return if right {
                Ok(())
            } else {
                Err(Denial::Unauthorized)
            };
        };
        let limit = config.timeouts.upstream;
        match self.auth_proxy.ask(url, &head.headers, limit).await {
            Some(Verdict::Admitted) => Ok(()),
            Some(Verdict::Refused(answer)) => Err(Denial::AuthProxy(Box::new(answer))),
            None => Err(Denial::NoAuthProxy),
        }
    }

    fn learn(&self, client: Option<IpAddr>, outcome: &Result<(), Denial>, config: &Config) {
        match outcome {
            // The external check may know many users: one's success says nothing of guesses at
            // another's password.
            Ok(()) if config.admin.auth_proxy_url.is_none() => self.guesses.right(client),
            Err(denial) if denial.is_wrong_password() => {
                self.guesses.wrong(client, Instant::now());
                self.gateway.metrics.auth_failures.inc();
            }
            _ => {}
        }
    }
}

impl Denial {
    fn is_wrong_password(&self) -> bool {
        match self {
            Self::Unauthorized => true,
            Self::AuthProxy(answer) => answer.status() == StatusCode::UNAUTHORIZED,
            Self::NoAuthProxy | Self::TooManyFailures(_) | Self::BadHost => false,
        }
    }
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                let headers = [
                    (header::WWW_AUTHENTICATE, r#"Basic realm="Restricted""#),
                    (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                ];
                (StatusCode::UNAUTHORIZED, headers, "invalid credentials").into_response()
            }
            Self::AuthProxy(answer) => *answer,
            Self::NoAuthProxy => Refusal::new(
                Cause::AuthProxyFailed,
                "the authentication service did not answer; the gateway's log says why",
            )
            .into_response(),
            Self::TooManyFailures(wait) => {
                let message =
                    "too many wrong passwords came from this address, wait before the next one";
                let mut response = Refusal::new(Cause::TooManyFailures, message).into_response();
                // Rounded up: a second too early would be in vain.
                let seconds = HeaderValue::from(wait.as_secs() + 1);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
            Self::BadHost => Refusal::new(
                Cause::BadHost,
                "without a password the API is for this machine only: call it at localhost or \
                 127.0.0.1, or switch admin.basic_auth on",
            )
            .into_response(),
        }
    }
}

/// Lets a request pass that the [`Door`] is open to.
pub async fn require(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match door.admit(&head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(denial) => denial.into_response(),
    }
}

/// Refuses what a page of another origin sends: browsers attach basic credentials by themselves.
pub async fn same_origin(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    let message = "this call comes from a page of another site";
    Refusal::new(Cause::CrossOrigin, message).into_response()
}
