//! How calls come from the stream into the backlog: a feeder for each function that has any, which
//! holds what can run here and a handful more, so that other gateways get their share.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config};
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::HeaderName;
use serde::de::IgnoredAny;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::{CallId, Lane, Millis, Stage, message, now};
use super::held::{Added, Call, Share};
use super::link::{AGAIN, ANSWER, Nats, Refusal};
use super::{CALL_ID, ID, Jetstream, REPLAYS, lock};
use crate::function::FunctionName;

/// Time between two looks whether there is room.
const LOOK: Duration = Duration::from_secs(1);
/// Time without messages after which a function has no feeder any more.
const IDLE: Duration = Duration::from_secs(60);
/// How long a request for messages waits at the server. Some servers look at what waits only when
/// they are asked.
const POLL: Duration = Duration::from_secs(2);
/// Messages that are held beyond what may run.
const SPARE: usize = 4;
/// Messages that all feeders hold beyond one each: they are in memory.
const ALL: usize = 1024;
/// Time after which a server hands a message out again that nobody has answered.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Time after which a server forgets a consumer that nobody asks for messages.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Wait after the server has refused something, which somebody has to put right.
const REFUSED: Duration = Duration::from_secs(10);
/// Wait before another message of a call that is here is handed out.
const TWIN: Duration = Duration::from_secs(1);

/// Where calls come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// What gateways published for a function.
    Function(FunctionName),
    /// What other producers published.
    Others,
}

/// Sources that shall have a feeder.
#[derive(Default)]
pub struct Sources {
    wanted: Mutex<HashSet<Source>>,
    changed: Notify,
}

/// What hands out a source's messages.
pub(super) struct Consumer {
    pub name: String,
    pub subject: String,
}

/// A message as it comes out of the stream.
pub(super) struct Arrival {
    content: Bytes,
    headers: HeaderMap,
    /// When it was published, in nanoseconds since 1970.
    published: i128,
    sequence: u64,
    delivered: i64,
}

/// What one consumer sends here.
struct Intake {
    question: String,
    inbox: String,
    messages: Subscriber,
}

impl Sources {
    /// Has a source fed.
    pub fn want(&self, source: Source) {
        lock(&self.wanted).insert(source);
        self.changed.notify_one();
    }

    async fn next(&self) -> HashSet<Source> {
        self.changed.notified().await;
        std::mem::take(&mut *lock(&self.wanted))
    }
}

impl Jetstream {
    /// Feeds the backlog until the end begins, and then gives back what waits in it.
    pub(super) async fn feed_until_closed(&self) {
        self.feed().await;
        // Whatever comes back into it meanwhile: a step could not be begun.
        while !self.closed.is_cancelled() {
            self.give_back_waiting().await;
            let _ = timeout(LOOK, self.closed.cancelled()).await;
        }
    }

    async fn feed(&self) {
        let mut active = HashSet::new();
        let mut feeders = FuturesUnordered::new();
        loop {
            tokio::select! {
                wanted = self.sources.next() => {
                    for source in wanted {
                        if self.most(&source) > 0 && active.insert(source.clone()) {
                            self.feeders.fetch_add(1, Ordering::Relaxed);
                            feeders.push(self.feed_from(source));
                        }
                    }
                }
                Some(ended) = feeders.next() => {
                    self.feeders.fetch_sub(1, Ordering::Relaxed);
                    active.remove(&ended);
                }
                () = self.draining.cancelled() => break,
            }
        }
        while feeders.next().await.is_some() {}
    }

    /// Feeds from one source until nothing has come from it for a while.
    async fn feed_from(&self, source: Source) -> Source {
        let share = Arc::new(Share::default());
        let mut ready = self.link.readiness();
        let mut last = Instant::now();
        while self.is_needed(&source, &share, last) {
            ready.mark_unchanged();
            tokio::select! {
                fed = self.feed_on_link(&source, &share, &mut last) => if let Err(refusal) = fed {
                    let wait = wait_after(&refusal, &source);
                    let _ = timeout(wait, self.draining.cancelled()).await;
                },
                // What was asked of the connection before is forgotten.
                _ = ready.changed() => {}
            }
        }
        source
    }

    /// Feeds over one connection.
    async fn feed_on_link(
        &self,
        source: &Source,
        share: &Arc<Share>,
        last: &mut Instant,
    ) -> Result<(), Refusal> {
        let nats = self.link.nats();
        let nats = nats.map_err(|error| Refusal::NoAnswer(error.to_string()))?;
        let consumer = self.consumer(nats, source).await?;
        let mut intake = Intake::open(nats, &self.streams.work, &consumer.name).await?;
        let fed = self.feed_through(nats, &mut intake, source, share, last);
        let fed = fed.await;
        if self.draining.is_cancelled() {
            intake.stop(nats).await;
        }
        fed
    }

    async fn feed_through(
        &self,
        nats: &Nats,
        intake: &mut Intake,
        source: &Source,
        share: &Arc<Share>,
        last: &mut Instant,
    ) -> Result<(), Refusal> {
        while self.is_needed(source, share, *last) {
            let room = share.room(|| self.most(source), LOOK);
            let Some(room @ 1..) = self.draining.run_until_cancelled(room).await else {
                continue;
            };
            intake.ask(nats, room).await?;
            let end = Instant::now() + POLL + ANSWER;
            let mut came = 0;
            while came < room
                && let Some(next) = self.draining.run_until_cancelled(intake.next(end)).await
                && let Some(message) = next?
            {
                came += 1;
                *last = Instant::now();
                self.hold(nats, message, share).await;
            }
        }
        Ok(())
    }

    fn is_needed(&self, source: &Source, share: &Share, last: Instant) -> bool {
        let is_idle = last.elapsed() >= IDLE && share.is_empty();
        (*source == Source::Others || !is_idle) && !self.draining.is_cancelled()
    }

    /// How many messages of a source may be here.
    fn most(&self, source: &Source) -> usize {
        let config = self.config.load();
        let running = match source {
            Source::Function(_) => config.per_function.min(config.workers),
            Source::Others => config.workers,
        };
        let feeders = self.feeders.load(Ordering::Relaxed);
        match running {
            0 => 0,
            running => (running + SPARE).min(1 + ALL / feeders.max(1)),
        }
    }

    /// The consumer of a source, which all gateways share.
    pub(super) fn consumer_of(&self, source: &Source) -> Consumer {
        match source {
            Source::Others => Consumer {
                name: "others".to_owned(),
                subject: self.streams.subject.clone(),
            },
            Source::Function(function) => {
                let subject = self.streams.subject_of(function);
                let digest = Sha256::digest(subject.as_bytes());
                let number = digest[..4]
                    .iter()
                    .fold(0, |number, byte| number << 8 | u32::from(*byte));
                let name = format!("{}-{number:08x}", function.name());
                Consumer { name, subject }
            }
        }
    }

    /// Makes sure that there is a consumer.
    async fn consumer(&self, nats: &Nats, source: &Source) -> Result<Consumer, Refusal> {
        let consumer = self.consumer_of(source);
        let Consumer { name, subject } = &consumer;
        let config = Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: -1,
            max_deliver: -1,
            filter_subject: subject.clone(),
            inactive_threshold: FORGOTTEN,
            ..Config::default()
        };
        let content = json!({ "stream_name": self.streams.work, "config": config });
        let question = format!("CONSUMER.CREATE.{}.{name}.{subject}", self.streams.work);
        nats.api::<IgnoredAny>(&question, &content).await?;
        Ok(consumer)
    }

    async fn hold(&self, nats: &Nats, message: Message, share: &Arc<Share>) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(call) = self.read(Arrival::of(nats, message)) else {
            nats.say(reply, Bytes::from_static(b"+ACK")).await;
            return;
        };
        self.counts.take_back(&call.id);
        let (lane, due) = self.standing(&call).await;
        match self.held.add(call, reply.clone(), share.slot(), lane, due) {
            Added::New(lane, item) => self.backlog.push(lane, item),
            Added::Again => {}
            Added::Twin => nats.say(reply, put_off(TWIN)).await,
        }
    }

    /// Where a call's next step waits, and until when. One that was handed out before has made some.
    async fn standing(&self, call: &Call) -> (Lane, Millis) {
        let known = match call.delivered {
            0 | 1 => None,
            _ => self.row_of(call).await.ok().and_then(|(_, row)| row),
        };
        match known {
            Some(row) => (row.known.lane(), row.known.due()),
            None => {
                let function = call.invocation.function.clone();
                let stage = Stage::Call;
                (Lane { function, stage }, call.submitted)
            }
        }
    }

    /// Reads a message; `None` if it can never be called.
    pub(super) fn read(&self, arrival: Option<Arrival>) -> Option<Call> {
        let decode = |arrival: Arrival| {
            let decoded = message::decode(&arrival.content, &self.default_namespace);
            Some((decoded.ok()?, arrival))
        };
        let Some((invocation, arrival)) = arrival.and_then(decode) else {
            tracing::warn!("thrown away: a message that is no queued call");
            return None;
        };
        let published = arrival.published;
        let header = |name| arrival.headers.get(name);
        let own = header(ID).and_then(|id| CallId::parse(id.as_str()));
        // A message without an id gets one that stays the same however often it is handed out.
        let made = || CallId::parse(&format!("{published:x}-{}", arrival.sequence));
        let id = own.or_else(made)?;
        let call_id = header(CALL_ID).map(|call_id| call_id.as_str());
        let call_id = call_id.or_else(|| invocation.header(&HeaderName::from_static("x-call-id")));
        let call_id = call_id.filter(|call_id| *call_id != id.as_str());
        Some(Call {
            call_id: call_id.map(Into::into),
            replays: header(REPLAYS)
                .and_then(|replays| replays.as_str().parse().ok())
                .unwrap_or(0),
            submitted: in_millis(published),
            delivered: arrival.delivered,
            id,
            invocation,
        })
    }
}

impl Consumer {
    /// Where a message is acknowledged that nobody here was handed. How often and when that was done
    /// is not known, and does not matter.
    pub fn reply_for(&self, stream: &str, sequence: u64) -> Subject {
        format!("$JS.ACK.{stream}.{}.1.{sequence}.0.0.0", self.name).into()
    }
}

impl Arrival {
    /// A message that was handed out.
    fn of(nats: &Nats, message: Message) -> Option<Self> {
        let message = nats.delivered(message);
        let info = message.info().ok()?;
        Some(Self {
            published: info.published.unix_timestamp_nanos(),
            sequence: info.stream_sequence,
            delivered: info.delivered,
            content: message.payload.clone(),
            headers: message.headers.clone().unwrap_or_default(),
        })
    }
}

impl From<StreamMessage> for Arrival {
    fn from(message: StreamMessage) -> Self {
        Self {
            published: message.time.unix_timestamp_nanos(),
            sequence: message.sequence,
            delivered: 0,
            content: message.payload,
            headers: message.headers,
        }
    }
}

impl Intake {
    async fn open(nats: &Nats, stream: &str, consumer: &str) -> Result<Self, Refusal> {
        let inbox = nats.client().new_inbox();
        let subscribed = nats.client().subscribe(inbox.clone()).await;
        Ok(Self {
            question: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox,
            messages: subscribed.map_err(|error| Refusal::NoAnswer(error.to_string()))?,
        })
    }

    /// Asks for so many messages at most.
    async fn ask(&self, nats: &Nats, most: usize) -> Result<(), Refusal> {
        let content = json!({ "batch": most, "expires": POLL.as_nanos() as u64 }).to_string();
        let (question, inbox) = (self.question.clone(), self.inbox.clone());
        let asked = nats
            .client()
            .publish_with_reply(question, inbox, content.into());
        match timeout(ANSWER, asked).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refusal::NoAnswer("the connection is lost".to_owned())),
        }
    }

    /// The next message of those that were asked for; `None` if there is none in time.
    async fn next(&mut self, end: Instant) -> Result<Option<Message>, Refusal> {
        let Ok(message) = timeout_at(end, self.messages.next()).await else {
            return Ok(None);
        };
        let Some(message) = message else {
            return Err(Refusal::NoAnswer("the connection is closed".to_owned()));
        };
        match message.status {
            None => Ok(Some(message)),
            Some(StatusCode::TIMEOUT) => Ok(None),
            Some(StatusCode::NO_RESPONDERS) => Err(Refusal::NoStream),
            Some(status) => {
                let said = message.description.unwrap_or_default();
                Err(Refusal::Strange(format!("{status} {said}")))
            }
        }
    }

    /// Has nothing sent here any more, and gives back what was on its way. Only then can the rest be
    /// given back: it would come here again.
    async fn stop(mut self, nats: &Nats) {
        if self.messages.drain().await.is_err() {
            return;
        }
        let end = Instant::now() + ANSWER / 4;
        while let Ok(Some(message)) = timeout_at(end, self.messages.next()).await {
            if let (None, Some(reply)) = (message.status, message.reply) {
                nats.say(reply, give_back()).await;
            }
        }
    }
}

/// How long to wait before a source that cannot be fed is tried again.
fn wait_after(refusal: &Refusal, source: &Source) -> Duration {
    if let Refusal::Said(error) = refusal {
        tracing::warn!(%error, ?source, "the server gives no queued calls");
        return REFUSED;
    }
    tracing::debug!(%refusal, ?source, "cannot fetch queued calls");
    AGAIN
}

/// What has a message handed out again, later.
pub(super) fn put_off(wait: Duration) -> Bytes {
    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    format!("-NAK {{\"delay\":{wait}}}").into()
}

/// What has a message handed out again at once.
pub(super) fn give_back() -> Bytes {
    Bytes::from_static(b"-NAK")
}

/// Says that a message is being worked on.
pub(super) const PROGRESS: Bytes = Bytes::from_static(b"+WPI");

pub(super) fn in_millis(nanos: i128) -> Millis {
    Millis::try_from(nanos / 1_000_000).unwrap_or_else(|_| now())
}
