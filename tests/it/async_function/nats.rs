//! The NATS server that keeps the calls goes away, and comes back.

use std::time::{Duration, Instant};

use crate::harness::{Kind, Upstream, eventually, on_jetstream};

on_jetstream! {
    without_its_server_calls_are_refused_and_others_go_on,
    calls_that_run_while_the_server_is_away_run_once,
    a_server_that_does_not_answer_is_waited_for_within_reason,
    a_gateway_starts_without_its_server_and_finds_it_later,
}

fn without_its_server_calls_are_refused_and_others_go_on(kind: Kind) {
    let upstream = Upstream::echo();
    let mut gateway = kind.gateway("", &upstream.declared("fig"));
    let before = gateway.submit("fig", "before");
    gateway.call_in(&before, "succeeded");
    gateway.nats().kill();
    let begun = Instant::now();
    let refused = gateway.try_submit("fig", &[], "");
    refused.assert_error(503, "queue_unavailable");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert!(refused.headers.has("Retry-After"));
    gateway.post("/function/fig", "now").assert_status(200);
    eventually("it is told", || {
        gateway.metric("gateway_queue_up", &[]) == Some(0.0)
    });
    gateway.nats().restart();
    eventually("calls are taken again", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
    eventually("it is told", || {
        gateway.metric("gateway_queue_up", &[]) == Some(1.0)
    });
    assert_eq!(
        gateway.call_in(&before, "succeeded")["result"]["body"],
        "before"
    );
}

fn calls_that_run_while_the_server_is_away_run_once(kind: Kind) {
    let (upstream, valve) = Upstream::held();
    let settings = "workers: 2, per_function: 2";
    let mut gateway = kind.gateway(settings, &upstream.declared("fig"));
    let locations: Vec<_> = (0..5).map(|_| gateway.submit("fig", "")).collect();
    eventually("two run", || valve.waiting() == 2);
    gateway.nats().kill();
    valve.open_for(2);
    gateway.nats().restart();
    gateway.wait_until_open();
    valve.open_for(20);
    for location in &locations {
        gateway.call_in(location, "succeeded");
    }
    assert_eq!(upstream.requests().len(), 5);
}

fn a_server_that_does_not_answer_is_waited_for_within_reason(kind: Kind) {
    let upstream = Upstream::echo();
    let mut gateway = kind.gateway("", &upstream.declared("fig"));
    gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    gateway.nats().pause();
    let begun = Instant::now();
    let refused = gateway.try_submit("fig", &[], "x");
    gateway.post("/function/fig", "now").assert_status(200);
    gateway.nats().resume();
    refused.assert_error(503, "queue_unavailable");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    eventually("calls are taken again", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
}

fn a_gateway_starts_without_its_server_and_finds_it_later(kind: Kind) {
    let upstream = Upstream::echo();
    let mut gateway = kind.gateway("", &upstream.declared("fig"));
    let location = gateway.submit("fig", "kept");
    gateway.call_in(&location, "succeeded");
    gateway.nats().kill();
    gateway.kill();
    // The gateway alone: its queue is not there.
    (*gateway).restart();
    gateway.post("/function/fig", "now").assert_status(200);
    gateway
        .try_submit("fig", &[], "")
        .assert_error(503, "queue_unavailable");
    gateway.nats().restart();
    eventually("calls are taken", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
    assert_eq!(
        gateway.call_in(&location, "succeeded")["result"]["body"],
        "kept"
    );
}
