//! How long to wait before the next start of a process that keeps failing.

use std::time::Duration;

use super::runtime_dir::random;

/// Wait after the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// A process that was ready for so long starts over with the shortest wait.
const HEALTHY: Duration = Duration::from_secs(10);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure of a process that was `ready_for` so long. It doubles each
    /// time, and up to half of it is left to chance, so that functions which fell together do not
    /// rise together.
    pub fn next(&mut self, ready_for: Duration) -> Duration {
        if ready_for >= HEALTHY {
            self.failures = 0;
        }
        let doubled = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures += 1;
        let chance = (random() % 1024) as f64 / 1024.0;
        doubled.mul_f64(0.5 + chance / 2.0)
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest_wait_and_never_less_than_half() {
        let mut backoff = Backoff::default();
        let mut expected = FIRST;
        for _ in 0..40 {
            let wait = backoff.next(Duration::ZERO);
            assert!(
                wait <= expected && wait >= expected / 2,
                "{wait:?} {expected:?}"
            );
            expected = (expected * 2).min(LONGEST);
        }
        assert_eq!(backoff.failures(), 40);
    }

    #[test]
    fn a_healthy_while_starts_it_over() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next(Duration::ZERO);
        }
        assert!(backoff.next(HEALTHY) <= FIRST);
        assert_eq!(backoff.failures(), 1);
    }
}
