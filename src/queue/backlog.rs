//! What waits and what runs, in memory: one lane for each function, and who is next.
//!
//! Lanes take turns, so a function with a million calls delays another's first call by one step. A
//! lane has its calls in the order in which they are due: for new ones that is when they were
//! submitted.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Millis, now};
use crate::function::FunctionName;

/// Longest sleep until the next call is due: the clock on the wall may be set.
const LOOK: Duration = Duration::from_secs(1);

/// Steps of one kind for one function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The function.
    pub function: FunctionName,
    /// The kind.
    pub stage: Stage,
}

/// Kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Calls of the function.
    Call,
    /// Posts of its results.
    Callback,
}

/// Says how many steps of a lane may run at once.
pub type Room<'a> = &'a (dyn Fn(&Lane) -> usize + Sync);

/// What waits and runs of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The function.
    pub function: FunctionName,
    /// Calls that wait for their first try.
    pub queued: usize,
    /// Calls that wait for another try.
    pub retrying: usize,
    /// Calls that run.
    pub running: usize,
    /// Callbacks that wait or run.
    pub callbacks: usize,
    /// When the oldest of its calls was submitted.
    pub oldest: Option<Millis>,
}

impl Depth {
    /// A function without calls.
    pub fn none(function: FunctionName) -> Self {
        Self {
            function,
            queued: 0,
            retrying: 0,
            running: 0,
            callbacks: 0,
            oldest: None,
        }
    }
}

/// One call in the backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number; the queue knows what it stands for.
    pub key: u64,
    /// When it was submitted.
    pub submitted: Millis,
    /// When its next step is due.
    pub due: Millis,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    lanes: Mutex<Lanes>,
    changed: Notify,
}

/// A step that was taken. Dropping it gives the step back, unless it was cancelled.
#[derive(Debug)]
pub struct Place {
    backlog: Arc<Backlog>,
    lane: Lane,
    item: Item,
    cancelled: CancellationToken,
    /// What is done with the item when this is dropped; `None`: it is forgotten.
    back: Option<(Lane, Item)>,
}

/// What came of [`Backlog::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and is forgotten.
    Waiting,
    /// It ran; whoever runs it is told.
    Running,
    /// It is not there.
    Absent,
}

#[derive(Debug, Default)]
struct Lanes {
    by_name: HashMap<Lane, Queued>,
    /// Lanes in which something waits; the first is the next to be served.
    turns: VecDeque<Lane>,
}

#[derive(Debug, Default)]
struct Queued {
    /// By the time at which they are due; the value says when they were submitted.
    waiting: BTreeMap<(Millis, u64), Millis>,
    /// Those of `waiting` that are due later than they were submitted, the oldest first.
    delayed: BTreeSet<(Millis, u64)>,
    running: HashMap<u64, (Item, CancellationToken)>,
}

impl Backlog {
    /// Adds a call.
    pub fn push(&self, lane: Lane, item: Item) {
        self.lanes().push(lane, item);
        self.changed.notify_one();
    }

    /// Waits for a step that is due and has room.
    pub async fn take(self: &Arc<Self>, room: Room<'_>) -> Place {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wait = match self.lanes().take(room, now()) {
                Ok((lane, item, cancelled)) => {
                    // There may be room for another who takes.
                    self.changed.notify_one();
                    return Place {
                        backlog: Arc::clone(self),
                        cancelled,
                        back: Some((lane.clone(), item)),
                        lane,
                        item,
                    };
                }
                Err(wait) => wait.min(LOOK),
            };
            // Whichever comes first: it looks again.
            let _ = tokio::time::timeout(wait, changed).await;
        }
    }

    /// Takes a call out, or has it broken off.
    pub fn cancel(&self, lane: &Lane, item: Item) -> Cancelled {
        let mut lanes = self.lanes();
        let Some(queued) = lanes.by_name.get_mut(lane) else {
            return Cancelled::Absent;
        };
        if let Some((_, cancelled)) = queued.running.get(&item.key) {
            cancelled.cancel();
            return Cancelled::Running;
        }
        if !queued.remove(item) {
            return Cancelled::Absent;
        }
        lanes.forget_empty(lane);
        Cancelled::Waiting
    }

    /// Whether a step of a call runs.
    pub fn is_running(&self, lane: &Lane, key: u64) -> bool {
        let lanes = self.lanes();
        let queued = lanes.by_name.get(lane);
        queued.is_some_and(|queued| queued.running.contains_key(&key))
    }

    /// Puts these in the place of all that wait, but for those that run.
    pub fn replace(&self, steps: Vec<(Lane, Item)>) {
        let mut lanes = self.lanes();
        let mut running = BTreeSet::new();
        for queued in lanes.by_name.values_mut() {
            queued.waiting.clear();
            queued.delayed.clear();
            running.extend(queued.running.keys().copied());
        }
        lanes.turns.clear();
        for (lane, item) in steps {
            if !running.contains(&item.key) {
                lanes.push(lane, item);
            }
        }
        lanes
            .by_name
            .retain(|_, queued| !queued.waiting.is_empty() || !queued.running.is_empty());
        drop(lanes);
        self.changed.notify_one();
    }

    /// Takes out everything that waits; returns the numbers of these calls.
    pub fn take_waiting(&self) -> Vec<u64> {
        self.lanes().take_waiting()
    }

    /// Forgets everything that waits, and breaks off what runs.
    pub fn clear(&self) {
        let mut lanes = self.lanes();
        lanes.take_waiting();
        let running = lanes
            .by_name
            .values()
            .flat_map(|lane| lane.running.values());
        running.for_each(|(_, token)| token.cancel());
    }

    /// What waits and runs.
    pub fn depths(&self) -> Vec<Depth> {
        let mut depths: BTreeMap<FunctionName, Depth> = BTreeMap::new();
        for (lane, queued) in &self.lanes().by_name {
            let depth = depths
                .entry(lane.function.clone())
                .or_insert_with(|| Depth::none(lane.function.clone()));
            let waiting = queued.waiting.len();
            match lane.stage {
                Stage::Call => {
                    depth.retrying = queued.delayed.len();
                    depth.queued = waiting - queued.delayed.len();
                    depth.running = queued.running.len();
                    depth.oldest = queued.oldest();
                }
                Stage::Callback => depth.callbacks = waiting + queued.running.len(),
            }
        }
        depths.into_values().collect()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The call's number.
    pub fn key(&self) -> u64 {
        self.item.key
    }

    /// Cancelled when the call is.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Where it was taken from.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Forgets the call: nothing is left to do for it here.
    pub fn forget(mut self) {
        self.back = None;
    }

    /// Gives it back, to go on later and maybe in another lane.
    pub fn go_on(mut self, lane: Lane, due: Millis) {
        self.back = Some((lane, Item { due, ..self.item }));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.backlog.lanes();
        if let Some(queued) = lanes.by_name.get_mut(&self.lane) {
            queued.running.remove(&self.item.key);
        }
        // Under the lock: who cancels finds it here or there.
        if let Some((lane, item)) = self.back.take()
            && !self.cancelled.is_cancelled()
        {
            lanes.push(lane, item);
        }
        lanes.forget_empty(&self.lane);
        drop(lanes);
        self.backlog.changed.notify_one();
    }
}

impl Lanes {
    fn push(&mut self, lane: Lane, item: Item) {
        let queued = self.by_name.entry(lane.clone()).or_default();
        if queued.waiting.is_empty() {
            self.turns.push_back(lane);
        }
        queued.waiting.insert((item.due, item.key), item.submitted);
        if item.due > item.submitted {
            queued.delayed.insert((item.submitted, item.key));
        }
    }

    /// The next step, or how long it is until one is due.
    fn take(
        &mut self,
        room: Room<'_>,
        now: Millis,
    ) -> Result<(Lane, Item, CancellationToken), Duration> {
        let mut soonest = Millis::MAX;
        for turn in 0..self.turns.len() {
            let lane = &self.turns[turn];
            let Some(queued) = self.by_name.get_mut(lane) else {
                continue;
            };
            let Some((&(due, key), &submitted)) = queued.waiting.first_key_value() else {
                continue;
            };
            if queued.running.len() >= room(lane) {
                continue;
            }
            // One that was never tried is due at once, whatever clock said when it was submitted.
            if due > now && due != submitted {
                soonest = soonest.min(due);
                continue;
            }
            let item = Item {
                key,
                submitted,
                due,
            };
            queued.remove(item);
            let cancelled = CancellationToken::new();
            queued.running.insert(key, (item, cancelled.clone()));
            let empty = queued.waiting.is_empty();
            let lane = lane.clone();
            self.turns.remove(turn);
            if !empty {
                self.turns.push_back(lane.clone());
            }
            return Ok((lane, item, cancelled));
        }
        Err(Duration::from_millis(soonest.saturating_sub(now)))
    }

    fn take_waiting(&mut self) -> Vec<u64> {
        let mut keys = Vec::new();
        for queued in self.by_name.values_mut() {
            queued.delayed.clear();
            let waiting = std::mem::take(&mut queued.waiting);
            keys.extend(waiting.into_keys().map(|(_, key)| key));
        }
        self.by_name.retain(|_, queued| !queued.running.is_empty());
        self.turns.clear();
        keys
    }

    fn forget_empty(&mut self, lane: &Lane) {
        let Some(queued) = self.by_name.get(lane) else {
            return;
        };
        if queued.waiting.is_empty() {
            self.turns.retain(|other| other != lane);
            if queued.running.is_empty() {
                self.by_name.remove(lane);
            }
        }
    }
}

impl Queued {
    fn remove(&mut self, item: Item) -> bool {
        self.delayed.remove(&(item.submitted, item.key));
        self.waiting.remove(&(item.due, item.key)).is_some()
    }

    /// When the oldest call was submitted.
    fn oldest(&self) -> Option<Millis> {
        let fresh = self
            .waiting
            .first_key_value()
            .map(|(_, submitted)| *submitted);
        let delayed = self.delayed.first().map(|(submitted, _)| *submitted);
        let running = self.running.values().map(|(item, _)| item.submitted).min();
        [fresh, delayed, running].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lane(function: &str) -> Lane {
        Lane {
            function: function.parse().unwrap(),
            stage: Stage::Call,
        }
    }

    fn item(key: u64) -> Item {
        Item {
            key,
            submitted: key,
            due: key,
        }
    }

    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(20), future)
            .await
            .ok()
    }

    #[tokio::test]
    async fn lanes_take_turns_however_long_one_is() {
        let backlog = Arc::new(Backlog::default());
        for key in 0..100 {
            backlog.push(lane("flooded"), item(key));
        }
        backlog.push(lane("small"), item(200));
        let mut order = Vec::new();
        for _ in 0..4 {
            let place = backlog.take(&|_| 10).await;
            order.push((place.lane().function.name().to_owned(), place.key()));
            place.forget();
        }
        let names: Vec<_> = order.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["flooded", "small", "flooded", "flooded"]);
        assert_eq!(order[2].1, 1, "in their order");
    }

    #[tokio::test]
    async fn a_lane_without_room_is_passed_over_until_a_place_is_given_back() {
        let backlog = Arc::new(Backlog::default());
        backlog.push(lane("a"), item(1));
        backlog.push(lane("a"), item(2));
        backlog.push(lane("b"), item(3));
        let one = |_: &Lane| 1;
        let first = backlog.take(&one).await;
        let second = backlog.take(&one).await;
        assert_eq!((first.key(), second.key()), (1, 3));
        assert!(soon(backlog.take(&one)).await.is_none());
        drop(first);
        let again = backlog.take(&one).await;
        assert_eq!(again.key(), 1, "what was given back is the first again");
    }

    #[tokio::test]
    async fn what_is_due_later_waits() {
        let backlog = Arc::new(Backlog::default());
        backlog.push(lane("a"), item(1));
        let place = backlog.take(&|_| 1).await;
        let due = now() + 30;
        place.go_on(lane("a"), due);
        let depth = backlog.depths().remove(0);
        assert_eq!((depth.queued, depth.retrying, depth.running), (0, 1, 0));
        assert_eq!(depth.oldest, Some(1));
        let _place = backlog.take(&|_| 1).await;
        assert!(now() >= due);
        assert_eq!(backlog.depths()[0].running, 1);
    }

    #[tokio::test]
    async fn what_is_cancelled_is_forgotten_or_told() {
        let backlog = Arc::new(Backlog::default());
        let lane = lane("a");
        backlog.push(lane.clone(), item(1));
        backlog.push(lane.clone(), item(2));
        assert_eq!(backlog.cancel(&lane, item(2)), Cancelled::Waiting);
        assert_eq!(backlog.cancel(&lane, item(2)), Cancelled::Absent);
        let place = backlog.take(&|_| 1).await;
        let cancelled = place.cancelled();
        assert_eq!(backlog.cancel(&lane, item(1)), Cancelled::Running);
        assert!(cancelled.is_cancelled());
        drop(place);
        assert!(backlog.depths().is_empty());
        assert!(soon(backlog.take(&|_| 1)).await.is_none());
    }

    #[tokio::test]
    async fn what_waits_is_taken_out_and_what_runs_stays() {
        let backlog = Arc::new(Backlog::default());
        for (name, key) in [("a", 1), ("a", 2), ("b", 3)] {
            backlog.push(lane(name), item(key));
        }
        let place = backlog.take(&|_| 1).await;
        let mut taken = backlog.take_waiting();
        taken.sort_unstable();
        assert_eq!((place.key(), taken), (1, vec![2, 3]));
        assert!(soon(backlog.take(&|_| 2)).await.is_none());
        assert!(backlog.is_running(&lane("a"), 1));
        drop(place);
        assert_eq!(backlog.take_waiting(), [1]);
    }

    #[tokio::test]
    async fn several_who_take_are_all_served() {
        let backlog = Arc::new(Backlog::default());
        let takers: Vec<_> = (0..8)
            .map(|_| {
                let backlog = Arc::clone(&backlog);
                tokio::spawn(async move { backlog.take(&|_| 8).await.key() })
            })
            .collect();
        tokio::task::yield_now().await;
        (0..8).for_each(|key| backlog.push(lane("a"), item(key)));
        let mut keys = Vec::new();
        for taker in takers {
            keys.push(taker.await.unwrap());
        }
        assert_eq!(keys.len(), 8);
    }
}
