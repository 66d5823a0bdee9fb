//! A function's log as lines of JSON, for as long as somebody follows it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::answers::with_body;
use crate::function::{FunctionName, LogLine, LogQuery};
use crate::provider::Answer;
use crate::provider::process::logs::{Entry, LogRing};

/// A function's log on its way to a client.
pub(super) struct Lines {
    ring: Arc<LogRing>,
    function: FunctionName,
    query: LogQuery,
    /// The first line not sent yet.
    next: u64,
    /// The tail has been cut.
    begun: bool,
}

impl Lines {
    /// The lines that a query asks for.
    pub fn new(ring: Arc<LogRing>, function: FunctionName, query: LogQuery) -> Self {
        Self {
            ring,
            function,
            query,
            next: 0,
            begun: false,
        }
    }

    /// The next lines as JSON, one each; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.begun && !(self.query.follow && self.ring.reached(self.next).await) {
                return None;
            }
            let entries = self.ring.entries(self.next);
            self.next = entries.last().map_or(self.next, |last| last.sequence + 1);
            let mut wanted: Vec<_> = entries.iter().filter(|entry| self.wants(entry)).collect();
            if !std::mem::replace(&mut self.begun, true)
                && let Some(tail) = self.query.tail
            {
                wanted.drain(..wanted.len().saturating_sub(tail));
            }
            if !wanted.is_empty() {
                return Some(
                    wanted
                        .into_iter()
                        .flat_map(|entry| self.line(entry))
                        .collect(),
                );
            }
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let instance = &self.query.instance;
        (instance.is_empty() || **instance == *entry.instance)
            && self
                .query
                .since
                .is_none_or(|since| entry.timestamp >= since)
    }

    fn line(&self, entry: &Entry) -> Vec<u8> {
        let line = LogLine {
            name: self.function.name().to_owned(),
            namespace: self.function.namespace().to_owned(),
            instance: entry.instance.to_string(),
            timestamp: humantime::format_rfc3339_nanos(entry.timestamp).to_string(),
            text: entry.text.to_string(),
        };
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The lines as they come.
pub(super) fn lines(lines: Lines) -> Answer {
    let pieces = stream::unfold(lines, |mut lines| async {
        let piece = lines.next().await?;
        Some((Ok(Frame::data(piece)), lines))
    });
    with_body(
        "application/x-ndjson",
        StreamBody::new(pieces).boxed_unsync(),
    )
}
