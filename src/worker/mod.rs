//! Makes queued calls: takes them from the queue, calls their functions through the same gate as
//! everybody else, decides what comes next, and posts results.
//!
//! ```text
//! queue.take -> call  -> verdict -> queue.settle
//!           `-> callback -------'
//! ```

mod call;
pub mod callback;
mod connector;
mod depth;
mod retry_after;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::call::Caller;
use self::callback::{PostError, Posted, Poster};
use self::verdict::{Verdict, after_call, after_post};
use crate::gateway::Gateway;
use crate::queue::{Invocation, Lane, Outcome, Record, Stage, State, Step, Ticket, Try, now};

/// Callbacks at once: they wait for others most of the time.
const CALLBACKS: usize = 64;
/// Callbacks of one function at once: its callers may name receivers that never answer.
const CALLBACKS_PER_FUNCTION: usize = CALLBACKS / 4;
/// Time after which limits are looked at again: a reload or a new replica may have changed them.
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
pub struct Worker {
    gateway: Arc<Gateway>,
    caller: Caller,
    poster: Poster,
    calls: AtomicUsize,
    callbacks: AtomicUsize,
}

impl Worker {
    /// A worker for the queue of `gateway`.
    pub fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            caller: Caller::new(),
            poster: Poster::default(),
            calls: AtomicUsize::new(0),
            callbacks: AtomicUsize::new(0),
        })
    }

    /// Works until the gateway drains, and finishes then what it has begun. Whoever asks for the end
    /// bounds that.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(depth::watch(&self.gateway), self.work());
    }

    async fn work(self: &Arc<Self>) {
        let mut steps = JoinSet::new();
        loop {
            let room = |lane: &Lane| self.room(lane);
            tokio::select! {
                ticket = self.gateway.queue.take(&room) => {
                    steps.spawn(Arc::clone(self).step(ticket));
                }
                Some(_) = steps.join_next() => {}
                () = self.gateway.drain.begun() => break,
                () = sleep(LOOK) => {}
            }
        }
        self.gateway.queue.drain();
        while steps.join_next().await.is_some() {}
    }

    /// Steps of a lane that may run at once.
    fn room(&self, lane: &Lane) -> usize {
        let snapshot = self.gateway.registry.current();
        let queue = &snapshot.config.queue;
        let (running, limit) = match lane.stage {
            Stage::Call => (&self.calls, queue.workers),
            Stage::Callback => (&self.callbacks, CALLBACKS),
        };
        if queue.workers == 0 || running.load(Ordering::Relaxed) >= limit {
            return 0;
        }
        if lane.stage == Stage::Callback {
            return CALLBACKS_PER_FUNCTION;
        }
        // Who waited in line for a function would take a worker's place from the others.
        match snapshot.function(&lane.function.to_string()) {
            Some(function) => {
                let room = function.room().unwrap_or(usize::MAX);
                queue.per_function.min(room).max(1)
            }
            None => 1,
        }
    }

    fn step(self: Arc<Self>, ticket: Ticket) -> impl Future<Output = ()> + Send {
        // Counted before the next one is taken, and until this one has ended.
        let running = match ticket.lane().stage {
            Stage::Call => Running::new(&self, |worker| &worker.calls),
            Stage::Callback => Running::new(&self, |worker| &worker.callbacks),
        };
        async move {
            let _running = running;
            let cancelled = ticket.cancelled();
            // What is cancelled is broken off; the ticket goes with it.
            let _ = cancelled
                .run_until_cancelled(async {
                    let Some(work) = self.gateway.queue.begin(ticket).await else {
                        return;
                    };
                    let (ticket, record) = (work.ticket, work.record);
                    match work.step {
                        Step::Call(invocation) => self.call(ticket, record, invocation).await,
                        Step::Callback(outcome) => self.post(ticket, record, outcome).await,
                    }
                })
                .await;
        }
    }

    async fn call(&self, ticket: Ticket, mut record: Record, invocation: Invocation) {
        let snapshot = self.gateway.registry.current();
        let queue = &snapshot.config.queue;
        let key = record.function.to_string();
        let retry = snapshot
            .function(&key)
            .map_or(queue.retry, |function| function.retry);
        let (at, begun) = (now(), Instant::now());
        let call_id = record.call_id().to_owned();
        let called = self
            .caller
            .call(&self.gateway, &snapshot, invocation, &call_id);
        let result = called.await;
        let tried = Try {
            at,
            took: micros(begun.elapsed()),
            status: result.as_ref().ok().map(|outcome| outcome.status.as_u16()),
            error: result.as_ref().err().map(ToString::to_string),
        };
        let Verdict { then, outcome } = after_call(&record, &retry, result);
        record.tried(tried, now(), then);
        let metrics = &self.gateway.metrics.queue;
        metrics.processed(self.gateway.queue.name(), &key);
        match record.state {
            State::Retrying => metrics.retried(&key),
            State::Dead => {
                metrics.dead(&key);
                let (id, attempts) = (record.id.as_str(), record.attempts);
                tracing::warn!(
                    function = key,
                    id,
                    attempts,
                    "a queued call was tried in vain"
                );
            }
            _ => {}
        }
        self.settle(ticket, record, outcome).await;
    }

    async fn post(&self, ticket: Ticket, mut record: Record, outcome: Outcome) {
        let snapshot = self.gateway.registry.current();
        let queue = &snapshot.config.queue;
        let signer = self.gateway.signer.load_full();
        let (at, begun) = (now(), Instant::now());
        let url = record
            .callback
            .as_ref()
            .map(|callback| callback.url.parse());
        let result = match url {
            Some(Ok(url)) => {
                self.poster
                    .post(&queue.callbacks, signer.as_deref(), &url, &record, &outcome)
                    .await
            }
            _ => Err(PostError::Host),
        };
        let tried = Try {
            at,
            took: micros(begun.elapsed()),
            status: result
                .as_ref()
                .ok()
                .map(|posted: &Posted| posted.status.as_u16()),
            error: result.as_ref().err().map(ToString::to_string),
        };
        let (then, word) = after_post(&record, &queue.retry, &result);
        if word == "failed" {
            let (id, try_) = (record.id.as_str(), &tried);
            tracing::warn!(
                id,
                status = try_.status,
                error = try_.error,
                "a callback was given up"
            );
        }
        self.gateway.metrics.queue.callback(word);
        record.called_back(tried, then);
        self.settle(ticket, record, None).await;
    }

    async fn settle(&self, ticket: Ticket, record: Record, outcome: Option<Outcome>) {
        let id = record.id.clone();
        if let Err(error) = self.gateway.queue.settle(ticket, record, outcome).await {
            tracing::error!(%id, %error, "what became of a queued call could not be kept; it may run again");
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A step in the worker's count and in the drain's.
struct Running {
    worker: Arc<Worker>,
    count: fn(&Worker) -> &AtomicUsize,
}

impl Running {
    fn new(worker: &Arc<Worker>, count: fn(&Worker) -> &AtomicUsize) -> Self {
        count(worker).fetch_add(1, Ordering::Relaxed);
        worker.gateway.drain.enter();
        let worker = Arc::clone(worker);
        Self { worker, count }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.count)(&self.worker).fetch_sub(1, Ordering::Relaxed);
        self.worker.gateway.drain.leave();
    }
}
