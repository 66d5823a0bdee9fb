//! Changes that are written together, in one transaction.

use super::change::{Change, Pending, Reply, Settled, ToChanger};
use super::row::Row;
use super::space::Space;
use super::tables::{self, Keep, Submitted, Tables};
use crate::queue::{Accepted, CallId, Millis, QueueError};

/// What is to be done once a change is on the disk.
pub enum Done {
    /// The call, unless it was there already.
    Submitted(
        Option<Box<Row>>,
        Accepted,
        Reply<Result<Accepted, QueueError>>,
    ),
    /// Unless it was cancelled meanwhile, which the flag says.
    Settled(Box<Settled>, bool, Reply<Result<(), QueueError>>),
    /// Where its next step was, if there was to be one.
    Cancelled(Box<Row>, Option<Box<Row>>, ToChanger),
    /// The same.
    Replayed(Box<Row>, Option<Box<Row>>, ToChanger),
}

impl Done {
    /// Tells that it was not done. What is settled is kept by the caller.
    pub fn fail(self, error: &QueueError) {
        match self {
            Self::Submitted(_, _, reply) => drop(reply.send(Err(error.clone()))),
            Self::Settled(_, _, reply) => drop(reply.send(Err(error.clone()))),
            Self::Cancelled(_, _, reply) | Self::Replayed(_, _, reply) => {
                drop(reply.send(Err(error.clone().into())));
            }
        }
    }
}

/// A transaction, and what is needed to fill it.
pub struct Batch<'t, 'w> {
    /// The tables in it.
    pub tables: Tables<'t>,
    /// When it began.
    pub now: Millis,
    /// How long calls that have ended are known.
    pub keep: Keep,
    /// Open calls at most.
    pub max_calls: usize,
    /// Open calls so far.
    pub open: usize,
    /// The number of the next call.
    pub next: &'w mut u64,
    /// Room on the disk.
    pub space: &'w mut Space,
    /// What has been done.
    pub done: &'w mut Vec<Done>,
}

impl Batch<'_, '_> {
    /// Makes a change; an error is one of the whole transaction.
    pub fn apply(&mut self, change: Change) -> Result<(), redb::Error> {
        match change {
            // Whoever was told that it takes too long has not been promised anything.
            Change::Submit(_, reply) if reply.is_closed() => Ok(()),
            Change::Submit(pending, reply) => self.submit(*pending, reply),
            Change::Settle(settled, reply) => self.settle(settled, reply),
            Change::Cancel(id, reply) => self.cancel(&id, reply),
            Change::Replay(id, reply) => self.replay(&id, reply),
            Change::Close(reply) => {
                let _ = reply.send(());
                Ok(())
            }
        }
    }

    fn submit(
        &mut self,
        Pending { submission, .. }: Pending,
        reply: Reply<Result<Accepted, QueueError>>,
    ) -> Result<(), redb::Error> {
        // Who asks again is answered even where there is no room for another.
        let refused = match self.tables.known(&submission)? {
            Some(Submitted::Repeated(accepted)) => {
                self.done.push(Done::Submitted(None, accepted, reply));
                return Ok(());
            }
            Some(_) => Some(QueueError::KeyReused),
            None if self.open >= self.max_calls => Some(QueueError::Full(self.open)),
            None => {
                let size = submission.invocation.body.len();
                let room = self.space.take(size).map_err(redb::Error::Io)?;
                let why = || "the disk is almost full".to_owned();
                (!room).then(|| QueueError::NoSpace(why()))
            }
        };
        if let Some(refused) = refused {
            let _ = reply.send(Err(refused));
            return Ok(());
        }
        match self.tables.submit(*self.next, &submission, self.now) {
            Ok((accepted, row)) => {
                *self.next += 1;
                self.open += 1;
                let row = Some(Box::new(row));
                self.done.push(Done::Submitted(row, accepted, reply));
                Ok(())
            }
            Err(error) => {
                let _ = reply.send(Err(tables::failure(&error)));
                Err(error)
            }
        }
    }

    fn settle(
        &mut self,
        mut settled: Box<Settled>,
        reply: Reply<Result<(), QueueError>>,
    ) -> Result<(), redb::Error> {
        let Settled { row, outcome, .. } = &mut *settled;
        let known = self
            .tables
            .settle(row, outcome.as_ref(), self.now, self.keep);
        // It is kept, whatever came of it.
        let done = Done::Settled(settled, matches!(known, Ok(true)), reply);
        self.done.push(done);
        known.map(drop)
    }

    fn cancel(&mut self, id: &CallId, reply: ToChanger) -> Result<(), redb::Error> {
        let (now, keep) = (self.now, self.keep);
        let cancel = |tables: &mut Tables<'_>| tables.cancel(id, now, keep);
        self.change(id, reply, cancel, Done::Cancelled)
    }

    fn replay(&mut self, id: &CallId, reply: ToChanger) -> Result<(), redb::Error> {
        self.change(id, reply, |tables| tables.replay(id), Done::Replayed)
    }

    /// Changes one call. Who is refused is told, and a call that cannot be read is nobody else's
    /// trouble.
    fn change(
        &mut self,
        id: &CallId,
        reply: ToChanger,
        change: impl FnOnce(&mut Tables<'_>) -> Result<tables::Changed<Row>, redb::Error>,
        done: fn(Box<Row>, Option<Box<Row>>, ToChanger) -> Done,
    ) -> Result<(), redb::Error> {
        let before = self.tables.open(id);
        let changed = before.and_then(|before| Ok((change(&mut self.tables)?, before)));
        let refused = match changed {
            Ok((Ok(row), before)) => {
                let done = done(Box::new(row), before.map(Box::new), reply);
                self.done.push(done);
                return Ok(());
            }
            Ok((Err(refused), _)) => refused,
            Err(redb::Error::Corrupted(why)) => QueueError::Failed(why).into(),
            Err(error) => {
                let _ = reply.send(Err(tables::failure(&error).into()));
                return Err(error);
            }
        };
        let _ = reply.send(Err(refused));
        Ok(())
    }
}
