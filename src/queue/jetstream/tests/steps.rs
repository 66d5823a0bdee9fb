//! From a message to its end: tries, callbacks, dead letters.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::super::super::{
    CallbackState, CallbackThen, ChangeError, Lane, Queue, Stage, State, Step, Then, Try, message,
    now,
};
use super::server::{Server, body, call, eventually, outcome, tried};
use super::{id, with_callback};

#[tokio::test]
async fn a_call_is_made_once_and_found_with_its_result() {
    let server = Server::start();
    let peer = server.peer().await;
    let submission = call("echo.fn", "hello");
    let accepted = peer.post(submission.clone()).await;
    assert_eq!(accepted.id.as_str(), &*submission.call_id);
    assert!(!accepted.repeated);
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Queued);

    let work = peer.next().await;
    assert_eq!(work.record.id, accepted.id);
    let Step::Call(invocation) = &work.step else {
        panic!("{:?}", work.step)
    };
    assert_eq!(*invocation, submission.invocation);
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Running);
    peer.succeed(work).await;

    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
    assert_eq!(found.record.attempts, 1);
    assert_eq!(found.outcome.unwrap(), outcome("done"));
    assert!(peer.is_idle().await);
    eventually("nothing is left", async || peer.depths().is_empty()).await;
}

#[tokio::test]
async fn what_failed_is_tried_again_when_it_is_due() {
    let server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(call("echo", "again")).await;
    // Once it waits here, and once on the server.
    for wait in [300, 1500] {
        let work = peer.next().await;
        let due = now() + wait;
        let record = tried(&work.record, Then::Again(due));
        peer.settle(work.ticket, record, None).await.unwrap();
        let found = peer.find(&accepted.id).await.unwrap().unwrap();
        assert_eq!(found.record.state, State::Retrying);
        assert_eq!(peer.depths()[0].retrying, 1, "{:?}", peer.depths());
        let work = peer.next().await;
        assert!(now() >= due, "{wait}");
        assert_eq!(work.record.next, Some(due));
        drop(work.ticket);
    }
    let work = peer.next().await;
    assert_eq!(work.record.attempts, 2);
    peer.succeed(work).await;
    assert!(peer.is_idle().await);
}

#[tokio::test]
async fn a_ticket_that_is_dropped_is_taken_again() {
    let server = Server::start();
    let peer = server.peer().await;
    peer.post(call("echo", "dropped")).await;
    drop(peer.next().await);
    assert_eq!(peer.work_off(1).await, ["dropped"]);
}

#[tokio::test]
async fn a_call_that_dies_again_is_as_new_as_its_last_death() {
    let server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(call("echo", "dead")).await;
    let mut deaths = BTreeSet::new();
    for _ in 0..2 {
        let work = peer.next().await;
        peer.finish(work, State::Dead, None).await;
        let nats = peer.link.nats().unwrap();
        let letter = peer.letters.get(nats, accepted.id.as_str()).await;
        deaths.insert(letter.unwrap().unwrap().sequence);
        peer.replay(&accepted.id).await.unwrap();
    }
    assert_eq!(deaths.len(), 2);
}

#[tokio::test]
async fn a_dead_letter_is_kept_and_runs_again_when_it_is_replayed() {
    let server = Server::start();
    let (one, other) = tokio::join!(server.peer(), server.peer());
    let accepted = one.post(call("echo", "dead")).await;
    let work = one.next().await;
    assert_eq!(
        other.replay(&accepted.id).await,
        Err(ChangeError::State(State::Running)).or(Err(ChangeError::State(State::Queued)))
    );
    one.finish(work, State::Dead, Some(outcome("broken"))).await;
    let found = other.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Dead);
    assert_eq!(found.outcome, Some(outcome("broken")));
    assert!(one.is_idle().await);

    // Whoever else replays it at the same time starts it no second time.
    let (first, second) = tokio::join!(one.replay(&accepted.id), other.replay(&accepted.id));
    let replayed = first.or(second).unwrap();
    assert_eq!((replayed.state, replayed.replays), (State::Queued, 1));
    let work = tokio::select! {
        work = one.next() => work,
        work = other.next() => work,
    };
    assert_eq!(body(&work), "dead");
    assert_eq!((work.record.attempts, work.record.replays), (0, 1));
    drop(work);
    let made = tokio::select! {
        made = one.work_off(1) => made,
        made = other.work_off(1) => made,
    };
    assert_eq!(made, ["dead"]);
    assert!(one.is_idle().await && other.is_idle().await);
    let found = other.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
    assert_eq!(
        one.replay(&accepted.id).await,
        Err(ChangeError::State(State::Succeeded))
    );
    assert_eq!(one.replay(&id("unknown")).await, Err(ChangeError::NotFound));
}

#[tokio::test]
async fn a_callback_is_a_step_of_its_own_with_the_stored_outcome() {
    let server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(with_callback("call")).await;
    let work = peer.next().await;
    peer.succeed(work).await;
    let only_calls = |lane: &Lane| usize::from(lane.stage == Stage::Call);
    let none = tokio::time::timeout(Duration::from_millis(200), peer.next_of(&only_calls));
    assert!(none.await.is_err());
    // Once it waits here, and once on the server.
    for wait in [100, 1500] {
        let work = peer.next().await;
        let Step::Callback(told) = &work.step else {
            panic!("{:?}", work.step)
        };
        assert_eq!(*told, outcome("done"));
        let mut record = work.record.clone();
        let due = now() + wait;
        record.called_back(attempt(), CallbackThen::Again(due));
        peer.settle(work.ticket, record, None).await.unwrap();
    }
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
    assert_eq!(found.outcome, Some(outcome("done")));
    let work = peer.next().await;
    let mut record = work.record.clone();
    assert_eq!(record.callback.as_ref().unwrap().attempts, 2);
    record.called_back(attempt(), CallbackThen::End(CallbackState::Delivered));
    peer.settle(work.ticket, record.clone(), None)
        .await
        .unwrap();
    let found = peer.find(&accepted.id).await.unwrap().unwrap();
    assert!(found.record.expires > found.record.ended);
    record.expires = found.record.expires;
    assert_eq!(found.record, record);
    assert_eq!(found.outcome, Some(outcome("done")));
    assert!(peer.is_idle().await);
}

#[tokio::test]
async fn a_dead_letter_tells_its_receiver_first_and_can_be_replayed_then() {
    let server = Server::start();
    let peer = server.peer().await;
    let accepted = peer.post(with_callback("dead")).await;
    let work = peer.next().await;
    peer.finish(work, State::Dead, Some(outcome("broken")))
        .await;
    let work = peer.next().await;
    assert!(matches!(&work.step, Step::Callback(told) if *told == outcome("broken")));
    let mut record = work.record.clone();
    record.called_back(attempt(), CallbackThen::End(CallbackState::Failed));
    peer.settle(work.ticket, record, None).await.unwrap();
    assert!(peer.is_idle().await);
    peer.replay(&accepted.id).await.unwrap();
    assert_eq!(body(&peer.next().await), "dead");
}

#[tokio::test]
async fn messages_of_other_producers_run_too() {
    let server = Server::start();
    let peer = server.peer().await;
    let client = server.client().await;
    let mut theirs = call("echo", "theirs").invocation;
    theirs
        .headers
        .insert("x-call-id", http::HeaderValue::from_static("their own"));
    let junk = Bytes::from_static(b"{}");
    let texts = [junk, message::encode(&theirs).into()];
    for text in texts {
        client.publish("calls", text).await.unwrap();
    }
    client.flush().await.unwrap();
    let work = peer.next().await;
    assert_eq!(body(&work), "theirs");
    assert_eq!(work.record.call_id(), "their own");
    // It has the same id whenever it is handed out, and is retried as any other.
    let first = work.record.id.clone();
    let record = tried(&work.record, Then::Again(now() + 1200));
    peer.settle(work.ticket, record, None).await.unwrap();
    let work = peer.next().await;
    assert_eq!((&work.record.id, work.record.attempts), (&first, 1));
    peer.succeed(work).await;
    let found = peer.find(&first).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
    assert!(peer.is_idle().await);
    eventually("the junk is gone too", async || peer.counts.all() == 0).await;
}

fn attempt() -> Try {
    Try {
        at: now(),
        took: 1,
        status: Some(200),
        error: None,
    }
}
