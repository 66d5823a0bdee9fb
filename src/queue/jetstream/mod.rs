//! The queue on NATS JetStream, which several gateways share, and other producers too.
//!
//! ```text
//! STREAM            one message for each call that has not ended: a work queue
//! STREAM-calls      what is known of open calls and dead letters
//! STREAM-letters    the messages of dead letters, which are kept for as long as is configured
//! STREAM-results    what is known of calls that have ended, with their results; idempotency keys
//! ```
//!
//! The message in the work queue is what makes a call run: it is acknowledged when the call has
//! ended, and what is not acknowledged is handed out again. Everything else only says how a call
//! stands, so it may be late or lost.

mod calls;
mod counts;
mod feeder;
mod held;
mod link;
mod scout;
mod step;
mod strays;
mod streams;
mod submit;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::{
    Accepted, CallId, ChangeError, Depth, Found, Outcome, Queue, QueueError, Record, Room,
    Submission, Ticket, Wanted, Work, message,
};
use crate::config;

use counts::Counts;
use feeder::Sources;
use held::Held;
use link::{ANSWER, Link};
use strays::Strays;
use streams::Streams;
use submit::{Keyed, LeftOver};
use table::Table;

/// The header of a message with its call's id.
const ID: &str = "Gateway-Id";
/// The header of a message with its call's `X-Call-Id`.
const CALL_ID: &str = "X-Call-Id";
/// The header of a message that says how often its call had been replayed.
const REPLAYS: &str = "Gateway-Replays";

/// See the module.
pub struct Jetstream {
    streams: Streams,
    default_namespace: String,
    config: ArcSwap<config::Queue>,
    link: Link,
    calls: Table<Record>,
    letters: Table<()>,
    results: Table<Record>,
    keys: Table<Keyed>,
    backlog: Arc<Backlog>,
    held: Held,
    counts: Counts,
    sources: Sources,
    strays: Strays,
    /// How many feeders there are.
    feeders: AtomicUsize,
    left_over: LeftOver,
    /// Nothing is taken in any more, and what waits here is given back.
    draining: CancellationToken,
    closed: CancellationToken,
    /// Nothing comes from the server any more.
    stopped: CancellationToken,
}

impl Jetstream {
    /// A queue on the stream that is configured. Nothing is connected before it is run.
    pub fn new(
        settings: &config::Jetstream,
        queue: &config::Queue,
        default_namespace: &str,
    ) -> Arc<Self> {
        let streams = Streams::new(settings);
        Arc::new(Self {
            calls: Table::new(&streams.calls, "call", settings.replicas),
            letters: Table::new(&streams.letters, "letter", settings.replicas),
            results: Table::new(&streams.results, "call", settings.replicas),
            keys: Table::new(&streams.results, "key", settings.replicas),
            streams,
            default_namespace: default_namespace.to_owned(),
            config: ArcSwap::from_pointee(queue.clone()),
            link: Link::new(settings.clone()),
            backlog: Arc::default(),
            held: Held::default(),
            counts: Counts::default(),
            sources: Sources::default(),
            strays: Strays::default(),
            feeders: AtomicUsize::new(0),
            left_over: LeftOver::default(),
            draining: CancellationToken::new(),
            closed: CancellationToken::new(),
            stopped: CancellationToken::new(),
        })
    }

    /// Longest body whose message the server takes.
    fn longest_body(&self) -> usize {
        let room = self.link.max_payload().saturating_sub(message::HEAD);
        // Bodies are written in base64.
        self.config.load().max_body.min(room / 4 * 3)
    }
}

#[async_trait]
impl Queue for Jetstream {
    fn name(&self) -> &str {
        &self.streams.work
    }

    fn configure(&self, config: &config::Queue) {
        self.config.store(Arc::new(config.clone()));
        // Rows may have to be kept for another time.
        self.link.look_again();
    }

    fn max_body(&self) -> usize {
        self.longest_body()
    }

    fn problem(&self) -> Option<String> {
        self.link.problem()
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, QueueError> {
        self.accept(submission).await
    }

    async fn take(&self, room: Room<'_>) -> Ticket {
        let place = self.backlog.take(room).await;
        Ticket { place }
    }

    async fn begin(&self, ticket: Ticket) -> Option<Work> {
        self.begin_step(ticket).await
    }

    async fn settle(
        &self,
        ticket: Ticket,
        record: Record,
        outcome: Option<Outcome>,
    ) -> Result<(), QueueError> {
        self.settle_step(ticket, record, outcome).await
    }

    async fn find(&self, id: &CallId) -> Result<Option<Found>, QueueError> {
        self.look_up(id).await
    }

    async fn list(&self, wanted: &Wanted) -> Result<Vec<Record>, QueueError> {
        self.newest(wanted).await
    }

    async fn cancel(&self, id: &CallId) -> Result<Record, ChangeError> {
        self.end(id).await
    }

    async fn replay(&self, id: &CallId) -> Result<Record, ChangeError> {
        self.run_again(id).await
    }

    fn depths(&self) -> Vec<Depth> {
        self.counts.depths(self.backlog.depths())
    }

    fn drain(&self) {
        self.draining.cancel();
    }

    async fn run(&self) {
        let rest = async {
            tokio::join!(
                self.link.keep(&self.streams, &self.config),
                self.scout(),
                self.care_for_strays(),
                self.keep_alive(),
                self.hear_of_cancelled(),
                self.clear_left_over(),
            )
        };
        tokio::select! {
            () = self.feed_until_closed() => {}
            _ = rest => {}
        }
        self.stopped.cancel();
    }

    async fn close(&self) {
        self.draining.cancel();
        self.closed.cancel();
        self.backlog.clear();
        let _ = timeout(ANSWER / 4, self.stopped.cancelled()).await;
        // What cannot be given back is handed out again when nobody has answered for it.
        let _ = timeout(ANSWER / 4, self.give_all_back()).await;
        self.link.close().await;
    }
}

/// What a panic left behind is whole: nothing is done in between that can fail.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
