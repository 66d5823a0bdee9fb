//! Several gateways on one stream.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::super::super::{Lane, Queue, Then, Work, now};
use super::server::{Peer, Server, body, call, eventually, queue, timed, tried};

#[tokio::test]
async fn two_gateways_make_each_call_once() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.peer());
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for body in &bodies {
        one.post(call(["a", "b", "c"][body.len() - 1], body)).await;
    }
    let made = Mutex::new(Vec::new());
    let work = async |peer: &Peer| {
        while made.lock().unwrap().len() < bodies.len() {
            let taken = tokio::time::timeout(Duration::from_millis(500), peer.next());
            let Ok(work) = taken.await else { continue };
            tokio::time::sleep(Duration::from_millis(2)).await;
            made.lock().unwrap().push(body(&work));
            peer.succeed(work).await;
        }
    };
    tokio::join!(work(&one), work(&other));
    let made = made.into_inner().unwrap();
    assert_eq!(made.len(), bodies.len());
    let distinct: BTreeSet<_> = made.into_iter().collect();
    assert_eq!(distinct, bodies.into_iter().collect());
}

#[tokio::test]
async fn a_gateway_that_waits_gets_its_share_of_what_another_cannot_run() {
    let server = Server::start();
    let config = crate::config::Queue {
        workers: 2,
        per_function: 2,
        ..queue()
    };
    let busy = server.peer_with(&config).await;
    for number in 0..20 {
        busy.post(call("slow", &number.to_string())).await;
    }
    let _held = [busy.next().await, busy.next().await];
    let idle = server.peer_with(&config).await;
    assert_eq!(idle.work_off(12).await.len(), 12);
}

#[tokio::test]
async fn who_has_no_workers_leaves_the_calls_to_others() {
    let server = Server::start();
    let front = server.front().await;
    front.post(call("echo", "hello")).await;
    eventually("it is counted", async || {
        front.depths().first().map(|depth| depth.queued) == Some(1)
    })
    .await;
    let worker = server.peer().await;
    assert_eq!(worker.work_off(1).await, ["hello"]);
}

#[tokio::test]
async fn who_drains_gives_back_what_waits_and_goes_on_with_what_runs() {
    let server = Server::start();
    let (one, running, other) = one_that_holds_two_and_another(&server).await;
    one.drain();
    let (waiting, took) = timed(other.next()).await;
    assert_eq!(body(&waiting), "waiting");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let again = tried(&running.record, Then::Again(now()));
    let settled = one.settle(running.ticket, again, None);
    settled.await.unwrap();
    one.post(call("echo", "new")).await;
    let mut rest = other.work_off(2).await;
    rest.sort_unstable();
    assert_eq!(rest, ["new", "running"]);
    assert!(one.held.replies().is_empty());
    other.succeed(waiting).await;
}

#[tokio::test]
async fn who_closes_gives_back_what_it_holds() {
    let server = Server::start();
    let (one, running, other) = one_that_holds_two_and_another(&server).await;
    let ((), took) = timed(one.close()).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(running.ticket.cancelled().is_cancelled());
    let settled = one.settle(running.ticket, running.record, None);
    assert!(settled.await.is_err());
    assert!(one.submit(call("echo", "")).await.is_err());
    let (made, took) = timed(other.work_off(2)).await;
    assert_eq!(made.len(), 2);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
#[ignore = "it takes as long as the server waits for an answer"]
async fn what_runs_stays_here_and_what_the_dead_held_goes_elsewhere() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.front());
    one.post(call("long", "runs")).await;
    let work = one.next().await;
    let dead = server.peer().await;
    one.configure(&crate::config::Queue {
        workers: 0,
        ..queue()
    });
    one.post(call("dead", "left")).await;
    let left = dead.next().await;
    drop(dead);
    other.configure(&queue());
    let (again, took) = timed(other.next()).await;
    assert_eq!(body(&again), body(&left));
    assert!(took > Duration::from_secs(20), "{took:?}");
    assert!(other.is_idle().await);
    let twice = tokio::time::timeout(took, other.next_of(&|_: &Lane| 16)).await;
    assert!(twice.is_err(), "{twice:?}");
    one.succeed(work).await;
}

/// One gateway that runs a call and holds another, and one that waits for some.
async fn one_that_holds_two_and_another(server: &Server) -> (Peer, Work, Peer) {
    let (one, other) = tokio::join!(server.peer(), server.front());
    one.post(call("echo", "running")).await;
    let running = one.next().await;
    one.post(call("echo", "waiting")).await;
    eventually("both are held", async || one.held.replies().len() == 2).await;
    other.configure(&queue());
    eventually("the other waits for some too", async || {
        let nats = other.link.nats().unwrap();
        let listed: Value = nats.api("CONSUMER.LIST.calls", &()).await.unwrap();
        let consumers = listed["consumers"].as_array().unwrap();
        let waiting = |consumer: &Value| consumer["num_waiting"].as_u64();
        consumers.iter().filter_map(waiting).sum::<u64>() == 4
    })
    .await;
    (one, running, other)
}
