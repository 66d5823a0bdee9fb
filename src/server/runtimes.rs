//! The runtimes of the services: whether all have begun, whether they still run what they are given, and
//! whose work is over.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

/// Every service that was added.
#[derive(Clone, Default)]
pub struct Runtimes(watch::Sender<Known>);

#[derive(Default)]
struct Known {
    expected: usize,
    begun: Vec<(&'static str, Handle)>,
    ended: Vec<&'static str>,
}

/// The place of one service among them.
#[derive(Clone)]
pub struct Place {
    name: &'static str,
    runtimes: Runtimes,
}

/// Lasts as long as the service does, and says when that has ended, even by a panic.
#[must_use]
pub struct Serving(Place);

impl Runtimes {
    /// Expects one more service, which is to say when it has begun.
    pub fn expect(&self, name: &'static str) -> Place {
        self.0.send_modify(|known| known.expected += 1);
        Place {
            name,
            runtimes: self.clone(),
        }
    }

    /// Waits until all have begun. The caller bounds the wait.
    pub async fn begun(&self) {
        let all = |known: &Known| known.begun.len() == known.expected;
        // This value is a sender, too, so there is one.
        let _ = self.0.subscribe().wait_for(all).await;
    }

    /// The names of those that do not run a task within `limit`, though it has nothing to do.
    pub async fn stuck(&self, limit: Duration) -> Vec<&'static str> {
        let begun = self.0.borrow().begun.clone();
        let asked = begun.into_iter().map(|(name, runtime)| async move {
            // A runtime that has ended refuses the task, and is not stuck.
            let ran = timeout(limit, runtime.spawn(async {})).await;
            ran.is_err().then_some(name)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The names of those whose work is over.
    pub fn ended(&self) -> Vec<&'static str> {
        self.0.borrow().ended.clone()
    }
}

impl Place {
    /// What the service is called in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// To be called within the service's runtime. The service has ended once the value is dropped.
    pub fn begin(&self) -> Serving {
        let begun = (self.name, Handle::current());
        self.runtimes.0.send_modify(|known| known.begun.push(begun));
        Serving(self.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Place { name, runtimes } = &self.0;
        runtimes.0.send_modify(|known| known.ended.push(name));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::mpsc;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    /// Also for one that is free, on a busy machine.
    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(10);

    /// A runtime with one thread.
    fn runtime(of: &Place) -> Runtime {
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.unwrap();
        drop(runtime.block_on(async { of.begin() }));
        runtime
    }

    #[tokio::test]
    async fn one_whose_work_is_over_is_named_however_that_ended() {
        let runtimes = Runtimes::default();
        let (fig, date) = (runtimes.expect("fig"), runtimes.expect("date"));
        let serving = fig.begin();
        assert!(runtimes.ended().is_empty());
        let failing = tokio::spawn(async move {
            let _serving = date.begin();
            panic!("date is rotten");
        });
        assert!(failing.await.is_err());
        assert_eq!(runtimes.ended(), ["date"]);
        drop(serving);
        assert_eq!(runtimes.ended(), ["date", "fig"]);
    }

    #[tokio::test]
    async fn one_whose_only_thread_is_blocked_is_named_until_it_is_free_again() {
        let runtimes = Runtimes::default();
        let (fig, date) = (runtimes.expect("fig"), runtimes.expect("date"));
        let (fig, date) = std::thread::spawn(move || (runtime(&fig), runtime(&date)))
            .join()
            .unwrap();
        assert!(runtimes.stuck(LONG).await.is_empty());
        let (release, blocked) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        date.spawn(async move {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        });
        inside.recv().unwrap();
        assert_eq!(runtimes.stuck(SHORT).await, ["date"]);
        drop(release);
        assert!(runtimes.stuck(LONG).await.is_empty());
        fig.shutdown_background();
        date.shutdown_background();
        assert!(
            runtimes.stuck(LONG).await.is_empty(),
            "to have ended is not to be stuck"
        );
    }

    #[tokio::test]
    async fn all_have_begun_once_the_last_has() {
        let runtimes = Runtimes::default();
        let (fig, date) = (runtimes.expect("fig"), runtimes.expect("date"));
        let _fig = fig.begin();
        assert!(timeout(SHORT, runtimes.begun()).await.is_err());
        let _date = date.begin();
        timeout(LONG, runtimes.begun()).await.unwrap();
    }
}
