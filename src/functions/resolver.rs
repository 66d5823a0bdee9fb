//! Names to addresses, in the background: a call never waits for DNS once its function is known.
//!
//! Each name is looked up again when its TTL is over (RFC 1035, section 3.2.1). A lookup that fails
//! leaves the last good addresses in place and is repeated with back-off.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Bounds of the time an answer is kept, whatever its TTL says: a TTL of zero must not become a
/// lookup storm, a long one must not hide a change for hours.
const KEEP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Bounds of the wait after a failed lookup, doubled each time.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Longest lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Lookups at once.
const PARALLEL: usize = 16;

/// What is known of a name. A name that is not there has not been answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Its addresses, never empty.
    Addresses(Vec<IpAddr>),
    /// It has never been answered; why.
    Failed(Arc<str>),
}

/// All names that are known.
pub type Resolved = Arc<HashMap<String, Resolution>>;

/// The background task that keeps `Resolved` up to date. Ends when the sender of `wanted` is
/// dropped.
pub struct Resolver {
    wanted: watch::Receiver<BTreeSet<String>>,
    found: watch::Sender<Resolved>,
    names: HashMap<String, Name>,
    client: Option<Arc<TokioResolver>>,
    running: JoinSet<(String, Result<Answer, String>)>,
}

struct Name {
    due: Instant,
    busy: bool,
    failures: u32,
}

struct Answer {
    addresses: Vec<IpAddr>,
    keep: Duration,
}

/// An address that needs no lookup: `10.0.0.7`, `::1`, `[::1]`.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

impl Resolver {
    /// A resolver for the names in `wanted`, and where it publishes what it finds.
    pub fn new(wanted: watch::Receiver<BTreeSet<String>>) -> (Self, watch::Receiver<Resolved>) {
        let (found, receiver) = watch::channel(Resolved::default());
        let resolver = Self {
            wanted,
            found,
            names: HashMap::new(),
            client: None,
            running: JoinSet::new(),
        };
        (resolver, receiver)
    }

    /// Looks names up until nobody wants any.
    pub async fn run(mut self) {
        loop {
            self.follow_wanted();
            let next = self.start_due_lookups();
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return },
                Some(done) = self.running.join_next() => {
                    if let Ok((host, outcome)) = done {
                        self.note(host, outcome);
                    }
                }
                () = sleep_until(next) => {}
            }
        }
    }

    fn follow_wanted(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let before = self.names.len();
        self.names.retain(|host, _| wanted.contains(host));
        if self.names.len() != before {
            self.publish(|found| found.retain(|host, _| wanted.contains(host)));
        }
        for host in wanted {
            self.names.entry(host).or_insert_with(|| Name {
                due: Instant::now(),
                busy: false,
                failures: 0,
            });
        }
    }

    /// Starts what is due and says when to look again.
    fn start_due_lookups(&mut self) -> Instant {
        let now = Instant::now();
        let mut next = now + KEEP.1;
        for (host, name) in &mut self.names {
            if name.busy {
                continue;
            }
            if name.due > now {
                next = next.min(name.due);
            } else if self.running.len() < PARALLEL {
                name.busy = true;
                let (host, client) = (host.clone(), client(&mut self.client));
                self.running.spawn(async move {
                    let outcome = lookup(client, &host).await;
                    (host, outcome)
                });
            }
        }
        next
    }

    fn note(&mut self, host: String, outcome: Result<Answer, String>) {
        let Some(name) = self.names.get_mut(&host) else {
            return;
        };
        name.busy = false;
        match outcome {
            Ok(Answer { addresses, keep }) => {
                name.failures = 0;
                name.due = Instant::now() + keep;
                self.publish(|found| {
                    found.insert(host, Resolution::Addresses(addresses));
                });
            }
            Err(why) => {
                let wait = RETRY.0 * 2u32.saturating_pow(name.failures.min(10));
                name.failures += 1;
                name.due = Instant::now() + wait.min(RETRY.1);
                tracing::warn!(host, why, "cannot resolve name");
                self.publish(|found| {
                    if !matches!(found.get(&host), Some(Resolution::Addresses(_))) {
                        found.insert(host, Resolution::Failed(why.into()));
                    }
                });
            }
        }
    }

    /// Publishes a change; an answer equal to the last one wakes nobody.
    fn publish(&self, change: impl FnOnce(&mut HashMap<String, Resolution>)) {
        self.found.send_if_modified(|found| {
            let mut changed = HashMap::clone(found);
            change(&mut changed);
            let modified = changed != **found;
            *found = Arc::new(changed);
            modified
        });
    }
}

/// The client is made at the first name that needs one: most set-ups have addresses only, and then
/// an unreadable resolver configuration is nobody's problem.
fn client(slot: &mut Option<Arc<TokioResolver>>) -> Result<Arc<TokioResolver>, String> {
    if let Some(client) = slot {
        return Ok(Arc::clone(client));
    }
    let client = TokioResolver::builder_tokio()
        .and_then(|builder| builder.build())
        .map_err(|error| format!("cannot read the resolver configuration: {error}"))?;
    Ok(Arc::clone(slot.insert(Arc::new(client))))
}

async fn lookup(client: Result<Arc<TokioResolver>, String>, host: &str) -> Result<Answer, String> {
    let lookup = timeout(LOOKUP_TIMEOUT, client?.lookup_ip(host))
        .await
        .map_err(|_| format!("no answer for {host} in 5s"))?
        .map_err(|error| format!("cannot resolve {host}: {error}"))?;
    let mut addresses: Vec<IpAddr> = lookup.iter().collect();
    // The same set in another order is no change.
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(format!("{host} has no address"));
    }
    let keep = lookup
        .valid_until()
        .saturating_duration_since(std::time::Instant::now());
    Ok(Answer {
        addresses,
        keep: keep.clamp(KEEP.0, KEEP.1),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_lookup() {
        assert_eq!(literal("10.0.0.7"), Some(IpAddr::from([10, 0, 0, 7])));
        assert_eq!(literal("[::1]"), "::1".parse().ok());
        assert_eq!(literal("example.org"), None);
    }

    #[tokio::test]
    async fn a_name_of_the_hosts_file_is_found_and_forgotten_when_unwanted() {
        let (want, wanted) = watch::channel(BTreeSet::from(["localhost".to_owned()]));
        let (resolver, mut found) = Resolver::new(wanted);
        let task = tokio::spawn(resolver.run());
        found
            .wait_for(|found| {
                matches!(found.get("localhost"), Some(Resolution::Addresses(list))
                    if list.iter().all(IpAddr::is_loopback))
            })
            .await
            .unwrap();
        want.send_replace(BTreeSet::new());
        found.wait_for(|found| found.is_empty()).await.unwrap();
        drop(want);
        task.await.unwrap();
    }
}
