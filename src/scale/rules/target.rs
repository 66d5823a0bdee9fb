//! Replicas that follow a load of which each shall have a part.

use std::collections::VecDeque;
use std::time::Duration;

use crate::function::{Measure, Scaling, Target};

/// As many replicas as the load needs, at once; fewer only when none of the last looks within the
/// window needed more. As the number comes from the load and not from the number before it, it does
/// not overshoot; as the most of the window counts, it does not flap.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// Replicas that were needed, oldest first; each is less than the one before it, as an older and
    /// smaller one never is the most.
    needed: VecDeque<(Duration, u64)>,
    /// When the first look was.
    since: Option<Duration>,
}

impl Follow {
    /// Looks once more: at time `now`, with `load` on `current` replicas. Returns the number of
    /// replicas to have, where that is another one.
    pub fn decide(
        &mut self,
        now: Duration,
        load: f64,
        current: u64,
        scaling: Scaling,
        target: Target,
    ) -> Option<u64> {
        let needed = needed(load, scaling, target);
        let most = self.note(now, needed, target.window);
        let since = *self.since.get_or_insert(now);
        let watched = now.saturating_sub(since) >= target.window;
        if needed > current {
            Some(needed)
        } else if most < current && watched {
            Some(match target.measure {
                Measure::Rps | Measure::Capacity => most,
                // An empty line does not say how many keep it empty: they go few by few.
                Measure::Queue => {
                    self.since = Some(now);
                    most.max(current - current.div_ceil(4))
                }
            })
        } else {
            None
        }
    }

    /// Notes what is needed and returns the most that was within the window.
    fn note(&mut self, now: Duration, needed: u64, window: Duration) -> u64 {
        while self
            .needed
            .back()
            .is_some_and(|(_, before)| *before <= needed)
        {
            self.needed.pop_back();
        }
        self.needed.push_back((now, needed));
        while self
            .needed
            .front()
            .is_some_and(|(then, _)| now.saturating_sub(*then) > window)
        {
            self.needed.pop_front();
        }
        self.needed.front().map_or(needed, |(_, most)| *most)
    }
}

/// Replicas that a load needs, within the bounds and at least one: this rule puts nobody to sleep.
fn needed(load: f64, scaling: Scaling, target: Target) -> u64 {
    let each = target.load * target.proportion;
    let replicas = (load / each).ceil();
    // A cast of a float keeps within the type's bounds.
    (replicas as u64).clamp(scaling.awake(), scaling.most().max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 20;

    fn target(load: f64, proportion: f64) -> Target {
        Target {
            measure: Measure::Rps,
            load,
            proportion,
            window: Duration::from_secs(WINDOW),
        }
    }

    fn bounds(min: u64, max: u64) -> Scaling {
        Scaling {
            min,
            max,
            ..Scaling::default()
        }
    }

    /// Replicas after each second of a load.
    fn replay(loads: &[f64], scaling: Scaling, target: Target) -> Vec<u64> {
        let mut rule = Follow::default();
        let mut current = scaling.awake();
        let look = |(second, load): (usize, &f64)| {
            let now = Duration::from_secs(second as u64);
            let decided = rule.decide(now, *load, current, scaling, target);
            assert_ne!(decided, Some(current), "a decision is a change");
            current = decided.unwrap_or(current);
            current
        };
        loads.iter().enumerate().map(look).collect()
    }

    #[test]
    fn the_documented_example() {
        // 15 calls in flight, 5 for each replica: 3, or 4 where 90 % are aimed at.
        assert_eq!(needed(15.0, bounds(1, 20), target(5.0, 1.0)), 3);
        assert_eq!(needed(15.0, bounds(1, 20), target(5.0, 0.9)), 4);
        assert_eq!(needed(0.0, bounds(0, 20), target(5.0, 0.9)), 1);
        assert_eq!(needed(1e300, bounds(1, 20), target(5.0, 0.9)), 20);
    }

    #[test]
    fn up_at_once_and_down_after_the_window() {
        let mut loads = vec![10.0; 5];
        loads.extend([95.0; 5]);
        loads.extend([10.0; 40]);
        let replicas = replay(&loads, bounds(1, 20), target(10.0, 1.0));
        assert_eq!(replicas[4], 1);
        assert_eq!(replicas[5], 10);
        assert_eq!(replicas[9 + WINDOW as usize], 10);
        assert_eq!(replicas[10 + WINDOW as usize], 1);
    }

    #[test]
    fn a_load_that_comes_and_goes_does_not_flap() {
        let loads = [[80.0; 8], [5.0; 8]].concat().repeat(20);
        let replicas = replay(&loads, bounds(1, 20), target(10.0, 1.0));
        assert!(replicas.iter().all(|count| *count == 8), "{replicas:?}");
    }

    #[test]
    fn an_empty_line_takes_replicas_away_few_by_few() {
        let target = Target {
            measure: Measure::Queue,
            ..target(10.0, 1.0)
        };
        let mut loads = vec![200.0; 3];
        loads.extend([0.0; 400]);
        let mut replicas = replay(&loads, bounds(1, 20), target);
        replicas.dedup();
        assert_eq!(replicas, [20, 15, 11, 8, 6, 4, 3, 2, 1]);
    }

    #[test]
    fn after_a_start_nothing_is_taken_away_before_the_window_is_over() {
        let mut rule = Follow::default();
        let mut decide = |second: u64| {
            let now = Duration::from_secs(second);
            rule.decide(now, 1.0, 9, bounds(1, 20), target(10.0, 1.0))
        };
        assert!((0..WINDOW).all(|second| decide(second).is_none()));
        assert_eq!(decide(WINDOW), Some(1));
    }

    proptest! {
        #[test]
        fn bounds_need_and_window_hold_for_every_load(
            loads in prop::collection::vec(0.0..2000.0, 1..200),
            min in 0u64..5,
            more in 0u64..30,
            each in 0.5..100.0,
            proportion in 0.1..=1.0,
        ) {
            let scaling = bounds(min, min + more);
            let target = target(each, proportion);
            let replicas = replay(&loads, scaling, target);
            let (low, high) = (scaling.awake(), scaling.most().max(1));
            for (second, count) in replicas.iter().enumerate() {
                prop_assert!((low..=high).contains(count));
                // Enough for the load of this moment, as far as the bounds allow.
                prop_assert!(*count >= needed(loads[second], scaling, target));
                // No more than the most that the window needed: no overshoot.
                let from = second.saturating_sub(WINDOW as usize);
                let most = loads[from..=second].iter().copied().fold(0.0, f64::max);
                prop_assert!(*count <= needed(most, scaling, target).max(low));
            }
        }

        #[test]
        fn a_steady_load_is_one_decision(load in 0.0..500.0, each in 1.0..50.0) {
            let replicas = replay(&[load; 100], bounds(1, 50), target(each, 0.9));
            prop_assert!(replicas.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }
}
