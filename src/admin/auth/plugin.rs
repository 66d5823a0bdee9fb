//! The external check: a plug-in is asked about each protected request (wire.md section 8).

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::error::{Cause, Refusal};

/// Longest wait for its answer where `timeouts.upstream` sets no limit.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest body of a refusal that is passed on, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Headers of the client that say something about its connection or its body, not about itself.
const LEFT_OUT: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Asks the plug-in.
pub struct Plugin {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(HttpConnector::new()),
        }
    }
}

impl Plugin {
    /// Asks whether a request with these headers may pass: exactly 200 says yes. Anything else is
    /// answered with what the plug-in said, without an answer within `limit` with 500.
    pub async fn ask(
        &self,
        url: &Uri,
        headers: &HeaderMap,
        limit: Duration,
    ) -> Result<(), Response> {
        let limit = if limit.is_zero() { TIMEOUT } else { limit };
        let asked = timeout(limit, self.exchange(url, headers)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")));
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) => Err(answer),
            Err(error) => {
                tracing::error!(error, "admin.auth_proxy_url cannot be asked");
                let message = "the authentication plug-in cannot be asked; the log says why";
                Err(Refusal::new(Cause::AuthProxyFailed, message).into_response())
            }
        }
    }

    async fn exchange(&self, url: &Uri, headers: &HeaderMap) -> Result<Response, String> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers.clone();
        for name in &LEFT_OUT {
            request.headers_mut().remove(name);
        }
        let answer = self.client.request(request).await;
        let (mut head, body) = answer.map_err(|error| error.to_string())?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        for name in &LEFT_OUT {
            head.headers.remove(name);
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }
}
