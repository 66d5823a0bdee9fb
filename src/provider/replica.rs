//! One running copy of a function: where it listens, and how many calls it has in flight.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Where a replica listens for HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP address, resolved.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
}

/// Set in [`Replica::state`] once no new call may begin; the other bits count calls in flight.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// One running copy of a function.
///
/// Count and closing share one atomic word, so a call either begins before the replica closes and
/// is waited for, or does not begin at all.
#[derive(Debug)]
pub struct Replica {
    address: Address,
    state: AtomicUsize,
    idle: Notify,
}

impl Replica {
    /// A replica that takes calls at once.
    pub fn new(address: Address) -> Arc<Self> {
        Arc::new(Self {
            address,
            state: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Calls in flight now.
    pub fn in_flight(&self) -> usize {
        self.state.load(Ordering::Relaxed) & !CLOSED
    }

    /// Begins a call; `None` once the replica is closed.
    pub fn hold(self: &Arc<Self>) -> Option<Hold> {
        if self.state.fetch_add(1, Ordering::AcqRel) & CLOSED != 0 {
            self.release();
            return None;
        }
        Some(Hold(Arc::clone(self)))
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
        if self.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
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
