//! What Prometheus sees: names, labels and buckets of wire.md section 4, and the handles the hot
//! path holds so that it never looks a label up.

mod connections;
mod function;
pub mod latency;
mod provider;
mod queue;
mod recent;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    DEFAULT_BUCKETS, Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use connections::ConnectionMetrics;
pub use function::{FunctionMetrics, Held};
pub use provider::ProviderMetrics;
pub use queue::{Jobs, QueueMetrics};
pub use recent::{ERROR, Recent};

use crate::function::{Measure, Scaling};
use function::CallMetrics;
use usage::UsageMetrics;

/// Content type of [`Metrics::text`]: the Prometheus text format, version 0.0.4.
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// `function_name` of every call to a name nobody has deployed: one series, however many names.
pub const UNKNOWN: &str = "unknown";

/// Buckets of cold starts in seconds: a fork takes milliseconds, a pulled image a minute.
const COLD_START_BUCKETS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Reasons for which calls find no place and posts are refused. Alerts ask for these, so each begins at
/// zero: of a counter that begins later, nobody sees the first burst. No others, as each is a series of
/// every function.
const TOLD: [&str; 6] = [
    "line_full",
    "wait_timeout",
    "not_ready",
    "queue_full",
    "queue_unavailable",
    "storage_full",
];

/// Names under which the newest gateways of others have metrics that we have anyway.
const ALSO_CALLED: [(&str, &str); 2] = [
    (
        "gateway_function_invocation_started",
        "gateway_invocation_function_started",
    ),
    (
        "gateway_function_invocation_inflight",
        "gateway_invocation_function_invocation_inflight",
    ),
];

/// How many replicas a function has and shall have.
#[derive(Clone, Copy, Debug)]
pub struct Replicas {
    /// Asked for.
    pub desired: u64,
    /// Ready to be called.
    pub available: u64,
    /// Its bounds.
    pub scaling: Scaling,
}

/// Every metric of the gateway.
pub struct Metrics {
    registry: Registry,
    calls: CallMetrics,
    inflight: IntGaugeVec,
    held: IntGaugeVec,
    service_count: IntGaugeVec,
    service_ready: IntGaugeVec,
    service_min: IntGaugeVec,
    service_max: IntGaugeVec,
    service_target: GaugeVec,
    rejected: IntCounterVec,
    usage: UsageMetrics,
    cold_starts: HistogramVec,
    scale_decisions: IntCounterVec,
    retries: IntCounterVec,
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    /// State of the configuration.
    pub config: ConfigMetrics,
    /// Access log lines lost because the log could not keep up.
    pub access_log_dropped: IntCounter,
    /// Client connections refused because of `server.max_connections`.
    pub connections_refused: IntCounter,
    /// Open client connections.
    pub connections: ConnectionMetrics,
    /// Whether the provider answers.
    pub provider: ProviderMetrics,
    /// API requests with a wrong password, and those refused unheard after too many of them.
    pub auth_failures: IntCounter,
    /// Whether Prometheus answered when last asked for other gateways' calls.
    pub prometheus_up: IntGauge,
    instance: IntGaugeVec,
    build: IntGaugeVec,
    /// Asynchronous calls.
    pub queue: QueueMetrics,
    // Calls that have ended, by function, the functions that are gone included. Held to find a
    // function's count once, never while counting.
    ended: Mutex<HashMap<String, Arc<AtomicU64>>>,
}

/// State of the configuration, in the words of Prometheus' own reload metrics.
pub struct ConfigMetrics {
    /// 1 after a successful load, 0 after a failed one.
    pub last_reload_successful: IntGauge,
    /// When the running configuration was loaded, in seconds since 1970.
    pub last_reload_success: Gauge,
    /// Counts the configurations that took effect.
    pub generation: IntGauge,
}

impl Metrics {
    /// Registers everything once.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            calls: CallMetrics {
                total: counters(
                    r,
                    "gateway_function_invocation_total",
                    "Function metrics",
                    &["function_name", "code"],
                )?,
                started: counters(
                    r,
                    "gateway_function_invocation_started",
                    "The total number of function HTTP requests started.",
                    &["function_name"],
                )?,
                seconds: register(
                    r,
                    HistogramVec::new(
                        HistogramOpts::new("gateway_functions_seconds", "Function time taken")
                            .buckets(call_buckets()),
                        &["function_name", "code"],
                    )?,
                )?,
            },
            inflight: gauges(
                r,
                "gateway_function_invocation_inflight",
                "Calls of a function that have begun and not ended.",
            )?,
            held: gauges(
                r,
                "gateway_held_requests",
                "Calls that wait for their function to become ready.",
            )?,
            service_count: gauges(
                r,
                "gateway_service_count",
                "Current count of replicas for function",
            )?,
            service_ready: gauges(
                r,
                "gateway_service_ready_count",
                "Replicas of a function that can be called.",
            )?,
            service_min: gauges(
                r,
                "gateway_service_min",
                "Replicas of a function at least, while it is awake.",
            )?,
            service_max: gauges(r, "gateway_service_max", "Replicas of a function at most.")?,
            service_target: register(
                r,
                GaugeVec::new(
                    Opts::new(
                        "gateway_service_target_load",
                        "Load that each replica of a function shall have.",
                    ),
                    &["function_name", "scaling_type"],
                )?,
            )?,
            rejected: counters(
                r,
                "gateway_rejected_total",
                "Calls that got no whole answer of their function, by the reason in X-Gateway-Error.",
                &["function_name", "reason"],
            )?,
            usage: UsageMetrics::new(r)?,
            cold_starts: register(
                r,
                HistogramVec::new(
                    HistogramOpts::new(
                        "gateway_cold_start_seconds",
                        "Time calls waited for a function that had no replica.",
                    )
                    .buckets(COLD_START_BUCKETS.to_vec()),
                    &["function_name"],
                )?,
            )?,
            scale_decisions: counters(
                r,
                "gateway_scale_decisions_total",
                "Changes of the number of replicas that the gateway asked for.",
                &["function_name", "direction", "reason"],
            )?,
            retries: counters(
                r,
                "gateway_request_retries_total",
                "Calls tried again on another connection or replica.",
                &["function_name", "reason"],
            )?,
            http_requests: counters(
                r,
                "http_requests_total",
                "The total number of HTTP requests.",
                &["method", "path", "status"],
            )?,
            http_seconds: histograms(
                r,
                "http_request_duration_seconds",
                "Seconds spent serving HTTP requests.",
                &["method", "path", "status"],
            )?,
            config: ConfigMetrics::new(r)?,
            access_log_dropped: register(
                r,
                IntCounter::new(
                    "gateway_access_log_dropped_total",
                    "Access log lines lost because the log could not keep up.",
                )?,
            )?,
            connections_refused: register(
                r,
                IntCounter::new(
                    "gateway_connections_refused_total",
                    "Client connections refused because of server.max_connections.",
                )?,
            )?,
            connections: ConnectionMetrics::new(r)?,
            provider: ProviderMetrics::new(r)?,
            auth_failures: register(
                r,
                IntCounter::new(
                    "gateway_auth_failures_total",
                    "API requests with a wrong password, and those refused unheard after too many.",
                )?,
            )?,
            prometheus_up: register(
                r,
                IntGauge::new(
                    "gateway_prometheus_up",
                    "Whether Prometheus answered when last asked for other gateways' calls.",
                )?,
            )?,
            instance: register(
                r,
                IntGaugeVec::new(
                    Opts::new(
                        "gateway_instance_info",
                        "Names this gateway, over its restarts.",
                    ),
                    &["id"],
                )?,
            )?,
            build: register(
                r,
                IntGaugeVec::new(
                    Opts::new("gateway_build_info", "Which version this gateway is."),
                    &["version", "commit"],
                )?,
            )?,
            queue: QueueMetrics::new(r)?,
            ended: Mutex::default(),
            registry,
        };
        metrics.registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(metrics)
    }

    /// Handles of one function, resolved now. `label` is `name.namespace` when a namespace is known.
    pub fn function(&self, label: &str) -> FunctionMetrics {
        self.queue.begin(label);
        for reason in TOLD {
            self.rejected.with_label_values(&[label, reason]);
        }
        FunctionMetrics::of(self, label)
    }

    /// Lets the calls of a function count on from those of an earlier life. The counters that
    /// Prometheus sees start at zero, as it expects.
    pub fn start_from(&self, label: &str, calls: u64) {
        let mut ended = self.ended();
        let count = ended.entry(label.to_owned()).or_default();
        count.fetch_add(calls, Ordering::Relaxed);
    }

    /// Calls that have ended, by `function_name`; functions that were never called are left out.
    pub fn calls_by_function(&self) -> BTreeMap<String, u64> {
        let ended = self.ended();
        let counts = ended.iter().filter(|(label, _)| *label != UNKNOWN);
        counts
            .map(|(label, count)| (label.clone(), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Names this gateway.
    pub fn set_instance(&self, id: &str) {
        self.instance.with_label_values(&[id]).set(1);
    }

    /// Says which version this is.
    pub fn set_build(&self, version: &str, commit: &str) {
        self.build.with_label_values(&[version, commit]).set(1);
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicU64>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a change of the number of replicas.
    pub fn scale_decision(&self, label: &str, direction: &str, reason: &str) {
        self.scale_decisions
            .with_label_values(&[label, direction, reason])
            .inc();
    }

    /// Takes the gauges of a function away that is no longer there. Its counters stay, as a
    /// counter that vanishes and returns looks like a reset.
    pub fn forget(&self, label: &str) {
        self.queue.forget(label);
        self.usage.forget(label);
        for gauge in [
            &self.service_count,
            &self.service_ready,
            &self.service_min,
            &self.service_max,
            &self.held,
            &self.inflight,
        ] {
            // An error only says that the series was not there.
            let _ = gauge.remove_label_values(&[label]);
        }
        for (measure, _) in Measure::WORDS {
            let labels = [label, measure];
            let _ = self.service_target.remove_label_values(&labels);
        }
    }

    /// Counts one request of the API. `path` is the route's template, never a name.
    pub fn api_request(&self, method: &str, path: &str, status: u16, seconds: f64) {
        let status = status.to_string();
        let labels = [method, path, status.as_str()];
        self.http_requests.with_label_values(&labels).inc();
        self.http_seconds
            .with_label_values(&labels)
            .observe(seconds);
    }

    /// Everything in [`TEXT_FORMAT`].
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.connections.show();
        let mut text = Vec::with_capacity(16 * 1024);
        let mut families = self.registry.gather();
        let also = families.iter().filter_map(also_called).collect::<Vec<_>>();
        families.extend(also);
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

impl ConfigMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            last_reload_successful: register(
                registry,
                IntGauge::new(
                    "gateway_config_last_reload_successful",
                    "Whether the last load of the configuration succeeded.",
                )?,
            )?,
            last_reload_success: register(
                registry,
                Gauge::new(
                    "gateway_config_last_reload_success_timestamp_seconds",
                    "When the running configuration was loaded.",
                )?,
            )?,
            generation: register(
                registry,
                IntGauge::new(
                    "gateway_config_generation",
                    "Counts the configurations that took effect.",
                )?,
            )?,
        })
    }
}

/// The same metric under its other name, where it has one.
fn also_called(family: &MetricFamily) -> Option<MetricFamily> {
    let names = ALSO_CALLED.iter().find(|(name, _)| *name == family.name());
    names.map(|(_, other)| {
        let mut family = family.clone();
        family.set_name((*other).to_owned());
        family
    })
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// A count as a gauge holds it.
fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
    register(
        registry,
        IntGaugeVec::new(Opts::new(name, help), &["function_name"])?,
    )
}

/// The client libraries' default ones, which dashboards know, and some for calls that take minutes.
fn call_buckets() -> Vec<f64> {
    [&DEFAULT_BUCKETS[..], &[30.0, 60.0, 120.0, 300.0]].concat()
}

/// The buckets are the client libraries' default ones: 5 ms to 10 s.
fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    register(
        registry,
        HistogramVec::new(HistogramOpts::new(name, help), labels)?,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::function::REASONS;
    use super::*;
    use crate::function::Target;

    #[test]
    fn a_call_shows_under_the_names_dashboards_ask_for() {
        let metrics = Metrics::new().unwrap();
        let function = metrics.function("echo.openfaas-fn");
        function.begin();
        function.count(200, 0.004);
        function.end();
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"gateway_function_invocation_total{code="200",function_name="echo.openfaas-fn"} 1"#,
            r#"gateway_function_invocation_started{function_name="echo.openfaas-fn"} 1"#,
            r#"gateway_functions_seconds_bucket{code="200",function_name="echo.openfaas-fn",le="0.005"} 1"#,
            r#"gateway_functions_seconds_bucket{code="200",function_name="echo.openfaas-fn",le="10"} 1"#,
            r#"gateway_function_invocation_inflight{function_name="echo.openfaas-fn"} 0"#,
        ] {
            assert!(text.contains(line), "{line} missing in:\n{text}");
        }
    }

    #[test]
    fn what_was_counted_recently_is_taken_once() {
        let metrics = Metrics::new().unwrap();
        let function = metrics.function("echo");
        assert_eq!(function.take_recent(), Recent::default());
        function.count(200, 0.004);
        function.count(499, 0.004);
        function.count(502, 0.004);
        function.cold_start(1.0);
        let recent = function.take_recent();
        let calls = recent.durations.map(|durations| durations.total());
        assert_eq!((calls, recent.errors, recent.cold_starts), (Some(3), 1, 1));
        assert_eq!(function.take_recent(), Recent::default());
    }

    #[test]
    fn every_reason_is_counted_however_many_there_are() {
        let metrics = Metrics::new().unwrap();
        let function = metrics.function("bad");
        let reasons = [
            "asleep",
            "bad_request",
            "client_gone",
            "connect_failed",
            "connect_timeout",
            "idle_timeout",
            "internal",
            "line_full",
            "not_ready",
            "read_timeout",
            "wait_timeout",
        ];
        assert!(reasons.len() > REASONS);
        for reason in reasons.iter().chain(&reasons) {
            function.reject(reason);
        }
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for reason in reasons {
            let line =
                format!(r#"gateway_rejected_total{{function_name="bad",reason="{reason}"}} 2"#);
            assert!(text.contains(&line), "{line} missing in:\n{text}");
        }
    }

    #[test]
    fn what_newer_gateways_call_otherwise_has_both_names() {
        let metrics = Metrics::new().unwrap();
        metrics.function("echo").begin();
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for name in ALSO_CALLED.iter().flat_map(|(name, other)| [name, other]) {
            let line = format!("\n{name}{{function_name=\"echo\"}} 1\n");
            assert!(text.contains(&line), "{line} missing in:\n{text}");
        }
    }

    #[test]
    fn what_must_not_fail_is_seen_to_be_zero_before_it_does() {
        let metrics = Metrics::new().unwrap();
        metrics.function("echo");
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"gateway_dead_letters_total{function_name="echo"} 0"#,
            r#"gateway_callback_total{result="failed"} 0"#,
        ] {
            assert!(text.contains(line), "{line} missing in:\n{text}");
        }
    }

    #[test]
    fn a_forgotten_function_keeps_its_counters_only() {
        let metrics = Metrics::new().unwrap();
        let function = metrics.function("gone");
        function.count(599, 1.0);
        let replicas = Replicas {
            desired: 2,
            available: 1,
            scaling: Scaling {
                target: Some(Target::default()),
                ..Scaling::default()
            },
        };
        function.set_replicas(replicas);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let target = r#"gateway_service_target_load{function_name="gone",scaling_type="rps"} 50"#;
        assert!(text.contains(target), "{text}");
        function.used(Duration::from_millis(1500), 4096);
        metrics.forget("gone");
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        assert!(text.contains(r#"code="599",function_name="gone""#));
        assert!(!text.contains("gateway_service_"));
        let used = r#"pod_cpu_usage_seconds_total{function_name="gone",namespace=""} 1.5"#;
        assert!(text.contains(used), "{text}");
        assert!(!text.contains("pod_memory_"));
    }

    #[test]
    fn a_late_look_does_not_bring_a_removed_functions_gauge_back() {
        let metrics = Metrics::new().unwrap();
        let text = || String::from_utf8(metrics.text().unwrap()).unwrap();
        let removed = metrics.function("fig");
        removed.used(Duration::from_secs(1), 4096);
        metrics.forget("fig");
        removed.used(Duration::from_secs(1), 4096);
        assert!(!text().contains("pod_memory_"));
        let used = r#"pod_cpu_usage_seconds_total{function_name="fig",namespace=""} 2"#;
        assert!(text().contains(used), "{}", text());
        metrics.function("fig").used(Duration::from_secs(1), 8192);
        let memory = r#"pod_memory_working_set_bytes{function_name="fig",namespace=""} 8192"#;
        assert!(text().contains(memory), "{}", text());
    }
}
