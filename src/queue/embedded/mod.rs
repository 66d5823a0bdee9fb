//! The queue in the state directory: a file of redb, changed by one thread.
//!
//! ```text
//! submit, settle, cancel, replay -> changes -> writer (one sync for all) -> tables
//!                                                  `-> backlog -> take
//! find, list <- tables
//! ```

mod batch;
mod change;
mod row;
mod space;
mod tables;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use self::change::{Change, Pending, Settled};
use self::row::Row;
use self::tables::Reading;
use self::writer::{Shared, Writer};
use super::backlog::{Place, Room};
use super::{
    Accepted, CallId, ChangeError, Depth, Found, Lane, Millis, Outcome, Queue, QueueError, Record,
    Stage, State, Step, Submission, Ticket, Wanted, Work, in_millis, now,
};
use crate::config;
use crate::function::FunctionName;

/// Changes in line.
const CHANGES: usize = 4096;
/// Kilobytes of calls in line.
const KILOBYTES: usize = 64 * 1024;
/// Longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wait until a call is looked at again that cannot be read; others go on.
const UNREADABLE: Duration = Duration::from_secs(10);
/// The file, below the state directory.
const FILE: &str = "queue/calls.redb";

/// See the module.
pub struct Embedded {
    changes: mpsc::Sender<Change>,
    shared: Arc<Shared>,
    /// What waits for the disk is held in memory: only so much of it.
    room: Arc<Semaphore>,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_calls: usize,
    max_body: usize,
    keep: Millis,
    keep_dead: Millis,
}

impl Limits {
    fn of(config: &config::Queue) -> Self {
        Self {
            max_calls: config.max_calls,
            max_body: config.max_body,
            keep: in_millis(config.results.keep),
            keep_dead: in_millis(config.dead_letters),
        }
    }
}

impl Embedded {
    /// Opens the queue of a state directory in the background: a large one that was not closed takes a
    /// moment, and calls wait for it.
    ///
    /// # Errors
    ///
    /// What the system says if it starts no thread.
    pub fn open(state_dir: &Path, config: &config::Queue) -> io::Result<Arc<Self>> {
        let (changes, receiver) = mpsc::channel(CHANGES);
        let shared = Arc::new(Shared {
            database: ArcSwapOption::empty(),
            problem: ArcSwapOption::empty(),
            changed: Notify::new(),
            backlog: Arc::default(),
            open: AtomicUsize::new(0),
            limits: ArcSwap::from_pointee(Limits::of(config)),
        });
        Writer::start(&state_dir.join(FILE), Arc::clone(&shared), receiver)?;
        Ok(Arc::new(Self {
            changes,
            shared,
            room: Arc::new(Semaphore::new(KILOBYTES)),
        }))
    }

    /// Asks the writer for a change, and waits until it is made, however long the disk takes.
    async fn ask<T>(
        &self,
        change: impl FnOnce(oneshot::Sender<T>) -> Change,
    ) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        let ended = || QueueError::Unavailable("it is closed".to_owned());
        self.changes
            .send(change(reply))
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }

    /// The same for those who do not wait for ever.
    async fn change<T>(
        &self,
        change: impl FnOnce(oneshot::Sender<T>) -> Change,
    ) -> Result<T, QueueError> {
        let changed = self.ask(change);
        let slow = |_| QueueError::Unavailable("the disk does not answer".to_owned());
        timeout(PATIENCE, changed).await.map_err(slow)?
    }

    /// Reads from the file on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, QueueError> {
        let opened = timeout(PATIENCE, self.shared.opened()).await;
        let database = opened.unwrap_or_else(|_| Err(self.unusable()))?;
        let reading = move || read(&Reading::of(&database)?);
        tokio::task::spawn_blocking(reading)
            .await
            .map_err(|error| QueueError::Failed(error.to_string()))?
            .map_err(|error| tables::failure(&error))
    }

    fn unusable(&self) -> QueueError {
        let problem = self.shared.problem.load_full();
        problem.map_or_else(
            || QueueError::Unavailable("it is not open yet".to_owned()),
            |problem| QueueError::clone(&problem),
        )
    }

    /// The step that a place stands for; `None` where nothing is left to do.
    fn step(&self, place: &Place) -> Result<Option<(Record, Step)>, QueueError> {
        let Some(database) = self.shared.database.load_full() else {
            return Err(self.unusable());
        };
        // The page was written a moment ago, or is read within microseconds.
        let read = || {
            let reading = Reading::of(&database)?;
            Ok(match place.lane().stage {
                Stage::Call => {
                    let call = reading.call(place.key())?;
                    call.map(|(record, invocation)| (record, Step::Call(invocation)))
                }
                Stage::Callback => {
                    let callback = reading.callback(place.key())?;
                    callback.map(|(record, outcome)| (record, Step::Callback(outcome)))
                }
            })
        };
        read().map_err(|error: redb::Error| tables::failure(&error))
    }

    fn seen(&self, mut row: Row) -> Record {
        if self.is_running(&row) {
            row.record.state = State::Running;
        }
        row.record
    }

    fn is_running(&self, row: &Row) -> bool {
        !row.record.state.is_final() && self.shared.backlog.is_running(&row.lane(), row.number)
    }
}

#[async_trait]
impl Queue for Embedded {
    fn name(&self) -> &str {
        "embedded"
    }

    fn configure(&self, config: &config::Queue) {
        self.shared.limits.store(Arc::new(Limits::of(config)));
    }

    fn max_body(&self) -> usize {
        self.shared.limits.load().max_body
    }

    fn problem(&self) -> Option<String> {
        let problem = self.shared.problem.load();
        problem.as_ref().map(ToString::to_string)
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, QueueError> {
        if submission.invocation.body.len() > self.max_body() {
            return Err(QueueError::TooLarge(self.max_body()));
        }
        if let Some(problem) = self.shared.problem.load_full() {
            return Err(QueueError::clone(&problem));
        }
        let size = submission.invocation.body.len().div_ceil(1024) + 1;
        let size = u32::try_from(size.min(KILOBYTES)).unwrap_or(u32::MAX);
        let slow = |_| QueueError::Unavailable("the disk does not answer".to_owned());
        let room = Arc::clone(&self.room).acquire_many_owned(size);
        let room = timeout(PATIENCE, room).await.map_err(slow)?;
        let pending = Pending {
            submission,
            // It is never closed.
            _room: room.map_err(|error| QueueError::Failed(error.to_string()))?,
        };
        self.change(|reply| Change::Submit(Box::new(pending), reply))
            .await?
    }

    async fn take(&self, room: Room<'_>) -> Ticket {
        let place = self.shared.backlog.take(room).await;
        Ticket { place }
    }

    async fn begin(&self, ticket: Ticket) -> Option<Work> {
        match self.step(&ticket.place) {
            Ok(Some((record, step))) => Some(Work {
                record,
                step,
                ticket,
            }),
            // It was cancelled a moment ago.
            Ok(None) => {
                ticket.place.forget();
                None
            }
            Err(error) => {
                tracing::error!(%error, "cannot read a queued call; trying on");
                let (lane, later) = (ticket.lane().clone(), now() + in_millis(UNREADABLE));
                ticket.place.go_on(lane, later);
                None
            }
        }
    }

    async fn settle(
        &self,
        ticket: Ticket,
        record: Record,
        outcome: Option<Outcome>,
    ) -> Result<(), QueueError> {
        let Ticket { place } = ticket;
        let settled = Settled {
            row: Row::new(place.key(), record),
            place,
            outcome,
        };
        // What has run must not run again because the disk is slow.
        self.ask(|reply| Change::Settle(Box::new(settled), reply))
            .await?
    }

    async fn find(&self, id: &CallId) -> Result<Option<Found>, QueueError> {
        let id = id.clone();
        let found = self.read(move |reading| reading.find(&id)).await?;
        Ok(found.map(|(row, outcome)| Found {
            record: self.seen(row),
            outcome,
        }))
    }

    async fn list(&self, wanted: &Wanted) -> Result<Vec<Record>, QueueError> {
        let Wanted {
            function,
            state,
            limit,
        } = wanted.clone();
        let backlog = Arc::clone(&self.shared.backlog);
        let rows = self
            .read(move |reading| {
                let function_text = function.as_ref().map(FunctionName::to_string);
                reading.newest(limit, |number, head| {
                    if function_text
                        .as_ref()
                        .is_some_and(|text| text != head.function)
                    {
                        return false;
                    }
                    let Some(state) = state else {
                        return true;
                    };
                    if head.state.is_final() || head.state == state {
                        return head.state == state;
                    }
                    // What runs stands as it did before.
                    state == State::Running
                        && head.function.parse().is_ok_and(|function| {
                            let stage = Stage::Call;
                            backlog.is_running(&Lane { function, stage }, number)
                        })
                })
            })
            .await?;
        let seen = rows.into_iter().map(|row| self.seen(row));
        let fits = |record: &Record| state.is_none_or(|state| record.state == state);
        Ok(seen.filter(fits).collect())
    }

    async fn cancel(&self, id: &CallId) -> Result<Record, ChangeError> {
        let id = id.clone();
        self.change(|reply| Change::Cancel(id, reply)).await?
    }

    async fn replay(&self, id: &CallId) -> Result<Record, ChangeError> {
        let id = id.clone();
        self.change(|reply| Change::Replay(id, reply)).await?
    }

    fn depths(&self) -> Vec<Depth> {
        self.shared.backlog.depths()
    }

    async fn run(&self) {
        // The writer has a thread of its own.
        std::future::pending().await
    }

    async fn close(&self) {
        // It may have ended already.
        let _ = self.change(Change::Close).await;
    }
}
