//! What can be asked about calls.

use std::time::Duration;

use super::super::super::{CallId, ChangeError, Queue, State, Submission, Then, Wanted, now};
use super::all;
use super::server::{Server, call, eventually, queue, tried};

#[tokio::test]
async fn what_is_known_of_open_calls_is_kept_however_short_dead_letters_are() {
    let server = Server::start();
    let config = crate::config::Queue {
        dead_letters: Duration::from_millis(500),
        ..queue()
    };
    let peer = server.peer_with(&config).await;
    let accepted = peer.post(call("echo", "again")).await;
    let work = peer.next().await;
    let record = tried(&work.record, Then::Again(now() + 1500));
    peer.settle(work.ticket, record, None).await.unwrap();
    let work = peer.next().await;
    assert_eq!(work.record.attempts, 1);
    peer.finish(work, State::Dead, None).await;
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Dead);
    eventually("it is forgotten", async || {
        peer.find(&accepted.id).await.unwrap().is_none()
    })
    .await;
    assert!(peer.list(&all()).await.unwrap().is_empty());
    assert_eq!(peer.replay(&accepted.id).await, Err(ChangeError::NotFound));
    assert_eq!(peer.cancel(&accepted.id).await, Err(ChangeError::NotFound));
}

#[tokio::test]
async fn the_newest_are_those_submitted_last_in_whatever_order_they_ended() {
    let server = Server::start();
    let peer = server.peer().await;
    let (mut posted, mut works) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        posted.insert(0, peer.post(in_order()).await.id);
        works.insert(0, peer.next().await);
    }
    for work in works {
        peer.succeed(work).await;
    }
    for limit in 1..=4 {
        let wanted = Wanted {
            limit,
            ..Wanted::default()
        };
        let listed = peer.list(&wanted).await.unwrap();
        let ids: Vec<_> = listed.into_iter().map(|record| record.id).collect();
        assert_eq!(ids, posted[..limit]);
    }
}

#[tokio::test]
async fn the_newest_calls_are_listed_of_whatever_kind() {
    let server = Server::start();
    let peer = server.peer().await;
    for function in ["a", "b", "a", "b"] {
        peer.post(call(function, function)).await;
    }
    let work = peer.next().await;
    let ended = peer.succeed(work).await;
    let ids = async |wanted: Wanted| -> Vec<CallId> {
        let listed = peer.list(&wanted).await.unwrap();
        assert!(listed.is_sorted_by_key(|record| std::cmp::Reverse(record.submitted)));
        listed.into_iter().map(|record| record.id).collect()
    };
    assert_eq!(ids(all()).await.len(), 4);
    assert_eq!(ids(Wanted { limit: 2, ..all() }).await.len(), 2);
    let function = Some(ended.function.clone());
    assert_eq!(ids(Wanted { function, ..all() }).await.len(), 2);
    let state = Some(State::Succeeded);
    assert_eq!(ids(Wanted { state, ..all() }).await, [ended.id]);
    let work = peer.next().await;
    let state = Some(State::Running);
    assert_eq!(ids(Wanted { state, ..all() }).await, [work.record.id]);
}

#[tokio::test]
async fn a_call_that_takes_its_time_is_seen_running_everywhere() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.peer());
    let accepted = one.post(call("slow", "")).await;
    let (runner, watcher, work) = tokio::select! {
        work = one.next() => (&one, &other, work),
        work = other.next() => (&other, &one, work),
    };
    eventually("it runs", async || {
        let found = watcher.find(&accepted.id).await.unwrap().unwrap();
        found.record.state == State::Running
    })
    .await;
    runner.succeed(work).await;
    let found = watcher.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
}

/// A call whose id shows when it was submitted, as the proxy makes them.
fn in_order() -> Submission {
    Submission {
        call_id: CallId::new().shared(),
        ..call("echo", "")
    }
}
