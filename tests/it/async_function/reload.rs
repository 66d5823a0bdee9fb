//! Limits of the queue change while it works; where it is does not.

use crate::harness::{Kind, Upstream, eventually, on_each_queue};

on_each_queue! {
    more_workers_begin_more_calls,
    fewer_workers_begin_fewer_calls,
    the_length_of_the_queue_changes,
    the_longest_body_changes,
    retries_change_for_calls_that_wait,
    another_kind_waits_for_a_restart,
}

fn more_workers_begin_more_calls(kind: Kind) {
    let (upstream, valve) = Upstream::held();
    let gateway = kind.gateway("workers: 1", &upstream.declared("fig"));
    for _ in 0..8 {
        gateway.submit("fig", "");
    }
    eventually("one runs", || valve.waiting() == 1);
    gateway.edit_queue("workers: 4, per_function: 4", &upstream.declared("fig"));
    eventually("four run", || valve.waiting() == 4);
    valve.open_for(8);
}

fn fewer_workers_begin_fewer_calls(kind: Kind) {
    let (upstream, valve) = Upstream::held();
    let gateway = kind.gateway("workers: 4, per_function: 4", &upstream.declared("fig"));
    for _ in 0..8 {
        gateway.submit("fig", "");
    }
    eventually("four run", || valve.waiting() == 4);
    gateway.edit_queue("workers: 1", &upstream.declared("fig"));
    for ended in 1..=4 {
        valve.open_once();
        eventually("one has ended", || {
            gateway.calls("state=succeeded").len() == ended && valve.waiting() >= 1
        });
    }
    // The four that ran have made place for one.
    assert_eq!((upstream.requests().len(), valve.waiting()), (5, 1));
    valve.open_for(8);
}

fn the_length_of_the_queue_changes(kind: Kind) {
    let (upstream, valve) = Upstream::held();
    let gateway = kind.gateway("workers: 1, max_calls: 1", &upstream.declared("fig"));
    gateway.submit("fig", "");
    gateway
        .try_submit("fig", &[], "")
        .assert_error(429, "queue_full");
    gateway.edit_queue("workers: 1, max_calls: 3", &upstream.declared("fig"));
    for _ in 0..2 {
        gateway.submit("fig", "");
    }
    gateway
        .try_submit("fig", &[], "")
        .assert_error(429, "queue_full");
    valve.open_for(3);
}

fn the_longest_body_changes(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("max_body: 4", &upstream.declared("fig"));
    gateway
        .try_submit("fig", &[], "12345")
        .assert_error(413, "too_large");
    gateway.edit_queue("max_body: 5", &upstream.declared("fig"));
    gateway.submit("fig", "12345");
    gateway
        .try_submit("fig", &[], "123456")
        .assert_error(413, "too_large");
}

fn retries_change_for_calls_that_wait(kind: Kind) {
    let upstream = Upstream::start(|exchange| exchange.reply(503, &[], ""));
    let often = "retry: { attempts: 1000, min_wait: 20ms, max_wait: 20ms }";
    let gateway = kind.gateway(often, &upstream.declared("fig"));
    let location = gateway.submit("fig", "");
    gateway.call_when(&location, "tried again", |call| {
        call["attempts"].as_u64() >= Some(3)
    });
    gateway.edit_queue("retry: { attempts: 2 }", &upstream.declared("fig"));
    gateway.call_in(&location, "dead");
    let settings = "retry: { attempts: 2, codes: [500] }";
    gateway.edit_queue(settings, &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig", ""), "failed");
    assert_eq!(call["attempts"], 1);
}

fn another_kind_waits_for_a_restart(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("", &upstream.declared("fig"));
    let other = match kind {
        Kind::Embedded => "jetstream",
        Kind::Jetstream => "embedded",
    };
    gateway.edit_and_wait(&format!(
        "queue: {{ kind: {other} }}\n{}",
        upstream.declared("fig")
    ));
    let shown = gateway.admin("GET", "/system/config", "").json();
    assert!(
        shown["pending_restart"].to_string().contains("queue.kind"),
        "{shown}"
    );
    gateway.call_in(&gateway.submit("fig", ""), "succeeded");
}
