//! Messages that this gateway holds: those that wait here for a worker, and those that run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::backlog::Item;
use super::super::{CallId, Invocation, Lane, Millis, Record, Stage, State};
use super::lock;
use super::table::Row;

/// A call as it came out of the stream.
#[derive(Debug)]
pub struct Call {
    /// What it is asked about by.
    pub id: CallId,
    /// Its `X-Call-Id`, where that is another text.
    pub call_id: Option<Arc<str>>,
    /// The call.
    pub invocation: Invocation,
    /// How often it had been replayed when this message was published.
    pub replays: u32,
    /// When it was submitted.
    pub submitted: Millis,
    /// How often its message was handed out.
    pub delivered: i64,
}

/// What was known of a call when it was last read or written.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The number of the last change of its row.
    pub sequence: u64,
    /// What its function answered.
    pub outcome: Bytes,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its call.
    pub call: Arc<Call>,
    /// Where it is acknowledged.
    pub reply: Subject,
    /// Where it waits or runs.
    pub lane: Lane,
    /// As what.
    pub item: Item,
    /// What is known of its call.
    pub known: Known,
    /// When a try of its function began that nobody has been told of, with what to tell.
    begun: Option<(Instant, Record)>,
    // Given back with the last try: who waits for the receiver of a callback keeps no call away.
    slot: Option<Arc<Slot>>,
}

/// What came of [`Held::add`].
#[derive(Debug)]
pub enum Added {
    /// It shall wait.
    New(Lane, Item),
    /// It is here already; this delivery is the one to be acknowledged from now on.
    Again,
    /// Another message of the same call is here.
    Twin,
}

/// See the module.
#[derive(Default)]
pub struct Held(Mutex<Table>);

#[derive(Default)]
struct Table {
    messages: HashMap<u64, Message>,
    by_id: HashMap<CallId, u64>,
    last: u64,
}

/// How many messages of one source are here.
#[derive(Debug, Default)]
pub struct Share {
    held: AtomicUsize,
    freed: Notify,
}

/// The place of one message in a share.
#[derive(Debug)]
pub struct Slot(Arc<Share>);

impl Held {
    /// Adds a message that was delivered.
    pub fn add(&self, call: Call, reply: Subject, slot: Slot, lane: Lane, due: Millis) -> Added {
        let mut table = self.table();
        if let Some(message) = table.by_id(&call.id) {
            if !is_same(&message.reply, &reply) {
                return Added::Twin;
            }
            message.reply = reply;
            return Added::Again;
        }
        table.last += 1;
        let key = table.last;
        let item = Item {
            key,
            submitted: call.submitted,
            due,
        };
        table.by_id.insert(call.id.clone(), key);
        let message = Message {
            call: Arc::new(call),
            reply,
            lane: lane.clone(),
            item,
            known: Known::default(),
            begun: None,
            slot: (lane.stage == Stage::Call).then(|| Arc::new(slot)),
        };
        table.messages.insert(key, message);
        Added::New(lane, item)
    }

    /// A message by its number.
    pub fn get(&self, key: u64) -> Option<Message> {
        self.table().messages.get(&key).cloned()
    }

    /// The message of a call.
    pub fn find(&self, id: &CallId) -> Option<Message> {
        self.table().by_id(id).cloned()
    }

    /// Notes that a step begins.
    pub fn begin(&self, key: u64, row: &Row<Record>) {
        if let Some(message) = self.table().messages.get_mut(&key) {
            message.known = Known {
                sequence: row.sequence,
                outcome: row.rest.clone(),
            };
            let begun = || (Instant::now(), row.known.clone());
            message.begun = (message.lane.stage == Stage::Call).then(begun);
        }
    }

    /// Notes that a call's next step waits, and where.
    pub fn move_to(&self, key: u64, lane: &Lane, due: Millis) {
        if let Some(message) = self.table().messages.get_mut(&key) {
            message.lane = lane.clone();
            message.item.due = due;
            message.begun = None;
            if lane.stage == Stage::Callback {
                message.slot = None;
            }
        }
    }

    /// Takes a message out.
    pub fn remove(&self, key: u64) -> Option<Message> {
        let mut table = self.table();
        let message = table.messages.remove(&key)?;
        table.by_id.remove(&message.call.id);
        Some(message)
    }

    /// Takes everything out.
    pub fn clear(&self) -> Vec<Message> {
        let mut table = self.table();
        table.by_id.clear();
        table.messages.drain().map(|(_, message)| message).collect()
    }

    /// How many wait for the receiver of a callback.
    pub fn callbacks(&self) -> usize {
        let table = self.table();
        let callback = |message: &&Message| message.lane.stage == Stage::Callback;
        table.messages.values().filter(callback).count()
    }

    /// Where all of them are acknowledged.
    pub fn replies(&self) -> Vec<Subject> {
        let table = self.table();
        let replies = table.messages.values();
        replies.map(|message| message.reply.clone()).collect()
    }

    /// Those whose function has been called for so long, each of them once, with what is to be told
    /// of them.
    pub fn slow(&self, after: Duration) -> Vec<(Message, Record)> {
        let mut table = self.table();
        let is_slow = |begun: &mut (Instant, Record)| begun.0.elapsed() >= after;
        let slow = table.messages.values_mut().filter_map(|message| {
            let (_, record) = message.begun.take_if(is_slow)?;
            let state = State::Running;
            Some((message.clone(), Record { state, ..record }))
        });
        slow.collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0)
    }
}

impl Table {
    fn by_id(&mut self, id: &CallId) -> Option<&mut Message> {
        let key = self.by_id.get(id)?;
        self.messages.get_mut(key)
    }
}

impl Share {
    /// How many more there may be, waiting until that is one at least or some time has passed.
    pub async fn room(&self, most: impl Fn() -> usize, wait: Duration) -> usize {
        let room = || most().saturating_sub(self.held.load(Ordering::Relaxed));
        if room() == 0 {
            let _ = tokio::time::timeout(wait, self.freed.notified()).await;
        }
        room()
    }

    /// Whether none are here.
    pub fn is_empty(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0
    }

    /// A place for one.
    pub fn slot(self: &Arc<Self>) -> Slot {
        self.held.fetch_add(1, Ordering::Relaxed);
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

/// Whether two deliveries are of the same message.
fn is_same(one: &Subject, other: &Subject) -> bool {
    sequence_of(one) == sequence_of(other)
}

/// The number in the stream of a message that was delivered with this subject to answer to:
/// `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.…`, where newer servers put domain and account in
/// front of the stream.
pub fn sequence_of(reply: &Subject) -> Option<u64> {
    let parts: Vec<&str> = reply.split('.').collect();
    let at = if parts.len() > 9 { 7 } else { 5 };
    parts.get(at)?.parse().ok()
}
