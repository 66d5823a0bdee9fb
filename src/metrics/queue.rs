//! Metrics of asynchronous calls (users.md section 8.1). What waits and runs is measured twice a second;
//! the rest is counted when it happens, which is far from the hot path.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{counters, number, register};

/// See the module.
pub struct QueueMetrics {
    submitted: IntCounterVec,
    processed: IntCounterVec,
    retries: IntCounterVec,
    dead: IntCounterVec,
    callbacks: IntCounterVec,
    pending: IntGaugeVec,
    inflight: IntGaugeVec,
    jobs: IntGaugeVec,
    age: IntGaugeVec,
    workers: IntGauge,
    max_calls: IntGauge,
    /// Whether the queue takes calls.
    pub up: IntGauge,
    // Functions whose gauges are shown, and of which queue.
    shown: Mutex<HashMap<String, String>>,
}

/// What waits and runs of one function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jobs {
    /// Wait for their first try.
    pub queued: usize,
    /// Wait for another try.
    pub retrying: usize,
    /// Run.
    pub running: usize,
    /// Have a callback that has not arrived.
    pub callbacks: usize,
    /// Seconds since the oldest was submitted.
    pub age: u64,
}

impl QueueMetrics {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let r = registry;
        let of_queue = &["queue_name", "function_name"];
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            submitted: counters(
                r,
                "queue_worker_messages_submitted_total",
                "Asynchronous calls that were accepted.",
                of_queue,
            )?,
            processed: counters(
                r,
                "queue_worker_messages_processed_total",
                "Tries of asynchronous calls that have ended.",
                of_queue,
            )?,
            pending: gauges(
                "queue_worker_pending_messages",
                "Asynchronous calls that wait.",
                of_queue,
            )?,
            inflight: gauges(
                "queue_worker_function_invocation_inflight",
                "Asynchronous calls that run.",
                of_queue,
            )?,
            retries: counters(
                r,
                "gateway_async_retries_total",
                "Asynchronous calls that failed and are tried again.",
                &["function_name"],
            )?,
            dead: counters(
                r,
                "gateway_dead_letters_total",
                "Asynchronous calls that were tried in vain.",
                &["function_name"],
            )?,
            callbacks: callbacks(r)?,
            jobs: gauges(
                "gateway_async_jobs",
                "Asynchronous calls by what they do.",
                &["function_name", "state"],
            )?,
            age: gauges(
                "gateway_async_age_seconds",
                "Age of the oldest asynchronous call that has not ended.",
                &["function_name"],
            )?,
            workers: register(
                r,
                IntGauge::new(
                    "gateway_queue_workers",
                    "Asynchronous calls that this gateway runs at once.",
                )?,
            )?,
            max_calls: register(
                r,
                IntGauge::new(
                    "gateway_queue_max_calls",
                    "Asynchronous calls that may wait before more are refused.",
                )?,
            )?,
            up: register(
                r,
                IntGauge::new("gateway_queue_up", "Whether the queue takes calls.")?,
            )?,
            shown: Mutex::default(),
        })
    }

    /// Lets the counters of a function begin at zero. One that begins later is seen to rise by
    /// nobody: its first value is its first failure already.
    pub(super) fn begin(&self, function: &str) {
        for counters in [&self.retries, &self.dead] {
            counters.with_label_values(&[function]);
        }
    }

    /// Shows how many calls may run and wait.
    pub fn set_limits(&self, workers: usize, max_calls: usize) {
        self.workers.set(number(workers));
        self.max_calls.set(number(max_calls));
    }

    /// A call was accepted.
    pub fn submitted(&self, queue: &str, function: &str) {
        self.submitted.with_label_values(&[queue, function]).inc();
    }

    /// A try has ended.
    pub fn processed(&self, queue: &str, function: &str) {
        self.processed.with_label_values(&[queue, function]).inc();
    }

    /// A call is tried again.
    pub fn retried(&self, function: &str) {
        self.retries.with_label_values(&[function]).inc();
    }

    /// A call was tried in vain.
    pub fn dead(&self, function: &str) {
        self.dead.with_label_values(&[function]).inc();
    }

    /// A callback was tried: `delivered`, `retried` or `failed`.
    pub fn callback(&self, result: &str) {
        self.callbacks.with_label_values(&[result]).inc();
    }

    /// Shows what waits and runs of all functions; those that are not named have nothing.
    pub fn show(&self, queue: &str, jobs: &[(String, Jobs)]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let named: HashSet<&String> = jobs.iter().map(|(function, _)| function).collect();
        for gone in shown.keys().filter(|function| !named.contains(function)) {
            self.set(queue, gone, Jobs::default());
        }
        for (function, jobs) in jobs {
            self.set(queue, function, *jobs);
            if !shown.contains_key(function) {
                shown.insert(function.clone(), queue.to_owned());
            }
        }
    }

    fn set(&self, queue: &str, function: &str, jobs: Jobs) {
        let of_queue = [queue, function];
        self.pending
            .with_label_values(&of_queue)
            .set(number(jobs.queued + jobs.retrying));
        self.inflight
            .with_label_values(&of_queue)
            .set(number(jobs.running));
        for (state, count) in [
            ("queued", jobs.queued),
            ("retrying", jobs.retrying),
            ("running", jobs.running),
            ("callback", jobs.callbacks),
        ] {
            self.jobs
                .with_label_values(&[function, state])
                .set(number(count));
        }
        self.age
            .with_label_values(&[function])
            .set(number(jobs.age));
    }

    /// Takes the gauges of a function away that is no longer there.
    pub(super) fn forget(&self, function: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = shown.remove(function) {
            // An error only says that the series was not there.
            let of_queue = [queue.as_str(), function];
            let _ = self.pending.remove_label_values(&of_queue);
            let _ = self.inflight.remove_label_values(&of_queue);
            let _ = self.age.remove_label_values(&[function]);
            for state in ["queued", "retrying", "running", "callback"] {
                let _ = self.jobs.remove_label_values(&[function, state]);
            }
        }
    }
}

/// What can become of a callback is known, so each counter begins at zero.
fn callbacks(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let callbacks = counters(
        registry,
        "gateway_callback_total",
        "Posts of results: delivered, retried or failed.",
        &["result"],
    )?;
    for result in ["delivered", "retried", "failed"] {
        callbacks.with_label_values(&[result]);
    }
    Ok(callbacks)
}
