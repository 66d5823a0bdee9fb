//! `Idempotency-Key`: several posts, one execution.

use std::collections::BTreeSet;
use std::thread;

use crate::harness::{Kind, Queued, Response, Upstream, eventually, on_each_queue};

on_each_queue! {
    the_same_call_with_the_same_key_runs_once,
    another_call_with_the_same_key_is_refused,
    a_key_counts_for_one_function,
    posts_that_come_together_are_one_call,
    a_key_is_known_after_a_restart,
    a_key_has_to_be_of_some_length,
    calls_without_a_key_all_run,
}

fn functions(kind: Kind) -> (Upstream, Queued) {
    let upstream = Upstream::echo();
    let url = upstream.url();
    let functions = format!(
        "functions:\n  fig: {{ upstream: [{url:?}] }}\n  date: {{ upstream: [{url:?}] }}\n"
    );
    let gateway = kind.gateway("", &functions);
    (upstream, gateway)
}

#[track_caller]
fn post(gateway: &Queued, function: &str, key: &str, body: &str) -> Response {
    gateway.try_submit(function, &[("Idempotency-Key", key)], body)
}

/// Waits until as many calls have ended as were accepted, and tells how often the function was called.
#[track_caller]
fn executions(gateway: &Queued, upstream: &Upstream) -> usize {
    eventually("all calls have ended", || {
        let calls = gateway.calls("");
        calls.iter().all(|call| call["state"] == "succeeded")
    });
    assert_eq!(gateway.calls("").len(), upstream.requests().len());
    upstream.requests().len()
}

fn the_same_call_with_the_same_key_runs_once(kind: Kind) {
    let (upstream, gateway) = functions(kind);
    let first = post(&gateway, "fig/a?b=1", "order 66", "x").assert_status(202);
    gateway.call_in(first.header("Location"), "succeeded");
    for _ in 0..3 {
        let again = post(&gateway, "fig/a?b=1", "order 66", "x").assert_status(202);
        assert_eq!(again.header("Location"), first.header("Location"));
        assert_eq!(again.header("X-Call-Id"), first.header("X-Call-Id"));
        assert!(again.headers.has("X-Start-Time"));
    }
    assert_eq!(executions(&gateway, &upstream), 1);
}

fn another_call_with_the_same_key_is_refused(kind: Kind) {
    let (upstream, gateway) = functions(kind);
    post(&gateway, "fig/a?b=1", "key", "x").assert_status(202);
    for (other, body) in [
        ("fig/a?b=1", "y"),
        ("fig/c?b=1", "x"),
        ("fig/a?b=2", "x"),
        ("fig/a", "?b=1x"),
    ] {
        let refused = post(&gateway, other, "key", body);
        refused.assert_error(422, "idempotency_key_reused");
    }
    assert_eq!(executions(&gateway, &upstream), 1);
}

fn a_key_counts_for_one_function(kind: Kind) {
    let (upstream, gateway) = functions(kind);
    let fig = post(&gateway, "fig", "key", "x").assert_status(202);
    let date = post(&gateway, "date", "key", "y").assert_status(202);
    let other = post(&gateway, "fig", "kez", "y").assert_status(202);
    // However it is called, it is the same function.
    let same = post(&gateway, "f%69g.openfaas-fn", "key", "x").assert_status(202);
    assert_eq!(same.header("Location"), fig.header("Location"));
    let locations: BTreeSet<_> = [&fig, &date, &other]
        .map(|answer| answer.header("Location").to_owned())
        .into();
    assert_eq!(locations.len(), 3);
    assert_eq!(executions(&gateway, &upstream), 3);
}

fn posts_that_come_together_are_one_call(kind: Kind) {
    let (upstream, gateway) = functions(kind);
    for round in 0..5 {
        let key = format!("round {round}");
        let locations: BTreeSet<String> = thread::scope(|threads| {
            let posts: Vec<_> = (0..16)
                .map(|_| threads.spawn(|| post(&gateway, "fig", &key, "x").assert_status(202)))
                .collect();
            let answers = posts.into_iter().map(|post| post.join().unwrap());
            answers
                .map(|answer| answer.header("Location").to_owned())
                .collect()
        });
        assert_eq!(locations.len(), 1, "{locations:?}");
        assert_eq!(executions(&gateway, &upstream), round + 1);
    }
}

fn a_key_is_known_after_a_restart(kind: Kind) {
    let (upstream, mut gateway) = functions(kind);
    let first = post(&gateway, "fig", "key", "x").assert_status(202);
    gateway.call_in(first.header("Location"), "succeeded");
    gateway.kill();
    gateway.restart();
    let again = post(&gateway, "fig", "key", "x").assert_status(202);
    assert_eq!(again.header("Location"), first.header("Location"));
    assert_eq!(again.header("X-Call-Id"), first.header("X-Call-Id"));
    post(&gateway, "fig", "key", "y").assert_error(422, "idempotency_key_reused");
    assert_eq!(executions(&gateway, &upstream), 1);
}

fn a_key_has_to_be_of_some_length(kind: Kind) {
    let (upstream, gateway) = functions(kind);
    let long = "k".repeat(256);
    for key in ["", &long] {
        let refused = post(&gateway, "fig", key, "x").assert_error(400, "bad_request");
        assert!(
            refused["error"]
                .as_str()
                .unwrap()
                .contains("Idempotency-Key"),
            "{refused}"
        );
    }
    post(&gateway, "fig", &long[1..], "x").assert_status(202);
    assert_eq!(executions(&gateway, &upstream), 1);
}

fn calls_without_a_key_all_run(kind: Kind) {
    let (upstream, gateway) = functions(kind);
    for _ in 0..5 {
        gateway.submit("fig", "the same");
    }
    assert_eq!(executions(&gateway, &upstream), 5);
}
