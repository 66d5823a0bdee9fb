//! `/async-function/NAME`: a call is kept now and made later (wire.md section 6.1).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::body::{self, Unanswered};
use super::context::{Call, Target};
use super::headers;
use crate::error::Failure;
use crate::functions::Function;
use crate::queue::{Accepted, CallId, IdempotencyKey, Invocation, QueueError, Submission};

/// Where the result of a call is to be posted.
const CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");
/// Makes one execution out of several posts.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key, in bytes.
const MAX_KEY: usize = 255;

const BAD_CALLBACK: Failure =
    Failure::BadRequest("X-Callback-Url has to be an absolute http or https URL");
const BAD_KEY: Failure = Failure::BadRequest("Idempotency-Key has to be 1 to 255 characters");

/// Takes a call for `function`, whose path it is from `rest` on, and answers 202 once it is safe. Its
/// body is held in memory until then, in `room`.
pub async fn enqueue(
    session: &mut Session,
    call: &mut Call,
    function: Arc<Function>,
    rest: usize,
    room: &Semaphore,
) -> Result<(), Unanswered> {
    let gateway = Arc::clone(call.gateway());
    call.target = Target::Function {
        function: Arc::clone(&function),
        rest,
        prefix: None,
    };
    let head = session.req_header();
    let callback = callback(head).map_err(Unanswered::Failure)?;
    let key = key(head).map_err(Unanswered::Failure)?;
    let chosen = call.call_id().is_some() && head.headers.contains_key(headers::CALL_ID);
    if let (false, Some(identity)) = (chosen, &mut call.identity) {
        // In order of time: those are stored close together.
        if let Ok(id) = HeaderValue::from_str(CallId::new().as_str()) {
            identity.id = id;
        }
    }
    let most = gateway.queue.max_body();
    let read = call.snapshot.config.timeouts.read;
    let (body, _room) = body::read_within(session, most, read, room).await?;
    let invocation = invocation(session.req_header(), call, &function, rest, callback, body);
    let submission = Submission {
        call_id: call.call_id().unwrap_or_default().into(),
        chosen,
        key: key.map(|key| IdempotencyKey {
            fingerprint: fingerprint(&invocation),
            key,
        }),
        invocation,
    };
    let accepted = match gateway.queue.submit(submission).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(function = %function.key, %error, "call not queued");
            return Err(Unanswered::Failure(failure(error)));
        }
    };
    if !accepted.repeated {
        let metrics = &gateway.metrics.queue;
        metrics.submitted(gateway.queue.name(), &function.key);
    }
    respond(session, call, &accepted)
        .await
        .map_err(Unanswered::Broken)
}

fn callback(head: &RequestHeader) -> Result<Option<Uri>, Failure> {
    let Some(value) = head.headers.get(CALLBACK_URL) else {
        return Ok(None);
    };
    let url: Uri = value.as_bytes().try_into().map_err(|_| BAD_CALLBACK)?;
    let good = matches!(url.scheme_str(), Some("http" | "https"));
    let named = url.host().is_some_and(|host| !host.is_empty());
    if good && named {
        Ok(Some(url))
    } else {
        Err(BAD_CALLBACK)
    }
}

fn key(head: &RequestHeader) -> Result<Option<Arc<str>>, Failure> {
    let Some(value) = head.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Some(key.into())),
        _ => Err(BAD_KEY),
    }
}

fn invocation(
    head: &RequestHeader,
    call: &Call,
    function: &Function,
    rest: usize,
    callback: Option<Uri>,
    body: Bytes,
) -> Invocation {
    let mut fields = head.headers.clone();
    if let Some(identity) = &call.identity {
        headers::identify(&mut fields, identity);
    }
    let host = fields
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| head.uri.host())
        .unwrap_or_default()
        .to_owned();
    let trusted = &call.snapshot.config.server.trusted_proxies;
    // The function's own name is known when it is called.
    headers::forward(
        &mut fields,
        call.client,
        trusted,
        &HeaderValue::from_static(""),
    );
    fields.remove(header::HOST);
    let path = head.uri.path();
    Invocation {
        function: function.name.clone(),
        path: path.get(rest..).unwrap_or_default().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        host,
        headers: fields,
        callback,
        body,
    }
}

/// Differs where two calls of one function do.
fn fingerprint(invocation: &Invocation) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&invocation.path, &invocation.query] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(&invocation.body);
    hash.finalize().into()
}

fn failure(error: QueueError) -> Failure {
    match error {
        QueueError::Full(calls) => Failure::QueueFull(calls),
        QueueError::NoSpace(_) => Failure::StorageFull,
        QueueError::TooLarge(most) => Failure::TooLarge(most),
        QueueError::KeyReused => Failure::KeyReused,
        QueueError::Unavailable(_) | QueueError::Failed(_) => Failure::QueueUnavailable,
    }
}

async fn respond(session: &mut Session, call: &Call, accepted: &Accepted) -> pingora::Result<()> {
    let mut response = ResponseHeader::build(StatusCode::ACCEPTED, Some(8))?;
    response.insert_header(header::CONTENT_LENGTH, 0)?;
    response.insert_header("Location", format!("/system/async/{}", accepted.id))?;
    // That of the first post, where there were several.
    response.insert_header(headers::CALL_ID, &*accepted.call_id)?;
    if let Some(identity) = &call.identity {
        response.insert_header(headers::START_TIME, identity.start_time.clone())?;
    }
    session
        .write_response_header(Box::new(response), true)
        .await
}
