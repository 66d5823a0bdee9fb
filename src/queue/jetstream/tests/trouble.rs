//! Servers that are killed, and streams that are not as they were left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::stream::RetentionPolicy;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::super::super::{Lane, Queue, State, Then, message};
use super::messages;
use super::server::{Peer, Server, body, call, eventually, queue, tried};

#[tokio::test]
async fn what_is_accepted_outlives_the_server_and_the_gateway() {
    let mut server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(call("echo", "durable")).await;
    server.kill();
    drop(peer);
    server.restart();
    let peer = server.peer().await;
    let found = peer.find(&accepted.id).await.unwrap();
    assert!(found.is_some());
    assert_eq!(peer.work_off(1).await, ["durable"]);
}

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed_while_calls_flow() {
    let mut server = Server::start();
    let peer = server.peer().await;
    let mut kills = 0;
    flow(&peer, 300, |number| {
        if number % 100 == 50 {
            server.kill();
            server.restart();
            kills += 1;
        }
    })
    .await;
    assert_eq!(kills, 3);
}

#[tokio::test]
async fn what_a_crashed_server_would_never_hand_out_again_is_cared_for() {
    let mut server = Server::start();
    let peer = server.peer().await;
    let lost = peer.post(call("echo", "lost")).await;
    peer.post(call("echo", "made")).await;
    // Somebody else's has no id of its own, and waits where theirs do.
    let theirs = Bytes::from(message::encode(&call("echo", "theirs").invocation));
    let client = server.client().await;
    client.publish("calls", theirs).await.unwrap();
    client.flush().await.unwrap();
    let held = async || peer.held.replies().len() == 3;
    eventually("all are handed out", held).await;
    let before = server.stop("calls");
    server.restart();
    peer.is_ready().await;
    let made: BTreeSet<_> = peer.work_off(3).await.into_iter().collect();
    assert_eq!(made.len(), 3);
    let nats = peer.link.nats().unwrap();
    let removed = peer.results.remove(nats, lost.id.as_str(), 0);
    removed.await.unwrap();
    server.stop("calls");
    // The stream knows nothing of what its consumers know.
    server.restart_with("calls", &before);
    peer.is_ready().await;
    assert_eq!(peer.work_off(1).await, ["lost"]);
    eventually("nothing is left", async || messages(&peer).await == 0).await;
    assert!(peer.is_idle().await);
}

#[tokio::test]
async fn three_servers_go_on_when_one_of_them_is_killed() {
    let mut servers = Server::cluster();
    let urls: Vec<_> = servers.iter().map(|server| server.settings().url).collect();
    let settings = crate::config::Jetstream {
        url: urls.join(", "),
        replicas: 3,
        ..servers[0].settings()
    };
    let peer = Peer::new(&settings, &queue());
    peer.is_ready().await;
    flow(&peer, 150, |number| {
        if number == 50 {
            servers[0].kill();
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_used_if_it_will_do() {
    let server = Server::start();
    let context = async_nats::jetstream::new(server.client().await);
    let mut config = Config {
        name: "calls".to_owned(),
        subjects: vec!["calls".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    context.create_stream(config.clone()).await.unwrap();
    let peer = Peer::new(&server.settings(), &queue());
    eventually("a word on the subject", async || {
        let problem = peer.problem().unwrap_or_default();
        problem.contains("does not capture calls.>")
    })
    .await;
    config.subjects.push("calls.>".to_owned());
    context.update_stream(config).await.unwrap();
    peer.is_ready().await;
    peer.post(call("echo", "theirs")).await;
    assert_eq!(peer.work_off(1).await, ["theirs"]);
}

#[tokio::test]
async fn streams_that_vanish_are_made_again_and_kept_times_follow_the_configuration() {
    let server = Server::start();
    let peer = server.peer().await;
    let context = async_nats::jetstream::new(server.client().await);
    let mut config = queue();
    config.results.keep = Duration::from_secs(60);
    peer.configure(&config);
    eventually("results are kept for a minute", async || {
        let results = context.get_stream("calls-results").await.unwrap();
        results.cached_info().config.max_age == Duration::from_secs(60)
    })
    .await;
    context.delete_stream("calls").await.unwrap();
    eventually("it is there again", async || {
        peer.submit(call("echo", "again")).await.is_ok()
    })
    .await;
    assert_eq!(body(&peer.next().await), "again");
}

/// Submits calls, each until it is accepted, while workers make them, and waits until all are made.
async fn flow(peer: &Peer, calls: usize, mut between: impl FnMut(usize)) {
    let made = Arc::new(Mutex::new(BTreeSet::new()));
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let (queue, made) = (Arc::clone(peer), Arc::clone(&made));
        workers.spawn(async move {
            loop {
                let work = queue.next(&|_: &Lane| 16).await;
                made.lock().unwrap().insert(body(&work));
                let record = tried(&work.record, Then::End(State::Succeeded));
                let _ = queue.settle(work.ticket, record, None).await;
            }
        });
    }
    for number in 0..calls {
        between(number);
        let submission = call("echo", &number.to_string());
        eventually("it is accepted", async || {
            peer.submit(submission.clone()).await.is_ok()
        })
        .await;
    }
    let made = async || made.lock().unwrap().len() == calls;
    eventually("all are made", made).await;
}
