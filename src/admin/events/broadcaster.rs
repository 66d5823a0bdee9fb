//! Looks once a second for all listeners, and tells them what has changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use super::Data;
use super::rows::Table;
use super::status::Status;
use crate::gateway::Gateway;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks after which something is said in any case: a listener knows that it still hears, and nobody
/// between takes the connection for dead.
const BEAT: u32 = 5;
/// Events that a listener may be behind: the changes of some seconds. Then it is told everything.
const BEHIND: usize = 16;

/// Finds the broadcaster of those who listen now.
#[derive(Default)]
pub struct Broadcasters {
    // Held for a moment by who joins, never over an await.
    now: Mutex<Weak<Broadcaster>>,
}

/// What all listeners share; it ends with the last of them.
struct Broadcaster {
    events: Sender<Event>,
    // Held while one look is made or one listener joins, never over an await.
    seen: Arc<Mutex<Seen>>,
    looking: AbortHandle,
}

/// What was seen last.
struct Seen {
    table: Table,
    /// Looks since something was told.
    quiet: u32,
    status: Status,
    /// All of it as events; made for the first who needs them, for all who come until the next look.
    full: Option<[Event; 2]>,
}

/// One who is told.
pub struct Listener {
    broadcaster: Arc<Broadcaster>,
    changes: Receiver<Event>,
    /// To be told before the changes.
    first: VecDeque<Event>,
}

impl Broadcasters {
    /// Begins to listen. The first one has everything looked at, which takes a while.
    pub fn join(&self, gateway: &Arc<Gateway>) -> Listener {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let broadcaster = now.upgrade().unwrap_or_else(|| Broadcaster::start(gateway));
        *now = Arc::downgrade(&broadcaster);
        let (changes, first) = broadcaster.everything();
        Listener {
            broadcaster,
            changes,
            first,
        }
    }
}

impl Broadcaster {
    fn start(gateway: &Arc<Gateway>) -> Arc<Self> {
        let seen = Arc::new(Mutex::new(Seen::of(gateway)));
        let (events, _) = broadcast::channel(BEHIND);
        let looking = look(Arc::clone(gateway), Arc::clone(&seen), events.clone());
        Arc::new(Self {
            events,
            seen,
            looking: tokio::spawn(looking).abort_handle(),
        })
    }

    /// All that was seen last, and the changes from there on.
    fn everything(&self) -> (Receiver<Event>, VecDeque<Event>) {
        let mut seen = lock(&self.seen);
        // Nothing is sent meanwhile, so nothing is told twice or left out.
        let changes = self.events.subscribe();
        (changes, seen.full().into())
    }
}

impl Drop for Broadcaster {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Listener {
    /// Waits for what is to be told next.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.first.pop_front() {
                return Some(event);
            }
            match self.changes.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(_)) => {
                    (self.changes, self.first) = self.broadcaster.everything();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Seen {
    fn of(gateway: &Gateway) -> Self {
        let mut table = Table::default();
        table.look(gateway);
        Self {
            table,
            status: Status::of(gateway),
            full: None,
            quiet: 0,
        }
    }

    /// Looks again, and tells what has changed.
    fn look(&mut self, gateway: &Gateway, events: &Sender<Event>) {
        let mut told = Vec::new();
        if let Some(changes) = self.table.look(gateway) {
            told.push(event(FUNCTIONS, &Data::Functions(changes)));
        }
        let status = Status::of(gateway);
        if status != self.status {
            told.push(event(STATUS, &Data::Status(&status)));
            self.status = status;
        }
        self.quiet = if told.is_empty() { self.quiet + 1 } else { 0 };
        if !told.is_empty() {
            self.full = None;
        } else if self.quiet == BEAT {
            self.quiet = 0;
            told.push(Event::default().event("beat").data("{}"));
        }
        for event in told {
            // Nobody may be listening any more; then this ends soon.
            let _ = events.send(event);
        }
    }

    fn full(&mut self) -> [Event; 2] {
        let all = || {
            let functions = Data::Functions(self.table.all());
            let status = Data::Status(&self.status);
            [event(FUNCTIONS, &functions), event(STATUS, &status)]
        };
        self.full.get_or_insert_with(all).clone()
    }
}

/// The names of the events.
const FUNCTIONS: &str = "functions";
const STATUS: &str = "status";

async fn look(gateway: Arc<Gateway>, seen: Arc<Mutex<Seen>>, events: Sender<Event>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (gateway, seen) = (Arc::clone(&gateway), Arc::clone(&seen));
        let events = events.clone();
        // With thousands of functions it takes a while, and this thread may be one that forwards calls.
        let looked = spawn_blocking(move || lock(&seen).look(&gateway, &events));
        if looked.await.is_err() {
            return;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // The rows always serialize; an event without data would be skipped by the listener.
    let json = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn broadcaster() -> Arc<Broadcaster> {
        let seen = Seen {
            table: Table::default(),
            status: Status::default(),
            full: None,
            quiet: 0,
        };
        Arc::new(Broadcaster {
            events: broadcast::channel(BEHIND).0,
            seen: Arc::new(Mutex::new(seen)),
            looking: tokio::spawn(std::future::pending::<()>()).abort_handle(),
        })
    }

    fn listener(broadcaster: &Arc<Broadcaster>) -> Listener {
        let (changes, first) = broadcaster.everything();
        Listener {
            broadcaster: Arc::clone(broadcaster),
            changes,
            first,
        }
    }

    async fn next(listener: &mut Listener) -> String {
        format!("{:?}", listener.next().await.unwrap())
    }

    #[tokio::test]
    async fn who_has_fallen_behind_is_told_everything_again() {
        let broadcaster = broadcaster();
        let mut listener = listener(&broadcaster);
        let change = |number: usize| Event::default().data(format!("change {number}"));
        for number in 0..=BEHIND {
            broadcaster.events.send(change(number)).unwrap();
        }
        // Twice: what was told at first, and what is told as it has missed a change.
        for _ in 0..2 {
            assert!(next(&mut listener).await.contains("functions"));
            assert!(next(&mut listener).await.contains("status"));
        }
        broadcaster.events.send(change(100)).unwrap();
        assert!(next(&mut listener).await.contains("change 100"));
    }

    #[tokio::test]
    async fn it_ends_with_its_last_listener() {
        let broadcaster = broadcaster();
        let looking = broadcaster.looking.clone();
        let listeners = [listener(&broadcaster), listener(&broadcaster)];
        drop(broadcaster);
        let [first, last] = listeners;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!looking.is_finished());
        drop(last);
        tokio::task::yield_now().await;
        assert!(looking.is_finished());
    }
}
