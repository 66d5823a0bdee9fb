//! Processor time and memory of functions whose processes run here, under the names that exporters of
//! clusters use, so that dashboards made for those fit.

use std::time::Duration;

use prometheus::{CounterVec, IntGaugeVec, Opts, Registry};

use super::{number, register};

/// See the module.
#[derive(Clone)]
pub(super) struct UsageMetrics {
    processor: CounterVec,
    memory: IntGaugeVec,
}

impl UsageMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let of_function = &["function_name", "namespace"];
        Ok(Self {
            processor: register(
                registry,
                CounterVec::new(
                    Opts::new(
                        "pod_cpu_usage_seconds_total",
                        "Processor time that a function's processes were seen to use.",
                    ),
                    of_function,
                )?,
            )?,
            memory: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "pod_memory_working_set_bytes",
                        "Resident memory of a function's processes.",
                    ),
                    of_function,
                )?,
            )?,
        })
    }

    /// A function has used so much more processor time, and uses so much memory.
    pub fn used(&self, label: &str, processor: Duration, memory: u64) {
        let labels = labels(label);
        let processor = processor.as_secs_f64();
        self.processor.with_label_values(&labels).inc_by(processor);
        self.memory.with_label_values(&labels).set(number(memory));
    }

    /// Takes the gauge of a function away that is no longer there.
    pub fn forget(&self, label: &str) {
        // An error only says that the series was not there.
        let _ = self.memory.remove_label_values(&labels(label));
    }
}

/// `function_name`, which is `name.namespace`, and the namespace by itself.
fn labels(label: &str) -> [&str; 2] {
    let namespace = label.split_once('.').map_or("", |(_, namespace)| namespace);
    [label, namespace]
}
