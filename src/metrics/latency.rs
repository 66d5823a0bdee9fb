//! How long calls took: a histogram with buckets of equal relative width, which costs one addition to
//! count in and tells percentiles afterwards.
//!
//! Four buckets share each doubling of the time, so a value read from one is wrong by an eighth at
//! most. What Prometheus sees has fewer and coarser buckets, as each is a series there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets in a [`Latency`].
pub const BUCKETS: usize = OCTAVES * PER_OCTAVE;

/// Doublings from the first bucket to the last: 16 us to 36 minutes.
const OCTAVES: usize = 27;
/// Buckets in which each doubling is divided, and the bits that tell them apart.
const PER_OCTAVE: usize = 1 << PER_OCTAVE_BITS;
const PER_OCTAVE_BITS: u32 = 2;
/// The first bucket begins at two to the power of this, in microseconds. It also takes what is shorter.
const FIRST: u32 = 4;

/// Counts durations. Takes memory from the first one on.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: OnceLock<Box<[AtomicU32; BUCKETS]>>,
}

/// What was counted between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations {
    buckets: [u32; BUCKETS],
    total: u32,
}

impl Latency {
    /// Counts one.
    pub fn count(&self, seconds: f64) {
        let buckets = self
            .buckets
            .get_or_init(|| Box::new([const { AtomicU32::new(0) }; BUCKETS]));
        buckets[bucket(seconds)].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what was counted since the last time; `None`: nothing. For one who looks now and then.
    pub fn take(&self) -> Option<Durations> {
        let counted = self.buckets.get()?;
        let mut taken = Durations {
            buckets: [0; BUCKETS],
            total: 0,
        };
        for (taken, counted) in taken.buckets.iter_mut().zip(counted.iter()) {
            // Most are empty, and reading one leaves it in the caches of those who count.
            if counted.load(Ordering::Relaxed) > 0 {
                *taken = counted.swap(0, Ordering::Relaxed);
            }
        }
        taken.total = taken.buckets.iter().sum();
        (taken.total > 0).then_some(taken)
    }
}

impl Durations {
    /// How many there are.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The bucket below whose upper end this part of them lies: 0.5 is the median. [`seconds`] tells
    /// what it stands for.
    pub fn percentile(&self, part: f64) -> u8 {
        let rank = (part * f64::from(self.total)).ceil().max(1.0) as u32;
        let mut sum = 0;
        let reached = self.buckets.iter().position(|count| {
            sum += count;
            sum >= rank
        });
        // There are far fewer than 256.
        reached.unwrap_or(BUCKETS - 1) as u8
    }
}

/// The time in the middle of a bucket.
pub fn seconds(bucket: u8) -> f64 {
    let bucket = usize::from(bucket).min(BUCKETS - 1);
    let end = lower_end(bucket + 1);
    let begin = if bucket == 0 { 0 } else { lower_end(bucket) };
    (begin + end) as f64 / 2.0 / 1e6
}

/// Where a duration is counted: its highest bit tells the octave, the two below it the part of it.
fn bucket(seconds: f64) -> usize {
    // A cast stays within the type's bounds.
    let micros = ((seconds * 1e6) as u64).max(1 << FIRST);
    let octave = micros.ilog2();
    let part = (micros >> (octave - PER_OCTAVE_BITS)) as usize % PER_OCTAVE;
    ((octave - FIRST) as usize * PER_OCTAVE + part).min(BUCKETS - 1)
}

/// The first microsecond of a bucket.
fn lower_end(bucket: usize) -> u64 {
    let octave = FIRST + (bucket / PER_OCTAVE) as u32;
    let part = (PER_OCTAVE + bucket % PER_OCTAVE) as u64;
    part << (octave - PER_OCTAVE_BITS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_bucket_begins_where_the_one_before_ends() {
        assert_eq!((lower_end(0), lower_end(1), lower_end(4)), (16, 20, 32));
        for number in 1..BUCKETS {
            let first = lower_end(number) as f64;
            assert_eq!(bucket(first / 1e6 + 1e-9), number);
            assert_eq!(bucket((first - 0.5) / 1e6), number - 1);
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_is_counted_at_the_ends() {
        for short in [-1.0, 0.0, f64::NAN, 1e-6, 16e-6] {
            assert_eq!(bucket(short), 0, "{short}");
        }
        for long in [2100.0, 1e6, f64::INFINITY] {
            assert_eq!(bucket(long), BUCKETS - 1, "{long}");
        }
    }

    #[test]
    fn what_is_taken_is_gone() {
        let latency = Latency::default();
        assert_eq!(latency.take(), None);
        latency.count(0.1);
        latency.count(3.0);
        assert_eq!(latency.take().unwrap().total(), 2);
        assert_eq!(latency.take(), None);
    }

    #[test]
    fn the_slowest_call_is_in_the_last_percent_only() {
        let latency = Latency::default();
        (0..99).for_each(|_| latency.count(0.001));
        latency.count(8.0);
        let taken = latency.take().unwrap();
        assert!(seconds(taken.percentile(0.99)) < 0.0013);
        assert!(seconds(taken.percentile(1.0)) > 6.0);
    }

    proptest! {
        #[test]
        fn a_percentile_is_near_the_true_one(
            mut micros in proptest::collection::vec(20_u64..2_000_000_000, 1..200),
            part in 0.01_f64..=1.0,
        ) {
            let latency = Latency::default();
            micros.iter().for_each(|micros| latency.count(*micros as f64 / 1e6));
            micros.sort_unstable();
            let rank = (part * micros.len() as f64).ceil() as usize;
            let exact = micros[rank - 1] as f64 / 1e6;
            let told = seconds(latency.take().unwrap().percentile(part));
            prop_assert!((told / exact - 1.0).abs() < 0.25, "{told} instead of {exact}");
        }
    }
}
