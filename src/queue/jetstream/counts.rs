//! How many calls wait on the server: what it said last, and what has happened here since.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::super::backlog::Depth;
use super::super::{CallId, Millis, now};
use super::lock;
use crate::function::FunctionName;

/// Calls that were sent back and are remembered, at most.
const SENT_BACK: usize = 100_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Counts(Mutex<Numbers>);

/// What waits of one function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// Calls that have not ended.
    pub calls: usize,
    /// When the oldest was submitted.
    pub oldest: Option<Millis>,
}

#[derive(Debug, Default)]
struct Numbers {
    all: usize,
    by_function: HashMap<FunctionName, Waiting>,
    /// Calls that this gateway sent back to be tried again later.
    sent_back: HashMap<CallId, SentBack>,
}

/// A call that waits on the server for its next step.
#[derive(Clone, Debug)]
pub struct SentBack {
    /// Its function.
    pub function: FunctionName,
    /// When the step is due.
    pub due: Millis,
    /// The number of its message in the stream.
    pub sequence: u64,
}

impl Counts {
    /// Calls of all functions.
    pub fn all(&self) -> usize {
        lock(&self.0).all
    }

    /// Takes over what the server says.
    pub fn replace(&self, all: usize, by_function: HashMap<FunctionName, Waiting>) {
        let mut numbers = lock(&self.0);
        numbers.all = all;
        numbers.by_function = by_function;
        let now = now();
        numbers.sent_back.retain(|_, back| back.due >= now);
    }

    /// Notes a call that was accepted.
    pub fn add(&self, function: &FunctionName) {
        let mut numbers = lock(&self.0);
        numbers.all += 1;
        let waiting = numbers.by_function.entry(function.clone()).or_default();
        waiting.calls += 1;
        waiting.oldest.get_or_insert_with(now);
    }

    /// Notes a call that has ended.
    pub fn subtract(&self, function: &FunctionName) {
        let mut numbers = lock(&self.0);
        numbers.all = numbers.all.saturating_sub(1);
        if let Some(waiting) = numbers.by_function.get_mut(function) {
            waiting.calls = waiting.calls.saturating_sub(1);
            if waiting.calls == 0 {
                numbers.by_function.remove(function);
            }
        }
    }

    /// Notes a call that waits on the server for its next step.
    pub fn send_back(&self, id: &CallId, back: SentBack) {
        let sent_back = &mut lock(&self.0).sent_back;
        if sent_back.len() < SENT_BACK {
            sent_back.insert(id.clone(), back);
        }
    }

    /// Forgets a call that was sent back.
    pub fn take_back(&self, id: &CallId) -> Option<SentBack> {
        lock(&self.0).sent_back.remove(id)
    }

    /// What waits and runs everywhere, given what waits and runs here.
    pub fn depths(&self, here: Vec<Depth>) -> Vec<Depth> {
        let numbers = lock(&self.0);
        let now = now();
        let mut depths: BTreeMap<FunctionName, Depth> = here
            .into_iter()
            .map(|depth| (depth.function.clone(), depth))
            .collect();
        let mut sent_back: HashMap<&FunctionName, usize> = HashMap::new();
        for back in numbers.sent_back.values().filter(|back| back.due >= now) {
            *sent_back.entry(&back.function).or_default() += 1;
        }
        for (function, waiting) in &numbers.by_function {
            let depth = depths
                .entry(function.clone())
                .or_insert_with(|| Depth::none(function.clone()));
            let sent_back = sent_back.get(function).copied().unwrap_or(0);
            let elsewhere = |known: usize| waiting.calls.saturating_sub(known);
            depth.retrying += elsewhere(depth.running + depth.callbacks).min(sent_back);
            let others = depth.running + depth.callbacks + depth.retrying;
            depth.queued = depth.queued.max(elsewhere(others));
            depth.oldest = [depth.oldest, waiting.oldest].into_iter().flatten().min();
        }
        depths.into_values().collect()
    }
}
