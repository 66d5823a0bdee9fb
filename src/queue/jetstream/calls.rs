//! What can be asked of calls, and done with them from outside.

use std::cmp::Reverse;
use std::collections::HashSet;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::super::{CallId, ChangeError, Found, QueueError, Record, State, Wanted, message, now};
use super::Jetstream;
use super::feeder::Source;
use super::link::{ANSWER, Nats};
use super::step::{read, waiting_state};
use super::submit::Label;
use super::table::Row;

impl Jetstream {
    /// A call: one that has ended, else an open one.
    pub(super) async fn look_up(&self, id: &CallId) -> Result<Option<Found>, QueueError> {
        let nats = self.link.soon().await?;
        let open = self.calls.get(nats, id.as_str()).await?;
        let open = open.filter(|row| !has_expired(&row.known));
        // It is written here before it goes there, and may be forgotten to have gone.
        let row = self.results.get(nats, id.as_str()).await?.or(open);
        Ok(row.map(|row| Found {
            record: self.seen(row.known),
            outcome: read(&row.rest),
        }))
    }

    /// The newest calls.
    pub(super) async fn newest(&self, wanted: &Wanted) -> Result<Vec<Record>, QueueError> {
        let nats = self.link.soon().await?;
        let is_wanted = |record: &Record| {
            let function = wanted.function.as_ref();
            let state = self.state_of(record);
            !has_expired(record)
                && function.is_none_or(|function| *function == record.function)
                && wanted.state.is_none_or(|wanted| wanted == state)
        };
        let listed = async {
            tokio::try_join!(
                self.results.newest(nats, wanted.limit, is_wanted),
                self.calls.newest(nats, wanted.limit, is_wanted),
            )
        };
        let listed = timeout(ANSWER, listed).await;
        let silent = |_| QueueError::Unavailable(format!("no list within {ANSWER:?}"));
        let (mut records, open) = listed.map_err(silent)??;
        let ended: HashSet<_> = records.iter().map(|record| record.id.clone()).collect();
        let open = open
            .into_iter()
            .filter(|record| !ended.contains(&record.id));
        records.extend(open.map(|record| self.seen(record)));
        // They were read in the order in which they ended.
        records.sort_by_cached_key(|record| Reverse((record.submitted, record.id.clone())));
        records.truncate(wanted.limit);
        Ok(records)
    }

    /// Ends a call that has not ended.
    pub(super) async fn end(&self, id: &CallId) -> Result<Record, ChangeError> {
        let nats = self.link.soon().await?;
        let Row {
            sequence,
            known: mut record,
            rest,
        } = self.open_call(nats, id).await?;
        if record.state.is_final() && record.state != State::Dead {
            return Err(ChangeError::State(record.state));
        }
        let is_dead = record.state == State::Dead;
        record.end(State::Cancelled, now());
        record.expires = Some(now() + self.kept(State::Cancelled));
        let key = id.as_str();
        let ended = self.results.put(nats, key, &record, rest, 0).await;
        if ended.map_err(QueueError::from)?.is_none() {
            return Err(self.no_open_call(nats, id).await?);
        }
        let removed = self.calls.remove(nats, key, sequence).await;
        removed.map_err(QueueError::from)?;
        if is_dead {
            let removed = self.letters.remove(nats, key, 0).await;
            removed.map_err(QueueError::from)?;
        }
        self.break_off(id).await;
        let text = Bytes::copy_from_slice(key.as_bytes());
        nats.say(self.cancel_subject().into(), text).await;
        Ok(record)
    }

    /// Lets a dead letter run again. Its message says how often that was done, so it does not matter
    /// when this is written down.
    pub(super) async fn run_again(&self, id: &CallId) -> Result<Record, ChangeError> {
        let nats = self.link.soon().await?;
        let row = self.open_call(nats, id).await?;
        let mut record = row.known;
        if record.state != State::Dead {
            return Err(ChangeError::State(record.state));
        }
        let key = id.as_str();
        let letter = self.letters.get(nats, key).await;
        let letter = letter.map_err(QueueError::from)?;
        let lost = || QueueError::Failed("its message is lost".to_owned());
        let letter = letter.ok_or_else(lost)?;
        let invocation = message::decode(&letter.rest, &self.default_namespace);
        let invocation = invocation.map_err(|error| QueueError::Failed(error.to_string()))?;
        record.replay();
        let label = Label {
            id,
            call_id: record.call_id(),
            number: &format!("{key}-replay-{}", record.replays),
            replays: record.replays,
        };
        let published = self.publish(nats, &invocation, &label);
        let silent = |_| QueueError::Unavailable(format!("no answer within {ANSWER:?}"));
        let published = timeout(ANSWER, published).await;
        published.map_err(silent)??;
        let written = self
            .calls
            .put(nats, key, &record, Bytes::new(), row.sequence);
        written.await.map_err(QueueError::from)?;
        let source = Source::Function(record.function.clone());
        self.sources.want(source);
        Ok(record)
    }

    /// Breaks off what others have cancelled.
    pub(super) async fn hear_of_cancelled(&self) {
        let mut ready = self.link.readiness();
        // It fails once the connection is closed.
        while ready.changed().await.is_ok() {
            let Ok(nats) = self.link.nats() else {
                continue;
            };
            let Ok(mut cancelled) = nats.client().subscribe(self.cancel_subject()).await else {
                continue;
            };
            while let Some(message) = cancelled.next().await {
                let text = std::str::from_utf8(&message.payload);
                if let Some(id) = text.ok().and_then(CallId::parse) {
                    self.break_off(&id).await;
                }
            }
        }
    }

    async fn open_call(&self, nats: &Nats, id: &CallId) -> Result<Row<Record>, ChangeError> {
        let row = self.calls.get(nats, id.as_str()).await;
        match row.map_err(QueueError::from)? {
            Some(row) if has_expired(&row.known) => Err(ChangeError::NotFound),
            Some(row) => Ok(row),
            None => Err(self.no_open_call(nats, id).await?),
        }
    }

    /// Why there is no such open call.
    async fn no_open_call(&self, nats: &Nats, id: &CallId) -> Result<ChangeError, QueueError> {
        let row = self.results.get(nats, id.as_str()).await?;
        Ok(row.map_or(ChangeError::NotFound, |row| {
            ChangeError::State(row.known.state)
        }))
    }

    /// A record as it is told: whoever runs the call writes that down only if it takes its time.
    fn seen(&self, record: Record) -> Record {
        let state = self.state_of(&record);
        Record { state, ..record }
    }

    fn state_of(&self, record: &Record) -> State {
        if record.state.is_final() {
            return record.state;
        }
        match self.held.find(&record.id) {
            Some(message) if self.backlog.is_running(&message.lane, message.item.key) => {
                State::Running
            }
            Some(_) if record.state == State::Running => waiting_state(record),
            _ => record.state,
        }
    }

    fn cancel_subject(&self) -> String {
        format!("_gateway.{}.cancel", self.streams.work)
    }
}

/// Whether a dead letter has been kept for long enough.
fn has_expired(record: &Record) -> bool {
    record.expires.is_some_and(|expires| expires <= now())
}
