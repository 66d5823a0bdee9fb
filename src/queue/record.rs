//! What is known of a queued call: its state, its tries and its callback. The rules by which it
//! changes are here; who stores it and who makes it happen are elsewhere.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CallId, Invocation, Lane, Millis, Stage, Submission};
use crate::function::FunctionName;

/// Tries that are remembered, the newest ones.
const TRIES: usize = 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it is asked about by.
    pub id: CallId,
    /// Its `X-Call-Id`, where that is another text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<Arc<str>>,
    /// Its function.
    pub function: FunctionName,
    /// How it stands.
    pub state: State,
    /// When it was accepted.
    pub submitted: Millis,
    /// When its state became final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Millis>,
    /// When it will be forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// When the next step is due, if that is not at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Millis>,
    /// Tries of the function since it was submitted or replayed.
    #[serde(default)]
    pub attempts: u32,
    /// The last tries, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// What the result's receiver is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// How often it was replayed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replays: u32,
}

/// How a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, and not tried yet.
    Queued,
    /// Its function is being called.
    Running,
    /// Tried in vain, and to be tried again.
    Retrying,
    /// Its function answered.
    Succeeded,
    /// Its function answered with an error that is not to be tried again.
    Failed,
    /// Tried in vain as often as it was to be: a dead letter, which can be replayed.
    Dead,
    /// Cancelled.
    Cancelled,
}

/// One try of a call or a callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// When it began.
    pub at: Millis,
    /// How long it took, in microseconds.
    pub took: u64,
    /// The status that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, where no status came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A result that is to be posted somewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    /// Where.
    pub url: String,
    /// How that stands.
    pub state: CallbackState,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// The last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Try>,
}

/// How a callback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// It has not arrived yet.
    Pending,
    /// Its receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl State {
    /// All of them, with their words.
    pub const WORDS: [(&str, Self); 7] = [
        (Self::Queued.as_str(), Self::Queued),
        (Self::Running.as_str(), Self::Running),
        (Self::Retrying.as_str(), Self::Retrying),
        (Self::Succeeded.as_str(), Self::Succeeded),
        (Self::Failed.as_str(), Self::Failed),
        (Self::Dead.as_str(), Self::Dead),
        (Self::Cancelled.as_str(), Self::Cancelled),
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a word.
    pub fn of(word: &str) -> Option<Self> {
        let known = Self::WORDS.into_iter().find(|(known, _)| *known == word);
        known.map(|(_, state)| state)
    }

    /// What is next for a call in this state, if anything is.
    pub fn stage(self) -> Stage {
        if self.is_final() {
            Stage::Callback
        } else {
            Stage::Call
        }
    }

    /// Whether the function will not be called any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Retrying)
    }
}

impl Record {
    /// A call that has just been accepted.
    pub fn new(id: CallId, submission: &Submission, now: Millis) -> Self {
        let call_id = (*submission.call_id != *id.as_str()).then(|| submission.call_id.clone());
        Self::of(id, call_id, &submission.invocation, now)
    }

    /// A call that somebody else put into the queue.
    pub fn of(
        id: CallId,
        call_id: Option<Arc<str>>,
        invocation: &Invocation,
        submitted: Millis,
    ) -> Self {
        Self {
            id,
            call_id,
            function: invocation.function.clone(),
            state: State::Queued,
            submitted,
            ended: None,
            expires: None,
            next: None,
            attempts: 0,
            tries: Vec::new(),
            callback: invocation.callback.as_ref().map(|url| Callback {
                url: url.to_string(),
                state: CallbackState::Pending,
                attempts: 0,
                last: None,
            }),
            replays: 0,
        }
    }

    /// Its `X-Call-Id`.
    pub fn call_id(&self) -> &str {
        self.call_id.as_deref().unwrap_or(self.id.as_str())
    }

    /// Whether nothing is left to be done for it.
    pub fn is_over(&self) -> bool {
        self.state.is_final() && !self.callback_is_due()
    }

    /// Where its next step waits.
    pub fn lane(&self) -> Lane {
        Lane {
            function: self.function.clone(),
            stage: self.state.stage(),
        }
    }

    /// When its next step is due.
    pub fn due(&self) -> Millis {
        self.next.unwrap_or(self.submitted)
    }

    /// Notes a try of its function after which it has ended in `state`, or is tried again at `next`.
    pub fn tried(&mut self, tried: Try, now: Millis, then: Then) {
        self.attempts += u32::from(!matches!(then, Then::Wait(_)));
        if self.tries.len() >= TRIES {
            self.tries.remove(0);
        }
        self.tries.push(tried);
        match then {
            Then::Again(at) | Then::Wait(at) => {
                self.state = State::Retrying;
                self.next = Some(at);
            }
            Then::End(state) => self.end(state, now),
        }
    }

    /// Notes a try of its callback, which was taken, given up, or is tried again.
    pub fn called_back(&mut self, tried: Try, then: CallbackThen) {
        let Some(callback) = &mut self.callback else {
            return;
        };
        callback.attempts += 1;
        callback.last = Some(tried);
        self.next = match then {
            CallbackThen::Again(at) => Some(at),
            CallbackThen::End(state) => {
                callback.state = state;
                None
            }
        };
    }

    /// Ends it without another try.
    pub fn end(&mut self, state: State, now: Millis) {
        self.state = state;
        self.ended = Some(now);
        self.next = None;
        if state == State::Cancelled {
            // Nobody waits for the result of what was cancelled by its owner.
            self.callback = self.callback.take().map(|callback| Callback {
                state: CallbackState::Failed,
                ..callback
            });
        }
    }

    /// Begins anew.
    pub fn replay(&mut self) {
        self.state = State::Queued;
        self.ended = None;
        self.expires = None;
        self.next = None;
        self.attempts = 0;
        self.replays += 1;
        if let Some(callback) = &mut self.callback {
            callback.state = CallbackState::Pending;
            callback.attempts = 0;
        }
    }

    fn callback_is_due(&self) -> bool {
        let pending = |callback: &Callback| callback.state == CallbackState::Pending;
        self.callback.as_ref().is_some_and(pending)
    }
}

/// What follows a try of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another one, at this time; this one does not count, as the function had no place for it.
    Wait(Millis),
    /// Another one, at this time.
    Again(Millis),
    /// Nothing: it has ended.
    End(State),
}

/// What follows a try of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackThen {
    /// Another one, at this time.
    Again(Millis),
    /// Nothing.
    End(CallbackState),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
