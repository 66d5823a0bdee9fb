//! Processor time and memory of functions whose processes run here, under the names that exporters of
//! clusters use, so that dashboards made for those fit.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Counter, CounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{number, register};

/// See the module.
#[derive(Clone)]
pub(super) struct UsageMetrics {
    processor: CounterVec,
    memory: IntGaugeVec,
}

/// The handles of one function. Without series until its processes are seen for the first time, as
/// functions that run elsewhere never have any.
pub(super) struct FunctionUsage {
    metrics: UsageMetrics,
    // Kept, as a look at a function that was removed meanwhile must not bring its gauge back.
    handles: OnceLock<(Counter, IntGauge)>,
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

    /// The handles of one function.
    pub fn function(&self) -> FunctionUsage {
        FunctionUsage {
            metrics: self.clone(),
            handles: OnceLock::new(),
        }
    }

    /// Takes the gauge of a function away that is no longer there.
    pub fn forget(&self, label: &str) {
        // An error only says that the series was not there.
        let _ = self.memory.remove_label_values(&labels(label));
    }
}

impl FunctionUsage {
    /// The function has used so much more processor time, and uses so much memory.
    pub fn used(&self, label: &str, processor: Duration, memory: u64) {
        let (spent, resident) = self.handles.get_or_init(|| {
            let (labels, metrics) = (labels(label), &self.metrics);
            (
                metrics.processor.with_label_values(&labels),
                metrics.memory.with_label_values(&labels),
            )
        });
        spent.inc_by(processor.as_secs_f64());
        resident.set(number(memory));
    }
}

/// `function_name`, which is `name.namespace`, and the namespace by itself.
fn labels(label: &str) -> [&str; 2] {
    let namespace = label.split_once('.').map_or("", |(_, namespace)| namespace);
    [label, namespace]
}
