//! Wrong passwords by the address they came from: one token bucket for each, so that nobody tries
//! out a list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Wrong passwords in a row that cost nothing.
const BURST: u32 = 10;
/// Time until one more is free.
const REFILL: Duration = Duration::from_secs(6);
/// Addresses remembered; the one that has been wrong longest ago is forgotten first.
const ADDRESSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// The buckets. A bucket is the time at which it is full again: it holds [`BURST`] tokens less one
/// for each [`REFILL`] until then. One that owes tokens, as many guesses were under way at once, is
/// shut for longer.
pub struct Guesses {
    // Held for a look-up, never over an await.
    full_at: Mutex<LruCache<IpAddr, Instant>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self::of(ADDRESSES)
    }
}

impl Guesses {
    fn of(addresses: NonZeroUsize) -> Self {
        Self {
            full_at: Mutex::new(LruCache::new(addresses)),
        }
    }

    /// How long an address has to wait before its next guess; `None`: it may guess.
    pub fn wait(&self, client: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let full_at = *self.lock().peek(&bucket(client))?;
        let wait = full_at.saturating_duration_since(now + REFILL * (BURST - 1));
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes a token for a wrong guess.
    pub fn wrong(&self, client: Option<IpAddr>, now: Instant) {
        let mut buckets = self.lock();
        let client = bucket(client);
        let full_at = buckets.peek(&client).copied().unwrap_or(now);
        buckets.put(client, full_at.max(now) + REFILL);
    }

    /// Fills the bucket of somebody who knows the password.
    pub fn right(&self, client: Option<IpAddr>) {
        self.lock().pop(&bucket(client));
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<IpAddr, Instant>> {
        // A poisoned lock only means that somebody panicked between two whole steps.
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who shares a bucket: an IPv4 address, an IPv6 network of 64 bits, since a host chooses the other
/// 64 itself, and everybody who has no address.
fn bucket(client: Option<IpAddr>) -> IpAddr {
    match client.map(|client| client.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        Some(address) => address,
        None => Ipv4Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn wrong(guesses: &Guesses, client: &str, times: u32, now: Instant) {
        for _ in 0..times {
            guesses.wrong(address(client), now);
        }
    }

    #[test]
    fn ten_wrong_ones_are_free_and_one_more_every_six_seconds() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let client = address("1.1.1.1");
        wrong(&guesses, "1.1.1.1", BURST - 1, now);
        assert_eq!(guesses.wait(client, now), None);
        wrong(&guesses, "1.1.1.1", 1, now);
        assert_eq!(guesses.wait(client, now), Some(REFILL));
        assert_eq!(guesses.wait(address("1.1.1.2"), now), None);

        let later = now + REFILL;
        assert_eq!(guesses.wait(client, later), None);
        wrong(&guesses, "1.1.1.1", 1, later);
        assert_eq!(guesses.wait(client, later), Some(REFILL));
        let much_later = now + REFILL * 100;
        wrong(&guesses, "1.1.1.1", BURST - 1, much_later);
        assert_eq!(guesses.wait(client, much_later), None);
    }

    #[test]
    fn guesses_at_the_same_moment_are_paid_for_afterwards() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        wrong(&guesses, "1.1.1.1", BURST + 4, now);
        assert_eq!(guesses.wait(address("1.1.1.1"), now), Some(REFILL * 5));
    }

    #[test]
    fn a_right_one_fills_the_bucket() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        wrong(&guesses, "1.1.1.1", BURST - 1, now);
        guesses.right(address("1.1.1.1"));
        wrong(&guesses, "1.1.1.1", BURST - 1, now);
        assert_eq!(guesses.wait(address("1.1.1.1"), now), None);
    }

    #[test]
    fn an_ipv6_host_cannot_choose_another_bucket() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        wrong(&guesses, "2001:db8:0:1::1", BURST, now);
        assert!(guesses.wait(address("2001:db8:0:1:ffff::2"), now).is_some());
        assert!(guesses.wait(address("2001:db8:0:2::1"), now).is_none());
    }

    #[test]
    fn ipv4_clients_of_an_ipv6_listener_have_a_bucket_each() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        wrong(&guesses, "::ffff:1.1.1.1", BURST, now);
        assert!(guesses.wait(address("1.1.1.1"), now).is_some());
        assert!(guesses.wait(address("::ffff:1.1.1.2"), now).is_none());
    }

    #[test]
    fn the_address_wrong_longest_ago_is_forgotten_first() {
        let now = Instant::now();
        let guesses = Guesses::of(NonZeroUsize::new(2).unwrap());
        wrong(&guesses, "1.1.1.1", BURST, now);
        wrong(&guesses, "2.2.2.2", BURST, now);
        wrong(&guesses, "1.1.1.1", 1, now);
        wrong(&guesses, "3.3.3.3", BURST, now);
        assert!(guesses.wait(address("1.1.1.1"), now).is_some());
        assert!(guesses.wait(address("2.2.2.2"), now).is_none());
        assert!(guesses.wait(address("3.3.3.3"), now).is_some());
    }
}
