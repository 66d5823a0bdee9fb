//! The external check of `admin.auth_proxy_url`: a service is asked with the headers of each request
//! whether to let it in (wire.md section 8).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

/// Longest wait where `timeouts.upstream` sets no limit.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest refusal taken from the service, in bytes.
const MAX_BODY: usize = 64 << 10;
/// Idle connections kept to the service.
const IDLE: usize = 8;

/// What concerns one connection (RFC 9110, section 7.6.1) or describes a body that is not sent on.
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Asks the service, on connections that are kept.
pub struct AuthProxy {
    client: Client<HttpConnector, Empty<Bytes>>,
    answering: AtomicBool,
}

/// What the service says of a request.
pub enum Verdict {
    /// It may pass.
    Admitted,
    /// It may not, and this is the answer to it.
    Refused(Response),
}

/// Why the service could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Transport(#[from] hyper_util::client::legacy::Error),
    #[error("cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("broken or longer than {MAX_BODY} bytes: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("status {0} is no answer")]
    Status(StatusCode),
}

impl Default for AuthProxy {
    fn default() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE)
            .build(HttpConnector::new());
        Self {
            client,
            answering: AtomicBool::new(true),
        }
    }
}

impl AuthProxy {
    /// Asks the service at `url` whether a request with these headers may pass, for at most `limit`
    /// unless that is zero. `None`: there was no answer, and the log says why.
    pub async fn ask(&self, url: &Uri, headers: &HeaderMap, limit: Duration) -> Option<Verdict> {
        let limit = if limit.is_zero() { TIMEOUT } else { limit };
        let asked = timeout(limit, self.verdict(url, headers)).await;
        let verdict = asked.unwrap_or(Err(AskError::Timeout(limit)));
        let answering = self.answering.swap(verdict.is_ok(), Ordering::Relaxed);
        if let Err(error) = &verdict {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            // Once when it goes, not for every request.
            if answering {
                tracing::warn!(%error, cause, "no answer of the service at admin.auth_proxy_url");
            } else {
                tracing::debug!(%error, cause, "no answer of the service at admin.auth_proxy_url");
            }
        }
        verdict.ok()
    }

    async fn verdict(&self, url: &Uri, headers: &HeaderMap) -> Result<Verdict, AskError> {
        let mut question = Request::get(url.clone()).body(Empty::new())?;
        *question.headers_mut() = end_to_end(headers);
        // The service's own name takes its place.
        question.headers_mut().remove(header::HOST);
        let (head, body) = self.client.request(question).await?.into_parts();
        if head.status == StatusCode::OK {
            return Ok(Verdict::Admitted);
        }
        if head.status.is_informational() {
            return Err(AskError::Status(head.status));
        }
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(AskError::Body)?.to_bytes();
        let mut refusal = Response::new(Body::from(body));
        *refusal.status_mut() = head.status;
        *refusal.headers_mut() = end_to_end(&head.headers);
        Ok(Verdict::Refused(refusal))
    }
}

/// The headers without those of one connection, named in `Connection` or not.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for line in headers.get_all(header::CONNECTION) {
        for token in line.as_bytes().split(|byte| *byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(token.trim_ascii()) {
                kept.remove(name);
            }
        }
    }
    for name in &OF_ONE_CONNECTION {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let headers = [
            ("connection", "close, X-Named"),
            ("x-named", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Basic eA=="),
            ("x-kept", "1"),
        ];
        let headers = headers
            .into_iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect();
        let kept = end_to_end(&headers);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-kept"]);
    }
}
