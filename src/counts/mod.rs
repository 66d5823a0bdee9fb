//! How often each function was called: counted by this gateway, kept over restarts, and with the
//! share of other gateways where a Prometheus knows them.

mod prometheus;
mod store;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

pub use store::CountsError;

use crate::config::HostPort;
use crate::function::FunctionName;
use crate::metrics::Metrics;
use prometheus::Prometheus;
use store::{Kept, Store};

/// Time between two writes of the counts: what a killed gateway forgets at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// See the module.
pub struct Counts {
    metrics: Arc<Metrics>,
    /// Names this gateway to Prometheus, the same over restarts.
    id: String,
    /// `None`: another gateway keeps its counts in this folder.
    store: Option<Store>,
    // What was written last; held while writing, never over an await.
    written: Mutex<Kept>,
    prometheus: Prometheus,
    /// What other gateways counted, by `function_name`.
    shares: ArcSwap<HashMap<String, f64>>,
}

impl Counts {
    /// Reads what is kept in the state folder; counting goes on from there.
    pub fn open(state_dir: &Path, metrics: Arc<Metrics>) -> Result<Arc<Self>, CountsError> {
        let store = Store::open(state_dir)?;
        if store.is_none() {
            let folder = state_dir.display();
            tracing::warn!("another gateway keeps its counts in {folder}; ours are not kept");
        }
        let kept = store.as_ref().map(Store::read).transpose()?.flatten();
        let kept = kept.unwrap_or_else(Kept::new);
        for (label, calls) in &kept.calls {
            metrics.start_from(label, *calls);
        }
        metrics.set_instance(&kept.id);
        Ok(Arc::new(Self {
            metrics,
            id: kept.id.clone(),
            store,
            written: Mutex::new(kept),
            prometheus: Prometheus::default(),
            shares: ArcSwap::default(),
        }))
    }

    /// Calls of a function: `own` are those this gateway counted.
    pub fn total(&self, function: &FunctionName, default_namespace: &str, own: u64) -> f64 {
        let shares = self.shares.load();
        let share = |name: &str| shares.get(name).copied().unwrap_or_default();
        let mut others = share(&function.to_string());
        // Gateways of 2019 call a function by its bare name.
        if function.namespace() == default_namespace && !default_namespace.is_empty() {
            others += share(function.name());
        }
        own as f64 + others
    }

    /// Keeps the counts, and asks Prometheus for those of others, for as long as the gateway lives.
    /// `prometheus` tells where it is now.
    pub async fn run(self: Arc<Self>, prometheus: impl Fn() -> Option<HostPort>) {
        let keeping = async {
            loop {
                tokio::time::sleep(INTERVAL).await;
                self.save_aside().await;
            }
        };
        tokio::join!(keeping, self.follow(prometheus));
    }

    /// Writes the counts on a thread that may block.
    pub async fn save_aside(self: &Arc<Self>) {
        let counts = Arc::clone(self);
        // It ends in any case: the disk answers or fails.
        let _ = tokio::task::spawn_blocking(move || counts.save()).await;
    }

    fn save(&self) {
        let Some(store) = &self.store else { return };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.metrics.calls_by_function();
        if calls == written.calls {
            return;
        }
        let mut kept = written.clone();
        kept.calls = calls;
        match store.write(&kept) {
            Ok(()) => *written = kept,
            Err(error) => tracing::error!(%error, "the counts of calls cannot be kept"),
        }
    }

    async fn follow(&self, address: impl Fn() -> Option<HostPort>) {
        let mut up = true;
        loop {
            if let Some(address) = address() {
                let asked = self.prometheus.shares(&address, &self.id).await;
                self.metrics.prometheus_up.set(asked.is_ok().into());
                let HostPort { host, port } = address;
                // Once when it goes and once when it is back, not every few seconds.
                match asked {
                    Ok(shares) => {
                        self.shares.store(Arc::new(shares));
                        if !std::mem::replace(&mut up, true) {
                            tracing::info!("Prometheus at {host}:{port} answers again");
                        }
                    }
                    Err(error) => {
                        if std::mem::replace(&mut up, false) {
                            tracing::warn!(
                                %error,
                                "Prometheus at {host}:{port} does not answer; keeping what it last \
                                 said of other gateways' calls"
                            );
                        }
                    }
                }
            } else if !self.shares.load().is_empty() {
                self.shares.store(Arc::default());
            }
            tokio::time::sleep(prometheus::INTERVAL).await;
        }
    }
}
