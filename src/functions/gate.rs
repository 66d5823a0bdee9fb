//! The gate in front of one function: open, limited or shut.
//!
//! Capacity zero is shut, and nothing else is special about it: a function that starts, a
//! concurrency limit and a draining replica are all "wait for a place, at most this long, in a line
//! at most this long". The open gate costs one atomic load.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The capacity of a function without a limit.
pub const OPEN: usize = usize::MAX;

/// See the module.
#[derive(Debug)]
pub struct Gate {
    capacity: AtomicUsize,
    taken: AtomicUsize,
    line: AtomicUsize,
    freed: Notify,
}

/// A place behind the gate; [`Gate::leave`] takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Counts against the capacity.
    Counted,
    /// The gate was open and did not count.
    Free,
}

impl Gate {
    /// A gate with room for so many calls.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: AtomicUsize::new(capacity),
            taken: AtomicUsize::new(0),
            line: AtomicUsize::new(0),
            freed: Notify::new(),
        }
    }

    /// Enters if there is room now and nobody waits for it.
    pub fn try_enter(&self) -> Option<Place> {
        let capacity = self.capacity.load(Ordering::Acquire);
        if capacity == OPEN {
            return Some(Place::Free);
        }
        (self.waiting() == 0).then(|| self.count(capacity))?
    }

    /// Enters from the line, past those who have just come.
    pub fn enter_in_turn(&self) -> Option<Place> {
        match self.capacity.load(Ordering::Acquire) {
            OPEN => Some(Place::Free),
            capacity => self.count(capacity),
        }
    }

    fn count(&self, capacity: usize) -> Option<Place> {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (taken < capacity).then_some(taken + 1)
            })
            .ok()
            .map(|_| Place::Counted)
    }

    /// Gives a place back and lets the next in line try.
    pub fn leave(&self, place: Place) {
        if place == Place::Counted {
            self.taken.fetch_sub(1, Ordering::AcqRel);
            self.freed.notify_one();
        }
    }

    /// Sets the room and wakes everybody in line.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Release);
        self.wake();
    }

    /// Wakes everybody in line to look again: the replicas may have changed even where their number
    /// has not.
    pub fn wake(&self) {
        if self.waiting() > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Joins the line, unless so many wait already.
    pub fn join(&self, limit: usize) -> Option<Waiting<'_>> {
        self.line
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |line| {
                (line < limit).then_some(line + 1)
            })
            .ok()
            .map(|_| Waiting(self))
    }

    /// Calls in line now.
    pub fn waiting(&self) -> usize {
        self.line.load(Ordering::Relaxed)
    }
}

/// One place in the line; dropping it leaves the line, so a client that went away takes none.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Gate);

impl Waiting<'_> {
    /// Resolves when it is worth trying again. Enable it before trying, so that no wake-up is lost
    /// in between.
    pub fn turn(&self) -> Notified<'_> {
        self.0.freed.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.line.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_does_not_count() {
        let gate = Gate::new(OPEN);
        assert_eq!(gate.try_enter(), Some(Place::Free));
    }

    #[test]
    fn a_limited_gate_has_as_many_places_as_it_says() {
        let gate = Gate::new(2);
        let place = gate.try_enter().unwrap();
        gate.try_enter().unwrap();
        assert_eq!(gate.try_enter(), None);
        gate.leave(place);
        assert_eq!(gate.try_enter(), Some(Place::Counted));
    }

    #[test]
    fn a_shut_gate_lets_nobody_in_until_it_opens() {
        let gate = Gate::new(0);
        assert_eq!(gate.try_enter(), None);
        gate.set_capacity(1);
        assert!(gate.try_enter().is_some());
    }

    #[test]
    fn the_line_has_an_end_and_leaving_it_makes_room() {
        let gate = Gate::new(0);
        let first = gate.join(1).unwrap();
        assert!(gate.join(1).is_none());
        drop(first);
        assert!(gate.join(1).is_some());
    }

    #[test]
    fn who_has_just_come_does_not_pass_the_line() {
        let gate = Gate::new(1);
        let waiting = gate.join(10).unwrap();
        assert_eq!(gate.try_enter(), None);
        assert_eq!(gate.enter_in_turn(), Some(Place::Counted));
        drop(waiting);
        gate.leave(Place::Counted);
        assert!(gate.try_enter().is_some());
    }

    #[tokio::test]
    async fn a_freed_place_wakes_one_in_line() {
        let gate = Gate::new(1);
        let place = gate.try_enter().unwrap();
        let waiting = gate.join(10).unwrap();
        let turn = waiting.turn();
        tokio::pin!(turn);
        turn.as_mut().enable();
        assert!(gate.enter_in_turn().is_none());
        gate.leave(place);
        turn.await;
        assert!(gate.enter_in_turn().is_some());
    }
}
