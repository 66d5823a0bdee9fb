//! The last error of a function: what its owner asks for first when calls fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;

/// Of the errors within so much time only the first is noted: a storm of them costs nothing.
const PAUSE: Duration = Duration::from_millis(1);

/// Keeps the last error of a function.
#[derive(Debug)]
pub struct LastError {
    noted: ArcSwapOption<Noted>,
    /// When the next one may be noted, in milliseconds since `since`.
    next: AtomicU64,
    since: Instant,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When.
    pub at: SystemTime,
    /// Its status, 500 or more.
    pub status: u16,
    /// Why, where it was the gateway that failed it; `None`: the function itself answered so.
    pub reason: Option<&'static str>,
    /// Its id.
    pub call_id: Option<Box<str>>,
}

impl Default for LastError {
    fn default() -> Self {
        Self {
            noted: ArcSwapOption::empty(),
            next: AtomicU64::new(0),
            since: Instant::now(),
        }
    }
}

impl LastError {
    /// Notes a call that has just ended with a status of 500 or more.
    pub fn note(&self, status: u16, reason: Option<&'static str>, call_id: Option<&str>) {
        if !self.is_due(self.since.elapsed()) {
            return;
        }
        self.noted.store(Some(Arc::new(Noted {
            at: SystemTime::now(),
            status,
            reason,
            call_id: call_id.map(Box::from),
        })));
    }

    /// The last one that was noted.
    pub fn get(&self) -> Option<Arc<Noted>> {
        self.noted.load_full()
    }

    /// Whether one may be noted now; then none may for a while.
    fn is_due(&self, now: Duration) -> bool {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let later = millis(now + PAUSE);
        millis(now) >= next
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_storm_is_noted() {
        let last = LastError::default();
        assert_eq!(last.get(), None);
        last.note(502, Some("connect_failed"), Some("one"));
        let noted = last.get().unwrap();
        assert_eq!((noted.status, noted.reason), (502, Some("connect_failed")));
        assert_eq!(noted.call_id.as_deref(), Some("one"));
    }

    #[test]
    fn one_is_noted_in_each_pause() {
        let last = LastError::default();
        let noted = (0..10_000).filter(|micros| last.is_due(Duration::from_micros(*micros)));
        assert_eq!(noted.count(), 10);
    }
}
