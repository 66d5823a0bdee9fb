//! Who may put a call on the queue, under which id, and who is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::super::super::{CallId, Queue, QueueError, State, Submission, now};
use super::super::submit::Keyed;
use super::server::{Peer, Server, body, call, eventually, outcome, queue, timed};
use super::{all, chosen, id, keyed};

#[tokio::test]
async fn who_submits_to_nobody_is_told_soon_and_served_later() {
    let mut server = Server::absent();
    let peer = Peer::new(&server.settings(), &queue());
    let (refused, took) = timed(peer.submit(call("echo", ""))).await;
    assert!(matches!(refused, Err(QueueError::Unavailable(_))));
    assert!(took < Duration::from_secs(1), "{took:?}");
    let problem = peer.problem().unwrap();
    assert!(problem.contains("127.0.0.1"), "{problem}");
    assert!(peer.find(&CallId::new()).await.is_err());
    server.restart();
    peer.is_ready().await;
    peer.post(call("echo", "late")).await;
    assert_eq!(peer.work_off(1).await, ["late"]);
}

#[tokio::test]
async fn who_cannot_read_his_credentials_is_told() {
    let server = Server::start();
    let settings = crate::config::Jetstream {
        credentials: Some("/nowhere/at.all".into()),
        url: format!("nats://user:secret@{}", &server.settings().url[7..]),
        ..server.settings()
    };
    let peer = Peer::new(&settings, &queue());
    let before = peer.problem().unwrap();
    assert!(!before.contains("secret"), "{before}");
    eventually("the file is named", async || {
        peer.problem().unwrap().contains("/nowhere/at.all")
    })
    .await;
}

#[tokio::test]
async fn a_key_makes_one_call_of_several_posts() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.front());
    let first = one.post(keyed("k", "a")).await;
    let second = other.post(keyed("k", "a")).await;
    assert!(!first.repeated && second.repeated);
    assert_eq!((&first.id, &first.call_id), (&second.id, &second.call_id));
    assert_eq!(
        one.submit(keyed("k", "b")).await,
        Err(QueueError::KeyReused)
    );
    // It is another key for another function.
    let mut elsewhere = keyed("k", "b");
    elsewhere.invocation.function = "other".parse().unwrap();
    assert!(!one.post(elsewhere).await.repeated);
    let made: BTreeSet<_> = one.work_off(2).await.into_iter().collect();
    assert_eq!(made, ["a", "b"].map(String::from).into());
    let third = other.post(keyed("k", "a")).await;
    assert!(third.repeated && third.id == first.id);
    assert!(one.is_idle().await);
}

#[tokio::test]
async fn posts_with_one_key_at_once_make_one_call() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.front());
    let posts = (0..16).map(|number| {
        let peer = if number % 2 == 0 { &one } else { &other };
        peer.post(keyed("k", "a"))
    });
    let accepted = futures_util::future::join_all(posts).await;
    assert!(accepted.iter().all(|post| post.id == accepted[0].id));
    let fresh = accepted.iter().filter(|post| !post.repeated);
    assert_eq!(fresh.count(), 1);
    assert_eq!(one.work_off(1).await, ["a"]);
    assert!(one.is_idle().await);
    // No reservation is left either.
    eventually("one record", async || {
        one.list(&all()).await.unwrap().len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_key_whose_poster_died_before_its_call_was_in_the_stream_is_no_dead_end() {
    let server = Server::start();
    let peer = server.peer().await;
    let nats = peer.link.nats().unwrap().clone();
    let first = peer.post(keyed("k", "a")).await;
    peer.work_off(1).await;
    // As it was before the message was published.
    let submission = keyed("k", "a");
    let row = super::super::submit::row_of(&submission.invocation, "k");
    let there = peer.keys.get(&nats, &row).await.unwrap().unwrap();
    let mut entry = serde_json::to_value(&there.known).unwrap();
    entry["accepted"] = false.into();
    entry["id"] = "another".into();
    entry["number"] = "another".into();
    let entry: Keyed = serde_json::from_value(entry).unwrap();
    let put = peer
        .keys
        .put(&nats, &row, &entry, Bytes::new(), there.sequence);
    put.await.unwrap().unwrap();
    for _ in 0..2 {
        let again = peer.post(submission.clone()).await;
        assert!(again.repeated && again.id != first.id);
        assert_eq!(again.id, id("another"));
    }
    assert_eq!(peer.work_off(1).await, ["a"]);
    assert!(peer.is_idle().await);
}

#[tokio::test]
async fn who_posts_again_under_a_chosen_id_that_was_given_back_keeps_it() {
    let server = Server::start();
    let front = server.front().await;
    let submission = Submission {
        call_id: "mine".into(),
        chosen: true,
        ..keyed("k", "a")
    };
    front.post(submission.clone()).await;
    // As it is when the first post could not publish.
    let nats = front.link.nats().unwrap();
    let row = super::super::submit::row_of(&submission.invocation, "k");
    let there = front.keys.get(nats, &row).await.unwrap().unwrap();
    let mut entry = serde_json::to_value(&there.known).unwrap();
    entry["accepted"] = false.into();
    entry["number"] = "another".into();
    let entry: Keyed = serde_json::from_value(entry).unwrap();
    let put = front.keys.overwrite(nats, &row, &entry, Bytes::new());
    put.await.unwrap();
    front.calls.remove(nats, "mine", 0).await.unwrap();
    let again = front.post(submission).await;
    assert!(again.repeated && again.id == id("mine"));
    assert!(front.is_idle().await);
    assert!(front.find(&again.id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_id_that_is_taken_is_not_given_again() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.front());
    let first = one.post(chosen("mine")).await;
    let second = other.post(chosen("mine")).await;
    assert_eq!(first.id, id("mine"));
    assert_ne!(second.id, first.id);
    assert_eq!(&*second.call_id, "mine");
    one.work_off(2).await;
    let found = other.find(&second.id).await.unwrap().unwrap();
    assert_eq!(found.record.call_id(), "mine");
    // Nor when the first has ended.
    let third = other.post(chosen("mine")).await;
    assert_ne!(third.id, first.id);
    assert_eq!(one.work_off(1).await, ["chosen"]);
    let found = other.find(&first.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
}

#[tokio::test]
async fn who_submits_to_a_server_that_hangs_is_told_in_time() {
    let server = Server::start();
    let peer = server.peer().await;
    server.pause().await;
    let (refused, took) = timed(peer.submit(call("echo", "lost"))).await;
    assert!(
        matches!(refused, Err(QueueError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(took < Duration::from_millis(2500), "{took:?}");
    let (found, took) = timed(peer.find(&CallId::new())).await;
    assert!(
        found.is_err() && took < Duration::from_millis(2500),
        "{took:?}"
    );
    server.resume();
    eventually("it goes on", async || {
        peer.submit(call("echo", "next")).await.is_ok()
    })
    .await;
    // Of the call that was not accepted no record is left.
    eventually("only what was accepted is listed", async || {
        let listed = peer.list(&all()).await;
        listed.is_ok_and(|listed| listed.len() == 1)
    })
    .await;
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused() {
    let server = Server::start();
    let config = crate::config::Queue {
        max_calls: 3,
        ..queue()
    };
    let peer = server.peer_with(&config).await;
    for _ in 0..3 {
        peer.post(call("echo", "")).await;
    }
    assert_eq!(
        peer.submit(call("echo", "")).await,
        Err(QueueError::Full(3))
    );
    peer.work_off(1).await;
    peer.post(call("echo", "")).await;
    peer.configure(&queue());
    peer.post(call("echo", "")).await;
    let depth = peer.depths().remove(0);
    assert_eq!((depth.queued, depth.running), (4, 0));
    assert!(depth.oldest.unwrap() <= now());
}

#[tokio::test]
async fn a_key_that_is_known_needs_no_room() {
    let server = Server::start();
    let config = crate::config::Queue {
        max_calls: 1,
        ..queue()
    };
    let peer = server.peer_with(&config).await;
    let first = peer.post(keyed("k", "a")).await;
    let second = peer.post(keyed("k", "a")).await;
    assert!(second.repeated && second.id == first.id);
    for (other, refusal) in [
        (keyed("k", "b"), QueueError::KeyReused),
        (keyed("l", "a"), QueueError::Full(1)),
    ] {
        assert_eq!(peer.submit(other).await, Err(refusal));
    }
}

#[tokio::test]
async fn a_server_without_room_says_so_until_there_is_some() {
    let server = Server::small(2 << 20);
    let peer = server.peer().await;
    let body = "x".repeat(100_000);
    let mut accepted = 0;
    let refused = loop {
        match peer.submit(call("echo", &body)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, QueueError::NoSpace(_)), "{refused}");
    assert!(accepted >= 5, "{accepted}");
    peer.work_off(accepted).await;
    eventually("there is room again", async || {
        peer.submit(call("echo", &body)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_body_that_no_message_can_hold_is_refused_and_a_long_result_shortened() {
    let server = Server::start();
    let peer = server.peer().await;
    let most = peer.max_body();
    assert!(most < 1 << 20);
    let long = "x".repeat(most);
    assert_eq!(
        peer.submit(call("echo", &format!("{long}x"))).await,
        Err(QueueError::TooLarge(most))
    );
    let accepted = peer.post(call("echo", &long)).await;
    let work = peer.next().await;
    assert_eq!(body(&work), long);
    let longest = outcome(&"y".repeat(1 << 20));
    peer.finish(work, State::Succeeded, Some(longest)).await;
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    let outcome = found.outcome.unwrap();
    assert!(outcome.truncated);
    assert!(
        outcome.body.len() > (1 << 20) - 8192,
        "{}",
        outcome.body.len()
    );
}
