//! Answers with a body.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use crate::error::Refusal;
use crate::function::FunctionName;
use crate::provider::{Answer, AnswerBody, answer};

/// A body that is known as a whole.
pub(super) fn full(body: impl Into<Bytes>) -> AnswerBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// 200 with a JSON document.
pub(super) fn json(value: &impl Serialize) -> Answer {
    // The types of the API always serialize.
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_body("application/json", full(body))
}

/// 200 with a body.
pub(super) fn with_body(kind: &'static str, body: AnswerBody) -> Answer {
    let mut answer = answer(StatusCode::OK).map(|_| body);
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// Only the file may change it.
pub(super) fn declared(name: &FunctionName) -> Refusal {
    Refusal::conflict(format!(
        "function {name} is declared in the configuration file: change it there"
    ))
}

/// No such function.
pub(super) fn missing(name: &FunctionName) -> Refusal {
    Refusal::not_found(format!("there is no function {name}"))
}

/// No such secret.
pub(super) fn no_secret(namespace: &str, name: &str) -> Refusal {
    Refusal::not_found(format!(
        "there is no secret `{name}` in namespace `{namespace}`"
    ))
}
