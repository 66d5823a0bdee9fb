//! What is measured of one function, with the handles resolved, for those who call it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::recent::{Counting, Recent};
use super::usage::FunctionUsage;
use super::{Metrics, Replicas, number};
use crate::function::Target;

/// The handles of one function. Cheap to use from many threads at once.
pub struct FunctionMetrics {
    label: String,
    started: IntCounter,
    inflight: IntGauge,
    held: IntGauge,
    /// Calls sent again because a kept connection had gone stale.
    pub stale_retries: IntCounter,
    /// Calls sent to another replica because one refused the connection.
    pub connect_retries: IntCounter,
    calls: CallMetrics,
    by_code: [OnceLock<CodeMetrics>; COMMON_CODES.len()],
    rejected: IntCounterVec,
    by_reason: [OnceLock<(&'static str, IntCounter)>; REASONS],
    usage: FunctionUsage,
    ended: Arc<AtomicU64>,
    successes: AtomicU64,
    recent: Counting,
    cold_starts: Histogram,
    service: ServiceMetrics,
}

/// The gauges of a function's replicas.
struct ServiceMetrics {
    count: IntGauge,
    ready: IntGauge,
    min: IntGauge,
    max: IntGauge,
    target: GaugeVec,
    // The target that is shown, so that labels are looked up only when it changes.
    shown: Mutex<Option<Target>>,
}

/// How many calls there were, and how long they took.
#[derive(Clone)]
pub(super) struct CallMetrics {
    pub total: IntCounterVec,
    pub started: IntCounterVec,
    pub seconds: HistogramVec,
}

struct CodeMetrics {
    total: IntCounter,
    seconds: Histogram,
}

/// Statuses whose handles are kept; the rest are looked up each time.
const COMMON_CODES: [u16; 24] = [
    200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 408, 409, 422, 429, 500,
    501, 502, 503, 504, 101,
];

/// Reasons whose handles are kept, in the order in which they happen; a function seldom has more.
pub(super) const REASONS: usize = 8;

impl FunctionMetrics {
    /// Resolves the handles.
    pub(super) fn of(metrics: &Metrics, label: &str) -> Self {
        Self {
            label: label.to_owned(),
            started: metrics.calls.started.with_label_values(&[label]),
            inflight: metrics.inflight.with_label_values(&[label]),
            held: metrics.held.with_label_values(&[label]),
            stale_retries: metrics.retries.with_label_values(&[label, "stale"]),
            connect_retries: metrics.retries.with_label_values(&[label, "connect"]),
            calls: metrics.calls.clone(),
            by_code: std::array::from_fn(|_| OnceLock::new()),
            ended: Arc::clone(metrics.ended().entry(label.to_owned()).or_default()),
            successes: AtomicU64::new(0),
            recent: Counting::default(),
            rejected: metrics.rejected.clone(),
            by_reason: std::array::from_fn(|_| OnceLock::new()),
            usage: metrics.usage.function(),
            cold_starts: metrics.cold_starts.with_label_values(&[label]),
            service: ServiceMetrics {
                count: metrics.service_count.with_label_values(&[label]),
                ready: metrics.service_ready.with_label_values(&[label]),
                min: metrics.service_min.with_label_values(&[label]),
                max: metrics.service_max.with_label_values(&[label]),
                target: metrics.service_target.clone(),
                shown: Mutex::default(),
            },
        }
    }

    /// The `function_name` of these handles.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A call has begun; the guard keeps it in the in-flight gauge.
    pub fn begin(&self) {
        self.started.inc();
        self.inflight.inc();
    }

    /// A call has ended without an outcome worth counting or after [`FunctionMetrics::count`].
    pub fn end(&self) {
        self.inflight.dec();
    }

    /// Counts a call's outcome.
    pub fn count(&self, code: u16, seconds: f64) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.recent.call(code, seconds);
        if code == 200 {
            self.successes.fetch_add(1, Ordering::Relaxed);
        }
        match COMMON_CODES.iter().position(|known| *known == code) {
            Some(slot) => {
                let handles = self.by_code[slot].get_or_init(|| self.calls.code(&self.label, code));
                handles.total.inc();
                handles.seconds.observe(seconds);
            }
            None => {
                let handles = self.calls.code(&self.label, code);
                handles.total.inc();
                handles.seconds.observe(seconds);
            }
        }
    }

    /// Counts a call that got no whole answer of its function, by the word for why.
    pub fn reject(&self, reason: &'static str) {
        let counter = || self.rejected.with_label_values(&[&self.label, reason]);
        for slot in &self.by_reason {
            let (kept, handle) = slot.get_or_init(|| (reason, counter()));
            if *kept == reason {
                handle.inc();
                return;
            }
        }
        counter().inc();
    }

    /// The function's processes have used so much more processor time, and use so much memory.
    pub fn used(&self, processor: Duration, memory: u64) {
        self.usage.used(&self.label, processor, memory);
    }

    /// Calls that have ended, whatever their outcome, in this life of the gateway and earlier ones.
    pub fn invocations(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Calls that ended with status 200, since these handles were made.
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Shows how many replicas the function has and shall have.
    pub fn set_replicas(&self, replicas: Replicas) {
        let service = &self.service;
        service.count.set(number(replicas.desired));
        service.ready.set(number(replicas.available));
        service.min.set(number(replicas.scaling.min));
        service.max.set(number(replicas.scaling.max));
        let target = replicas.scaling.target;
        let mut shown = service.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == target {
            return;
        }
        let labels = |target: Target| [self.label.as_str(), target.measure.as_str()];
        if let Some(old) = std::mem::replace(&mut *shown, target) {
            // An error only says that the series was not there.
            let _ = service.target.remove_label_values(&labels(old));
        }
        if let Some(new) = target {
            let gauge = service.target.with_label_values(&labels(new));
            gauge.set(new.load);
        }
    }

    /// Calls that have begun, since these handles were made.
    pub fn begun(&self) -> u64 {
        self.started.get()
    }

    /// Calls that have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.inflight.get()).unwrap_or(0)
    }

    /// A call has waited so long for a function that had no replica.
    pub fn cold_start(&self, seconds: f64) {
        self.cold_starts.observe(seconds);
        self.recent.cold_start();
    }

    /// Takes what was counted since it was taken last. It belongs to the history alone.
    pub fn take_recent(&self) -> Recent {
        self.recent.take()
    }

    /// Keeps a call in the gauge of held calls until dropped.
    pub fn hold(&self) -> Held {
        self.held.inc();
        Held(self.held.clone())
    }
}

/// A call that waits for its function.
pub struct Held(IntGauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl CallMetrics {
    fn code(&self, label: &str, code: u16) -> CodeMetrics {
        let code = code.to_string();
        let labels = [label, code.as_str()];
        CodeMetrics {
            total: self.total.with_label_values(&labels),
            seconds: self.seconds.with_label_values(&labels),
        }
    }
}
