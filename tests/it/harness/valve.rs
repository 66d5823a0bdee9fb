//! Timing in the test's hands: a valve that a function waits at until the test opens it.

use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// Lets through as many as the test says; shared between a test and what it controls.
#[derive(Clone, Debug, Default)]
pub struct Valve(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    permits: usize,
    waiting: usize,
}

impl Valve {
    /// Lets one more through.
    pub fn open_once(&self) {
        self.open_for(1);
    }

    /// Lets `count` more through.
    pub fn open_for(&self, count: usize) {
        self.0.0.lock().unwrap().permits += count;
        self.0.1.notify_all();
    }

    /// Waits to be let through; gives up after twice the patience, so that no thread stays.
    pub fn wait(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.waiting += 1;
        let (mut state, _) = changed
            .wait_timeout_while(state, PATIENCE * 2, |state| state.permits == 0)
            .unwrap();
        state.permits = state.permits.saturating_sub(1);
        state.waiting -= 1;
    }

    /// How many wait right now.
    pub fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().waiting
    }
}
