//! Replicas that follow the load, by the gateway's own counters: no Prometheus is needed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::rules::Classic;
use crate::function::{FunctionName, ScaleRequest};
use crate::functions::{Function, Registry};
use crate::provider::{Provider, Request};

/// Time over which calls are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Time between two looks at whether it is switched on.
const OFF: Duration = Duration::from_secs(1);

/// Watches the functions of a provider.
pub struct Autoscaler {
    provider: Arc<dyn Provider>,
    registry: Arc<Registry>,
    watched: HashMap<FunctionName, Watched>,
    started: Instant,
}

#[derive(Default)]
struct Watched {
    /// Successful calls up to a moment, oldest first.
    counts: VecDeque<(Duration, u64)>,
    rule: Classic,
}

impl Autoscaler {
    /// An autoscaler that has seen nothing yet.
    pub fn new(provider: Arc<dyn Provider>, registry: Arc<Registry>) -> Self {
        Self {
            provider,
            registry,
            watched: HashMap::new(),
            started: Instant::now(),
        }
    }

    /// Looks again and again for as long as the gateway lives.
    pub async fn run(mut self) {
        loop {
            let interval = self.registry.current().config.scale.autoscaler;
            sleep(interval.unwrap_or(OFF)).await;
            if interval.is_some() {
                self.look().await;
            } else {
                self.watched.clear();
            }
        }
    }

    async fn look(&mut self) {
        let now = self.started.elapsed();
        let snapshot = self.registry.current();
        self.watched
            .retain(|name, _| snapshot.function(&name.to_string()).is_some());
        for function in snapshot.functions() {
            // Static addresses are scaled by nobody, and who sleeps is woken by a call.
            let Some(current @ 1..) = function.desired else {
                continue;
            };
            let watched = self.watched.entry(function.name.clone()).or_default();
            if let Some(replicas) = watched.decide(now, current, function) {
                self.scale(&function.name, current, replicas).await;
            }
        }
    }

    async fn scale(&self, name: &FunctionName, from: u64, to: u64) {
        let request = Request::of(&ScaleRequest {
            service_name: name.name().to_owned(),
            namespace: name.namespace().to_owned(),
            replicas: to,
        });
        match self.provider.scale(name.name(), request).await {
            Ok(answer) if answer.status().is_success() => {
                tracing::info!(function = %name, from, to, "scaled by its load");
            }
            Ok(answer) => {
                tracing::warn!(function = %name, status = %answer.status(), "cannot be scaled");
            }
            Err(error) => tracing::warn!(function = %name, %error, "cannot be scaled"),
        }
    }
}

impl Watched {
    fn decide(&mut self, now: Duration, current: u64, function: &Function) -> Option<u64> {
        let rate = self.rate(now, function.live.metrics.successes());
        self.rule.decide(now, rate, current, function.scaling)
    }

    /// Successful calls per second over the window.
    fn rate(&mut self, now: Duration, count: u64) -> f64 {
        self.counts.push_back((now, count));
        while self
            .counts
            .get(1)
            .is_some_and(|(then, _)| now.saturating_sub(*then) >= WINDOW)
        {
            self.counts.pop_front();
        }
        let before = self.counts.front().map_or(count, |(_, before)| *before);
        count.saturating_sub(before) as f64 / WINDOW.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut watched = Watched::default();
        let rates: Vec<f64> = (0..30)
            .map(|second| {
                // Ten calls in each of the first ten seconds, then none.
                let count = (second * 10).min(100);
                watched.rate(Duration::from_secs(second), count)
            })
            .collect();
        assert_eq!((rates[0], rates[5], rates[10]), (0.0, 5.0, 10.0));
        assert_eq!((rates[15], rates[20], rates[29]), (5.0, 0.0, 0.0));
        assert!(watched.counts.len() <= 12, "{}", watched.counts.len());
    }
}
