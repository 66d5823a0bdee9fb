//! `queue`: asynchronous calls.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::Reader;
use crate::config::file;
use crate::config::value::{QueueWord, Size};
use crate::config::{Callbacks, Queue, QueueKind, Results, Retry};

const WORKERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Statuses that are tried again: the function or its host may be better in a moment.
const RETRY_CODES: [u16; 6] = [408, 429, 500, 502, 503, 504];

impl Reader<'_> {
    pub(super) fn queue(&mut self, raw: file::Queue) -> Queue {
        let results = raw.results.unwrap_or_default();
        let callbacks = raw.callbacks.unwrap_or_default();
        let kind = self.read_or("queue.kind", &raw.kind, QueueWord::Embedded);
        let jetstream = self.jetstream(&raw.jetstream.unwrap_or_default());
        let keep = Duration::from_secs(24 * 3600);
        let max_body = self.read_or("queue.results.max_body", &results.max_body, Size(1 << 20));
        Queue {
            kind: match kind {
                QueueWord::Embedded => QueueKind::Embedded,
                QueueWord::Jetstream => jetstream,
            },
            workers: self.read_or("queue.workers", &raw.workers, WORKERS),
            retry: self.retry(&raw.retry.unwrap_or_default()),
            results: Results {
                keep: self.read_or("queue.results.keep", &results.keep, keep),
                max_body: max_body.0,
            },
            callbacks: Callbacks {
                deny_private_networks: self.read_or(
                    "queue.callbacks.deny_private_networks",
                    &callbacks.deny_private_networks,
                    true,
                ),
                allow: self.networks(
                    "queue.callbacks.allow",
                    &callbacks.allow.unwrap_or_default(),
                ),
            },
        }
    }

    fn jetstream(&mut self, raw: &file::Jetstream) -> QueueKind {
        let url = "nats://127.0.0.1:4222".to_owned();
        let url = self.read_or("queue.jetstream.url", &raw.url, url);
        if let Some(scalar) = &raw.url
            && !url.starts_with("nats://")
        {
            self.refuse(
                scalar.origin,
                "queue.jetstream.url",
                "write it like `nats://host:4222`",
            );
        }
        let stream = "faas-request".to_owned();
        let stream = self.read_or("queue.jetstream.stream", &raw.stream, stream);
        let one = NonZeroUsize::MIN;
        let replicas = self
            .read_or("queue.jetstream.replicas", &raw.replicas, one)
            .get();
        if let (Some(scalar), 6..) = (&raw.replicas, replicas) {
            let why = "JetStream keeps 5 copies at most";
            self.refuse(scalar.origin, "queue.jetstream.replicas", why);
        }
        self.inherit("queue.jetstream.subject", "queue.jetstream.stream");
        QueueKind::Jetstream {
            subject: self.read_or("queue.jetstream.subject", &raw.subject, stream.clone()),
            url,
            stream,
            replicas,
        }
    }

    fn retry(&mut self, raw: &file::Retry) -> Retry {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(120));
        let retry = Retry {
            attempts: self.read_or("queue.retry.attempts", &raw.attempts, 10),
            min_wait: self.read_or("queue.retry.min_wait", &raw.min_wait, short),
            max_wait: self.read_or("queue.retry.max_wait", &raw.max_wait, long),
            codes: match &raw.codes {
                Some(codes) => self.retry_codes(codes),
                None => RETRY_CODES.to_vec(),
            },
        };
        if let (Some(attempts), 0) = (&raw.attempts, retry.attempts) {
            let why = "must be at least 1, the first try counts";
            self.refuse(attempts.origin, "queue.retry.attempts", why);
        }
        if let Some(wait) = raw.min_wait.as_ref().or(raw.max_wait.as_ref())
            && retry.min_wait > retry.max_wait
        {
            let why = "must not be longer than `queue.retry.max_wait`";
            self.refuse(wait.origin, "queue.retry.min_wait", why);
        }
        retry
    }

    fn retry_codes(&mut self, raw: &[file::Scalar<u16>]) -> Vec<u16> {
        let mut codes = Vec::new();
        for (index, scalar) in raw.iter().enumerate() {
            let key = format!("queue.retry.codes.{index}");
            match self.read_scalar(&key, scalar) {
                Some(code @ 400..=599) => codes.push(code),
                Some(code) => {
                    let why = format!("{code} is not an error status, write 400 to 599");
                    self.refuse(scalar.origin, &key, &why);
                }
                None => {}
            }
        }
        codes
    }
}
