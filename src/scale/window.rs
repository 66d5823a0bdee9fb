//! What was counted of a function over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::function::Measure;

/// Time over which rates are shown, and over which the classic rule counts.
pub const LONG: Duration = Duration::from_secs(10);
/// Time over which a load is averaged: long enough that one burst is no load, short enough to follow.
pub const SHORT: Duration = Duration::from_secs(5);

/// Time in which calls that wait shall be worked off.
const WORK_OFF: f64 = 30.0;

/// One look at a function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// When, since any moment that stays the same.
    pub at: Duration,
    /// Calls begun so far.
    pub begun: u64,
    /// Successful calls so far.
    pub successes: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Calls in line.
    pub waiting: u64,
    /// Asynchronous calls that wait for their first try.
    pub queued: u64,
}

/// The looks of the last [`LONG`] time, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Window {
    samples: VecDeque<Sample>,
}

impl Window {
    /// Adds a look, and forgets those that are too old.
    pub fn look(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        while self
            .samples
            .get(1)
            .is_some_and(|second| sample.at.saturating_sub(second.at) >= LONG)
        {
            self.samples.pop_front();
        }
    }

    /// The load of a function, as it is to be measured.
    pub fn load(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Rps => self.arrivals(),
            Measure::Capacity => self.demand(),
            Measure::Queue => self.mean(SHORT, |sample| sample.waiting + sample.queued),
        }
    }

    /// Calls that came per second: those that have begun, and those that wait.
    fn arrivals(&self) -> f64 {
        self.rate(SHORT, |sample| sample.begun + sample.waiting)
    }

    /// Calls that would be in flight if none had to wait: what comes times the time that one takes
    /// (Little's law), and a part of those that wait. To add up what is in flight and what waits
    /// would ask for far too much after every rush, as a line is no lasting need.
    fn demand(&self) -> f64 {
        let in_flight = self.mean(SHORT, |sample| sample.in_flight);
        if self.samples.len() < 2 {
            // One look is no measurement.
            return in_flight;
        }
        let waiting = self.samples.back().map_or(0.0, |last| last.waiting as f64);
        let begun = self.rate(SHORT, |sample| sample.begun);
        if begun <= 0.0 {
            // Nothing has begun, so nothing is known of what a call takes: each may take long.
            return in_flight + waiting;
        }
        let seconds = in_flight / begun;
        self.arrivals() * seconds + waiting.min(waiting * seconds / WORK_OFF)
    }

    /// Growth of a counter per second over the last `span`. A window that is not full yet counts as
    /// one in which nothing happened before.
    pub fn rate(&self, span: Duration, count: impl Fn(&Sample) -> u64) -> f64 {
        let (Some(first), Some(last)) = (self.within(span).next(), self.samples.back()) else {
            return 0.0;
        };
        let grown = count(last).saturating_sub(count(first)) as f64;
        grown / span.max(last.at.saturating_sub(first.at)).as_secs_f64()
    }

    /// Mean of a gauge over the last `span`.
    fn mean(&self, span: Duration, gauge: impl Fn(&Sample) -> u64) -> f64 {
        let Some(last) = self.samples.back() else {
            return 0.0;
        };
        // What lies at the very border belongs to the span before.
        let recent = |sample: &&Sample| last.at.saturating_sub(sample.at) < span;
        let (mut sum, mut count) = (0.0, 0u32);
        for sample in self.samples.iter().filter(recent) {
            sum += gauge(sample) as f64;
            count += 1;
        }
        sum / f64::from(count.max(1))
    }

    /// The looks of the last `span`, from the one at its border on.
    fn within(&self, span: Duration) -> impl Iterator<Item = &Sample> {
        let last = self.samples.back().map_or(Duration::ZERO, |last| last.at);
        let old = |sample: &Sample| last.saturating_sub(sample.at) >= span;
        let before = self.samples.iter().take_while(|sample| old(sample)).count();
        self.samples.iter().skip(before.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, begun: u64, in_flight: u64) -> Sample {
        Sample {
            at: Duration::from_secs(second),
            begun,
            in_flight,
            ..Sample::default()
        }
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut window = Window::default();
        let rates: Vec<f64> = (0..30)
            .map(|second| {
                // Ten calls in each of the first ten seconds, then none.
                window.look(sample(second, (second * 10).min(100), 0));
                window.rate(LONG, |sample| sample.begun)
            })
            .collect();
        assert_eq!((rates[0], rates[5], rates[10]), (0.0, 5.0, 10.0));
        assert_eq!((rates[15], rates[20], rates[29]), (5.0, 0.0, 0.0));
        assert!(window.samples.len() <= 12, "{}", window.samples.len());
    }

    #[test]
    fn a_short_span_follows_sooner() {
        let mut window = Window::default();
        for second in 0..=10 {
            window.look(sample(second, second.saturating_sub(5) * 20, 0));
        }
        assert_eq!(window.rate(SHORT, |sample| sample.begun), 20.0);
        assert_eq!(window.rate(LONG, |sample| sample.begun), 10.0);
    }

    #[test]
    fn a_line_is_no_lasting_demand_but_long_calls_are() {
        let look = |window: &mut Window, second, begun, in_flight, waiting| {
            window.look(Sample {
                waiting,
                ..sample(second, begun, in_flight)
            });
        };
        // 20 calls per second are begun and 100 come, each takes 0.2 s: 20 would be in flight.
        let mut rush = Window::default();
        for second in 0..=5 {
            look(&mut rush, second, second * 20, 4, second * 80);
        }
        let demand = rush.load(Measure::Capacity);
        assert!((20.0..24.0).contains(&demand), "{demand}");
        assert_eq!(rush.load(Measure::Rps), 100.0);
        // One call takes minutes, and nine wait for their turn.
        let mut long = Window::default();
        for second in 0..=5 {
            look(&mut long, second, 1, 1, 9);
        }
        assert_eq!(long.load(Measure::Capacity), 10.0);
    }

    #[test]
    fn means_are_those_of_the_last_looks() {
        let mut window = Window::default();
        for second in 0..10 {
            window.look(sample(second, 0, second));
        }
        assert_eq!(window.mean(SHORT, |sample| sample.in_flight), 7.0);
        assert_eq!(
            Window::default().mean(SHORT, |sample| sample.in_flight),
            0.0
        );
    }
}
