//! Replicas that follow the load, and functions put to sleep that nobody calls: by the gateway's own
//! counters, no Prometheus is needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::idler;
use super::journal::{Numbers, Reason};
use super::rules::{Classic, Follow, Idle};
use super::scaler::Scaler;
use super::window::{LONG, Sample, Window};
use crate::function::{FunctionName, Measure, Scaling};
use crate::functions::{Function, Snapshot};

/// Time between two looks while replicas do not follow the load: functions are put to sleep all the
/// same, where they ask for it.
const OFF: Duration = Duration::from_secs(1);

/// Watches the functions of a provider.
pub struct Autoscaler {
    scaler: Arc<Scaler>,
    watched: HashMap<FunctionName, Watched>,
    started: Instant,
    /// Functions that are being scaled: a provider that is slow with one does not hold up others.
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Watched {
    window: Window,
    classic: Classic,
    follow: Follow,
    idle: Idle,
}

impl Autoscaler {
    /// An autoscaler that has seen nothing yet.
    pub fn new(scaler: Arc<Scaler>) -> Self {
        Self {
            scaler,
            watched: HashMap::new(),
            started: Instant::now(),
            tasks: JoinSet::new(),
        }
    }

    /// Looks again and again for as long as the gateway lives.
    pub async fn run(mut self) {
        loop {
            let interval = self.scaler.registry().current().config.scale.autoscaler;
            sleep(interval.unwrap_or(OFF)).await;
            self.look();
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Looks at every function.
    fn look(&mut self) {
        let now = self.started.elapsed();
        let snapshot = self.scaler.registry().current();
        let scale = &snapshot.config.scale;
        self.forget(&snapshot);
        for function in snapshot.functions() {
            let watched = self.watched.entry(function.name.clone()).or_default();
            let begun = function.live.metrics.begun();
            let numbers = watched.look(now, begun, self.scaler.numbers(function), function);
            self.scaler.journal().measured(&function.name, numbers);
            // Static addresses are scaled by nobody, and who sleeps is woken by a call.
            let Some(current @ 1..) = function.desired else {
                continue;
            };
            // A provider that has just failed is left alone for a while.
            if !self.scaler.may_try(&function.name) {
                continue;
            }
            let idle = Duration::from_secs_f64(numbers.idle_seconds);
            // Where nobody is woken by a call, nobody is put to sleep.
            let zero = function.scaling.zero.filter(|_| scale.from_zero);
            if zero.is_some_and(|after| idle >= after) {
                let (scaler, function) = (Arc::clone(&self.scaler), Arc::clone(function));
                self.tasks.spawn(async move {
                    idler::put_to_sleep(&scaler, &function, begun, numbers).await;
                });
                continue;
            }
            if scale.autoscaler.is_none() {
                continue;
            }
            let alerts_rule = || self.scaler.alerts_rule(&function.name);
            let decided = watched.decide(now, current, function.scaling, numbers, alerts_rule);
            if let Some((wanted, reason)) = decided {
                let (scaler, function) = (Arc::clone(&self.scaler), Arc::clone(function));
                self.tasks.spawn(async move {
                    // Unless it is being scaled right now, or that fails, which is written down and
                    // logged; the next look finds it.
                    if let Ok(_alone) = function.live.scaling.try_lock() {
                        let name = &function.name;
                        let _ = scaler.resize(name, current, wanted, reason, numbers).await;
                    }
                });
            }
        }
    }

    fn forget(&mut self, snapshot: &Snapshot) {
        let there = |name: &FunctionName| snapshot.function(&name.to_string()).is_some();
        let before = self.watched.len();
        self.watched.retain(|name, _| there(name));
        if self.watched.len() != before {
            self.scaler.keep(there);
        }
    }
}

impl Watched {
    /// Looks at a function that has begun so many calls, and completes what it does now by what it
    /// did.
    fn look(
        &mut self,
        now: Duration,
        begun: u64,
        numbers: Numbers,
        function: &Function,
    ) -> Numbers {
        self.window.look(Sample {
            at: now,
            begun,
            successes: function.live.metrics.successes(),
            in_flight: numbers.in_flight,
            waiting: numbers.waiting,
            queued: numbers.queued,
        });
        let open = numbers.in_flight + numbers.waiting + numbers.queued;
        let idle = self.idle.look(now, begun, open, numbers.replicas);
        let target = function.scaling.target;
        Numbers {
            calls_per_second: self.window.rate(LONG, |sample| sample.begun),
            successes_per_second: self.window.rate(LONG, |sample| sample.successes),
            load: target.map(|target| self.window.load(target.measure)),
            idle_seconds: idle.as_secs_f64(),
            ..numbers
        }
    }

    /// Replicas to have, and why, where that is another number.
    fn decide(
        &mut self,
        now: Duration,
        current: u64,
        scaling: Scaling,
        numbers: Numbers,
        alerts_rule: impl Fn() -> bool,
    ) -> Option<(u64, Reason)> {
        if let Some(target) = scaling.target {
            let load = numbers.load.unwrap_or(0.0);
            let replicas = self.follow.decide(now, load, current, scaling, target)?;
            let reason = match target.measure {
                Measure::Rps => Reason::Rps,
                Measure::Capacity => Reason::Capacity,
                Measure::Queue => Reason::Queue,
            };
            return Some((replicas, reason));
        }
        if alerts_rule() {
            self.classic = Classic::default();
            return None;
        }
        let rate = numbers.successes_per_second;
        let replicas = self.classic.decide(now, rate, current, scaling)?;
        let reason = if replicas > current {
            Reason::Busy
        } else {
            Reason::Quiet
        };
        Some((replicas, reason))
    }
}
