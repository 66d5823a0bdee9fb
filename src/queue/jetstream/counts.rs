//! How many calls wait on the server: what it said last, and what has happened here since.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::super::backlog::Depth;
use super::super::{CallId, Millis, now};
use super::lock;
use crate::function::FunctionName;

/// Calls whose messages are remembered, at most.
const REMEMBERED: usize = 100_000;

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
    /// Calls that this gateway took in, or sent back to be tried again later.
    remembered: HashMap<CallId, Remembered>,
}

/// A call that waits on the server for its next step.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Its function.
    pub function: FunctionName,
    /// When the step is due, if it is not the first.
    pub due: Option<Millis>,
    /// The number of its message in the stream.
    pub sequence: u64,
}

impl Remembered {
    /// Whether it waits to be tried again.
    fn is_retrying(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due >= now)
    }
}

impl Counts {
    /// Calls of all functions.
    pub fn all(&self) -> usize {
        lock(&self.0).all
    }

    /// Takes over what the server says, which has no messages older than `first`.
    pub fn replace(&self, all: usize, first: u64, by_function: HashMap<FunctionName, Waiting>) {
        let mut numbers = lock(&self.0);
        numbers.all = all;
        numbers.by_function = by_function;
        let now = now();
        numbers.remembered.retain(|_, call| {
            call.sequence >= first && (call.due.is_none() || call.is_retrying(now))
        });
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
    pub fn remember(&self, id: &CallId, call: Remembered) {
        let remembered = &mut lock(&self.0).remembered;
        if remembered.len() < REMEMBERED {
            remembered.insert(id.clone(), call);
        }
    }

    /// Forgets a call that waits on the server no more.
    pub fn take_back(&self, id: &CallId) -> Option<Remembered> {
        lock(&self.0).remembered.remove(id)
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
        for call in numbers.remembered.values() {
            if call.is_retrying(now) {
                *sent_back.entry(&call.function).or_default() += 1;
            }
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
