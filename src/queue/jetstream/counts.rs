//! How many calls wait on the server: what it said last, and what has happened here since.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::super::backlog::Depth;
use super::super::{CallId, Millis, now};
use super::lock;
use crate::function::FunctionName;

/// Calls whose messages are remembered, at most.
const REMEMBERED: usize = 100_000;
/// Calls taken in since the server was last asked that are counted, at most.
const NEWER: usize = 1_000_000;

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
    /// The number of the newest message that the server has counted.
    last: u64,
    /// Calls taken in here that the server had not counted when it was last asked, by the numbers of
    /// their messages.
    newer: BTreeMap<u64, FunctionName>,
    /// Calls that this gateway took in, or sent back to be tried again later.
    remembered: HashMap<CallId, Remembered>,
}

/// What the server says of its stream.
#[derive(Debug, Default)]
pub struct Census {
    /// Messages.
    pub all: usize,
    /// The number of the oldest message.
    pub first: u64,
    /// The number of the newest message that there has been.
    pub last: u64,
    /// What waits of each function.
    pub by_function: HashMap<FunctionName, Waiting>,
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

    /// Takes over what the server says. Calls that were taken in after it had been asked are added.
    pub fn replace(&self, census: Census) {
        let mut numbers = lock(&self.0);
        if census.last < numbers.last {
            // A stream that was made anew numbers its messages anew.
            numbers.newer.clear();
        }
        numbers.newer = numbers.newer.split_off(&(census.last + 1));
        numbers.all = census.all;
        numbers.last = census.last;
        numbers.by_function = census.by_function;
        let newer: Vec<FunctionName> = numbers.newer.values().cloned().collect();
        for function in &newer {
            numbers.count(function);
        }
        let now = now();
        numbers.remembered.retain(|_, call| {
            call.sequence >= census.first && (call.due.is_none() || call.is_retrying(now))
        });
    }

    /// Notes a call whose message is in the stream, by its number there.
    pub fn add(&self, function: &FunctionName, sequence: u64) {
        let mut numbers = lock(&self.0);
        if sequence <= numbers.last || numbers.newer.contains_key(&sequence) {
            return;
        }
        if numbers.newer.len() < NEWER {
            numbers.newer.insert(sequence, function.clone());
        }
        numbers.count(function);
    }

    /// Notes a call that has ended, by its message's number.
    pub fn subtract(&self, function: &FunctionName, sequence: u64) {
        let mut numbers = lock(&self.0);
        numbers.newer.remove(&sequence);
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

impl Numbers {
    fn count(&mut self, function: &FunctionName) {
        self.all += 1;
        let waiting = self.by_function.entry(function.clone()).or_default();
        waiting.calls += 1;
        waiting.oldest.get_or_insert_with(now);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn census(calls: usize, last: u64, function: &FunctionName) -> Census {
        let waiting = Waiting {
            calls,
            oldest: None,
        };
        Census {
            all: calls,
            first: 1,
            last,
            by_function: HashMap::from([(function.clone(), waiting)]),
        }
    }

    fn queued(counts: &Counts) -> (usize, usize) {
        let depths = counts.depths(Vec::new());
        (counts.all(), depths.iter().map(|depth| depth.queued).sum())
    }

    #[test]
    fn an_answer_that_is_older_than_a_call_does_not_take_the_call_away() {
        let (counts, fig) = (Counts::default(), FunctionName::new("fig", "ns").unwrap());
        counts.add(&fig, 4);
        counts.add(&fig, 5);
        counts.replace(census(1, 4, &fig));
        assert_eq!(queued(&counts), (2, 2));
        counts.replace(census(2, 5, &fig));
        assert_eq!(queued(&counts), (2, 2));
    }

    #[test]
    fn a_call_that_the_server_has_counted_is_not_counted_again() {
        let (counts, fig) = (Counts::default(), FunctionName::new("fig", "ns").unwrap());
        counts.replace(census(1, 4, &fig));
        counts.add(&fig, 4);
        counts.add(&fig, 5);
        counts.add(&fig, 5);
        assert_eq!(queued(&counts), (2, 2));
    }

    #[test]
    fn a_call_that_has_ended_does_not_come_back() {
        let (counts, fig) = (Counts::default(), FunctionName::new("fig", "ns").unwrap());
        counts.add(&fig, 5);
        counts.subtract(&fig, 5);
        counts.replace(census(0, 4, &fig));
        assert_eq!(queued(&counts), (0, 0));
    }

    #[test]
    fn a_stream_that_was_made_anew_is_counted_anew() {
        let (counts, fig) = (Counts::default(), FunctionName::new("fig", "ns").unwrap());
        counts.replace(census(9, 900, &fig));
        counts.add(&fig, 901);
        counts.replace(census(1, 1, &fig));
        assert_eq!(queued(&counts), (1, 1));
    }
}
