//! The thread that changes the file. Whatever is asked for while it writes is written together next
//! time: one sync of the disk serves all who wait.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redb::Database;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::Limits;
use super::batch::{Batch, Done};
use super::change::{Change, Settled};
use super::row::Row;
use super::space::Space;
use super::tables::{self, Keep, Reading, Tables};
use crate::durable;
use crate::queue::backlog::{Backlog, Item};
use crate::queue::{Lane, QueueError, now};

/// Changes written together at most.
const BATCH: usize = 4096;
/// Time between two looks for calls to be forgotten.
const FORGET: Duration = Duration::from_secs(1);
/// Time until what failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// What thread and queue share.
pub struct Shared {
    /// The file, while it can be used.
    pub database: ArcSwapOption<Database>,
    /// Why it cannot.
    pub problem: ArcSwapOption<QueueError>,
    /// Tells that one of them has changed.
    pub changed: Notify,
    /// What waits and runs.
    pub backlog: Arc<Backlog>,
    /// Calls for which something is left to do.
    pub open: AtomicUsize,
    /// What the configuration says.
    pub limits: arc_swap::ArcSwap<Limits>,
}

/// The thread's side.
pub struct Writer {
    runtime: Runtime,
    shared: Arc<Shared>,
    changes: mpsc::Receiver<Change>,
    path: PathBuf,
    space: Space,
    /// The number of the next call.
    next: u64,
    /// Where a transaction began of which nobody knows whether it was made.
    doubtful: Option<u64>,
    /// When calls were looked for last that are to be forgotten; `None`: there were more.
    forgotten: Option<Instant>,
    /// The problem that the log was told of, until it is over.
    told: Option<QueueError>,
    /// Whether the backlog holds what the file does.
    loaded: bool,
}

impl Shared {
    /// Waits until the file can be used, or it is known why it cannot.
    pub async fn opened(&self) -> Result<Arc<Database>, QueueError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(database) = self.database.load_full() {
                return Ok(database);
            }
            if let Some(problem) = self.problem.load_full() {
                return Err(QueueError::clone(&problem));
            }
            changed.await;
        }
    }

    fn end(&self, problem: QueueError) {
        self.problem.store(Some(Arc::new(problem)));
        self.database.store(None);
        self.changed.notify_waiters();
    }
}

impl Writer {
    /// Starts the thread for a file that it opens first.
    pub fn start(
        path: &Path,
        shared: Arc<Shared>,
        changes: mpsc::Receiver<Change>,
    ) -> std::io::Result<()> {
        // Waits within limits, which a thread alone cannot.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let writer = Self {
            runtime,
            space: Space::around(path.parent().unwrap_or(Path::new("."))),
            path: path.to_owned(),
            shared,
            changes,
            next: 1,
            doubtful: None,
            forgotten: None,
            told: None,
            loaded: false,
        };
        let named = thread::Builder::new().name("queue".to_owned());
        named.spawn(move || writer.run()).map(drop)
    }

    fn run(mut self) {
        let mut waiting: Vec<Change> = Vec::new();
        loop {
            if self.shared.database.load().is_none() && !self.open() {
                // Whoever settles is kept waiting: what has run must not run again for that.
                let more = self.receive(&mut waiting, AGAIN);
                if self.refuse(&mut waiting) || !more {
                    return;
                }
                thread::sleep(AGAIN);
                continue;
            }
            let mut more = true;
            if waiting.is_empty() {
                let limit = self.forgotten.map_or(Duration::ZERO, |_| FORGET);
                more = self.receive(&mut waiting, limit);
            }
            let close = waiting
                .iter()
                .position(|change| matches!(change, Change::Close(_)));
            let after = close.map(|at| waiting.split_off(at));
            waiting = self.write(waiting);
            self.forget();
            if let Some(after) = after {
                let closed = QueueError::Unavailable("it is closed".to_owned());
                self.shared.end(closed);
                for change in after {
                    if let Change::Close(reply) = change {
                        let _ = reply.send(());
                    }
                }
                return;
            }
            if !more {
                return;
            }
            if !waiting.is_empty() {
                thread::sleep(AGAIN);
                self.receive(&mut waiting, Duration::ZERO);
            }
        }
    }

    /// Waits for a change, and takes those that have come meanwhile. Says whether there may be more.
    fn receive(&mut self, waiting: &mut Vec<Change>, limit: Duration) -> bool {
        let Self {
            runtime, changes, ..
        } = self;
        if !limit.is_zero() {
            match runtime.block_on(async { timeout(limit, changes.recv()).await }) {
                Ok(Some(first)) => waiting.push(first),
                // Whoever could ask for something has gone.
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
        while waiting.len() < BATCH {
            match changes.try_recv() {
                Ok(change) => waiting.push(change),
                Err(error) => return error == TryRecvError::Empty,
            }
        }
        true
    }

    /// Opens the file. What stands in it is put into the backlog the first time, and after a transaction
    /// of which nobody knows whether it was made.
    fn open(&mut self) -> bool {
        match self.try_open() {
            Ok(()) => {
                self.shared.problem.store(None);
                self.shared.changed.notify_waiters();
                true
            }
            Err(error) => {
                self.broken(tables::failure(&error));
                false
            }
        }
    }

    fn try_open(&mut self) -> Result<(), redb::Error> {
        if let Some(folder) = self.path.parent() {
            durable::make_folder(folder).map_err(redb::Error::Io)?;
        }
        let database = tables::open(&self.path)?;
        if let Some(doubtful) = self.doubtful {
            let transaction = database.begin_write()?;
            Tables::of(&transaction)?.remove_from(doubtful)?;
            transaction.commit()?;
            self.doubtful = None;
            // What else was in that transaction may stand there too.
            self.loaded = false;
        }
        let database = Arc::new(database);
        // Whoever takes what is loaded reads it there.
        self.shared.database.store(Some(Arc::clone(&database)));
        if !self.loaded {
            self.load(&Reading::of(&database)?)?;
        }
        Ok(())
    }

    fn load(&mut self, reading: &Reading) -> Result<(), redb::Error> {
        let mut steps = Vec::new();
        reading.open(|key, head| {
            let stage = head.state.stage();
            let Ok(function) = head.function.parse() else {
                return;
            };
            let item = Item {
                key,
                submitted: head.submitted,
                due: head.due,
            };
            steps.push((Lane { function, stage }, item));
        })?;
        let open = steps.len();
        self.next = reading.last()? + 1;
        self.shared.open.store(open, Ordering::Relaxed);
        self.shared.backlog.replace(steps);
        self.loaded = true;
        if open > 0 {
            tracing::info!(calls = open, "the queue goes on with what it holds");
        }
        Ok(())
    }

    /// Answers whoever cannot be served while there is no file, but for those who settle. Says
    /// whether this is the end.
    fn refuse(&self, waiting: &mut Vec<Change>) -> bool {
        let problem = self.shared.problem.load();
        let error = || match problem.as_deref() {
            Some(error) => error.clone(),
            None => QueueError::Unavailable("it is not open".to_owned()),
        };
        let mut end = false;
        let (settles, others): (Vec<_>, Vec<_>) = std::mem::take(waiting)
            .into_iter()
            .partition(|change| matches!(change, Change::Settle(..)));
        *waiting = settles;
        for change in others {
            end |= matches!(change, Change::Close(_));
            change.fail(error());
        }
        end
    }

    /// Writes changes in one transaction. Returns those that have to be tried again.
    fn write(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let Some(database) = self.shared.database.load_full() else {
            return changes;
        };
        if changes.is_empty() {
            return changes;
        }
        let first = self.next;
        let mut done = Vec::with_capacity(changes.len());
        let mut rest = changes.into_iter();
        let written = self
            .apply(&database, &mut rest, &mut done)
            .map_err(|error| tables::failure(&error));
        match written {
            Ok(()) => {
                for done in done {
                    self.finish(done);
                }
                Vec::new()
            }
            Err(error) => {
                self.broken(error.clone());
                self.next = first;
                self.doubtful = Some(self.doubtful.unwrap_or(first));
                let mut again = Vec::new();
                for done in done {
                    match done {
                        Done::Settled(settled, _, reply) => {
                            again.push(Change::Settle(settled, reply));
                        }
                        done => done.fail(&error),
                    }
                }
                for change in rest {
                    match change {
                        Change::Settle(..) => again.push(change),
                        other => other.fail(error.clone()),
                    }
                }
                again
            }
        }
    }

    fn apply(
        &mut self,
        database: &Database,
        changes: &mut impl Iterator<Item = Change>,
        done: &mut Vec<Done>,
    ) -> Result<(), redb::Error> {
        let limits = self.shared.limits.load_full();
        let transaction = database.begin_write()?;
        let mut batch = Batch {
            tables: Tables::of(&transaction)?,
            now: now(),
            keep: Keep {
                results: limits.keep,
                dead: limits.keep_dead,
            },
            max_calls: limits.max_calls,
            open: self.shared.open.load(Ordering::Relaxed),
            next: &mut self.next,
            space: &mut self.space,
            done,
        };
        for change in changes {
            batch.apply(change)?;
        }
        let nothing = batch.done.is_empty();
        drop(batch);
        if nothing {
            transaction.abort()?;
        } else {
            transaction.commit()?;
        }
        Ok(())
    }

    /// What is on the disk takes effect, and is told.
    fn finish(&self, done: Done) {
        let Shared { backlog, open, .. } = &*self.shared;
        match done {
            Done::Submitted(row, accepted, reply) => {
                if let Some(row) = row {
                    open.fetch_add(1, Ordering::Relaxed);
                    backlog.push(row.lane(), item(&row));
                }
                let _ = reply.send(Ok(accepted));
            }
            Done::Settled(settled, known, reply) => {
                let Settled { place, row, .. } = *settled;
                if known && row.record.is_over() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
                if known && !row.record.is_over() {
                    place.go_on(row.lane(), row.record.due());
                } else {
                    place.forget();
                }
                let _ = reply.send(Ok(()));
            }
            Done::Cancelled(row, before, reply) => {
                if let Some(before) = before {
                    open.fetch_sub(1, Ordering::Relaxed);
                    backlog.cancel(&before.lane(), item(&before));
                }
                let _ = reply.send(Ok(row.record));
            }
            Done::Replayed(row, before, reply) => {
                match before {
                    // A callback about its death.
                    Some(before) => {
                        backlog.cancel(&before.lane(), item(&before));
                    }
                    None => {
                        open.fetch_add(1, Ordering::Relaxed);
                    }
                }
                backlog.push(row.lane(), item(&row));
                let _ = reply.send(Ok(row.record));
            }
        }
    }

    /// Forgets calls whose time is up.
    fn forget(&mut self) {
        if self.forgotten.is_some_and(|at| at.elapsed() < FORGET) {
            return;
        }
        let Some(database) = self.shared.database.load_full() else {
            return;
        };
        match forget(&database, &self.path, &mut self.space) {
            Ok(more) => {
                self.forgotten = (!more).then(Instant::now);
                // Everything before this was written.
                if self.told.take().is_some() {
                    tracing::info!("the queue works again");
                }
            }
            Err(error) => {
                self.broken(tables::failure(&error));
                self.forgotten = Some(Instant::now());
            }
        }
    }

    /// What is on the disk may be different from what is known: the file is opened again.
    fn broken(&mut self, error: QueueError) {
        if self.told.as_ref() != Some(&error) {
            let path = self.path.display();
            tracing::error!(%error, "cannot use the queue in {path}; trying on");
            self.told = Some(error.clone());
        }
        self.shared.end(error);
    }
}

/// Says whether there is more to forget. Where the disk is short it commits for nothing, too: only then
/// redb lets go of the pages that changes before have left.
fn forget(database: &Database, path: &Path, space: &mut Space) -> Result<bool, redb::Error> {
    let transaction = database.begin_write()?;
    let (any, more) = Tables::of(&transaction)?.forget(now())?;
    let short = space.is_short();
    space.measure(|| tables::free(&transaction, path))?;
    if any || short {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(more)
}

fn item(row: &Row) -> Item {
    Item {
        key: row.number,
        submitted: row.record.submitted,
        due: row.record.due(),
    }
}
