//! `queue`: asynchronous calls, and `retry` of a function.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::Reader;
use crate::config::file;
use crate::config::value::{QueueWord, Size};
use crate::config::{Callbacks, Jetstream, Queue, QueueKind, Results, Retry};
use crate::function::{Codes, MAX_ATTEMPTS, RetryLabels};

/// Statuses that are tried again: the function or its host may be better in a moment.
const RETRY_CODES: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// Longest body that can be asked for: bodies of queued calls are held in memory.
const MAX_BODY: u64 = 256 << 20;

impl Reader<'_> {
    pub(super) fn queue(&mut self, raw: file::Queue) -> Queue {
        let results = raw.results.unwrap_or_default();
        let callbacks = raw.callbacks.unwrap_or_default();
        let dead_letters = raw.dead_letters.unwrap_or_default();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let kind = self.read_or("queue.kind", &raw.kind, QueueWord::Embedded);
        let jetstream = self.jetstream(&raw.jetstream.unwrap_or_default());
        let workers = self.read_or("queue.workers", &raw.workers, 16);
        if let (Some(scalar), 0, QueueWord::Embedded) = (&raw.workers, workers, &kind) {
            let why = "nobody else can run what the embedded queue keeps: write 1 or more";
            self.refuse(scalar.origin, "queue.workers", why);
        }
        let some = NonZeroUsize::MIN;
        let share = NonZeroUsize::new(workers * 3 / 4).unwrap_or(some);
        let many = some.saturating_add(999_999);
        let per_function = self.read_or("queue.per_function", &raw.per_function, share);
        let max_calls = self.read_or("queue.max_calls", &raw.max_calls, many);
        Queue {
            kind: match kind {
                QueueWord::Embedded => QueueKind::Embedded,
                QueueWord::Jetstream => QueueKind::Jetstream(jetstream),
            },
            workers,
            per_function: per_function.get(),
            timeout: self.limit("queue.timeout", &raw.timeout, hours(1)),
            max_calls: max_calls.get(),
            max_body: self.body("queue.max_body", &raw.max_body),
            retry: self.retry(&raw.retry.unwrap_or_default()),
            results: Results {
                keep: self.limit("queue.results.keep", &results.keep, hours(24)),
                max_body: self.body("queue.results.max_body", &results.max_body),
            },
            dead_letters: self.limit("queue.dead_letters.keep", &dead_letters.keep, hours(168)),
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
                timeout: self.limit(
                    "queue.callbacks.timeout",
                    &callbacks.timeout,
                    Duration::from_secs(10),
                ),
                secret_file: self.read("queue.callbacks.secret_file", &callbacks.secret_file),
            },
        }
    }

    /// A duration that cannot be 0.
    fn limit(
        &mut self,
        key: &str,
        raw: &Option<file::Scalar<Duration>>,
        default: Duration,
    ) -> Duration {
        let limit = self.read_or(key, raw, default);
        if let (Some(scalar), true) = (raw, limit.is_zero()) {
            self.refuse(scalar.origin, key, "must be longer than 0");
        }
        limit
    }

    fn body(&mut self, key: &str, raw: &Option<file::Scalar<Size>>) -> usize {
        let Size(size) = self.read_or(key, raw, Size(1 << 20));
        if let (Some(scalar), true) = (raw, size > MAX_BODY) {
            self.refuse(scalar.origin, key, "is more than 256MiB");
        }
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    fn jetstream(&mut self, raw: &file::Jetstream) -> Jetstream {
        let url = "nats://127.0.0.1:4222".to_owned();
        let url = self.read_or("queue.jetstream.url", &raw.url, url);
        // Without the spaces that may stand between them.
        let servers: Vec<&str> = url.split(',').map(str::trim).collect();
        let url = servers.join(",");
        let good = |url: &str| url.starts_with("nats://") || url.starts_with("tls://");
        if let Some(scalar) = &raw.url
            && !url.split(',').all(good)
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
        let subject = self.read_or("queue.jetstream.subject", &raw.subject, stream.clone());
        // A dot would be a path of subjects, which a stream's name cannot be.
        let plain = |name: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !name.is_empty() && name.bytes().all(good)
        };
        if let (Some(scalar), false) = (&raw.stream, plain(&stream)) {
            let why = "may only contain letters, digits, `-` and `_`";
            self.refuse(scalar.origin, "queue.jetstream.stream", why);
        }
        if let (Some(scalar), false) = (&raw.subject, subject.split('.').all(plain)) {
            let why = "may only contain letters, digits, `-` and `_`, and dots between them";
            self.refuse(scalar.origin, "queue.jetstream.subject", why);
        }
        Jetstream {
            subject,
            credentials: self.read("queue.jetstream.credentials", &raw.credentials),
            url,
            stream,
            replicas,
        }
    }

    fn retry(&mut self, raw: &file::Retry) -> Retry {
        let own = self.retry_of("queue.retry", raw, RetryLabels::default());
        let retry = Retry {
            attempts: own.attempts.unwrap_or(10),
            min_wait: own.min_wait.unwrap_or(Duration::from_secs(1)),
            max_wait: own.max_wait.unwrap_or(Duration::from_secs(120)),
            // These are all statuses of errors.
            codes: own.codes.or(Codes::of(&RETRY_CODES)).unwrap_or_default(),
        };
        if let Some(wait) = raw.min_wait.as_ref().or(raw.max_wait.as_ref())
            && retry.min_wait > retry.max_wait
        {
            let why = "must not be longer than `queue.retry.max_wait`";
            self.refuse(wait.origin, "queue.retry.min_wait", why);
        }
        retry
    }

    /// What the file says stands above what the labels say.
    pub(super) fn retry_of(
        &mut self,
        key: &str,
        raw: &file::Retry,
        labels: RetryLabels,
    ) -> RetryLabels {
        let at = |name: &str| format!("{key}.{name}");
        let attempts = self.read(&at("attempts"), &raw.attempts);
        if let (Some(scalar), Some(number)) = (&raw.attempts, attempts)
            && !(1..=MAX_ATTEMPTS).contains(&number)
        {
            let why = if number == 0 {
                "must be at least 1, the first try counts".to_owned()
            } else {
                format!("is more than {MAX_ATTEMPTS}")
            };
            self.refuse(scalar.origin, &at("attempts"), &why);
        }
        let codes = raw.codes.as_ref();
        let codes = codes.map(|codes| self.retry_codes(&at("codes"), codes));
        RetryLabels {
            attempts: attempts.or(labels.attempts),
            min_wait: self
                .read(&at("min_wait"), &raw.min_wait)
                .or(labels.min_wait),
            max_wait: self
                .read(&at("max_wait"), &raw.max_wait)
                .or(labels.max_wait),
            codes: codes.or(labels.codes),
        }
    }

    fn retry_codes(&mut self, key: &str, raw: &[file::Scalar<u16>]) -> Codes {
        let mut codes = Vec::new();
        for (index, scalar) in raw.iter().enumerate() {
            let key = format!("{key}.{index}");
            match self.read_scalar(&key, scalar) {
                Some(code @ 400..=599) => codes.push(code),
                Some(code) => {
                    let why = format!("{code} is not an error status, write 400 to 599");
                    self.refuse(scalar.origin, &key, &why);
                }
                None => {}
            }
        }
        // All of them are within the bounds.
        Codes::of(&codes).unwrap_or_default()
    }
}
