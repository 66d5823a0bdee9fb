//! How a call gets into the stream.
//!
//! First its id is reserved by the row of its record, then its message is published; it is accepted
//! once the stream has that. A message has a number by which the server knows it again, so that it
//! may be published twice where an acknowledgement got lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::super::{
    Accepted, CallId, IdempotencyKey, Invocation, QueueError, Record, State, Submission, message,
    now,
};
use super::counts::Remembered;
use super::feeder::Source;
use super::link::{AGAIN, ANSWER, Nats, Refusal, SOON};
use super::table::Row;
use super::{CALL_ID, ID, Jetstream, REPLAYS, lock};

/// What is left of the time for an answer once there is a connection.
const REST: Duration = ANSWER.saturating_sub(SOON);
/// Wait for an acknowledgement before the message is published again.
const FIRST_WAIT: Duration = Duration::from_millis(800);
/// Reservations to be taken back that are remembered.
const MAX_LEFT_OVER: usize = 4096;

/// What is known of an idempotency key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keyed {
    id: CallId,
    call_id: Arc<str>,
    fingerprint: String,
    /// The number of the call's message.
    number: CallId,
    /// Whether the message is known to be in the stream.
    accepted: bool,
}

/// Ids that were reserved for calls which were not accepted.
#[derive(Default)]
pub struct LeftOver {
    ids: Mutex<Vec<CallId>>,
    changed: Notify,
}

/// An id that belongs to a call; it is free again unless it is kept.
struct Reservation<'a> {
    left_over: &'a LeftOver,
    id: CallId,
    kept: bool,
}

/// What a message says of its call.
pub(super) struct Label<'a> {
    pub id: &'a CallId,
    pub call_id: &'a str,
    /// What the server knows the message by.
    pub number: &'a str,
    pub replays: u32,
}

impl Jetstream {
    /// Keeps a call, or says within a bounded time why not.
    pub(super) async fn accept(&self, submission: Submission) -> Result<Accepted, QueueError> {
        let nats = self.link.soon().await?;
        let max_body = self.longest_body();
        if submission.invocation.body.len() > max_body {
            return Err(QueueError::TooLarge(max_body));
        }
        let accepted = match &submission.key {
            None => timeout(REST, self.accept_new(nats, &submission)).await,
            Some(key) => timeout(REST, self.accept_once(nats, &submission, key)).await,
        };
        let silent = |_| QueueError::Unavailable(format!("no answer within {REST:?}"));
        let accepted = accepted.map_err(silent)??;
        let function = submission.invocation.function.clone();
        self.sources.want(Source::Function(function));
        Ok(accepted)
    }

    async fn accept_new(
        &self,
        nats: &Nats,
        submission: &Submission,
    ) -> Result<Accepted, QueueError> {
        self.has_room()?;
        let reservation = self.reserve(nats, submission).await?;
        let number = CallId::new();
        let label = Label {
            id: &reservation.id,
            call_id: &submission.call_id,
            number: number.as_str(),
            replays: 0,
        };
        self.publish(nats, &submission.invocation, &label).await?;
        Ok(Accepted {
            id: reservation.keep(),
            call_id: Arc::clone(&submission.call_id),
            repeated: false,
        })
    }

    /// Keeps a call unless one was posted with this key.
    async fn accept_once(
        &self,
        nats: &Nats,
        submission: &Submission,
        key: &IdempotencyKey,
    ) -> Result<Accepted, QueueError> {
        let row = row_of(&submission.invocation, &key.key);
        if let Err(full) = self.has_room() {
            // One that was taken in before takes no more room.
            let known = self.keys.get(nats, &row).await?.ok_or(full)?;
            let fingerprint = STANDARD.encode(key.fingerprint);
            return self
                .accept_again(nats, submission, &row, &fingerprint, known)
                .await;
        }
        let reservation = self.reserve(nats, submission).await?;
        let keyed = Keyed {
            id: reservation.id.clone(),
            call_id: Arc::clone(&submission.call_id),
            fingerprint: STANDARD.encode(key.fingerprint),
            number: CallId::new(),
            accepted: false,
        };
        let stored = self.keys.put(nats, &row, &keyed, Bytes::new(), 0).await?;
        let Some(sequence) = stored else {
            let Some(there) = self.keys.get(nats, &row).await? else {
                return Err(QueueError::Unavailable("the key has just expired".into()));
            };
            let accepted = self
                .accept_again(nats, submission, &row, &keyed.fingerprint, there)
                .await?;
            if accepted.id == reservation.id {
                // Whoever posted it first had given the id back.
                reservation.keep();
            }
            return Ok(accepted);
        };
        self.publish(nats, &submission.invocation, &keyed.label())
            .await?;
        let id = reservation.keep();
        self.note_accepted(nats, &row, &keyed, sequence).await;
        Ok(Accepted {
            id,
            call_id: keyed.call_id,
            repeated: false,
        })
    }

    /// Answers for a call that was posted before. If whoever did that has died meanwhile, or is
    /// still at it, the number of the message makes one of both.
    async fn accept_again(
        &self,
        nats: &Nats,
        submission: &Submission,
        row: &str,
        fingerprint: &str,
        there: Row<Keyed>,
    ) -> Result<Accepted, QueueError> {
        let keyed = there.known;
        if keyed.fingerprint != fingerprint {
            return Err(QueueError::KeyReused);
        }
        if !keyed.accepted {
            if !self.was_taken(nats, &keyed.id).await? {
                self.publish_again(nats, submission, &keyed).await?;
            }
            self.note_accepted(nats, row, &keyed, there.sequence).await;
        }
        Ok(Accepted {
            id: keyed.id,
            call_id: keyed.call_id,
            repeated: true,
        })
    }

    async fn publish_again(
        &self,
        nats: &Nats,
        submission: &Submission,
        keyed: &Keyed,
    ) -> Result<(), QueueError> {
        let submission = Submission {
            call_id: Arc::clone(&keyed.call_id),
            ..submission.clone()
        };
        let id = keyed.id.as_str();
        let record = Record::new(keyed.id.clone(), &submission, now());
        let stored = self.calls.put(nats, id, &record, Bytes::new(), 0).await?;
        let is_known = self
            .publish(nats, &submission.invocation, &keyed.label())
            .await?;
        if let (true, Some(sequence)) = (is_known, stored)
            && self.results.get(nats, id).await?.is_some()
        {
            // It was run in between, and its record is not removed by anybody else.
            self.calls.remove_change(nats, sequence).await?;
        }
        Ok(())
    }

    /// Says how many calls wait if no more may.
    fn has_room(&self) -> Result<(), QueueError> {
        let queued = self.counts.all();
        if queued >= self.config.load().max_calls {
            return Err(QueueError::Full(queued));
        }
        Ok(())
    }

    /// Notes that the message is in the stream, unless somebody else has. It is there in any case; who
    /// posts again without this being noted has a little more to do.
    async fn note_accepted(&self, nats: &Nats, row: &str, keyed: &Keyed, sequence: u64) {
        let keyed = Keyed {
            accepted: true,
            ..keyed.clone()
        };
        let noted = self.keys.put(nats, row, &keyed, Bytes::new(), sequence);
        if let Err(error) = noted.await {
            let id = keyed.id.as_str();
            tracing::warn!(id, %error, "cannot note that a call with a key was accepted");
        }
    }

    /// Whether a call must have been in the stream, as something has become of it.
    async fn was_taken(&self, nats: &Nats, id: &CallId) -> Result<bool, QueueError> {
        if let Some(row) = self.calls.get(nats, id.as_str()).await? {
            return Ok(!is_untouched(&row.known));
        }
        Ok(self.results.get(nats, id.as_str()).await?.is_some())
    }

    /// Reserves an id: the call's `X-Call-Id` if that will do and is free, else a new one.
    async fn reserve(
        &self,
        nats: &Nats,
        submission: &Submission,
    ) -> Result<Reservation<'_>, QueueError> {
        if let Some(id) = CallId::parse(&submission.call_id)
            && let Some(reservation) = self.reserve_id(nats, submission, id).await?
        {
            return Ok(reservation);
        }
        let reserved = self.reserve_id(nats, submission, CallId::new()).await?;
        reserved.ok_or_else(|| QueueError::Failed("a new id is taken".to_owned()))
    }

    async fn reserve_id(
        &self,
        nats: &Nats,
        submission: &Submission,
        id: CallId,
    ) -> Result<Option<Reservation<'_>>, QueueError> {
        let chosen = submission.chosen && *submission.call_id == *id.as_str();
        if chosen && self.results.get(nats, id.as_str()).await?.is_some() {
            return Ok(None);
        }
        let record = Record::new(id.clone(), submission, now());
        let mut reservation = Reservation {
            left_over: &self.left_over,
            id,
            kept: false,
        };
        let id = reservation.id.as_str();
        let stored = self.calls.put(nats, id, &record, Bytes::new(), 0).await?;
        if stored.is_none() {
            reservation.kept = true;
            return Ok(None);
        }
        // The one before may have ended in between: its result is written before its record goes.
        if chosen && self.results.get(nats, id).await?.is_some() {
            return Ok(None);
        }
        Ok(Some(reservation))
    }

    /// Publishes a call's message, once more if the answer gets lost. Returns whether the stream had
    /// it already.
    pub(super) async fn publish(
        &self,
        nats: &Nats,
        invocation: &Invocation,
        label: &Label<'_>,
    ) -> Result<bool, QueueError> {
        let subject = self.streams.subject_of(&invocation.function);
        let content = Bytes::from(message::encode(invocation));
        let id = label.id;
        let publish = || nats.publish(subject.clone(), label.headers(), content.clone());
        let stored = match timeout(FIRST_WAIT, publish()).await {
            Ok(stored) => stored,
            Err(_) => publish().await,
        };
        match stored {
            Ok(stored) => {
                let call = Remembered {
                    function: invocation.function.clone(),
                    due: None,
                    sequence: stored.sequence,
                };
                self.counts.add(&call.function, call.sequence);
                self.counts.remember(id, call);
                Ok(stored.duplicate)
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn refused(&self, refusal: Refusal) -> QueueError {
        if refusal.is_too_long() {
            return QueueError::TooLarge(self.longest_body());
        }
        if refusal.is_absence() {
            self.link.look_again();
        }
        QueueError::from(refusal)
    }

    /// Removes the records of calls that were not accepted.
    pub(super) async fn clear_left_over(&self) {
        loop {
            self.left_over.changed.notified().await;
            let ids = std::mem::take(&mut *lock(&self.left_over.ids));
            for id in ids {
                while let Err(QueueError::Unavailable(_)) = self.take_back(&id).await {
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn take_back(&self, id: &CallId) -> Result<(), QueueError> {
        let nats = self.link.nats()?;
        match self.calls.get(nats, id.as_str()).await? {
            // Its message may be there after all; then the record is made from that.
            Some(row) if is_untouched(&row.known) => {
                self.calls.remove_change(nats, row.sequence).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Keyed {
    fn label(&self) -> Label<'_> {
        Label {
            id: &self.id,
            call_id: &self.call_id,
            number: self.number.as_str(),
            replays: 0,
        }
    }
}

impl Label<'_> {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, self.number);
        headers.insert(ID, self.id.as_str());
        // What cannot stand in a header is in the call's own headers all the same.
        if let Ok(call_id) = self.call_id.parse::<async_nats::HeaderValue>() {
            headers.insert(CALL_ID, call_id);
        }
        if self.replays > 0 {
            headers.insert(REPLAYS, self.replays.to_string());
        }
        headers
    }
}

impl Reservation<'_> {
    fn keep(mut self) -> CallId {
        self.kept = true;
        self.id.clone()
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut ids = lock(&self.left_over.ids);
        if !self.kept && ids.len() < MAX_LEFT_OVER {
            ids.push(self.id.clone());
            self.left_over.changed.notify_one();
        }
    }
}

/// Whether nothing has become of a call yet.
fn is_untouched(record: &Record) -> bool {
    record.state == State::Queued && record.attempts == 0 && record.replays == 0
}

/// Where a key is found: it is valid for one function.
pub(super) fn row_of(invocation: &Invocation, key: &str) -> String {
    let digest = Sha256::new()
        .chain_update(invocation.function.to_string())
        .chain_update([0])
        .chain_update(key)
        .finalize();
    URL_SAFE_NO_PAD.encode(digest)
}
