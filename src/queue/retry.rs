//! When something that failed is tried again: exponential back-off with full jitter, so that those who
//! failed together do not come back together.

use std::time::Duration;

use super::{Millis, in_millis};
use crate::config::Retry;

/// Longest wait that somebody who says `Retry-After` is granted.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// When to try again after so many tries, `None`: no more. `after` is what was asked for
/// (`Retry-After`), and is waited for at least. `chance` is from 0 up to 1.
pub fn again(
    retry: &Retry,
    tries: u32,
    after: Option<Duration>,
    now: Millis,
    chance: f64,
) -> Option<Millis> {
    if tries >= retry.attempts {
        return None;
    }
    let doublings = tries.saturating_sub(1).min(63);
    let most = in_millis(retry.min_wait)
        .saturating_mul(1 << doublings)
        .min(in_millis(retry.max_wait));
    let wait = (most as f64 * chance) as Millis;
    let asked = after.map_or(0, |after| in_millis(after.min(LONGEST)));
    Some(now.saturating_add(wait.max(asked)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RETRY: fn(u32) -> Retry = |attempts| Retry {
        attempts,
        min_wait: Duration::from_secs(1),
        max_wait: Duration::from_secs(120),
        codes: crate::function::Codes::of(&[]).unwrap_or_default(),
    };

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        for (tries, most) in [(1, 1000), (2, 2000), (3, 4000), (7, 64_000), (8, 120_000)] {
            let at = |chance| again(&RETRY(100), tries, None, 5, chance).unwrap() - 5;
            assert_eq!((at(0.0), at(0.5), at(1.0)), (0, most / 2, most), "{tries}");
        }
        assert_eq!(again(&RETRY(100), 99, None, 0, 1.0), Some(120_000));
    }

    #[test]
    fn after_the_last_try_there_is_none() {
        assert_eq!(again(&RETRY(3), 3, None, 0, 0.0), None);
        assert_eq!(again(&RETRY(1), 1, Some(LONGEST), 0, 0.0), None);
        assert!(again(&RETRY(3), 2, None, 0, 0.0).is_some());
    }

    #[test]
    fn who_asks_for_time_gets_it_within_reason() {
        let after = |seconds| again(&RETRY(9), 1, Some(Duration::from_secs(seconds)), 0, 0.5);
        assert_eq!(after(0), Some(500));
        assert_eq!(after(30), Some(30_000));
        assert_eq!(after(1 << 40), Some(3_600_000));
    }
}
