//! `gateway worker`, and gateways that share a stream.

use std::collections::BTreeMap;

use crate::harness::{Gateway, Nats, Signal, Upstream, eventually};

/// A configuration on the stream of `nats`.
fn on(nats: &Nats, workers: usize, upstream: &Upstream) -> String {
    format!(
        "queue: {{ kind: jetstream, jetstream: {{ url: {:?} }}, workers: {workers} }}\n{}",
        nats.url(),
        upstream.declared("fig")
    )
}

/// A gateway that takes calls.
#[track_caller]
fn taking(nats: &Nats, workers: usize, upstream: &Upstream) -> Gateway {
    let gateway = Gateway::start(&on(nats, workers, upstream));
    eventually("it takes calls", || {
        gateway.metric("gateway_queue_up", &[]) == Some(1.0)
    });
    gateway
}

fn worker(nats: &Nats, upstream: &Upstream) -> Gateway {
    Gateway::with(&on(nats, 4, upstream)).arg("worker").start()
}

#[test]
fn a_worker_makes_what_a_gateway_takes_and_serves_nothing_but_metrics() {
    let (nats, upstream) = (Nats::start(), Upstream::echo());
    let gateway = taking(&nats, 0, &upstream);
    let location = gateway.submit("fig", "hi");
    assert_eq!(gateway.call(&location)["state"], "queued");
    let worker = worker(&nats, &upstream);
    let call = gateway.call_in(&location, "succeeded");
    assert_eq!(call["result"]["body"], "hi");
    let text = worker.stderr();
    assert!(!text.contains("API") && !text.contains("login"), "{text}");
    let count = worker.metric(
        "gateway_function_invocation_total",
        &[("function_name", "fig.openfaas-fn"), ("code", "200")],
    );
    assert_eq!(count, Some(1.0));
}

#[test]
fn a_worker_that_is_asked_to_end_finishes_and_leaves_the_rest_to_others() {
    let nats = Nats::start();
    let (upstream, valve) = Upstream::held();
    let gateway = taking(&nats, 0, &upstream);
    let mut first = worker(&nats, &upstream);
    // As many as it holds: its share of what runs, and four that wait.
    let locations: Vec<_> = (0..7).map(|_| gateway.submit("fig", "")).collect();
    eventually("its share runs", || valve.waiting() == 3);
    first.signal(Signal::TERM);
    let _second = worker(&nats, &upstream);
    eventually("another's share runs", || valve.waiting() == 6);
    assert!(!first.has_ended(), "three calls are still in flight");
    valve.open_for(100);
    assert_eq!(first.wait_exit().code, Some(0));
    for location in &locations {
        gateway.call_in(location, "succeeded");
    }
    assert_eq!(upstream.requests().len(), locations.len());
}

#[test]
fn gateways_that_share_a_stream_make_each_call_once_and_know_of_all() {
    let (nats, upstream) = (Nats::start(), Upstream::echo());
    let gateways = [taking(&nats, 4, &upstream), taking(&nats, 4, &upstream)];
    let locations: Vec<_> = (0..60)
        .map(|number| gateways[number % 2].submit("fig", format!("{number}")))
        .collect();
    for (number, location) in locations.iter().enumerate() {
        gateways[(number + 1) % 2].call_in(location, "succeeded");
    }
    let mut made: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for request in upstream.requests() {
        *made.entry(request.body).or_default() += 1;
    }
    assert_eq!(made.len(), 60);
    assert!(made.values().all(|times| *times == 1), "{made:?}");
}

#[test]
fn a_worker_without_a_stream_to_share_says_what_to_do() {
    let exit = Gateway::with("").arg("worker").run();
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("kind: jetstream"), "{exit:?}");
}
