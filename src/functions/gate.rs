//! The gate in front of one function, and the line before it.
//!
//! Shut, open, or limited, and nothing else is special: a function that starts, a concurrency limit
//! and a closed replica are all "wait for a place, at most this long, in a line at most this long".
//! Where replicas have addresses of their own, each knows how many calls it takes, and the gate only
//! keeps the line; where one address stands for all of them, the gate counts.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The capacity of a gate that does not count.
pub const OPEN: usize = usize::MAX;

/// See the module.
#[derive(Debug)]
pub struct Gate {
    capacity: AtomicUsize,
    taken: AtomicUsize,
    // Who waits raises it before looking for a place, and who gives a place back looks at it
    // afterwards; both sequentially consistent, or a place could be free with nobody told.
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

    /// Enters if there is room now.
    pub fn enter(&self) -> Option<Place> {
        let capacity = self.capacity.load(Ordering::Acquire);
        if capacity == OPEN {
            return Some(Place::Free);
        }
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |taken| {
                (taken < capacity).then_some(taken + 1)
            })
            .ok()
            .map(|_| Place::Counted)
    }

    /// Gives a place back that led nowhere: what it takes has not become free by that.
    pub fn retreat(&self, place: Place) {
        if place == Place::Counted {
            self.taken.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Gives a place back and lets the next in line try.
    pub fn leave(&self, place: Place) {
        self.retreat(place);
        if self.waiting() > 0 {
            self.freed.notify_one();
        }
    }

    /// Sets the room. Whoever waits is to be woken once the replicas are there as well.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Release);
    }

    /// Wakes everybody in line to look again.
    pub fn wake(&self) {
        if self.waiting() > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Wakes so many in line, those first who came first.
    pub fn wake_first(&self, places: usize) {
        for _ in 0..places.min(self.waiting()) {
            self.freed.notify_one();
        }
    }

    /// Joins the line, unless so many wait already.
    pub fn join(&self, limit: usize) -> Option<Waiting<'_>> {
        self.line
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |line| {
                (line < limit).then_some(line + 1)
            })
            .ok()
            .map(|_| Waiting(self))
    }

    /// Calls in line now.
    pub fn waiting(&self) -> usize {
        self.line.load(Ordering::SeqCst)
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
        self.0.line.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn an_open_gate_does_not_count() {
        let gate = Gate::new(OPEN);
        assert_eq!(gate.enter(), Some(Place::Free));
    }

    #[test]
    fn a_limited_gate_has_as_many_places_as_it_says() {
        let gate = Gate::new(2);
        let place = gate.enter().unwrap();
        gate.enter().unwrap();
        assert_eq!(gate.enter(), None);
        gate.leave(place);
        assert_eq!(gate.enter(), Some(Place::Counted));
    }

    #[test]
    fn a_shut_gate_lets_nobody_in_until_it_opens() {
        let gate = Gate::new(0);
        assert_eq!(gate.enter(), None);
        gate.set_capacity(1);
        assert!(gate.enter().is_some());
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
    fn places_go_to_those_who_came_first() {
        let gate = Gate::new(0);
        let line: Vec<_> = (0..3).map(|_| gate.join(10).unwrap()).collect();
        let mut turns: Vec<_> = line.iter().map(|place| Box::pin(place.turn())).collect();
        turns.iter_mut().for_each(|turn| {
            turn.as_mut().enable();
        });
        gate.wake_first(2);
        let mut woken = |turn: usize| {
            let mut context = Context::from_waker(Waker::noop());
            turns[turn].as_mut().poll(&mut context).is_ready()
        };
        assert_eq!([woken(0), woken(1), woken(2)], [true, true, false]);
    }

    #[test]
    fn a_place_that_led_nowhere_wakes_nobody_and_one_that_is_free_does() {
        let gate = Gate::new(1);
        let waiting = gate.join(10).unwrap();
        let mut turn = pin!(waiting.turn());
        turn.as_mut().enable();
        let mut context = Context::from_waker(Waker::noop());
        gate.retreat(gate.enter().unwrap());
        assert!(turn.as_mut().poll(&mut context).is_pending());
        gate.leave(gate.enter().unwrap());
        assert!(turn.as_mut().poll(&mut context).is_ready());
    }
}
