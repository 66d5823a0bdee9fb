//! What waits and runs, shown to metrics and to the rules of scaling.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::gateway::Gateway;
use crate::metrics::Jobs;
use crate::queue::{Depth, now};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Looks until the gateway drains.
pub async fn watch(gateway: &Gateway) {
    loop {
        show(gateway);
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = gateway.drain.begun() => return,
        }
    }
}

fn show(gateway: &Gateway) {
    let depths = gateway.queue.depths();
    let waiting: HashMap<_, _> = depths
        .iter()
        .map(|depth| (&depth.function, depth.queued as u64))
        .collect();
    for function in gateway.registry.current().functions() {
        let queued = waiting.get(&function.name).copied().unwrap_or(0);
        function.live.queued.store(queued, Ordering::Relaxed);
    }
    let jobs: Vec<_> = depths.iter().map(jobs).collect();
    let metrics = &gateway.metrics.queue;
    metrics.show(gateway.queue.name(), &jobs);
    let limits = &gateway.registry.current().config.queue;
    metrics.set_limits(limits.workers, limits.max_calls);
    metrics.up.set(gateway.queue.problem().is_none().into());
}

fn jobs(depth: &Depth) -> (String, Jobs) {
    let age = depth.oldest.map_or(0, |at| now().saturating_sub(at) / 1000);
    let jobs = Jobs {
        queued: depth.queued,
        retrying: depth.retrying,
        running: depth.running,
        callbacks: depth.callbacks,
        age,
    };
    (depth.function.to_string(), jobs)
}
