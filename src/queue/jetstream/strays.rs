//! Messages that the server has and hands out to nobody.
//!
//! A server that was killed may have forgotten that messages were removed, while the consumer still
//! knows that they were acknowledged; or the consumer takes for acknowledged what was never handed
//! out. Either way they would stay in the stream for ever. What is left of such a call is done:
//! its message is removed where it has ended, and published anew where it has not.
//!
//! The other way round, a consumer may wait for ever for acknowledgements of messages that were
//! removed; some servers hand out nothing else then. Such messages are acknowledged for whoever did.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::jetstream::consumer::SequenceInfo;
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, header};
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::super::QueueError;
use super::feeder::{Consumer, Source};
use super::link::Nats;
use super::{ID, Jetstream, lock};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Time for which the oldest message of a source must have been that before it is suspected.
const LONG: Duration = Duration::from_secs(2);
/// Messages that are cared for at once.
const AT_ONCE: usize = 64;
/// Time without any progress after which a consumer is taken for stuck.
const STUCK: Duration = Duration::from_millis(500);
/// Messages that are looked at to find those that are gone.
const READS: usize = 10_000;
/// Messages that are acknowledged at once.
const ACKS: u64 = 100_000;
/// All subjects.
const ANY: &str = ">";
/// What a server puts into headers for itself begins so.
const SERVERS: &str = "Nats-";

/// The oldest message of each source, and since when it has been that.
#[derive(Default)]
pub struct Strays(Mutex<HashMap<Source, (u64, Instant)>>);

#[derive(Deserialize)]
struct Info {
    delivered: SequenceInfo,
    ack_floor: SequenceInfo,
    num_ack_pending: usize,
    num_waiting: usize,
    num_pending: u64,
}

impl Info {
    /// Whether somebody waits for what waits, and others are not done with what they have.
    fn may_be_stuck(&self) -> bool {
        self.num_pending > 0 && self.num_waiting > 0 && self.num_ack_pending > 0
    }

    /// The last message that the consumer is done with, as all before it.
    fn done(&self) -> u64 {
        match self.num_ack_pending {
            0 => self.delivered.stream_sequence,
            _ => self.ack_floor.stream_sequence,
        }
    }
}

impl Strays {
    /// Notes which message is the oldest of a source.
    pub fn see(&self, source: Source, sequence: u64) {
        let seen = (sequence, Instant::now());
        let mut oldest = lock(&self.0);
        let there = oldest.entry(source).or_insert(seen);
        if there.0 != sequence {
            *there = seen;
        }
    }

    /// Takes those that have been the oldest for long.
    fn suspects(&self) -> Vec<(Source, u64)> {
        let old = |_: &Source, (_, since): &mut (u64, Instant)| since.elapsed() >= LONG;
        let mut oldest = lock(&self.0);
        let old = oldest.extract_if(old);
        old.map(|(source, (sequence, _))| (source, sequence))
            .collect()
    }
}

impl Jetstream {
    /// Looks after strays.
    pub(super) async fn care_for_strays(&self) {
        loop {
            sleep(LOOK).await;
            for (source, sequence) in self.strays.suspects() {
                if let Err(error) = self.look_after(&source, sequence).await {
                    tracing::debug!(%error, ?source, "cannot look for messages that got stuck");
                }
            }
        }
    }

    /// Cares for all strays of a source, of which none is older than `oldest`.
    async fn look_after(&self, source: &Source, oldest: u64) -> Result<(), QueueError> {
        let nats = self.link.nats()?;
        let consumer = self.consumer_of(source);
        let question = format!("CONSUMER.INFO.{}.{}", self.streams.work, consumer.name);
        let info: Info = match nats.api(&question, &()).await {
            Ok(info) => info,
            // A new one will hand out everything.
            Err(refusal) if refusal.is_absence() => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        };
        if info.may_be_stuck() {
            sleep(STUCK).await;
            let then: Info = nats.api(&question, &()).await?;
            let sequence = |info: &Info| info.delivered.consumer_sequence;
            if then.may_be_stuck() && sequence(&info) == sequence(&then) {
                self.acknowledge_removed(nats, &consumer, &then).await?;
            }
        }
        let done = info.done();
        let (mut next, mut cared_for) = (oldest, 0);
        loop {
            let mut strays = Vec::new();
            while strays.len() < AT_ONCE
                && next <= done
                && let Some(message) = self.message_from(nats, next, &consumer.subject).await?
                && message.sequence <= done
            {
                next = message.sequence + 1;
                strays.push(message);
            }
            if strays.is_empty() {
                break;
            }
            cared_for += strays.len();
            try_join_all(strays.into_iter().map(|stray| self.care_for(nats, stray))).await?;
        }
        if cared_for > 0 {
            tracing::info!(?source, cared_for, "messages were stuck in the stream");
        }
        Ok(())
    }

    /// Acknowledges what was handed out and is not in the stream any more.
    async fn acknowledge_removed(
        &self,
        nats: &Nats,
        consumer: &Consumer,
        info: &Info,
    ) -> Result<(), QueueError> {
        let end = info.delivered.stream_sequence + 1;
        let mut start = info.ack_floor.stream_sequence + 1;
        let (mut reads, mut acknowledged) = (0, 0);
        while start < end && reads < READS && acknowledged < ACKS {
            let there = self.message_from(nats, start, ANY).await?;
            let next = there.map_or(end, |message| message.sequence);
            reads += 1;
            for sequence in start..next.min(end).min(start + ACKS) {
                acknowledged += 1;
                let reply = consumer.reply_for(&self.streams.work, sequence);
                nats.say(reply, Bytes::from_static(b"+ACK")).await;
            }
            start = next + 1;
        }
        let consumer = consumer.name.as_str();
        tracing::info!(consumer, "a consumer waited for messages that were removed");
        Ok(())
    }

    async fn message_from(
        &self,
        nats: &Nats,
        sequence: u64,
        subject: &str,
    ) -> Result<Option<StreamMessage>, QueueError> {
        let found = nats.next(&self.streams.work, sequence, subject).await;
        found.map_err(QueueError::from)
    }

    async fn care_for(&self, nats: &Nats, stray: StreamMessage) -> Result<(), QueueError> {
        let sequence = stray.sequence;
        let subject = stray.subject.to_string();
        let (headers, content) = (stray.headers.clone(), stray.payload.clone());
        if let Some(call) = self.read(Some(stray.into())) {
            if self.held.find(&call.id).is_some() {
                // It is seen again when it has ended.
                return Ok(());
            }
            if let (_, Some(_)) = self.row_of(&call).await? {
                let id = call.id.as_str();
                let headers = readdressed(&headers, id, &format!("{id}-{sequence}-again"));
                nats.publish(subject, headers, content).await?;
            }
        }
        nats.remove(&self.streams.work, sequence).await?;
        Ok(())
    }
}

/// The headers of a message that is published anew. Its number is the same whoever does that.
fn readdressed(headers: &HeaderMap, id: &str, number: &str) -> HeaderMap {
    let mut new = HeaderMap::new();
    for (name, values) in headers.iter() {
        if !AsRef::<str>::as_ref(name).starts_with(SERVERS) {
            values
                .iter()
                .for_each(|value| new.append(name.clone(), value.clone()));
        }
    }
    new.insert(ID, id);
    new.insert(header::NATS_MESSAGE_ID, number);
    new
}
