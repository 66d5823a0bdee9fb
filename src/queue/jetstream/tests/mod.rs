//! What the queue on NATS JetStream promises, with a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod figures;
mod server;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::{
    CallId, CallbackState, CallbackThen, ChangeError, IdempotencyKey, Lane, Queue, QueueError,
    Stage, State, Step, Submission, Then, Try, Wanted, Work, message, now,
};
use super::submit::Keyed;
use server::{Peer, Server, body, call, eventually, outcome, queue, timed, tried};

fn id(text: &str) -> CallId {
    CallId::parse(text).unwrap()
}

fn chosen(text: &str) -> Submission {
    Submission {
        call_id: text.into(),
        chosen: true,
        ..call("echo", "chosen")
    }
}

fn keyed(key: &str, body: &str) -> Submission {
    let mut fingerprint = [0; 32];
    fingerprint[..body.len()].copy_from_slice(body.as_bytes());
    let key = Some(IdempotencyKey {
        key: key.into(),
        fingerprint,
    });
    Submission {
        key,
        ..call("echo", body)
    }
}

fn with_callback(body: &str) -> Submission {
    let mut submission = call("echo", body);
    submission.invocation.callback = Some("http://example.org/back".parse().unwrap());
    submission
}

/// How many messages wait on the server.
async fn messages(peer: &Peer) -> u64 {
    let nats = peer.link.nats().unwrap();
    let info: Value = nats.api("STREAM.INFO.calls", &()).await.unwrap();
    info["state"]["messages"].as_u64().unwrap()
}

fn all() -> Wanted {
    Wanted {
        limit: 100,
        ..Wanted::default()
    }
}

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
    let row = super::submit::row_of(&submission.invocation, "k");
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
    let row = super::submit::row_of(&submission.invocation, "k");
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
    let label = super::submit::Label {
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

fn attempt() -> Try {
    Try {
        at: now(),
        took: 1,
        status: Some(200),
        error: None,
    }
}

/// A call whose id shows when it was submitted, as the proxy makes them.
fn in_order() -> Submission {
    Submission {
        call_id: CallId::new().shared(),
        ..call("echo", "")
    }
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
