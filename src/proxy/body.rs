//! Request bodies that are needed as a whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_proxy::Session;
use tokio::time::timeout;

use super::upstream::limit;
use crate::error::Failure;

/// Longest wait for a body where `timeouts.read` sets no limit.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the client has no answer yet.
pub enum Unanswered {
    /// Nothing has been sent; this is to be answered.
    Failure(Failure),
    /// The connection is broken.
    Broken(Box<pingora::Error>),
}

/// Reads a body of at most so many bytes within `bound`; 0 is the default bound.
pub async fn read(
    session: &mut Session,
    most: usize,
    bound: Duration,
) -> Result<Bytes, Unanswered> {
    let headers = &session.req_header().headers;
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(Unanswered::Failure(Failure::TooLarge(most)));
    }
    if headers.contains_key(header::EXPECT) {
        let going_on = session.as_downstream_mut().write_continue_response().await;
        going_on.map_err(Unanswered::Broken)?;
    }
    let bound = limit(bound).unwrap_or(READ_TIMEOUT);
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = session.as_downstream_mut().read_request_body().await? {
            if body.len() + chunk.len() > most {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body.freeze()))
    };
    match timeout(bound, reading).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(Unanswered::Failure(Failure::TooLarge(most))),
        Ok(Err(error)) => Err(Unanswered::Broken(error)),
        Err(_) => Err(Unanswered::Failure(Failure::ReadTimeout(bound))),
    }
}
