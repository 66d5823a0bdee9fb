//! What functions did over the last hour, in steps of five seconds: for the portal, which has no
//! Prometheus to ask. It lives in memory and ends with the gateway.
//!
//! ```text
//! counts of calls --.
//! scaler's numbers --> look, at the end of each step -> track (one per function) -> columns
//! provider's /proc -'
//! ```
//!
//! A function that does nothing new costs nothing: a sample is kept only where it differs from the
//! one before.

mod columns;
mod steps;
mod track;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

pub use columns::{FunctionHistory, Overview, Sparkline};

use crate::function::FunctionName;
use crate::functions::{Function, Registry};
use crate::metrics::Recent;
use crate::provider::{Provider, Spent};
use crate::scale::{Numbers, Scaler};
use steps::{Step, Steps};
use track::{Sample, Track, Used};

/// Seconds in a step.
pub const STEP_SECONDS: u32 = 5;
/// Seconds that are kept.
pub const KEPT_SECONDS: u32 = 3600;
/// Steps that are kept.
const KEPT: u32 = KEPT_SECONDS / STEP_SECONDS;
/// Steps of an [`Overview`]: five minutes.
const OVERVIEW: u32 = 60;

/// See the module.
pub struct History {
    registry: Arc<Registry>,
    provider: Arc<dyn Provider>,
    scaler: Arc<Scaler>,
    // Held for a moment at the end of each step and by those who ask, never by a call.
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    steps: Steps,
    tracks: HashMap<FunctionName, Track>,
}

/// What was seen at the end of a step.
struct Look<'a> {
    step: Step,
    /// Time since the look before.
    elapsed: Duration,
    spent: Option<&'a HashMap<FunctionName, Spent>>,
}

impl History {
    /// A history that has seen nothing yet.
    pub fn new(
        registry: Arc<Registry>,
        provider: Arc<dyn Provider>,
        scaler: Arc<Scaler>,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            provider,
            scaler,
            book: Mutex::default(),
        })
    }

    /// Looks at the end of each step, for as long as the gateway lives.
    pub async fn run(&self) {
        let mut before = Instant::now();
        loop {
            sleep(steps::rest()).await;
            let spent = self.provider.spent().await;
            // The clock that calls are measured by stands still while the machine sleeps.
            let elapsed = before.elapsed();
            if self.look(elapsed, spent.as_ref()) {
                before += elapsed;
            }
        }
    }

    /// What all functions were called in the last minutes.
    pub fn overview(&self) -> Overview {
        let book = self.book();
        let newest = book.steps.newest_or_now();
        let range = newest.last(OVERVIEW);
        let sparkline = |(name, track): (&FunctionName, &Track)| {
            Sparkline::of(name, track, &range, &book.steps)
        };
        let mut functions: Vec<_> = book.tracks.iter().filter_map(sparkline).collect();
        functions.sort_by(|a, b| a.id.cmp(&b.id));
        Overview::new(newest, functions)
    }

    /// What a function did in so many seconds, an hour at most.
    pub fn of(&self, name: &FunctionName, seconds: u32) -> FunctionHistory {
        let book = self.book();
        let newest = book.steps.newest_or_now();
        let range = newest.last((seconds / STEP_SECONDS).clamp(1, KEPT));
        let unseen = Track::default();
        let track = book.tracks.get(name).unwrap_or(&unseen);
        FunctionHistory::of(name, track, &range, newest, &book.steps)
    }

    /// Ends a step and looks at every function, so that nobody sees the one without the other. Says
    /// whether there was a step to end.
    fn look(&self, elapsed: Duration, spent: Option<&HashMap<FunctionName, Spent>>) -> bool {
        let snapshot = self.registry.current();
        let mut book = self.book();
        let Some(step) = book.steps.end(steps::now()) else {
            return false;
        };
        let look = &Look {
            step,
            elapsed,
            spent,
        };
        book.tracks
            .retain(|name, _| snapshot.function(&name.to_string()).is_some());
        for function in snapshot.functions() {
            let numbers = self.scaler.numbers(function);
            match book.tracks.get_mut(&function.name) {
                Some(track) => track.see(look, function, numbers),
                None => {
                    let mut track = Track::default();
                    track.see(look, function, numbers);
                    book.tracks.insert(function.name.clone(), track);
                }
            }
        }
        true
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Track {
    /// Adds what is seen of a function.
    fn see(&mut self, look: &Look<'_>, function: &Function, numbers: Numbers) {
        let recent = function.live.metrics.take_recent();
        let spent = look.spent.and_then(|spent| spent.get(&function.name));
        let used = self.used(spent, look.elapsed);
        if let Some(used) = used {
            let metrics = &function.live.metrics;
            metrics.used(used.processor, used.memory);
        }
        self.add(look.sample(&recent, numbers, used));
    }
}

impl Look<'_> {
    fn sample(&self, recent: &Recent, numbers: Numbers, used: Option<Used>) -> Sample {
        let durations = recent.durations.as_ref();
        let per_second = |count: u32| (f64::from(count) / self.elapsed.as_secs_f64()) as f32;
        let percentile = |part: f64| durations.map_or(track::NONE, |all| all.percentile(part));
        Sample {
            step: self.step,
            calls_per_second: per_second(durations.map_or(0, |all| all.total())),
            errors_per_second: per_second(recent.errors),
            in_flight: track::short(numbers.in_flight),
            waiting: track::short(numbers.waiting),
            queued: track::short(numbers.queued),
            cpu: used.map(|used| used.cpu),
            memory: used.map(|used| track::Pages::of(used.memory)),
            replicas: track::shorter(numbers.replicas),
            available: track::shorter(numbers.available),
            cold_starts: track::shorter(recent.cold_starts.into()),
            percentiles: [0.5, 0.95, 0.99].map(percentile),
        }
    }
}
