//! Rows in a stream: one message for each key, what is known of it in a header and the rest as its
//! content. So rows can be listed without what may be long.

use std::marker::PhantomData;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy};
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::link::{ANSWER, Nats, Refusal};

/// The header with what is known.
const KNOWN: &str = "Gateway-Known";
/// Rows that one listing reads at most.
const READS: u64 = 10_000;
/// How long a server keeps a listing for one who does not fetch it.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// See the module.
pub struct Table<T> {
    stream: String,
    prefix: String,
    /// Whether there are servers which may not have heard of the last change yet.
    has_followers: bool,
    rows: PhantomData<fn() -> T>,
}

/// One row.
#[derive(Debug)]
pub struct Row<T> {
    /// The number of its last change; 0 where there is no row.
    pub sequence: u64,
    /// What is known.
    pub known: T,
    /// The rest.
    pub rest: Bytes,
}

#[derive(Deserialize)]
struct Info {
    state: State,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    first_seq: u64,
    last_seq: u64,
}

impl<T: Serialize + DeserializeOwned> Table<T> {
    /// Rows of a kind in a stream, which may have several kinds.
    pub fn new(stream: &str, kind: &str, replicas: usize) -> Self {
        Self {
            stream: stream.to_owned(),
            prefix: format!("{stream}.{kind}."),
            has_followers: replicas > 1,
            rows: PhantomData,
        }
    }

    /// Writes a row if its last change is the one that is expected, 0: there is none. Returns the
    /// number of this change, `None` if somebody else was first.
    pub async fn put(
        &self,
        nats: &Nats,
        key: &str,
        known: &T,
        rest: Bytes,
        expected: u64,
    ) -> Result<Option<u64>, Refusal> {
        let mut headers = headers(known)?;
        headers.insert(
            header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            HeaderValue::from(expected),
        );
        let subject = format!("{}{key}", self.prefix);
        match nats.publish(subject, headers, rest).await {
            Ok(stored) => Ok(Some(stored.sequence)),
            Err(refusal) if refusal.is_conflict() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes a row over whatever is there.
    pub async fn overwrite(
        &self,
        nats: &Nats,
        key: &str,
        known: &T,
        rest: Bytes,
    ) -> Result<(), Refusal> {
        let subject = format!("{}{key}", self.prefix);
        let written = nats.publish(subject, headers(known)?, rest);
        written.await.map(drop)
    }

    /// Reads a row as it is now.
    pub async fn get(&self, nats: &Nats, key: &str) -> Result<Option<Row<T>>, Refusal> {
        let subject = format!("{}{key}", self.prefix);
        let newest = if self.has_followers {
            nats.newest(&self.stream, &subject).await
        } else {
            // This costs the only one less.
            nats.newest_anywhere(&self.stream, &subject).await
        };
        let Some(message) = newest? else {
            return Ok(None);
        };
        let StreamMessage {
            sequence,
            headers,
            payload,
            ..
        } = message;
        match known(&headers) {
            Some(known) => Ok(Some(Row {
                sequence,
                known,
                rest: payload,
            })),
            None => Err(Refusal::Strange(format!("{subject} is not ours"))),
        }
    }

    /// Removes a row, whatever has become of it since the change that is known.
    pub async fn remove(&self, nats: &Nats, key: &str, sequence: u64) -> Result<(), Refusal> {
        if sequence > 0 && self.remove_change(nats, sequence).await? {
            return Ok(());
        }
        match self.get(nats, key).await? {
            Some(row) => self.remove_change(nats, row.sequence).await.map(drop),
            None => Ok(()),
        }
    }

    /// Removes a row if this is its last change; says whether it was.
    pub async fn remove_change(&self, nats: &Nats, sequence: u64) -> Result<bool, Refusal> {
        nats.remove(&self.stream, sequence).await
    }

    /// What is known of the rows that were changed last, the newest first: those that are wanted, and
    /// so many at least if there are. More come where they were read anyway, as the order of changes
    /// is not everybody's.
    pub async fn newest(
        &self,
        nats: &Nats,
        limit: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, Refusal> {
        let question = format!("STREAM.INFO.{}", self.stream);
        let Info { state } = nats.api(&question, &()).await?;
        let mut found = Vec::new();
        let (mut end, mut span) = (state.last_seq + 1, READS / 4);
        let mut reads = 0;
        while end > state.first_seq && found.len() < limit && reads < READS {
            let all = reads == 0 && state.messages <= READS;
            let start = if all {
                state.first_seq
            } else {
                end.saturating_sub(span).max(state.first_seq)
            };
            let mut rows = self.between(nats, start, end, READS - reads).await?;
            reads += rows.len() as u64;
            rows.reverse();
            found.extend(rows.into_iter().flatten().filter(&wanted));
            // Where most rows were removed, the next ones are far away.
            (end, span) = (start, span.saturating_mul(4));
        }
        Ok(found)
    }

    /// What is known of the rows whose last change lies between two, the oldest first.
    async fn between(
        &self,
        nats: &Nats,
        start: u64,
        end: u64,
        limit: u64,
    ) -> Result<Vec<Option<T>>, Refusal> {
        let name = nats.client().new_inbox();
        let name = name.rsplit('.').next().unwrap_or_default();
        let config = consumer::Config {
            name: Some(name.to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: start.max(1),
            },
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}*", self.prefix),
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: FORGOTTEN,
            ..consumer::Config::default()
        };
        let content = json!({ "stream_name": self.stream, "config": config });
        let question = format!("CONSUMER.CREATE.{}.{name}", self.stream);
        let _: IgnoredAny = nats.api(&question, &content).await?;
        let rows = timeout(ANSWER, self.fetch(nats, name, end, limit)).await;
        let question = format!("CONSUMER.DELETE.{}.{name}", self.stream);
        let _ = nats.api::<IgnoredAny>(&question, &()).await;
        rows.unwrap_or_else(|_| Err(Refusal::NoAnswer("listing took too long".to_owned())))
    }

    async fn fetch(
        &self,
        nats: &Nats,
        consumer: &str,
        end: u64,
        limit: u64,
    ) -> Result<Vec<Option<T>>, Refusal> {
        let lost = |error: &dyn ToString| Refusal::NoAnswer(error.to_string());
        let client = nats.client();
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(inbox.clone()).await;
        let mut messages = subscribed.map_err(|error| lost(&error))?;
        let question = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", self.stream);
        // Something may be removed before it is sent: the server says then that there is no more, but
        // only when the request ends.
        let expires = (ANSWER / 4).as_nanos() as u64;
        let content = json!({ "batch": limit, "no_wait": true, "expires": expires }).to_string();
        let asked = client.publish_with_reply(question, inbox, content.into());
        asked.await.map_err(|error| lost(&error))?;
        let mut rows = Vec::new();
        while let Some(message) = messages.next().await {
            match message.status {
                Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => break,
                Some(status) => return Err(Refusal::Strange(format!("status {status}"))),
                None => {}
            }
            let delivered = nats.delivered(message);
            let Ok(info) = delivered.info() else { break };
            if info.stream_sequence >= end {
                break;
            }
            let is_last = info.pending == 0;
            rows.push(delivered.headers.as_ref().and_then(known));
            if is_last || rows.len() as u64 >= limit {
                break;
            }
        }
        Ok(rows)
    }
}

fn headers(known: &impl Serialize) -> Result<HeaderMap, Refusal> {
    let strange = |error: &dyn ToString| Refusal::Strange(error.to_string());
    let text = serde_json::to_string(known).map_err(|error| strange(&error))?;
    let text: HeaderValue = text.parse().map_err(|error| strange(&error))?;
    let mut headers = HeaderMap::new();
    headers.insert(KNOWN, text);
    Ok(headers)
}

fn known<T: DeserializeOwned>(headers: &HeaderMap) -> Option<T> {
    serde_json::from_str(headers.get(KNOWN)?.as_str()).ok()
}
