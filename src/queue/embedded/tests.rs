//! The embedded queue by its trait, on a file in a folder of the test's own.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::config::{Callbacks, QueueKind, Results, Retry};
use crate::queue::record::{CallbackState, CallbackThen, Then, Try};
use crate::queue::{IdempotencyKey, Invocation, now};

const MANY: &(dyn Fn(&Lane) -> usize + Sync) = &|_| 100;

fn config() -> config::Queue {
    config::Queue {
        kind: QueueKind::Embedded,
        workers: 1,
        per_function: 1,
        timeout: Duration::from_secs(1),
        max_calls: 10,
        max_body: 1000,
        retry: Retry {
            attempts: 2,
            min_wait: Duration::ZERO,
            max_wait: Duration::ZERO,
            codes: Default::default(),
        },
        results: Results {
            keep: Duration::from_secs(60),
            max_body: 1000,
        },
        dead_letters: Duration::from_secs(60),
        callbacks: Callbacks {
            deny_private_networks: true,
            allow: Vec::new(),
            timeout: Duration::from_secs(1),
            secret_file: None,
        },
    }
}

fn open(dir: &TempDir) -> Arc<Embedded> {
    Embedded::open(dir.path(), &config()).unwrap()
}

fn submission(function: &str, body: &str) -> Submission {
    Submission {
        invocation: Invocation {
            function: function.parse().unwrap(),
            path: String::new(),
            query: String::new(),
            host: "h".to_owned(),
            headers: HeaderMap::new(),
            callback: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        },
        call_id: CallId::new().shared(),
        chosen: false,
        key: None,
    }
}

fn outcome() -> Outcome {
    Outcome {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"answer"),
        truncated: false,
    }
}

fn tried() -> Try {
    Try {
        at: now(),
        took: 1,
        status: Some(200),
        error: None,
    }
}

fn body(work: &Work) -> &[u8] {
    match &work.step {
        Step::Call(invocation) => &invocation.body,
        Step::Callback(outcome) => &outcome.body,
    }
}

/// Settles a call's step, and returns the call as it is then.
async fn settle(queue: &Embedded, work: Work, then: Then) -> Record {
    let mut record = work.record;
    record.tried(tried(), now(), then);
    let done = queue.settle(work.ticket, record.clone(), Some(outcome()));
    done.await.unwrap();
    record
}

async fn take_soon(queue: &Embedded) -> Option<Work> {
    timeout(Duration::from_millis(50), queue.next(MANY))
        .await
        .ok()
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart_until_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let first = queue.submit(submission("f.n", "1")).await.unwrap();
    let second = queue.submit(submission("f.n", "2")).await.unwrap();
    let work = queue.next(MANY).await;
    assert_eq!((&work.record.id, body(&work)), (&first.id, &b"1"[..]));
    settle(&queue, work, Then::End(State::Succeeded)).await;
    let _running = queue.next(MANY).await;
    queue.close().await;

    let queue = open(&dir);
    let work = queue.next(MANY).await;
    assert_eq!((&work.record.id, body(&work)), (&second.id, &b"2"[..]));
    assert!(take_soon(&queue).await.is_none());
    let found = queue.find(&first.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Succeeded);
    assert_eq!(found.outcome.unwrap(), outcome());
    let found = queue.find(&second.id).await.unwrap().unwrap();
    assert_eq!(found.record.state, State::Running);
    assert!(queue.find(&CallId::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_tried_again_is_due_later_and_keeps_its_tries() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let accepted = queue.submit(submission("f.n", "1")).await.unwrap();
    let work = queue.next(MANY).await;
    let due = now() + 100;
    settle(&queue, work, Then::Again(due)).await;
    let depth = queue.depths().remove(0);
    assert_eq!((depth.queued, depth.retrying), (0, 1));
    queue.close().await;
    let queue = open(&dir);
    let work = queue.next(MANY).await;
    assert!(now() >= due);
    assert_eq!((&work.record.id, work.record.attempts), (&accepted.id, 1));
    drop(work);
    let given_back = queue.next(MANY).await;
    assert_eq!(given_back.record.id, accepted.id);
}

#[tokio::test]
async fn a_callback_is_a_step_of_its_own_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let mut submission = submission("f.n", "1");
    submission.invocation.callback = Some(http::Uri::from_static("http://h/"));
    let accepted = queue.submit(submission).await.unwrap();
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Succeeded)).await;
    assert_eq!(queue.depths()[0].callbacks, 1);
    queue.close().await;
    let queue = open(&dir);
    let work = queue.next(MANY).await;
    assert!(matches!(&work.step, Step::Callback(found) if *found == outcome()));
    let mut record = work.record;
    record.called_back(tried(), CallbackThen::End(CallbackState::Delivered));
    queue.settle(work.ticket, record, None).await.unwrap();
    assert!(queue.depths().is_empty());
    let found = queue.find(&accepted.id).await.unwrap().unwrap();
    assert_eq!(
        found.record.callback.unwrap().state,
        CallbackState::Delivered
    );
    assert_eq!(found.outcome.unwrap(), outcome());
}

#[tokio::test]
async fn one_key_is_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let keyed = |function: &str, fingerprint: u8| Submission {
        key: Some(IdempotencyKey {
            key: "k".into(),
            fingerprint: [fingerprint; 32],
        }),
        ..submission(function, "1")
    };
    let first = queue.submit(keyed("f.n", 1)).await.unwrap();
    let again = queue.submit(keyed("f.n", 1)).await.unwrap();
    assert_eq!((&again.id, &again.call_id), (&first.id, &first.call_id));
    assert!(!first.repeated && again.repeated);
    let other = queue.submit(keyed("f.n", 2)).await;
    assert_eq!(other, Err(QueueError::KeyReused));
    queue.submit(keyed("g.n", 2)).await.unwrap();
    assert_eq!(queue.depths().len(), 2);
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Succeeded)).await;
    let again = queue.submit(keyed("f.n", 1)).await.unwrap();
    assert_eq!(again.id, first.id, "also when it has ended");
}

#[tokio::test]
async fn a_call_id_that_is_taken_or_odd_gets_an_id_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let chosen = |id: &str| Submission {
        call_id: id.into(),
        chosen: true,
        ..submission("f.n", "1")
    };
    let first = queue.submit(chosen("mine")).await.unwrap();
    let second = queue.submit(chosen("mine")).await.unwrap();
    let odd = queue.submit(chosen("a/b c")).await.unwrap();
    assert_eq!(first.id.as_str(), "mine");
    assert_ne!(second.id, first.id);
    assert_eq!(&*second.call_id, "mine");
    let found = queue.find(&odd.id).await.unwrap().unwrap();
    assert_eq!(found.record.call_id(), "a/b c");
}

#[tokio::test]
async fn a_cancelled_call_does_not_run_or_is_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let running = queue.submit(submission("f.n", "1")).await.unwrap().id;
    let waiting = queue.submit(submission("f.n", "2")).await.unwrap().id;
    let work = queue.next(MANY).await;
    let record = queue.cancel(&waiting).await.unwrap();
    assert_eq!(record.state, State::Cancelled);
    queue.cancel(&running).await.unwrap();
    assert!(work.ticket.cancelled().is_cancelled());
    // Whoever had finished it just then changes nothing any more.
    settle(&queue, work, Then::End(State::Succeeded)).await;
    for id in [&running, &waiting] {
        let found = queue.find(id).await.unwrap().unwrap();
        assert_eq!(found.record.state, State::Cancelled);
        let again = queue.cancel(id).await;
        assert_eq!(again, Err(ChangeError::State(State::Cancelled)));
    }
    assert!(take_soon(&queue).await.is_none());
    assert_eq!(
        queue.cancel(&CallId::new()).await,
        Err(ChangeError::NotFound)
    );
}

#[tokio::test]
async fn a_dead_letter_can_be_replayed_or_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let id = queue.submit(submission("f.n", "1")).await.unwrap().id;
    let alive = queue.replay(&id).await;
    assert_eq!(alive, Err(ChangeError::State(State::Queued)));
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Dead)).await;
    let dead = Wanted {
        state: Some(State::Dead),
        limit: 10,
        ..Wanted::default()
    };
    assert_eq!(queue.list(&dead).await.unwrap().len(), 1);
    queue.close().await;
    let queue = open(&dir);
    let record = queue.replay(&id).await.unwrap();
    assert_eq!(
        (record.state, record.attempts, record.replays),
        (State::Queued, 0, 1)
    );
    let work = queue.next(MANY).await;
    assert_eq!(body(&work), b"1");
    settle(&queue, work, Then::End(State::Dead)).await;
    queue.cancel(&id).await.unwrap();
    assert!(queue.list(&dead).await.unwrap().is_empty());
    let gone = queue.replay(&id).await;
    assert_eq!(gone, Err(ChangeError::State(State::Cancelled)));
}

#[tokio::test]
async fn a_dead_letter_can_be_replayed_while_its_callback_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let mut submission = submission("f.n", "1");
    submission.invocation.callback = Some(http::Uri::from_static("http://h/"));
    let id = queue.submit(submission).await.unwrap().id;
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Dead)).await;
    let callback = queue.next(MANY).await;
    queue.replay(&id).await.unwrap();
    assert!(callback.ticket.cancelled().is_cancelled());
    // Whoever had finished it just then changes nothing any more.
    let mut record = callback.record;
    record.called_back(tried(), CallbackThen::End(CallbackState::Delivered));
    queue.settle(callback.ticket, record, None).await.unwrap();
    let work = queue.next(MANY).await;
    assert_eq!((body(&work), work.record.replays), (&b"1"[..], 1));
    settle(&queue, work, Then::End(State::Succeeded)).await;
    assert_eq!(queue.depths()[0].callbacks, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_again_when_one_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    for _ in 0..10 {
        queue.submit(submission("f.n", "1")).await.unwrap();
    }
    let refused = queue.submit(submission("f.n", "1")).await;
    assert_eq!(refused, Err(QueueError::Full(10)));
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Succeeded)).await;
    queue.submit(submission("f.n", "1")).await.unwrap();
    let long = queue.submit(submission("f.n", &"x".repeat(1001))).await;
    assert_eq!(long, Err(QueueError::TooLarge(1000)));
}

#[tokio::test]
async fn the_newest_are_listed_first_by_function_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    for function in ["f.n", "g.n", "f.n", "f.n"] {
        queue.submit(submission(function, "1")).await.unwrap();
    }
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Failed)).await;
    let _running = queue.next(MANY).await;
    let list = async |function: Option<&str>, state| {
        let wanted = Wanted {
            function: function.map(|name| name.parse().unwrap()),
            state,
            limit: 3,
        };
        queue.list(&wanted).await.unwrap()
    };
    let all = list(None, None).await;
    assert_eq!(all.len(), 3);
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id));
    assert_eq!(list(Some("f.n"), None).await.len(), 3);
    assert_eq!(list(Some("f.n"), Some(State::Failed)).await.len(), 1);
    assert_eq!(list(None, Some(State::Running)).await.len(), 1);
    assert_eq!(list(None, Some(State::Queued)).await.len(), 2);
    assert!(list(Some("h.n"), None).await.is_empty());
}

#[tokio::test]
async fn what_has_ended_is_forgotten_when_its_time_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.results.keep = Duration::from_millis(1);
    let queue = Embedded::open(dir.path(), &config).unwrap();
    let id = queue.submit(submission("f.n", "1")).await.unwrap().id;
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Succeeded)).await;
    let gone = async {
        while queue.find(&id).await.unwrap().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn who_asks_while_it_opens_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        limit: 1,
        ..Wanted::default()
    };
    let queue = open(&dir);
    assert_eq!(queue.list(&wanted).await, Ok(Vec::new()));
    queue.close().await;
    let closed = QueueError::Unavailable("it is closed".to_owned());
    assert_eq!(queue.list(&wanted).await, Err(closed));
}

#[tokio::test]
async fn a_file_that_is_none_is_a_clear_problem_and_no_accepted_call() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("queue")).unwrap();
    std::fs::write(dir.path().join(FILE), vec![1; 10_000]).unwrap();
    let queue = open(&dir);
    queue.submit(submission("f.n", "1")).await.unwrap_err();
    assert!(queue.problem().is_some());
    // It works as soon as the file is gone.
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    let accepted = async {
        while queue.submit(submission("f.n", "1")).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), accepted).await.unwrap();
}

/// Prints how many calls are accepted and done per second: `cargo test --release --lib
/// embedded::tests::throughput -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn throughput() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut config = config();
    config.max_calls = 10_000_000;
    let queue = Embedded::open(dir.path(), &config).unwrap();
    let begun = std::time::Instant::now();
    let posters: Vec<_> = (0..64)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for _ in 0..3000 {
                    queue
                        .submit(submission("f.n", &"x".repeat(512)))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for poster in posters {
        poster.await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("accepted per second: {:.0}", 64.0 * 3000.0 / seconds);
    let begun = std::time::Instant::now();
    let workers: Vec<_> = (0..64)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for _ in 0..3000 {
                    let work = queue.next(MANY).await;
                    settle(&queue, work, Then::End(State::Succeeded)).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("done per second: {:.0}", 64.0 * 3000.0 / seconds);
}

#[tokio::test]
async fn who_asks_again_with_a_key_is_answered_where_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let keyed = || Submission {
        key: Some(IdempotencyKey {
            key: "k".into(),
            fingerprint: [1; 32],
        }),
        ..submission("f.n", "1")
    };
    let first = queue.submit(keyed()).await.unwrap();
    while queue.submit(submission("f.n", "1")).await.is_ok() {}
    assert_eq!(queue.submit(keyed()).await.unwrap().id, first.id);
}

#[tokio::test]
async fn a_dead_letter_can_be_thrown_away_while_its_callback_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let mut submission = submission("f.n", "1");
    submission.invocation.callback = Some(http::Uri::from_static("http://h/"));
    let id = queue.submit(submission).await.unwrap().id;
    let work = queue.next(MANY).await;
    settle(&queue, work, Then::End(State::Dead)).await;
    assert_eq!(queue.cancel(&id).await.unwrap().state, State::Cancelled);
    assert!(take_soon(&queue).await.is_none());
    assert!(queue.depths().is_empty());
}

#[tokio::test]
async fn a_file_that_is_opened_again_after_a_doubt_holds_what_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir);
    let known = queue.submit(submission("f.n", "1")).await.unwrap().id;
    let running = queue.next(MANY).await;
    let waiting = queue.submit(submission("f.n", "2")).await.unwrap().id;
    queue.close().await;
    // What was written of a transaction whose callers were refused.
    let database = tables::open(&dir.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut tables = tables::Tables::of(&transaction).unwrap();
    let refused = submission("f.n", "3");
    tables.submit(3, &refused, now()).unwrap();
    tables.remove_from(3).unwrap();
    drop(tables);
    transaction.commit().unwrap();
    let reading = Reading::of(&database).unwrap();
    assert_eq!(reading.last().unwrap(), 2);
    let id = CallId::parse(&refused.call_id).unwrap();
    assert!(reading.find(&id).unwrap().is_none());
    // The backlog is made anew, and what runs is not run once more.
    let step = |key| {
        let item = crate::queue::backlog::Item {
            key,
            submitted: 1,
            due: 1,
        };
        (running.ticket.lane().clone(), item)
    };
    queue.shared.backlog.replace(vec![step(1), step(2)]);
    let depth = queue.depths().remove(0);
    assert_eq!((depth.queued, depth.running), (1, 1));
    assert_ne!(known, waiting);
}
