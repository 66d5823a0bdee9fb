//! What the embedded queue stores, and the changes it can undergo. Each change is one method, and is
//! made within somebody's transaction: whole or not at all.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::row::{Head, Row};
use crate::queue::codec::Corrupt;
use crate::queue::record::{Record, State};
use crate::queue::{
    Accepted, CallId, ChangeError, IdempotencyKey, Invocation, Millis, Outcome, QueueError,
    Submission,
};

/// Calls for which something is left to do, by their number. Numbers grow: they are the order in
/// which calls were accepted.
const OPEN: TableDefinition<u64, &[u8]> = TableDefinition::new("open");
/// Calls for which nothing is left to do.
const ENDED: TableDefinition<u64, &[u8]> = TableDefinition::new("ended");
/// Invocations of open calls and of dead letters.
const INVOCATIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("invocations");
/// What functions answered.
const OUTCOMES: TableDefinition<u64, &[u8]> = TableDefinition::new("outcomes");
/// Numbers by id.
const IDS: TableDefinition<&str, u64> = TableDefinition::new("ids");
/// What idempotency keys stand for: a number and a fingerprint, by function and key.
const KEYS: TableDefinition<(&str, &str), (u64, &[u8; 32])> = TableDefinition::new("keys");
/// Idempotency keys by number, to find them when a call is forgotten.
const KEYED: TableDefinition<u64, (&str, &str)> = TableDefinition::new("keyed");
/// When calls are to be forgotten.
const EXPIRY: TableDefinition<(Millis, u64), ()> = TableDefinition::new("expiry");

/// Bytes of the file that are kept in memory.
const CACHE: usize = 64 << 20;
/// Calls that are looked at for one list.
const SCAN: usize = 1_000_000;
/// Calls forgotten in one transaction.
const FORGET: usize = 1000;

/// Opens the file, and makes it where it is missing.
pub fn open(path: &Path) -> Result<Database, redb::Error> {
    let database = Database::builder().set_cache_size(CACHE).create(path)?;
    let transaction = database.begin_write()?;
    Tables::of(&transaction)?;
    transaction.commit()?;
    Ok(database)
}

/// How long calls are kept that have ended.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// With their results.
    pub results: Millis,
    /// Dead letters.
    pub dead: Millis,
}

/// All tables, to be written.
pub struct Tables<'a> {
    open: Table<'a, u64, &'static [u8]>,
    ended: Table<'a, u64, &'static [u8]>,
    invocations: Table<'a, u64, &'static [u8]>,
    outcomes: Table<'a, u64, &'static [u8]>,
    ids: Table<'a, &'static str, u64>,
    keys: Table<'a, (&'static str, &'static str), (u64, &'static [u8; 32])>,
    keyed: Table<'a, u64, (&'static str, &'static str)>,
    expiry: Table<'a, (Millis, u64), ()>,
}

/// What is known of a submission.
pub enum Submitted {
    /// It had been submitted before.
    Repeated(Accepted),
    /// Its key stands for another call.
    KeyReused,
}

/// What became of a change.
pub type Changed<T> = Result<T, ChangeError>;

impl<'a> Tables<'a> {
    /// The tables within a transaction.
    pub fn of(transaction: &'a WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            open: transaction.open_table(OPEN)?,
            ended: transaction.open_table(ENDED)?,
            invocations: transaction.open_table(INVOCATIONS)?,
            outcomes: transaction.open_table(OUTCOMES)?,
            ids: transaction.open_table(IDS)?,
            keys: transaction.open_table(KEYS)?,
            keyed: transaction.open_table(KEYED)?,
            expiry: transaction.open_table(EXPIRY)?,
        })
    }

    /// What stands under the key of a submission.
    pub fn known(&self, submission: &Submission) -> Result<Option<Submitted>, redb::Error> {
        let Some(key) = &submission.key else {
            return Ok(None);
        };
        self.of_key(&submission.invocation.function.to_string(), key)
    }

    /// Adds a call under this number. Its key must not be known.
    pub fn submit(
        &mut self,
        number: u64,
        submission: &Submission,
        now: Millis,
    ) -> Result<(Accepted, Row), redb::Error> {
        let function = submission.invocation.function.to_string();
        let id = self.free_id(submission)?;
        let record = Record::new(id.clone(), submission, now);
        let row = Row::new(number, record);
        self.open.insert(number, row.to_bytes().as_slice())?;
        let invocation = submission.invocation.to_bytes();
        self.invocations.insert(number, invocation.as_slice())?;
        self.ids.insert(id.as_str(), number)?;
        if let Some(key) = &submission.key {
            let name = (function.as_str(), &*key.key);
            self.keys.insert(name, (number, &key.fingerprint))?;
            self.keyed.insert(number, name)?;
        }
        let accepted = Accepted {
            id,
            call_id: submission.call_id.clone(),
            repeated: false,
        };
        Ok((accepted, row))
    }

    fn of_key(
        &self,
        function: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<Submitted>, redb::Error> {
        let Some(known) = self.keys.get((function, &*key.key))? else {
            return Ok(None);
        };
        let (number, fingerprint) = known.value();
        if *fingerprint != key.fingerprint {
            return Ok(Some(Submitted::KeyReused));
        }
        let row = match self.open.get(number)? {
            Some(row) => Row::from_bytes(number, row.value()),
            None => match self.ended.get(number)? {
                Some(row) => Row::from_bytes(number, row.value()),
                None => Err(Corrupt),
            },
        };
        Ok(row.ok().map(|row| {
            Submitted::Repeated(Accepted {
                call_id: row.record.call_id().into(),
                id: row.record.id,
                repeated: true,
            })
        }))
    }

    fn free_id(&self, submission: &Submission) -> Result<CallId, redb::Error> {
        match CallId::parse(&submission.call_id) {
            Some(id) if self.ids.get(id.as_str())?.is_none() => Ok(id),
            _ => Ok(CallId::new()),
        }
    }

    /// Notes what has become of a call that is open. Says whether it was: one that was cancelled or
    /// replayed meanwhile is left as it is.
    pub fn settle(
        &mut self,
        row: &mut Row,
        outcome: Option<&Outcome>,
        now: Millis,
        keep: Keep,
    ) -> Result<bool, redb::Error> {
        let number = row.number;
        let known = read(&self.open, number)?;
        if known.is_none_or(|known| known.record.replays != row.record.replays) {
            return Ok(false);
        }
        if let Some(outcome) = outcome {
            self.outcomes
                .insert(number, outcome.to_bytes().as_slice())?;
        }
        if row.record.is_over() {
            self.end(row, now, keep)?;
        } else {
            self.open.insert(number, row.to_bytes().as_slice())?;
        }
        Ok(true)
    }

    fn end(&mut self, row: &mut Row, now: Millis, keep: Keep) -> Result<(), redb::Error> {
        let number = row.number;
        let keep = if row.record.state == State::Dead {
            keep.dead
        } else {
            self.invocations.remove(number)?;
            keep.results
        };
        let expires = now.saturating_add(keep);
        row.record.expires = Some(expires);
        self.open.remove(number)?;
        self.ended.insert(number, row.to_bytes().as_slice())?;
        self.expiry.insert((expires, number), ())?;
        Ok(())
    }

    /// Ends a call that is open, or throws a dead letter away.
    pub fn cancel(
        &mut self,
        id: &CallId,
        now: Millis,
        keep: Keep,
    ) -> Result<Changed<Row>, redb::Error> {
        let Some(number) = self.number(id)? else {
            return Ok(Err(ChangeError::NotFound));
        };
        if let Some(mut row) = read(&self.open, number)? {
            let state = row.record.state;
            if state.is_final() && state != State::Dead {
                return Ok(Err(ChangeError::State(state)));
            }
            row.record.end(State::Cancelled, now);
            self.end(&mut row, now, keep)?;
            return Ok(Ok(row));
        }
        let mut row = match self.dead(number)? {
            Ok(row) => row,
            Err(error) => return Ok(Err(error)),
        };
        row.record.end(State::Cancelled, now);
        self.end(&mut row, now, keep)?;
        Ok(Ok(row))
    }

    /// Lets a dead letter run again.
    pub fn replay(&mut self, id: &CallId) -> Result<Changed<Row>, redb::Error> {
        let Some(number) = self.number(id)? else {
            return Ok(Err(ChangeError::NotFound));
        };
        let mut row = match read(&self.open, number)? {
            // Its callback is still under way.
            Some(row) if row.record.state == State::Dead => row,
            Some(row) => return Ok(Err(ChangeError::State(row.record.state))),
            None => match self.dead(number)? {
                Ok(row) => row,
                Err(error) => return Ok(Err(error)),
            },
        };
        row.record.replay();
        self.ended.remove(number)?;
        self.outcomes.remove(number)?;
        self.open.insert(number, row.to_bytes().as_slice())?;
        Ok(Ok(row))
    }

    fn dead(&self, number: u64) -> Result<Changed<Row>, redb::Error> {
        Ok(match read(&self.ended, number)? {
            Some(row) if row.record.state == State::Dead => Ok(row),
            Some(row) => Err(ChangeError::State(row.record.state)),
            None => Err(ChangeError::NotFound),
        })
    }

    /// A call for which something is left to do.
    pub fn open(&self, id: &CallId) -> Result<Option<Row>, redb::Error> {
        match self.number(id)? {
            Some(number) => read(&self.open, number),
            None => Ok(None),
        }
    }

    fn number(&self, id: &CallId) -> Result<Option<u64>, redb::Error> {
        Ok(self.ids.get(id.as_str())?.map(|number| number.value()))
    }

    /// Forgets calls whose time is up. Says whether there were any, and whether there may be more.
    pub fn forget(&mut self, now: Millis) -> Result<(bool, bool), redb::Error> {
        for forgotten in 0..FORGET {
            let due = self.expiry.first()?.map(|(key, _)| key.value());
            let Some((at, number)) = due.filter(|(at, _)| *at <= now) else {
                return Ok((forgotten > 0, false));
            };
            self.expiry.remove((at, number))?;
            // One that was replayed or cancelled since has another time.
            if let Some(row) = read(&self.ended, number)?
                && row.record.expires == Some(at)
            {
                self.remove(&row)?;
            }
        }
        Ok((true, true))
    }

    /// Removes calls from this number on: those of a transaction that was not known to have been
    /// made, and whose callers were refused.
    pub fn remove_from(&mut self, number: u64) -> Result<(), redb::Error> {
        let mut rows = Vec::new();
        for entry in self
            .open
            .range(number..)?
            .chain(self.ended.range(number..)?)
        {
            let (number, row) = entry?;
            rows.extend(Row::from_bytes(number.value(), row.value()));
        }
        for row in rows {
            self.open.remove(row.number)?;
            self.remove(&row)?;
        }
        Ok(())
    }

    fn remove(&mut self, row: &Row) -> Result<(), redb::Error> {
        let number = row.number;
        self.ended.remove(number)?;
        self.invocations.remove(number)?;
        self.outcomes.remove(number)?;
        self.ids.remove(row.record.id.as_str())?;
        let key = self.keyed.remove(number)?;
        let key = key.map(|key| {
            let (function, key) = key.value();
            (function.to_owned(), key.to_owned())
        });
        if let Some((function, key)) = key {
            self.keys.remove((function.as_str(), key.as_str()))?;
        }
        Ok(())
    }
}

/// The tables, to be read.
pub struct Reading(ReadTransaction);

impl Reading {
    /// The tables as they are now.
    pub fn of(database: &Database) -> Result<Self, redb::Error> {
        Ok(Self(database.begin_read()?))
    }

    /// The last number that was used.
    pub fn last(&self) -> Result<u64, redb::Error> {
        let (open, ended) = (self.0.open_table(OPEN)?, self.0.open_table(ENDED)?);
        let open = open.last()?.map_or(0, |(number, _)| number.value());
        let ended = ended.last()?.map_or(0, |(number, _)| number.value());
        Ok(open.max(ended))
    }

    /// Calls `each` with every open call.
    pub fn open(&self, mut each: impl FnMut(u64, Head<'_>)) -> Result<(), redb::Error> {
        for entry in self.0.open_table(OPEN)?.iter()? {
            let (number, row) = entry?;
            match Head::of(row.value()) {
                Ok((head, _)) => each(number.value(), head),
                Err(error) => tracing::error!(number = number.value(), %error, "a queued call"),
            }
        }
        Ok(())
    }

    /// An open call and its invocation.
    pub fn call(&self, number: u64) -> Result<Option<(Record, Invocation)>, redb::Error> {
        let Some(row) = read(&self.0.open_table(OPEN)?, number)? else {
            return Ok(None);
        };
        let invocations = self.0.open_table(INVOCATIONS)?;
        let invocation = invocations.get(number)?;
        let invocation = invocation.map(|bytes| Invocation::from_bytes(bytes.value()));
        match invocation {
            Some(Ok(invocation)) => Ok(Some((row.record, invocation))),
            Some(Err(error)) => Err(corrupt(error)),
            None => Ok(None),
        }
    }

    /// An open call and what its function answered.
    pub fn callback(&self, number: u64) -> Result<Option<(Record, Outcome)>, redb::Error> {
        let row = read(&self.0.open_table(OPEN)?, number)?;
        Ok(row.map(|row| row.record).zip(self.outcome(number)?))
    }

    /// A call by its id.
    pub fn find(&self, id: &CallId) -> Result<Option<(Row, Option<Outcome>)>, redb::Error> {
        let number = self.0.open_table(IDS)?.get(id.as_str())?;
        let Some(number) = number.map(|number| number.value()) else {
            return Ok(None);
        };
        let row = match read(&self.0.open_table(OPEN)?, number)? {
            Some(row) => Some(row),
            None => read(&self.0.open_table(ENDED)?, number)?,
        };
        match row {
            Some(row) => Ok(Some((row, self.outcome(number)?))),
            None => Ok(None),
        }
    }

    /// The newest calls for which `wanted` is true, the newest first.
    pub fn newest(
        &self,
        limit: usize,
        wanted: impl Fn(u64, &Head<'_>) -> bool,
    ) -> Result<Vec<Row>, redb::Error> {
        let (open, ended) = (self.0.open_table(OPEN)?, self.0.open_table(ENDED)?);
        let (mut open, mut ended) = (open.iter()?.rev(), ended.iter()?.rev());
        let (mut next_open, mut next_ended) = (open.next(), ended.next());
        let mut rows = Vec::new();
        for _ in 0..SCAN {
            if rows.len() >= limit {
                break;
            }
            let number = |entry: &Option<_>| match entry {
                Some(Ok((number, _))) => Some(redb::AccessGuard::<u64>::value(number)),
                // An error is looked at next.
                Some(Err(_)) => Some(u64::MAX),
                None => None,
            };
            let from_open = number(&next_open) >= number(&next_ended);
            let (next, rest) = if from_open {
                (&mut next_open, &mut open)
            } else {
                (&mut next_ended, &mut ended)
            };
            let Some(entry) = std::mem::replace(next, rest.next()) else {
                break;
            };
            let (number, bytes) = entry?;
            let number = number.value();
            if let Ok((head, _)) = Head::of(bytes.value())
                && wanted(number, &head)
            {
                rows.extend(Row::from_bytes(number, bytes.value()));
            }
        }
        Ok(rows)
    }

    fn outcome(&self, number: u64) -> Result<Option<Outcome>, redb::Error> {
        let outcomes = self.0.open_table(OUTCOMES)?;
        let bytes = outcomes.get(number)?;
        bytes
            .map(|bytes| Outcome::from_bytes(bytes.value()).map_err(corrupt))
            .transpose()
    }
}

fn read(
    table: &impl ReadableTable<u64, &'static [u8]>,
    number: u64,
) -> Result<Option<Row>, redb::Error> {
    let Some(bytes) = table.get(number)? else {
        return Ok(None);
    };
    Row::from_bytes(number, bytes.value())
        .map(Some)
        .map_err(corrupt)
}

fn corrupt(error: Corrupt) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}

/// Bytes that the file has on the disk and that hold nothing. It reads the whole file.
pub fn free(transaction: &WriteTransaction, path: &Path) -> Result<u64, redb::Error> {
    /// The unit of `st_blocks` (stat(2)).
    const BLOCK: u64 = 512;
    let has = std::fs::metadata(path).map_err(redb::Error::Io)?.blocks() * BLOCK;
    let stats = transaction.stats()?;
    let page = stats.page_size() as u64;
    Ok(has.saturating_sub(stats.allocated_pages() * page))
}

/// What an error of the file means for who wanted something of the queue.
pub fn failure(error: &redb::Error) -> QueueError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        redb::Error::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => {
            QueueError::NoSpace(error.to_string())
        }
        // The writer met an error, and opens the file again.
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            QueueError::Unavailable(error.to_string())
        }
        error => QueueError::Failed(error.to_string()),
    }
}
