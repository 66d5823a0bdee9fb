//! Request bodies that are needed as a whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_proxy::Session;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::upstream::limit;
use crate::error::Failure;

/// Longest wait for a body where `timeouts.read` sets no limit.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for room in memory.
const ROOM: Duration = Duration::from_secs(1);
/// Kilobytes of bodies that are held at once where many may be.
pub const KILOBYTES: usize = 256 << 10;

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
    let room = Semaphore::new(KILOBYTES);
    let (body, _) = read_within(session, most, bound, &room).await?;
    Ok(body)
}

/// The same for many at once, which share `room`, in kilobytes. A body takes its part as it comes, so
/// that a slow one holds no more than it has sent.
pub async fn read_within<'a>(
    session: &mut Session,
    most: usize,
    bound: Duration,
    room: &'a Semaphore,
) -> Result<(Bytes, SemaphorePermit<'a>), Unanswered> {
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
    match timeout(bound, collect(session, most, room)).await {
        Ok(collected) => collected,
        Err(_) => Err(Unanswered::Failure(Failure::ReadTimeout(bound))),
    }
}

async fn collect<'a>(
    session: &mut Session,
    most: usize,
    room: &'a Semaphore,
) -> Result<(Bytes, SemaphorePermit<'a>), Unanswered> {
    let full = || Unanswered::Failure(Failure::QueueUnavailable);
    let mut part = room.try_acquire_many(0).map_err(|_| full())?;
    let mut body = BytesMut::new();
    loop {
        let chunk = session.as_downstream_mut().read_request_body().await;
        let Some(chunk) = chunk.map_err(Unanswered::Broken)? else {
            return Ok((body.freeze(), part));
        };
        if body.len() + chunk.len() > most {
            return Err(Unanswered::Failure(Failure::TooLarge(most)));
        }
        let kilobytes = (body.len() + chunk.len()).div_ceil(1024) - part.num_permits();
        let more = room.acquire_many(u32::try_from(kilobytes).unwrap_or(u32::MAX));
        let more = timeout(ROOM, more).await.map_err(|_| full())?;
        part.merge(more.map_err(|_| full())?);
        body.extend_from_slice(&chunk);
    }
}
