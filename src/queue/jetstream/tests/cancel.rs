//! What is cancelled does not run, or is broken off.

use std::time::Duration;

use bytes::Bytes;

use super::super::super::{ChangeError, Queue, State, Then, now};
use super::server::{Server, call, eventually, tried};
use super::{id, messages};

#[tokio::test]
async fn what_is_cancelled_while_it_waits_never_runs() {
    let server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(call("echo", "no")).await;
    let record = peer.cancel(&accepted.id).await.unwrap();
    assert_eq!(record.state, State::Cancelled);
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record, record);
    assert!(peer.is_idle().await);
    assert_eq!(
        peer.cancel(&accepted.id).await,
        Err(ChangeError::State(State::Cancelled))
    );
    assert_eq!(
        peer.cancel(&id("unknown")).await,
        Err(ChangeError::NotFound)
    );
    eventually("nothing is left", async || peer.depths().is_empty()).await;
}

#[tokio::test]
async fn a_call_that_has_ended_does_not_run_again_when_its_row_comes_back() {
    let server = Server::start();
    let (front, peer) = tokio::join!(server.front(), server.peer());
    let accepted = peer.post(call("echo", "once")).await;
    let nats = front.link.nats().unwrap();
    let stale = front.calls.get(nats, accepted.id.as_str()).await.unwrap();
    peer.work_off(1).await;
    let stale = stale.unwrap().known;
    let put = peer
        .calls
        .overwrite(nats, accepted.id.as_str(), &stale, Bytes::new());
    put.await.unwrap();
    let found = front.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
    // As if its message had come back too.
    let label = super::super::submit::Label {
        id: &accepted.id,
        call_id: accepted.id.as_str(),
        number: "again",
        replays: 0,
    };
    let invocation = call("echo", "once").invocation;
    drop(peer);
    front.publish(nats, &invocation, &label).await.unwrap();
    let peer = server.peer().await;
    eventually("nothing is left", async || {
        assert!(peer.is_idle().await);
        messages(&peer).await == 0
    })
    .await;
    let left = front.calls.get(nats, accepted.id.as_str()).await.unwrap();
    assert!(left.is_none());
}

#[tokio::test]
async fn the_message_of_a_call_that_is_cancelled_on_the_server_is_removed() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.front(), server.front());
    for canceller in [&one, &other] {
        let accepted = one.post(call("echo", "no")).await;
        canceller.cancel(&accepted.id).await.unwrap();
        eventually("it is removed", async || messages(&one).await == 0).await;
    }
}

#[tokio::test]
async fn what_is_cancelled_while_it_runs_is_broken_off_wherever_that_is() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.peer());
    for canceller in [&one, &other] {
        let accepted = one.post(call("echo", "stop")).await;
        let (runner, work) = tokio::select! {
            work = one.next() => (&one, work),
            work = other.next() => (&other, work),
        };
        canceller.cancel(&accepted.id).await.unwrap();
        let cancelled = work.ticket.cancelled();
        let told = tokio::time::timeout(Duration::from_secs(5), cancelled.cancelled());
        told.await.unwrap();
        drop(work.ticket);
        assert!(runner.is_idle().await);
        let found = one.find(&accepted.id).await.unwrap().unwrap();
        assert_eq!(found.record.state, State::Cancelled);
        eventually("nothing is left of it", async || {
            runner.held.replies().is_empty() && messages(runner).await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_cancelled_stays_so_whatever_becomes_of_the_step() {
    let server = Server::start();
    let peer = server.peer().await;
    let ends = [
        Then::End(State::Succeeded),
        Then::End(State::Dead),
        Then::Again(now()),
    ];
    for then in ends {
        let accepted = peer.post(call("echo", "late")).await;
        let work = peer.next().await;
        peer.cancel(&accepted.id).await.unwrap();
        let record = tried(&work.record, then);
        peer.settle(work.ticket, record, None).await.unwrap();
        let found = peer.find(&accepted.id).await.unwrap().unwrap();
        assert_eq!(found.record.state, State::Cancelled, "{then:?}");
        assert!(peer.is_idle().await, "{then:?}");
    }
}

#[tokio::test]
async fn a_dead_letter_that_is_cancelled_is_gone() {
    let server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(call("echo", "dead")).await;
    let work = peer.next().await;
    peer.finish(work, State::Dead, None).await;
    assert_eq!(
        peer.cancel(&accepted.id).await.unwrap().state,
        State::Cancelled
    );
    assert_eq!(
        peer.replay(&accepted.id).await,
        Err(ChangeError::State(State::Cancelled))
    );
}
