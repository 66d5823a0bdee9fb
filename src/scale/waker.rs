//! Waking functions that have no replica: one request to the provider for each, whoever waits for it
//! and however many.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::function::{FunctionName, ScaleRequest};
use crate::functions::Registry;
use crate::provider::{Provider, Request};

/// Wishes in line; who finds the line full asks again in a moment.
const WISHES: usize = 1024;

/// Longest wait until the woken function is no longer seen asleep.
const SEEN: Duration = Duration::from_secs(5);

/// Takes wishes for functions to be woken.
#[derive(Clone)]
pub struct Waker {
    wishes: mpsc::Sender<Wish>,
}

/// The background task behind a [`Waker`].
pub struct Waking {
    wishes: mpsc::Receiver<Wish>,
}

struct Wish {
    name: FunctionName,
    replicas: u64,
}

impl Waker {
    /// A waker, and the task that does its work.
    pub fn new() -> (Self, Waking) {
        let (wishes, receiver) = mpsc::channel(WISHES);
        (Self { wishes }, Waking { wishes: receiver })
    }

    /// Asks for a function to have so many replicas. To be repeated while it is still asleep.
    pub fn wake(&self, name: &FunctionName, replicas: u64) {
        let name = name.clone();
        // A full line and a gateway that ends are both for the caller's own limit to notice.
        let _ = self.wishes.try_send(Wish { name, replicas });
    }
}

impl Waking {
    /// Fulfils wishes for as long as the gateway lives. A wish for a function that is being woken is
    /// fulfilled with the first one.
    pub async fn run(mut self, provider: Arc<dyn Provider>, registry: Arc<Registry>) {
        let mut waking = BTreeSet::new();
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(wish) => {
                        if waking.insert(wish.name.clone()) {
                            tasks.spawn(wish.fulfil(Arc::clone(&provider), Arc::clone(&registry)));
                        }
                    }
                    None => return,
                },
                Some(done) = tasks.join_next() => {
                    if let Ok(name) = done {
                        waking.remove(&name);
                    }
                }
            }
        }
    }
}

impl Wish {
    async fn fulfil(self, provider: Arc<dyn Provider>, registry: Arc<Registry>) -> FunctionName {
        let Self { name, replicas } = self;
        let request = Request::of(&ScaleRequest {
            service_name: name.name().to_owned(),
            namespace: name.namespace().to_owned(),
            replicas,
        });
        let problem = match provider.scale(name.name(), request).await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the provider answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        match problem {
            None => {
                tracing::info!(function = %name, replicas, "woken");
                let awake = registry.until(|snapshot| {
                    let function = snapshot.function(&name.to_string());
                    function.is_none_or(|function| !function.asleep())
                });
                // If it is not seen awake by then, the next wish asks again.
                let _ = tokio::time::timeout(SEEN, awake).await;
            }
            Some(error) => tracing::warn!(function = %name, error, "cannot be woken"),
        }
        name
    }
}
