//! What is asked of the thread that writes.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::row::Row;
use crate::queue::backlog::Place;
use crate::queue::{Accepted, CallId, ChangeError, Outcome, QueueError, Record, Submission};

/// A change, and who wants to know what became of it.
pub enum Change {
    /// See [`crate::queue::Queue::submit`].
    Submit(Box<Pending>, Reply<Result<Accepted, QueueError>>),
    /// See [`crate::queue::Queue::settle`].
    Settle(Box<Settled>, Reply<Result<(), QueueError>>),
    /// See [`crate::queue::Queue::cancel`].
    Cancel(CallId, ToChanger),
    /// See [`crate::queue::Queue::replay`].
    Replay(CallId, ToChanger),
    /// Ends the thread, once everything before has been written.
    Close(Reply<()>),
}

/// A call that waits for the disk.
pub struct Pending {
    /// The call.
    pub submission: Submission,
    /// Its share of the memory for those that do.
    pub _room: OwnedSemaphorePermit,
}

/// Takes what became of a change; who asked may have gone.
pub type Reply<T> = oneshot::Sender<T>;

/// The same of who changes one call.
pub type ToChanger = Reply<Result<Record, ChangeError>>;

/// What has become of a step.
pub struct Settled {
    /// The right to settle it, kept until that is written.
    pub place: Place,
    /// The call as it is now.
    pub row: Row,
    /// What its function answered.
    pub outcome: Option<Outcome>,
}

impl Change {
    /// Tells that it was not made.
    pub fn fail(self, error: QueueError) {
        match self {
            Self::Submit(_, reply) => drop(reply.send(Err(error))),
            Self::Settle(_, reply) => drop(reply.send(Err(error))),
            Self::Cancel(_, reply) | Self::Replay(_, reply) => {
                drop(reply.send(Err(error.into())));
            }
            Self::Close(reply) => drop(reply.send(())),
        }
    }
}
