//! Whether the provider answers, and how fast (users.md section 8.1).

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge, Registry};

use super::{counters, histograms, register};

/// `code` of a request that got no answer.
const NO_ANSWER: &str = "none";

/// See the module.
pub struct ProviderMetrics {
    /// Whether it answered when last asked. What runs in this process always does.
    pub up: IntGauge,
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl ProviderMetrics {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let of_request = &["method", "path", "code"];
        Ok(Self {
            up: register(
                registry,
                IntGauge::new(
                    "gateway_provider_up",
                    "Whether the provider answered when last asked.",
                )?,
            )?,
            requests: counters(
                registry,
                "provider_http_requests_total",
                "Requests that the gateway sent to its provider.",
                of_request,
            )?,
            seconds: histograms(
                registry,
                "provider_http_request_duration_seconds",
                "Seconds until the provider had answered.",
                of_request,
            )?,
        })
    }

    /// Counts a request to the remote provider. `path` is a template, never with a name in it; no
    /// status means that there was no answer.
    pub fn asked(&self, method: &str, path: &str, status: Option<u16>, took: Duration) {
        let code = status.map_or_else(|| NO_ANSWER.to_owned(), |status| status.to_string());
        let labels = [method, path, code.as_str()];
        self.requests.with_label_values(&labels).inc();
        let seconds = took.as_secs_f64();
        self.seconds.with_label_values(&labels).observe(seconds);
    }
}
