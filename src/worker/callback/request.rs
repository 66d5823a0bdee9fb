//! What a callback sends: the function's answer as a request (wire.md section 6.3).

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;

use super::target::Target;
use crate::hop_by_hop;
use crate::outbound::USER_AGENT;
use crate::queue::{Outcome, Record};
use crate::signature::Signer;

const STATUS: HeaderName = HeaderName::from_static("x-function-status");
const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");
const NAME: HeaderName = HeaderName::from_static("x-function-name");
const TRUNCATED: HeaderName = HeaderName::from_static("x-function-truncated");

/// The post of what a function answered. Its connection is used once.
pub fn request(
    target: &Target,
    signer: Option<&Signer>,
    record: &Record,
    outcome: &Outcome,
    now: SystemTime,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(outcome.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.path();
    let headers = request.headers_mut();
    *headers = outcome.headers.clone();
    hop_by_hop::strip(headers);
    describe(headers, record, outcome);
    set(headers, header::HOST, target.place());
    // The client would leave it out of an empty post, which some receivers then refuse (411).
    headers.insert(header::CONTENT_LENGTH, outcome.body.len().into());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    if let Some(authorization) = &target.authorization {
        headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    if let Some(signer) = signer {
        signer.sign(headers, record.id.as_str(), &outcome.body, now);
    }
    request
}

/// Says which call it was and how it went. The function's own headers of these names never pass.
fn describe(headers: &mut HeaderMap, record: &Record, outcome: &Outcome) {
    let took = record.tries.last().map_or(0, |tried| tried.took);
    let seconds = format!("{}.{:06}", took / 1_000_000, took % 1_000_000);
    set(headers, STATUS, outcome.status.as_str());
    set(headers, CALL_ID, record.call_id());
    set(headers, DURATION, &seconds);
    set(headers, NAME, &record.function.to_string());
    headers.remove(TRUNCATED);
    if outcome.truncated {
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
    }
}

/// Puts a text in the place of all values of a header; none is left if the text cannot be sent.
fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => headers.insert(name, value),
        Err(_) => headers.remove(name),
    };
}
