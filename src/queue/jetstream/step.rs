//! How a step is taken, and what becomes of it.
//!
//! Whoever changes a call's record says which change of it was the last one that was known, so that
//! of two who do it at once one learns of the other. A call ends when its result is written, which
//! can be done once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::super::backlog::Place;
use super::super::{
    CallId, Millis, Outcome, QueueError, Record, Stage, State, Step, Ticket, Work, in_millis,
    message, now,
};
use super::Jetstream;
use super::counts::Remembered;
use super::feeder::{PROGRESS, give_back, put_off};
use super::held::{Call, Message, sequence_of};
use super::link::{AGAIN, Nats, Refusal};
use super::table::Row;

/// Wait up to which a step waits here and not on the server, in milliseconds.
const SOON: Millis = 1000;
/// Callbacks that are held at once; others wait on the server.
const CALLBACKS: usize = 1024;
/// Wait before it is tried again to note what a server refused.
const REFUSED: Duration = Duration::from_secs(1);
/// Longest wait for a server that is away.
const AWAY: Duration = Duration::from_secs(600);
/// Wait before a step is made again of which could not be noted what became of it, in milliseconds.
const UNSETTLED: Millis = 5000;
/// Bytes of a stored outcome's message beside the record and the outcome.
const HEADROOM: usize = 1024;
/// Time between two looks at the messages that are held.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two signs that they are worked on.
const ALIVE: Duration = Duration::from_secs(3);
/// Difference of a server's clock from ours that does no harm, in milliseconds.
const CLOCKS: Millis = 2000;
/// Time after which others are told that a call runs.
const SLOW: Duration = Duration::from_millis(200);

impl Jetstream {
    /// Notes what has become of a step. A server that is away, or cannot store it, is waited for: what
    /// has been made must not be made again because of that.
    pub(super) async fn settle_step(
        &self,
        ticket: Ticket,
        record: Record,
        outcome: Option<Outcome>,
    ) -> Result<(), QueueError> {
        let place = ticket.place;
        let fitted = outcome.map(|outcome| self.fitted(&record, outcome));
        let end = Instant::now() + AWAY;
        loop {
            // Handed out again meanwhile, it is acknowledged elsewhere.
            let Some(message) = self.held.get(place.key()) else {
                if place.cancelled().is_cancelled() && !self.closed.is_cancelled() {
                    // Somebody cancelled it, and that is written down.
                    return Ok(());
                }
                return Err(QueueError::Failed("it was given back".to_owned()));
            };
            let known = || message.known.outcome.clone();
            let outcome = fitted.clone().unwrap_or_else(known);
            match self.note(&message, &record, &outcome).await {
                Ok(goes_on) => {
                    self.after(place, &message, &record, goes_on).await;
                    return Ok(());
                }
                Err(error) if Instant::now() >= end => {
                    self.wait_here(place, &message, now() + UNSETTLED);
                    return Err(error);
                }
                Err(QueueError::Unavailable(_)) => sleep(AGAIN).await,
                Err(error) => {
                    tracing::debug!(id = %record.id, %error, "what became of a call is not noted yet");
                    sleep(REFUSED).await;
                }
            }
        }
    }

    /// Tells the server that what is held is worked on, and everybody of calls that take their time.
    pub(super) async fn keep_alive(&self) {
        let mut told = Instant::now();
        loop {
            sleep(LOOK).await;
            let Ok(nats) = self.link.nats() else {
                continue;
            };
            if told.elapsed() >= ALIVE {
                told = Instant::now();
                for reply in self.held.replies() {
                    nats.say(reply, PROGRESS).await;
                }
            }
            let slow = self.held.slow(SLOW).into_iter();
            join_all(slow.map(|(message, record)| self.tell_running(nats, message, record))).await;
        }
    }

    /// Gives everything back that is held.
    pub(super) async fn give_all_back(&self) {
        let held = self.held.clear();
        if let Ok(nats) = self.link.nats() {
            for message in held {
                nats.say(message.reply, give_back()).await;
            }
        }
    }

    /// Gives back what is held and does not run. A server that is away gets it when it is there again.
    pub(super) async fn give_back_waiting(&self) {
        let Ok(nats) = self.link.nats() else {
            return;
        };
        for key in self.backlog.take_waiting() {
            if let Some(message) = self.held.remove(key) {
                self.send_back(nats, &message, None).await;
            }
        }
    }

    /// Gives one back, to be handed out again at once or when it is due.
    async fn send_back(&self, nats: &Nats, message: &Message, due: Option<Millis>) {
        let wait = due.map(|due| Duration::from_millis(due.saturating_sub(now())));
        nats.say(message.reply.clone(), wait.map_or_else(give_back, put_off))
            .await;
        let call = &message.call;
        let back = Remembered {
            function: call.invocation.function.clone(),
            due,
            sequence: sequence_of(&message.reply).unwrap_or(0),
        };
        self.counts.remember(&call.id, back);
    }

    /// Begins a step; `None` if there is nothing to be done now.
    pub(super) async fn begin_step(&self, ticket: Ticket) -> Option<Work> {
        let Ticket { place } = ticket;
        let Some(message) = self.held.get(place.key()) else {
            place.forget();
            return None;
        };
        let (nats, row) = match self.row_of(&message.call).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot begin a call");
                self.wait_here(place, &message, now() + SOON);
                return None;
            }
        };
        let Some(row) = row else {
            nats.say(message.reply.clone(), Bytes::from_static(b"+ACK"))
                .await;
            self.forget(place, &message);
            return None;
        };
        // One that was never tried is due, whatever clock said when it was submitted.
        let is_early = row.known.next.is_some_and(|next| next > now());
        if is_early || row.known.lane() != *place.lane() {
            self.wait(nats, place, &message, &row.known).await;
            return None;
        }
        let step = match row.known.lane().stage {
            Stage::Call => Step::Call(message.call.invocation.clone()),
            // Nobody but us wrote it; what cannot be read is told as a call without an answer.
            Stage::Callback => Step::Callback(read(&row.rest).unwrap_or_else(Outcome::unreached)),
        };
        self.held.begin(place.key(), &row);
        Some(Work {
            record: row.known,
            step,
            ticket: Ticket { place },
        })
    }

    /// What is known of a call whose message came; `None` if nothing is left to be done for it.
    pub(super) async fn row_of(
        &self,
        call: &Call,
    ) -> Result<(&Nats, Option<Row<Record>>), QueueError> {
        let nats = self.link.nats()?;
        let id = call.id.as_str();
        let (open, ended) = if self.may_have_ended(call) {
            let rows = (self.calls.get(nats, id), self.results.get(nats, id));
            tokio::try_join!(rows.0, rows.1)?
        } else {
            (self.calls.get(nats, id).await?, None)
        };
        let mut row = match (open, ended) {
            (Some(stale), Some(_)) => {
                // That it was removed has been forgotten.
                self.calls.remove_change(nats, stale.sequence).await?;
                return Ok((nats, None));
            }
            (Some(row), None) => row,
            (None, Some(_)) => return Ok((nats, None)),
            (None, None) if self.results.get(nats, id).await?.is_some() => return Ok((nats, None)),
            (None, None) => self.unknown(call),
        };
        let record = &mut row.known;
        if call.replays > record.replays && record.state == State::Dead {
            // Whoever replayed it has published its message, and not yet written that down.
            record.replays = call.replays - 1;
            record.replay();
        }
        if record.state == State::Running {
            // Whoever ran it is gone.
            record.state = waiting_state(record);
        }
        let is_old = call.replays < record.replays;
        let row = (!is_old && !record.is_over()).then_some(row);
        Ok((nats, row))
    }

    /// Whether a call may have a result though its message was handed out: a server that was killed
    /// forgets the last messages that were removed, and acknowledged.
    fn may_have_ended(&self, call: &Call) -> bool {
        call.delivered != 1 || call.submitted < self.link.connected().saturating_add(CLOCKS)
    }

    /// A call that was published by somebody else, or whose record got lost.
    fn unknown(&self, call: &Call) -> Row<Record> {
        let mut known = Record::of(
            call.id.clone(),
            call.call_id.clone(),
            &call.invocation,
            call.submitted,
        );
        known.replays = call.replays;
        Row {
            sequence: 0,
            known,
            rest: Bytes::new(),
        }
    }

    /// Writes down what has become of a step. Returns whether the call goes on.
    async fn note(
        &self,
        message: &Message,
        record: &Record,
        outcome: &Bytes,
    ) -> Result<bool, QueueError> {
        let nats = self.link.nats()?;
        let is_dead = record.state == State::Dead;
        let mut record = record.clone();
        record.expires = record.is_over().then(|| now() + self.kept(record.state));
        let record = &record;
        if record.is_over() && !is_dead {
            self.finish(nats, message, record, outcome).await?;
            return Ok(false);
        }
        if is_dead {
            self.keep_letter(nats, message).await?;
        }
        let rest = if record.state.is_final() {
            outcome.clone()
        } else {
            Bytes::new()
        };
        let is_written = self.write(nats, record, &rest, message).await?;
        let goes_on = is_written && !record.is_over();
        if !goes_on {
            nats.acknowledge(message.reply.clone()).await?;
        }
        Ok(goes_on)
    }

    /// How long a call is kept that has ended so.
    pub(super) fn kept(&self, state: State) -> Millis {
        let config = self.config.load();
        in_millis(match state {
            State::Dead => config.dead_letters,
            _ => config.results.keep,
        })
    }

    /// Writes a call's result, and removes what is kept for it.
    async fn finish(
        &self,
        nats: &Nats,
        message: &Message,
        record: &Record,
        outcome: &Bytes,
    ) -> Result<(), QueueError> {
        let id = record.id.as_str();
        let write = || self.results.put(nats, id, record, outcome.clone(), 0);
        // If it has a result already it was cancelled, or somebody else ran it too.
        let written = write().await.map_err(QueueError::from);
        let is_full = matches!(written, Err(QueueError::NoSpace(_)));
        if !is_full {
            written?;
        }
        let (removed, acknowledged) = tokio::join!(
            self.calls.remove(nats, id, message.known.sequence),
            nats.acknowledge(message.reply.clone()),
        );
        removed.and(acknowledged)?;
        if record.replays > 0 {
            self.letters.remove(nats, id, 0).await?;
        }
        // What ends makes room, and may not run for ever because its result finds none.
        if is_full && let Err(error) = write().await {
            tracing::warn!(call = id, %error, "a result is lost");
        }
        Ok(())
    }

    /// Writes an open call's record over whatever stands there, unless the call has ended meanwhile.
    async fn write(
        &self,
        nats: &Nats,
        record: &Record,
        rest: &Bytes,
        message: &Message,
    ) -> Result<bool, QueueError> {
        let id = record.id.as_str();
        let mut expected = message.known.sequence;
        loop {
            let written = self.calls.put(nats, id, record, rest.clone(), expected);
            if written.await?.is_some() {
                return Ok(true);
            }
            let there = self.calls.get(nats, id).await?;
            if there.is_none() && self.results.get(nats, id).await?.is_some() {
                return Ok(false);
            }
            let is_newer = |row: &Row<Record>| row.known.replays > record.replays;
            if there.as_ref().is_some_and(is_newer) {
                return Ok(false);
            }
            expected = there.map_or(0, |row| row.sequence);
        }
    }

    /// Keeps a dead letter's message, so that it can be replayed.
    async fn keep_letter(&self, nats: &Nats, message: &Message) -> Result<(), QueueError> {
        let call = &message.call;
        let content = Bytes::from(message::encode(&call.invocation));
        // One that is there is the same, but as old as its first death.
        let kept = self.letters.overwrite(nats, call.id.as_str(), &(), content);
        kept.await.map_err(QueueError::from)
    }

    async fn after(&self, place: Place, message: &Message, record: &Record, goes_on: bool) {
        match self.link.nats() {
            _ if !goes_on => self.forget(place, message),
            Ok(nats) => self.wait(nats, place, message, record).await,
            Err(_) => self.wait_here(place, message, record.due()),
        }
    }

    /// Lets a call's next step wait: here if it is due soon and may be made here, else on the server.
    async fn wait(&self, nats: &Nats, place: Place, message: &Message, record: &Record) {
        let is_callback = record.lane().stage == Stage::Callback;
        let (lane, mut due) = (record.lane(), record.due());
        let is_soon = due <= now() + SOON;
        let is_crowded = is_callback && self.held.callbacks() >= CALLBACKS;
        if is_soon && !is_crowded && !self.draining.is_cancelled() {
            self.held.move_to(place.key(), &lane, due);
            place.go_on(lane, due);
            return;
        }
        if is_soon && is_crowded {
            due = now() + SOON;
        }
        if self.held.remove(place.key()).is_none() {
            // It was cancelled meanwhile.
            return;
        }
        self.send_back(nats, message, Some(due)).await;
        place.forget();
    }

    fn wait_here(&self, place: Place, message: &Message, due: Millis) {
        self.held.move_to(place.key(), &message.lane, due);
        place.go_on(message.lane.clone(), due);
    }

    /// Forgets a call that has ended.
    fn forget(&self, place: Place, message: &Message) {
        if self.held.remove(place.key()).is_some() {
            self.uncount(message);
        }
        place.forget();
    }

    fn uncount(&self, message: &Message) {
        let sequence = sequence_of(&message.reply).unwrap_or(0);
        self.counts.subtract(&message.lane.function, sequence);
    }

    /// Breaks a call off if it runs here, and forgets it if it waits here.
    pub(super) async fn break_off(&self, id: &CallId) {
        let Some(message) = self.held.find(id) else {
            self.take_back_message(id).await;
            return;
        };
        self.backlog.cancel(&message.lane, message.item);
        // Whoever runs it drops his ticket, or learns from this that nothing is left to be noted.
        if self.held.remove(message.item.key).is_some() {
            self.uncount(&message);
            if let Ok(nats) = self.link.nats() {
                nats.say(message.reply, Bytes::from_static(b"+ACK")).await;
            }
        }
    }

    /// Removes the message of a call that waits on the server for its next step.
    async fn take_back_message(&self, id: &CallId) {
        let (Some(back), Ok(nats)) = (self.counts.take_back(id), self.link.nats()) else {
            return;
        };
        match self.remove_message(nats, id, back.sequence).await {
            Ok(true) => self.counts.subtract(&back.function, back.sequence),
            Ok(false) => {}
            // It is seen to have ended when it is handed out again.
            Err(error) => tracing::debug!(%error, "the message of a cancelled call stays"),
        }
    }

    async fn remove_message(
        &self,
        nats: &Nats,
        id: &CallId,
        sequence: u64,
    ) -> Result<bool, Refusal> {
        let message = nats.message(&self.streams.work, sequence).await?;
        // A stream that was made anew may have another call's message there.
        let call = message.and_then(|message| self.read(Some(message.into())));
        if call.is_none_or(|call| call.id != *id) {
            return Ok(false);
        }
        nats.remove(&self.streams.work, sequence).await
    }

    async fn tell_running(&self, nats: &Nats, message: Message, record: Record) {
        if !self.backlog.is_running(&message.lane, message.item.key) {
            return;
        }
        let (id, sequence) = (record.id.as_str(), message.known.sequence);
        let told = self.calls.put(nats, id, &record, Bytes::new(), sequence);
        if let Err(error) = told.await {
            tracing::debug!(%error, "cannot tell that a call runs");
        }
    }

    /// An outcome as it is stored, shortened to what the server takes.
    fn fitted(&self, record: &Record, mut outcome: Outcome) -> Bytes {
        let head = serde_json::to_vec(record).map_or(0, |text| text.len()) + HEADROOM;
        let most = self.link.max_payload().saturating_sub(head);
        let bytes = outcome.to_bytes();
        let excess = bytes.len().saturating_sub(most);
        if excess == 0 {
            return bytes.into();
        }
        outcome.truncated = true;
        let kept = outcome.body.len().saturating_sub(excess);
        outcome.body.truncate(kept);
        if outcome.body.is_empty() {
            // Its headers alone may be longer than a server takes.
            outcome.headers.clear();
        }
        outcome.to_bytes().into()
    }
}

/// An outcome that was stored; `None` where there is none.
pub(super) fn read(stored: &[u8]) -> Option<Outcome> {
    Outcome::from_bytes(stored).ok()
}

/// How a call stands that does not run.
pub(super) fn waiting_state(record: &Record) -> State {
    match record.attempts {
        0 => State::Queued,
        _ => State::Retrying,
    }
}
