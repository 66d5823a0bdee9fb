//! Asynchronous calls from the moment they are accepted until nothing is left to do for them.
//!
//! A [`Queue`] keeps them: in the state directory, or on NATS JetStream where several gateways share
//! them. What is accepted is durable, and handed out again until it is settled, whoever is killed
//! meanwhile: every call runs at least once.
//!
//! ```text
//! submit -> waiting -> take -> Work -> settle -> ended, with its result
//!              ^                         |
//!              `---- tried again later --'
//! ```

mod backlog;
mod call_id;
mod codec;
mod embedded;
mod invocation;
mod jetstream;
mod message;
mod outcome;
mod record;
pub mod retry;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use backlog::{Depth, Lane, Room, Stage};
pub use call_id::CallId;
pub use embedded::Embedded;
pub use invocation::Invocation;
pub use jetstream::Jetstream;
pub use outcome::Outcome;
pub use record::{Callback, CallbackState, CallbackThen, Record, State, Then, Try};

use backlog::Place;

use crate::config;
use crate::function::FunctionName;

/// Keeps asynchronous calls. All waits are bounded by the implementation, but for
/// [`Queue::take`].
#[async_trait]
pub trait Queue: Send + Sync {
    /// What metrics call it (users.md section 8.1).
    fn name(&self) -> &str;

    /// Puts the limits of a new configuration into force.
    fn configure(&self, config: &config::Queue);

    /// Longest body that it takes, in bytes.
    fn max_body(&self) -> usize;

    /// Why it cannot take calls now, in words for its owner.
    fn problem(&self) -> Option<String>;

    /// Keeps a call; it is durable once this returns.
    async fn submit(&self, submission: Submission) -> Result<Accepted, QueueError>;

    /// Waits for the next step of some call that is due, of those lanes that have room for one more.
    /// Lanes take turns. Whoever drops the future takes nothing.
    async fn take(&self, room: Room<'_>) -> Ticket;

    /// Finds out what is to be done for a step that was taken; `None` where nothing is, or not now.
    async fn begin(&self, ticket: Ticket) -> Option<Work>;

    /// Both, until there is something to do.
    #[cfg(test)]
    async fn next(&self, room: Room<'_>) -> Work {
        loop {
            let ticket = self.take(room).await;
            if let Some(work) = self.begin(ticket).await {
                return work;
            }
        }
    }

    /// Notes what has become of a step: the call has ended, or goes on at [`Record::next`]. `outcome`
    /// is what the function answered, if it did just now; it is kept.
    async fn settle(
        &self,
        ticket: Ticket,
        record: Record,
        outcome: Option<Outcome>,
    ) -> Result<(), QueueError>;

    /// A call, and what its function answered.
    async fn find(&self, id: &CallId) -> Result<Option<Found>, QueueError>;

    /// The newest calls of some kind, the newest first.
    async fn list(&self, wanted: &Wanted) -> Result<Vec<Record>, QueueError>;

    /// Ends a call that has not ended: it will not run, or is broken off. A dead letter is thrown
    /// away. Returns the call as it is now.
    async fn cancel(&self, id: &CallId) -> Result<Record, ChangeError>;

    /// Lets a dead letter run again, with all its tries. Returns the call as it is now.
    async fn replay(&self, id: &CallId) -> Result<Record, ChangeError>;

    /// What waits and runs, by function. Functions without calls are left out.
    fn depths(&self) -> Vec<Depth>;

    /// Begins the end: nothing is taken here any more, and others who share the queue get what waits
    /// here. What runs may still be settled.
    fn drain(&self) {}

    /// Does what has to be done in the background, for as long as it is polled.
    async fn run(&self);

    /// Ends: nothing is taken or settled any more.
    async fn close(&self);
}

/// A call that shall be queued.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The call.
    pub invocation: Invocation,
    /// Its `X-Call-Id`.
    pub call_id: Arc<str>,
    /// Whether the client made that up itself; then others may have the same one.
    pub chosen: bool,
    /// What makes one execution out of several posts.
    pub key: Option<IdempotencyKey>,
}

/// `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), valid for one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key.
    pub key: Arc<str>,
    /// Differs where the calls do.
    pub fingerprint: [u8; 32],
}

/// A call that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What it is asked about by.
    pub id: CallId,
    /// Its `X-Call-Id`: that of the first post with this key.
    pub call_id: Arc<str>,
    /// Whether it had been posted before.
    pub repeated: bool,
}

/// One step to be made.
#[derive(Debug)]
pub struct Work {
    /// The call as it is now.
    pub record: Record,
    /// What is to be done.
    pub step: Step,
    /// What it is settled with.
    pub ticket: Ticket,
}

/// What is to be done for a call.
#[derive(Clone, Debug)]
pub enum Step {
    /// To call its function.
    Call(Invocation),
    /// To tell what came of it.
    Callback(Outcome),
}

/// The right to make one step; dropping it gives the step back, to be taken again.
#[derive(Debug)]
pub struct Ticket {
    place: Place,
}

impl Ticket {
    /// Where the step was taken from.
    pub fn lane(&self) -> &Lane {
        self.place.lane()
    }

    /// Cancelled when the call is; the step is then broken off, and the ticket dropped.
    pub fn cancelled(&self) -> CancellationToken {
        self.place.cancelled()
    }
}

/// A call that was asked for.
#[derive(Clone, Debug)]
pub struct Found {
    /// The call.
    pub record: Record,
    /// What its function answered.
    pub outcome: Option<Outcome>,
}

/// Which calls to list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this function.
    pub function: Option<FunctionName>,
    /// In this state.
    pub state: Option<State>,
    /// So many at most.
    pub limit: usize,
}

/// Why a call was not queued, or what is queued cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// So many calls wait already.
    #[error("{0} calls are queued already")]
    Full(usize),
    /// There is no room to store it.
    #[error("there is no room to store it: {0}")]
    NoSpace(String),
    /// The body is longer than so many bytes.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// The key was used for another call.
    #[error("the Idempotency-Key was used for another call")]
    KeyReused,
    /// It cannot be reached, or does not answer.
    #[error("the queue cannot be reached: {0}")]
    Unavailable(String),
    /// It is broken.
    #[error("the queue failed: {0}")]
    Failed(String),
}

/// Why a call was not cancelled or replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nobody knows it.
    #[error("there is no such call, or it ended too long ago")]
    NotFound,
    /// That cannot be done in its state.
    #[error("it is {}", .0.as_str())]
    State(State),
    /// The queue cannot do it now.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Milliseconds since 1970.
pub type Millis = u64;

/// The present.
pub fn now() -> Millis {
    millis(SystemTime::now())
}

/// A time; one before 1970 is 0.
pub fn millis(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    in_millis(since)
}

/// A duration in milliseconds.
pub fn in_millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
