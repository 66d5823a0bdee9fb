//! How many calls go through. Run by hand:
//! `cargo test --release --lib -- --ignored --nocapture queue::jetstream::tests::figures`

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::super::super::{Lane, Queue, State, Then};
use super::server::{Server, call, outcome, queue, tried};

const CALLS: usize = 20_000;
const AT_ONCE: usize = 64;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn how_many_calls_go_through() {
    let server = Server::start();
    let config = crate::config::Queue {
        workers: AT_ONCE,
        per_function: AT_ONCE,
        ..queue()
    };
    // Who takes them in does not run them, so that one does not slow down the other.
    let front = Arc::new(server.front().await);
    let begun = Instant::now();
    each(move || {
        let front = Arc::clone(&front);
        async move {
            front.post(call("echo", &"x".repeat(256))).await;
        }
    })
    .await;
    report("accepted", begun);

    let peer = Arc::new(server.peer_with(&config).await);
    let begun = Instant::now();
    each(move || {
        let peer = Arc::clone(&peer);
        async move {
            let work = peer.next_of(&|_: &Lane| AT_ONCE).await;
            let record = tried(&work.record, Then::End(State::Succeeded));
            let result = Some(outcome("done"));
            peer.settle(work.ticket, record, result).await.unwrap();
        }
    })
    .await;
    report("taken and settled", begun);
}

async fn each<F: Future<Output = ()> + Send + 'static>(
    step: impl Fn() -> F + Send + Sync + 'static,
) {
    let step = Arc::new(step);
    let tasks = (0..AT_ONCE).map(|_| {
        let step = Arc::clone(&step);
        tokio::spawn(async move {
            for _ in 0..CALLS / AT_ONCE {
                step().await;
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
}

fn report(what: &str, begun: Instant) {
    let calls = CALLS / AT_ONCE * AT_ONCE;
    let rate = calls as f64 / begun.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} calls per second");
}
