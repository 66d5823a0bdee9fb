//! Steps of time: aligned to the clock on the wall, so that they stay where they are when the machine
//! sleeps or a look comes late.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{KEPT, STEP_SECONDS};

const STEP_MILLIS: u64 = STEP_SECONDS as u64 * 1000;
/// So much too early a look may come and still count as the end of a step: a timer may be ahead of the
/// clock on the wall.
const EARLY: u64 = 1000;

/// A step, counted from 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(u32);

/// The steps in which the gateway was there to look, oldest first; those of the last hour.
#[derive(Debug, Default)]
pub struct Steps {
    seen: VecDeque<Step>,
}

impl Step {
    /// The last step that had ended at a time, in milliseconds since 1970.
    fn ended_by(millis: u64) -> Self {
        let begun = millis.saturating_add(EARLY) / STEP_MILLIS;
        // Enough until the year 2650.
        Self(u32::try_from(begun.saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// When it ends.
    pub fn end(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis((u64::from(self.0) + 1) * STEP_MILLIS)
    }

    /// So many steps, this one the last.
    pub fn last(self, count: u32) -> RangeInclusive<u32> {
        self.0.saturating_sub(count.saturating_sub(1))..=self.0
    }

    /// Whether so many later steps leave no room for it.
    pub fn is_forgotten(self, newest: Self) -> bool {
        newest.0 >= self.0.saturating_add(KEPT)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Steps {
    /// Notes the step that has just ended, in milliseconds since 1970; `None`: it is noted already.
    pub fn end(&mut self, millis: u64) -> Option<Step> {
        let step = Step::ended_by(millis);
        // Where the clock was set back, what was noted lies in the future now.
        while self.seen.back().is_some_and(|last| *last > step) {
            self.seen.pop_back();
        }
        if self.seen.back() == Some(&step) {
            return None;
        }
        self.seen.push_back(step);
        while self
            .seen
            .front()
            .is_some_and(|first| first.is_forgotten(step))
        {
            self.seen.pop_front();
        }
        Some(step)
    }

    /// The newest; before there is any, the one that has just ended.
    pub fn newest_or_now(&self) -> Step {
        let newest = self.seen.back().copied();
        newest.unwrap_or_else(|| Step::ended_by(now()))
    }

    /// Those of a range in which the gateway looked, oldest first.
    pub fn seen(&self, range: &RangeInclusive<u32>) -> impl Iterator<Item = Step> {
        let from = self.seen.partition_point(|step| step.0 < *range.start());
        let to = self.seen.partition_point(|step| step.0 <= *range.end());
        self.seen.range(from..to).copied()
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Time until the end of the current step.
pub fn rest() -> Duration {
    Duration::from_millis(STEP_MILLIS - now() % STEP_MILLIS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(steps: &Steps) -> Vec<u32> {
        steps.seen.iter().map(|step| step.0).collect()
    }

    #[test]
    fn a_step_is_noted_once_and_where_it_belongs() {
        let mut steps = Steps::default();
        // In time, a little early, late, and once more.
        for millis in [10_000, 14_990, 23_900, 23_950] {
            steps.end(millis);
        }
        assert_eq!(seen(&steps), [1, 2, 3]);
        assert_eq!(steps.newest_or_now(), Step(3));
        assert_eq!(Step(3).end(), UNIX_EPOCH + Duration::from_secs(20));
    }

    #[test]
    fn what_was_slept_through_is_left_out() {
        let mut steps = Steps::default();
        for seconds in [10, 15, 60, 65] {
            steps.end(seconds * 1000);
        }
        assert_eq!(seen(&steps), [1, 2, 11, 12]);
        let recent: Vec<_> = steps.seen(&Step(12).last(11)).collect();
        assert_eq!(recent, [Step(2), Step(11), Step(12)]);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_anew_from_there() {
        let mut steps = Steps::default();
        for seconds in [100, 105, 110, 105, 110] {
            steps.end(seconds * 1000);
        }
        assert_eq!(seen(&steps), [19, 20, 21]);
    }

    #[test]
    fn an_hour_is_kept() {
        let mut steps = Steps::default();
        for step in 1..2000 {
            steps.end(step * STEP_MILLIS);
        }
        assert_eq!(steps.seen.len(), KEPT as usize);
        steps.end(10_000 * STEP_MILLIS);
        assert_eq!(seen(&steps), [9_999]);
    }
}
