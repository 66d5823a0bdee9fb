//! Client connections and how many there may be. Who accepts them counts them anyway; that number is
//! read when somebody looks, so to show it costs a connection nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use super::{number, register};

/// See the module.
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    most: IntGaugeVec,
    // What is counted, and where it is shown. Held for a moment by who begins to listen or looks.
    counted: Mutex<Vec<(IntGauge, Arc<AtomicUsize>)>>,
}

impl ConnectionMetrics {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str| {
            let of_listener = &["listener"];
            register(
                registry,
                IntGaugeVec::new(Opts::new(name, help), of_listener)?,
            )
        };
        Ok(Self {
            open: gauges("gateway_connections", "Client connections that are open.")?,
            most: gauges(
                "gateway_connections_max",
                "Client connections that may be open at once.",
            )?,
            counted: Mutex::default(),
        })
    }

    /// The count of a listener that takes so many connections. The listener keeps it right.
    pub fn of(&self, listener: &str, most: usize) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        self.most.with_label_values(&[listener]).set(number(most));
        let shown = self.open.with_label_values(&[listener]);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.push((shown, Arc::clone(&count)));
        count
    }

    /// Shows what is counted now.
    pub(super) fn show(&self) {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (shown, count) in counted.iter() {
            shown.set(number(count.load(Ordering::Relaxed)));
        }
    }
}
