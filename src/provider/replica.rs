//! One running copy of a function: where it listens, and how many calls it has in flight.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::Notify;

/// Where a replica listens for HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP address, resolved.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
}

/// How long a replica that refused a connection is called only when there is no other.
const PENALTY: Duration = Duration::from_secs(2);

/// Set in `Replica::state` once no new call may begin; the other bits count calls in flight.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// One running copy of a function.
///
/// Count and closing share one atomic word, so a call either begins before the replica closes and
/// is waited for, or does not begin at all. The word is sequentially consistent with the line of a
/// gate: see there.
#[derive(Debug)]
pub struct Replica {
    address: Address,
    authority: HeaderValue,
    base_path: Box<str>,
    state: AtomicUsize,
    idle: Notify,
    created: Instant,
    /// Milliseconds after `created` until which the penalty lasts.
    penalty: AtomicU64,
}

impl Replica {
    /// A replica that takes calls at once, named by its address.
    pub fn new(address: Address) -> Arc<Self> {
        let authority = match &address {
            Address::Tcp(address) => HeaderValue::try_from(address.to_string()),
            Address::Unix(_) => Ok(HeaderValue::from_static("localhost")),
        };
        // An address has no byte that a header value could not hold.
        let authority = authority.unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Self::at(address, authority, "")
    }

    /// A replica with the `Host` it is called by and a path put in front of every other, which
    /// starts with `/` and ends without, or is empty.
    pub fn at(address: Address, authority: HeaderValue, base_path: &str) -> Arc<Self> {
        Arc::new(Self {
            address,
            authority,
            base_path: base_path.into(),
            state: AtomicUsize::new(0),
            idle: Notify::new(),
            created: Instant::now(),
            penalty: AtomicU64::new(0),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What goes into `Host`.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// What goes in front of the path.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Notes a refused connection, so that the next calls prefer other replicas for a while.
    pub fn penalize(&self) {
        let until = (self.created.elapsed() + PENALTY).as_millis();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.penalty.store(until, Ordering::Relaxed);
    }

    /// Whether a connection was refused a moment ago.
    pub fn penalized(&self) -> bool {
        let until = self.penalty.load(Ordering::Relaxed);
        until != 0 && self.created.elapsed() < Duration::from_millis(until)
    }

    /// Calls in flight now.
    pub fn in_flight(&self) -> usize {
        self.state.load(Ordering::Relaxed) & !CLOSED
    }

    /// Begins a call; `None` once the replica is closed.
    pub fn hold(self: &Arc<Self>) -> Option<Hold> {
        if self.state.fetch_add(1, Ordering::SeqCst) & CLOSED != 0 {
            self.release();
            return None;
        }
        Some(Hold(Arc::clone(self)))
    }

    /// Begins a call if fewer than `limit` are in flight; `None` otherwise, and once the replica is
    /// closed.
    pub fn hold_within(self: &Arc<Self>, limit: usize) -> Option<Hold> {
        // A closed replica's count is above every limit.
        let begin = |state| (state < limit.min(CLOSED)).then_some(state + 1);
        self.state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, begin)
            .ok()
            .map(|_| Hold(Arc::clone(self)))
    }

    /// Closes it if no call is in flight; says whether it is closed by that.
    pub fn retire(&self) -> bool {
        self.state
            .compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes calls again after [`Replica::retire`].
    pub fn reopen(&self) {
        self.state.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Takes no new call from here on.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Waits until a closed replica has no call in flight. The caller bounds the wait.
    pub async fn drained(&self) {
        loop {
            let notified = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }

    fn release(&self) {
        if self.state.fetch_sub(1, Ordering::SeqCst) == CLOSED | 1 {
            self.idle.notify_waiters();
        }
    }
}

/// A call in flight on a replica; dropping it ends the call.
#[derive(Debug)]
pub struct Hold(Arc<Replica>);

impl Hold {
    /// The replica that serves the call.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn replica() -> Arc<Replica> {
        Replica::new(Address::Tcp(([127, 0, 0, 1], 1).into()))
    }

    #[test]
    fn a_closed_replica_takes_no_call_and_keeps_its_count() {
        let replica = replica();
        let held = replica.hold().unwrap();
        replica.close();
        assert!(replica.hold().is_none());
        assert_eq!(replica.in_flight(), 1);
        drop(held);
        assert_eq!(replica.in_flight(), 0);
        assert!(replica.hold().is_none());
    }

    #[test]
    fn a_limit_holds_however_many_try() {
        let replica = replica();
        let first = replica.hold_within(2).unwrap();
        let _second = replica.hold_within(2).unwrap();
        assert!(replica.hold_within(2).is_none());
        drop(first);
        let _third = replica.hold_within(2).unwrap();
        replica.close();
        assert!(replica.hold_within(usize::MAX).is_none());
    }

    #[test]
    fn only_an_idle_replica_retires_and_it_can_come_back() {
        let replica = replica();
        let held = replica.hold().unwrap();
        assert!(!replica.retire());
        assert!(replica.hold().is_some(), "it was left open");
        drop(held);
        assert!(replica.retire());
        assert!(replica.hold().is_none());
        assert!(!replica.retire(), "it is closed already");
        replica.reopen();
        assert!(replica.hold().is_some());
    }

    #[tokio::test]
    async fn drained_waits_for_the_last_call() {
        let replica = replica();
        let held = replica.hold().unwrap();
        replica.close();
        let waiting = tokio::spawn({
            let replica = Arc::clone(&replica);
            async move { replica.drained().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
