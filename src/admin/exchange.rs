//! Between HTTP and the rest: requests as a provider takes them, its answers and refusals as
//! responses.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request as HttpRequest};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, header};

use crate::error::{REASON_HEADER, Refusal, error_body};
use crate::provider::{Answer, ProviderError, Request};

/// Longest body the API takes, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// A function's or namespace's name in the path, maybe with a namespace after a dot. Anything else
/// is a path that does not exist (wire.md section 1.2).
pub struct Name(pub String);

/// What a provider said, on its way to the client.
pub struct Answered(pub Answer);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let nothing = || Refusal::not_found("there is nothing at this path");
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| nothing())?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.bytes().all(good) {
            Ok(Self(name))
        } else {
            Err(nothing())
        }
    }
}

/// Query and body as they came; who needs them reads them.
impl<S: Send + Sync, T: 'static> FromRequest<S> for Request<T> {
    type Rejection = Response;

    async fn from_request(request: HttpRequest, state: &S) -> Result<Self, Response> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                let reason = match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => "too_large",
                    _ => "bad_request",
                };
                refuse(rejection.status(), reason, &rejection.body_text())
            })?;
        Ok(Self::new(query, body))
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        self.0.map(Body::new)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse(self.cause.status(), self.cause.reason(), &self.to_string())
    }
}

impl IntoResponse for ProviderError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::Answered(answer) => Answered(answer).into_response(),
        }
    }
}

fn refuse(status: StatusCode, reason: &'static str, error: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json"),
        (REASON_HEADER, reason),
    ];
    (status, headers, error_body(error, reason, None, None)).into_response()
}
