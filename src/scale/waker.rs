//! Waking functions that have no replica: one request to the provider for each, whoever waits for it
//! and however many.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::journal::Reason;
use super::scaler::Scaler;
use crate::functions::{Function, Snapshot};

/// Wishes in line; who finds the line full asks again in a moment.
const WISHES: usize = 1024;
/// Bounds of the time between two looks at a provider that does not tell by itself: within them a
/// thirtieth of what the start has taken so far.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(25));
/// Time between two looks at a provider that does, in case that something was missed.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// Bounds of the time until a provider is asked again that failed, doubled each time.
const STUMBLE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));
/// Time after which a function is woken again whose provider took note and did nothing.
const WAKE_AGAIN: Duration = Duration::from_secs(5);

/// Takes wishes for functions to be woken.
#[derive(Clone)]
pub struct Waker {
    wishes: mpsc::Sender<Arc<Function>>,
}

/// The background task behind a [`Waker`].
pub struct Waking {
    wishes: mpsc::Receiver<Arc<Function>>,
}

impl Waker {
    /// A waker, and the task that does its work.
    pub fn new() -> (Self, Waking) {
        let (wishes, receiver) = mpsc::channel(WISHES);
        (Self { wishes }, Waking { wishes: receiver })
    }

    /// Asks for a function to be made callable, for as long as calls wait for it. Whoever asks while
    /// that is under way asks for nothing new.
    pub fn rouse(&self, function: &Arc<Function>) {
        let rousing = &function.live.rousing;
        if !rousing.swap(true, Ordering::AcqRel)
            && self.wishes.try_send(Arc::clone(function)).is_err()
        {
            rousing.store(false, Ordering::Release);
        }
    }
}

impl Waking {
    /// Fulfils wishes for as long as the gateway lives.
    pub async fn run(mut self, scaler: Arc<Scaler>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(function) => {
                        tasks.spawn(fulfil(Arc::clone(&scaler), function));
                    }
                    None => return,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

/// What one function needs to be called.
enum Need {
    /// Nothing: it can be called, or is gone, or nobody waits.
    Nothing,
    /// A replica.
    Replica(Arc<Function>),
    /// Time.
    Patience,
}

async fn fulfil(scaler: Arc<Scaler>, function: Arc<Function>) {
    rouse(&scaler, &function).await;
    function.live.rousing.store(false, Ordering::Release);
    // Whoever came to the line meanwhile, and was not woken by this, asks again.
    function.live.gate.wake();
}

async fn rouse(scaler: &Scaler, function: &Function) {
    // Who is just put to sleep is not disturbed.
    let _alone = function.live.scaling.lock().await;
    let begun = Instant::now();
    let mut stumble = STUMBLE.0;
    let mut woken: Option<Instant> = None;
    loop {
        let looked = look(scaler, function, stumble == STUMBLE.0).await;
        let again = woken.is_none_or(|at| at.elapsed() >= WAKE_AGAIN);
        let done = match (looked, need(scaler, function)) {
            (_, Need::Nothing) => return,
            (true, Need::Replica(function)) if again => {
                let done = wake(scaler, &function).await;
                woken = done.then(Instant::now);
                done
            }
            (looked, _) => looked,
        };
        if !done {
            sleep(stumble).await;
            stumble = (stumble * 2).min(STUMBLE.1);
            continue;
        }
        stumble = STUMBLE.0;
        let limit = if scaler.provider().shows_changes() {
            LOOK_ANYWAY
        } else {
            (begun.elapsed() / 30).clamp(LOOK.0, LOOK.1)
        };
        let settled = |snapshot: &Snapshot| {
            let function = snapshot.function(&function.key);
            function.is_none_or(|function| callable(function))
        };
        let _ = timeout(limit, scaler.registry().until(settled)).await;
    }
}

/// Looks at the function. Says whether that worked; why not is logged the `first` time.
async fn look(scaler: &Scaler, function: &Function, first: bool) -> bool {
    let name = &function.name;
    match scaler.look(name).await {
        Ok(()) => return true,
        Err(error) if first => {
            tracing::warn!(function = %name, %error, "cannot see whether it is awake; trying on");
        }
        Err(error) => {
            tracing::debug!(function = %name, %error, "cannot see whether it is awake");
        }
    }
    false
}

fn need(scaler: &Scaler, function: &Function) -> Need {
    let snapshot = scaler.registry().current();
    match snapshot.function(&function.key) {
        None => Need::Nothing,
        Some(function) if callable(function) => Need::Nothing,
        Some(function) if function.live.gate.waiting() == 0 => Need::Nothing,
        Some(function) if function.asleep() => Need::Replica(Arc::clone(function)),
        Some(_) => Need::Patience,
    }
}

/// Whether calls get through, or get to know why not.
fn callable(function: &Function) -> bool {
    !function.replicas.is_empty() || function.problem.is_some()
}

/// Asks for the least number of replicas. Says whether that was taken note of.
async fn wake(scaler: &Scaler, function: &Function) -> bool {
    let (numbers, replicas) = (scaler.numbers(function), function.scaling.awake());
    scaler
        .resize(&function.name, 0, replicas, Reason::Woken, numbers)
        .await
        .is_ok()
}
