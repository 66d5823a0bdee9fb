//! What the gateway answers itself on the public port.

use bytes::Bytes;
use http::header;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::Routed;
use super::context::Call;
use super::headers::{CALL_ID, START_TIME};
use crate::error::{Failure, REASON_HEADER};

/// Answers with a failure: the one place where the gateway speaks for itself.
pub async fn respond(session: &mut Session, call: &Call, failure: &Failure) -> Result<()> {
    let body = failure.body(call.function_name(), call.call_id());
    let mut response = ResponseHeader::build(failure.status(), Some(8))?;
    response.insert_header(header::CONTENT_TYPE, "application/json")?;
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(REASON_HEADER, failure.reason())?;
    if let Some(seconds) = failure.retry_after() {
        response.insert_header(header::RETRY_AFTER, seconds)?;
    }
    if let Some(method) = failure.allow() {
        response.insert_header(header::ALLOW, method)?;
    }
    if let Some(identity) = &call.identity {
        response.insert_header(CALL_ID, identity.id.clone())?;
        response.insert_header(START_TIME, identity.start_time.clone())?;
    }
    session
        .write_response_header(Box::new(response), false)
        .await?;
    session
        .write_response_body(Some(Bytes::from(body)), true)
        .await
}

/// Sends the caller to the clean form of the path.
pub async fn redirect(
    session: &mut Session,
    call: &Call,
    path: &str,
    query: Option<&str>,
) -> Routed {
    let location = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let written = async {
        let mut response = ResponseHeader::build(301, Some(2))?;
        response.insert_header(header::LOCATION, location)?;
        response.insert_header(header::CONTENT_LENGTH, 0)?;
        session
            .write_response_header(Box::new(response), true)
            .await
    };
    if let Err(error) = written.await {
        tracing::debug!(%error, call_id = call.call_id(), "cannot redirect");
    }
    Routed::Answered
}

/// Whether the caller has got a final answer, from whomever.
pub fn answered(session: &Session) -> bool {
    session
        .response_written()
        .is_some_and(|response| !response.status.is_informational() || response.status == 101)
}

/// The status to count and log; 499 for a caller who left without one.
pub fn status(session: &Session, call: &Call) -> u16 {
    match (session.response_written(), &call.failure) {
        (Some(response), _) if answered(session) => response.status.as_u16(),
        (_, Some(failure)) => failure.status().as_u16(),
        (_, None) => 499,
    }
}
