//! What one function did: a sample for each step that differs from the one before.

use std::collections::VecDeque;
use std::time::Duration;

use super::steps::{Step, Steps};
use crate::provider::Spent;

/// Percentile of a step in which no call ended.
pub const NONE: u8 = u8::MAX;

/// The samples of the last hour, oldest first.
#[derive(Debug, Default)]
pub struct Track {
    samples: VecDeque<Sample>,
    /// Processor time used until its processes were looked at last.
    processor: Duration,
    /// Time since then.
    unseen: Duration,
}

/// What a function's processes were seen to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Processor time since they were seen before.
    pub processor: Duration,
    /// The same in thousandths of a processor.
    pub cpu: u32,
    /// Resident memory now, in bytes.
    pub memory: u64,
}

/// What a function did in a step, and in those after it until the next sample. Small, as there may be
/// an hour of them for each of a thousand functions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The first step that it is true of.
    pub step: Step,
    /// Calls that ended.
    pub calls_per_second: f32,
    /// Those that ended with an error.
    pub errors_per_second: f32,
    /// Calls in flight at its end.
    pub in_flight: u32,
    /// Calls in line at its end.
    pub waiting: u32,
    /// Asynchronous calls that wait for their first try, at its end.
    pub queued: u32,
    /// Thousandths of a processor.
    pub cpu: Option<u32>,
    /// Resident memory at its end.
    pub memory: Option<Pages>,
    /// Replicas asked for at its end.
    pub replicas: u16,
    /// Replicas that could be called at its end.
    pub available: u16,
    /// Calls that waited for a function without a replica.
    pub cold_starts: u16,
    /// Buckets of the median, of 95 and of 99 percent; [`NONE`]: no call ended.
    pub percentiles: [u8; 3],
}

/// Memory in units of 4096 bytes: 32 bits of them are 16 TiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages(u32);

impl Pages {
    const BYTES: u64 = 4096;

    /// So many bytes.
    pub fn of(bytes: u64) -> Self {
        Self(short(bytes / Self::BYTES))
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * Self::BYTES
    }
}

impl Track {
    /// What was used since its processes were seen before, as told by a look so long after the last
    /// one. What a look has missed is told by the next that sees them, and once.
    pub fn used(&mut self, spent: Option<&Spent>, elapsed: Duration) -> Option<Used> {
        self.unseen += elapsed;
        let spent = spent?;
        let used = Used {
            processor: spent.processor.saturating_sub(self.processor),
            cpu: spent.thousandths_since(self.processor, self.unseen) as u32,
            memory: spent.memory,
        };
        self.processor = spent.processor;
        self.unseen = Duration::ZERO;
        Some(used)
    }

    /// Adds a sample, unless it says nothing new, and forgets what is too old.
    pub fn add(&mut self, sample: Sample) {
        // Where the clock was set back.
        while self
            .samples
            .back()
            .is_some_and(|last| last.step >= sample.step)
        {
            self.samples.pop_back();
        }
        // The one that an hour ago was still true is kept.
        let is_old = |second: &Sample| second.step.is_forgotten(sample.step);
        while self.samples.get(1).is_some_and(is_old) {
            self.samples.pop_front();
        }
        let last = self.samples.back();
        if last.is_none_or(|last| !last.says_the_same(&sample)) {
            self.samples.push_back(sample);
        }
    }

    /// The samples that are true of the given steps, which rise; those before the function was there
    /// are left out.
    pub fn at(&self, steps: impl Iterator<Item = Step>) -> impl Iterator<Item = (Step, &Sample)> {
        steps.filter_map(|step| {
            let after = self.samples.partition_point(|sample| sample.step <= step);
            let sample = self.samples.get(after.checked_sub(1)?)?;
            Some((step, sample))
        })
    }

    /// One value for each step of a range; the default one where the gateway or the function was not
    /// there.
    pub fn column<T: Default + Clone>(
        &self,
        range: &std::ops::RangeInclusive<u32>,
        seen: &Steps,
        value: impl Fn(&Sample) -> T,
    ) -> Vec<T> {
        let mut column = vec![T::default(); range.clone().count()];
        for (step, sample) in self.at(seen.seen(range)) {
            column[(step.number() - range.start()) as usize] = value(sample);
        }
        column
    }
}

impl Sample {
    fn says_the_same(&self, later: &Self) -> bool {
        let moved = Self {
            step: later.step,
            ..*self
        };
        moved == *later
    }
}

/// As many as fit.
pub fn short(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The same in half the room.
pub fn shorter(count: u64) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that end at these seconds.
    fn steps(seconds: &[u64]) -> (Steps, Vec<Step>) {
        let mut steps = Steps::default();
        let ended = seconds.iter().filter_map(|end| steps.end(end * 1000));
        let ended = ended.collect();
        (steps, ended)
    }

    fn sample(step: Step, in_flight: u32) -> Sample {
        Sample {
            step,
            in_flight,
            ..Sample::default()
        }
    }

    #[test]
    fn processor_time_that_a_look_has_missed_is_counted_by_the_next_and_once() {
        let mut track = Track::default();
        let second = Duration::from_secs(1);
        let mut look = |seconds: Option<u64>| {
            let spent = seconds.map(|seconds| Spent {
                processor: second * seconds as u32,
                memory: 4096,
            });
            let used = track.used(spent.as_ref(), 5 * second);
            used.map(|used| (used.processor.as_secs(), used.cpu))
        };
        assert_eq!(look(Some(10)), Some((10, 2000)));
        assert_eq!(look(None), None);
        assert_eq!(look(Some(20)), Some((10, 1000)));
        assert_eq!(look(Some(21)), Some((1, 200)));
        // What is declared anew under the same name begins again.
        assert_eq!(look(Some(3)), Some((0, 0)));
        assert_eq!(look(Some(4)), Some((1, 200)));
    }

    #[test]
    fn what_stays_the_same_is_kept_once_and_told_for_each_step() {
        let (seen, ended) = steps(&[100, 105, 110, 115]);
        let mut track = Track::default();
        for (step, in_flight) in ended.iter().zip([7, 7, 7, 8]) {
            track.add(sample(*step, in_flight));
        }
        assert_eq!(track.samples.len(), 2);
        let column = track.column(&ended[3].last(6), &seen, |sample| Some(sample.in_flight));
        assert_eq!(column, [None, None, Some(7), Some(7), Some(7), Some(8)]);
    }

    #[test]
    fn a_step_in_which_nobody_looked_has_no_value() {
        let (seen, ended) = steps(&[100, 115]);
        let mut track = Track::default();
        ended.iter().for_each(|step| track.add(sample(*step, 7)));
        let column = track.column(&ended[1].last(4), &seen, |sample| Some(sample.in_flight));
        assert_eq!(column, [Some(7), None, None, Some(7)]);
    }

    #[test]
    fn what_was_true_an_hour_ago_is_known_and_no_more() {
        let ends: Vec<u64> = (1..=2000).map(|step| step * 5).collect();
        let (seen, ended) = {
            let mut steps = Steps::default();
            let ended: Vec<_> = ends
                .iter()
                .filter_map(|end| steps.end(end * 1000))
                .collect();
            (steps, ended)
        };
        let mut track = Track::default();
        for (number, step) in ended.iter().enumerate() {
            // It changes once, long ago, and then at every step of the last hour.
            let in_flight = if number < 1500 { 1 } else { number as u32 };
            track.add(sample(*step, in_flight));
        }
        let last = *ended.last().unwrap_or(&Step::default());
        let column = track.column(&last.last(super::super::KEPT), &seen, |sample| {
            Some(sample.in_flight)
        });
        assert_eq!((column[0], column[719]), (Some(1), Some(1999)));
        assert_eq!(track.samples.len(), 501);
        assert!(size_of::<Sample>() <= 56);
    }
}
