//! The rule of the alert that OpenFaaS ships, on the gateway's own counters.

use std::time::Duration;

use super::step;
use crate::function::Scaling;

/// Successful calls per second above which the classic rule adds replicas.
const BUSY: f64 = 5.0;
/// How long it has to stay above that.
const HOLD: Duration = Duration::from_secs(5);
/// Time between two steps up: new replicas need a while to show.
const REPEAT: Duration = Duration::from_secs(15);
/// Time after which a step is decided again that did not come.
const RETRY: Duration = Duration::from_secs(2);
/// How long it has to stay below before the added replicas are taken away.
const QUIET: Duration = Duration::from_secs(30);

/// The rule of the alert that OpenFaaS ships (wire.md section 5.2): more than five successful calls
/// per second add a step, quiet brings the least number back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classic {
    /// Since when it is busy.
    busy: Option<Duration>,
    /// Since when it is quiet.
    quiet: Option<Duration>,
    /// When the last step was decided, and to which number; `None`: nothing was added that is to be
    /// taken away.
    stepped: Option<(Duration, u64)>,
}

impl Classic {
    /// Looks once more: at time `now`, with `rate` successful calls per second and `current` replicas.
    /// Returns the number of replicas to have, where that is another one.
    pub fn decide(
        &mut self,
        now: Duration,
        rate: f64,
        current: u64,
        scaling: Scaling,
    ) -> Option<u64> {
        let wanted = if rate > BUSY {
            self.quiet = None;
            let busy = *self.busy.get_or_insert(now);
            self.step_up(now, busy, current, scaling)
        } else {
            self.busy = None;
            let quiet = *self.quiet.get_or_insert(now);
            self.step_down(now, quiet, current, scaling)
        };
        wanted.filter(|wanted| *wanted != current)
    }

    fn step_up(
        &mut self,
        now: Duration,
        busy: Duration,
        current: u64,
        scaling: Scaling,
    ) -> Option<u64> {
        let step = step(scaling);
        let rested = self.stepped.is_none_or(|(last, wanted)| {
            // What was decided and did not come is decided again.
            let rest = if current < wanted { RETRY } else { REPEAT };
            now.saturating_sub(last) >= rest
        });
        if now.saturating_sub(busy) < HOLD || !rested || step == 0 || current >= scaling.max {
            return None;
        }
        let wanted = current.saturating_add(step).min(scaling.max);
        self.stepped = Some((now, wanted));
        Some(wanted)
    }

    fn step_down(
        &mut self,
        now: Duration,
        quiet: Duration,
        current: u64,
        scaling: Scaling,
    ) -> Option<u64> {
        self.stepped?;
        if now.saturating_sub(quiet) < QUIET {
            return None;
        }
        // Whoever may sleep is not put to sleep by this rule.
        let least = scaling.awake();
        if current <= least {
            self.stepped = None;
        }
        // Until it is seen to be done.
        Some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas after each second of a load given as `(seconds, rate)`.
    fn replay(load: &[(u64, f64)], scaling: Scaling) -> Vec<u64> {
        let mut rule = Classic::default();
        let mut current = scaling.min.max(1);
        let rates = load
            .iter()
            .flat_map(|(seconds, rate)| (0..*seconds).map(move |_| *rate));
        rates
            .enumerate()
            .map(|(second, rate)| {
                let now = Duration::from_secs(second as u64);
                current = rule.decide(now, rate, current, scaling).unwrap_or(current);
                current
            })
            .collect()
    }

    fn bounds(min: u64, max: u64, factor: u64) -> Scaling {
        Scaling {
            min,
            max,
            factor,
            ..Scaling::default()
        }
    }

    #[test]
    fn load_adds_a_step_after_a_while_and_quiet_takes_all_back() {
        let replicas = replay(&[(10, 0.0), (30, 10.0), (40, 0.0)], bounds(1, 20, 20));
        assert_eq!(replicas[14], 1);
        assert_eq!(replicas[15], 5);
        assert_eq!(replicas[30], 9);
        assert_eq!(replicas[69], 9);
        assert_eq!(replicas[70], 1);
    }

    #[test]
    fn a_short_peak_changes_nothing() {
        let replicas = replay(
            &[(4, 100.0), (3, 0.0), (4, 100.0), (60, 0.0)],
            bounds(1, 20, 20),
        );
        assert!(replicas.iter().all(|count| *count == 1), "{replicas:?}");
    }

    #[test]
    fn what_could_not_be_done_is_decided_again() {
        let mut rule = Classic::default();
        let scaling = bounds(1, 20, 20);
        let mut decide = |second: u64, rate, current| {
            rule.decide(Duration::from_secs(second), rate, current, scaling)
        };
        let busy: Vec<_> = (0..9).map(|second| decide(second, 9.0, 1)).collect();
        assert_eq!(busy[5], Some(5));
        assert_eq!(busy[6], None);
        assert_eq!(busy[7], Some(5));
        let quiet: Vec<_> = (9..43).map(|second| decide(second, 0.0, 5)).collect();
        assert_eq!(quiet[29], None);
        assert_eq!(quiet[30..33], [Some(1); 3]);
        assert_eq!((decide(43, 0.0, 1), decide(44, 0.0, 7)), (None, None));
    }

    #[test]
    fn the_bounds_hold() {
        let busy = [(600, 1000.0)];
        assert_eq!(replay(&busy, bounds(1, 2, 20)).last(), Some(&2));
        assert_eq!(replay(&busy, bounds(1, 20, 20)).iter().max(), Some(&20));
        assert!(
            replay(&busy, bounds(2, 2, 20))
                .iter()
                .all(|count| *count == 2)
        );
        assert!(
            replay(&busy, bounds(1, 20, 0))
                .iter()
                .all(|count| *count == 1)
        );
    }

    #[test]
    fn what_somebody_else_set_stays_while_it_is_quiet() {
        let mut rule = Classic::default();
        for second in 0..300 {
            let now = Duration::from_secs(second);
            assert_eq!(rule.decide(now, 0.0, 7, Scaling::default()), None);
        }
    }

    #[test]
    fn load_that_comes_and_goes_does_not_flap() {
        let on_off: Vec<_> = (0..20).flat_map(|_| [(10, 20.0), (10, 0.0)]).collect();
        let replicas = replay(&on_off, bounds(1, 20, 20));
        let drops = replicas.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(drops, 0, "{replicas:?}");
    }
}
