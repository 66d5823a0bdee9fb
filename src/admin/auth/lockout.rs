//! A limit on guessing passwords: so many wrong ones of one address, then one at a time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong credentials in a row that an address may send.
const FAILURES: u32 = 10;
/// After that it may try once in this time.
const PAUSE: Duration = Duration::from_secs(6);
/// Addresses remembered at most; the one that has been quiet for longest is forgotten first.
const ADDRESSES: usize = 10_000;

/// Remembers who failed.
#[derive(Debug, Default)]
pub struct Lockout {
    // A std mutex: held to look an address up, never over an await.
    failed: Mutex<HashMap<Option<IpAddr>, Failures>>,
}

/// Failures of one address; they are forgotten one by one, each after [`PAUSE`].
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// From when on the next one counts as forgotten.
    since: Instant,
}

impl Lockout {
    /// Whether an address may try, else how long it has to wait.
    pub fn admits(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        self.admits_at(client, Instant::now())
    }

    /// It sent wrong credentials.
    pub fn failed(&self, client: Option<IpAddr>) {
        self.failed_at(client, Instant::now());
    }

    /// It sent the right ones: all is forgotten.
    pub fn succeeded(&self, client: Option<IpAddr>) {
        self.failures().remove(&client.map(network));
    }

    fn admits_at(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let Some(failures) = self.failures().get(&client.map(network)).copied() else {
            return Ok(());
        };
        let failures = failures.at(now);
        if failures.count < FAILURES {
            return Ok(());
        }
        Err((failures.since + PAUSE).saturating_duration_since(now))
    }

    fn failed_at(&self, client: Option<IpAddr>, now: Instant) {
        let mut failed = self.failures();
        let client = client.map(network);
        if failed.len() >= ADDRESSES && !failed.contains_key(&client) {
            forget(&mut failed, now);
        }
        let failures = failed.entry(client).or_insert(Failures {
            count: 0,
            since: now,
        });
        *failures = failures.at(now);
        failures.count = (failures.count + 1).min(FAILURES);
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Failures>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// What is left of them at a later time.
    fn at(self, now: Instant) -> Self {
        let forgotten = now.saturating_duration_since(self.since).as_secs() / PAUSE.as_secs();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        match self.count.saturating_sub(forgotten) {
            0 => Self {
                count: 0,
                since: now,
            },
            count => Self {
                count,
                since: self.since + PAUSE * forgotten,
            },
        }
    }
}

/// Makes room: whoever has nothing left to forget, else the one that has been quiet for longest.
fn forget(failed: &mut HashMap<Option<IpAddr>, Failures>, now: Instant) {
    failed.retain(|_, failures| failures.at(now).count > 0);
    if failed.len() >= ADDRESSES {
        let oldest = failed.iter().min_by_key(|(_, failures)| failures.since);
        if let Some(client) = oldest.map(|(client, _)| *client) {
            failed.remove(&client);
        }
    }
}

/// The network that one customer gets: the address itself, or the first half of an IPv6 address
/// (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let half = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(half).into()
        }
        address => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn after_so_many_failures_one_try_at_a_time_is_left() {
        let lockout = Lockout::default();
        let (client, now) = (ip("192.0.2.1"), Instant::now());
        for _ in 0..FAILURES {
            lockout.admits_at(client, now).unwrap();
            lockout.failed_at(client, now);
        }
        let wait = lockout.admits_at(client, now).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= PAUSE, "{wait:?}");
        lockout.admits_at(ip("192.0.2.2"), now).unwrap();

        let later = now + PAUSE;
        lockout.admits_at(client, later).unwrap();
        lockout.failed_at(client, later);
        lockout.admits_at(client, later).unwrap_err();
        lockout.admits_at(client, later + PAUSE * FAILURES).unwrap();
    }

    #[test]
    fn success_forgets_all_failures() {
        let lockout = Lockout::default();
        let client = ip("192.0.2.1");
        for _ in 0..FAILURES {
            lockout.failed(client);
        }
        lockout.admits(client).unwrap_err();
        lockout.succeeded(client);
        lockout.admits(client).unwrap();
    }

    #[test]
    fn neighbours_in_one_ipv6_network_count_together() {
        let lockout = Lockout::default();
        for host in 0..FAILURES {
            lockout.failed(ip(&format!("2001:db8:0:1::{host:x}")));
        }
        lockout.admits(ip("2001:db8:0:1:ffff::1")).unwrap_err();
        lockout.admits(ip("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn the_table_has_an_end_and_the_quietest_goes_first() {
        let lockout = Lockout::default();
        let now = Instant::now();
        for number in 0..ADDRESSES + 5 {
            let address = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            lockout.failed_at(Some(address), now + Duration::from_micros(number as u64));
        }
        let failed = lockout.failures();
        assert_eq!(failed.len(), ADDRESSES);
        assert!(!failed.contains_key(&ip("0.0.0.0")));
    }
}
