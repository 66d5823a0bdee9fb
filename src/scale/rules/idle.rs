//! When a function that nobody calls is put to sleep.

use std::time::Duration;

/// Looks for the time since the last call ended. It is told of each look, and takes a call that it
/// did not see for one that has just ended: what it says is never too early.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    /// Since when nothing has happened.
    since: Option<Duration>,
    /// Calls that had begun then, and replicas asked for.
    seen: (u64, u64),
}

impl Idle {
    /// Looks once more: at time `now`, with `begun` calls so far, `open` calls in flight, in line or
    /// queued, and `replicas` asked for. Returns how long nothing has happened.
    pub fn look(&mut self, now: Duration, begun: u64, open: u64, replicas: u64) -> Duration {
        // Who was woken or scaled by hand is about to be called.
        let seen = (begun, replicas);
        if open > 0 || seen != self.seen || self.since.is_none() {
            self.seen = seen;
            self.since = Some(now);
        }
        now.saturating_sub(self.since.unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn quiet_begins_with_the_first_look_and_the_end_of_the_last_call() {
        let mut idle = Idle::default();
        assert_eq!(idle.look(at(100), 0, 0, 1), at(0));
        assert_eq!(idle.look(at(110), 0, 0, 1), at(10));
        // A call that began and ended between two looks.
        assert_eq!(idle.look(at(120), 1, 0, 1), at(0));
        assert_eq!(idle.look(at(125), 1, 0, 1), at(5));
        // A long one.
        for second in 130..200 {
            assert_eq!(idle.look(at(second), 2, 1, 1), at(0));
        }
        assert_eq!(idle.look(at(230), 2, 0, 1), at(31));
    }

    #[test]
    fn whoever_was_scaled_is_not_idle() {
        let mut idle = Idle::default();
        idle.look(at(0), 5, 0, 1);
        assert_eq!(idle.look(at(50), 5, 0, 1), at(50));
        assert_eq!(idle.look(at(60), 5, 0, 0), at(0));
        assert_eq!(idle.look(at(90), 5, 0, 1), at(0));
    }
}
