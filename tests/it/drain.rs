//! SIGTERM: readiness off, keep accepting for `drain.delay`, finish what is in flight, exit 0.

use std::time::{Duration, Instant};

use crate::harness::{Gateway, Signal, Upstream, Valve, eventually, try_request};

fn draining(drain: &str, functions: &str) -> Gateway {
    Gateway::start(&format!(
        "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", drain: {{ {drain} }} }}\n{functions}"
    ))
}

/// A function that answers only once the valve is opened.
fn held() -> (Upstream, Valve) {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| {
        if exchange.request.target == "/hold" {
            wait.wait();
        }
        exchange.reply(200, &[], "done");
    });
    (upstream, valve)
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let mut gateway = draining(
        "delay: 0s, timeout: 60s",
        "functions:\n  echo: { process: \"cat\" }\n",
    );
    gateway.post("/function/echo", "hi").assert_status(200);
    let begin = Instant::now();
    gateway.signal(Signal::TERM);
    let exit = gateway.wait_exit();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn open_connections_without_a_call_do_not_hold_it() {
    let (upstream, _valve) = held();
    let mut gateway = draining("delay: 0s, timeout: 60s", &upstream.declared("fig"));
    let mut idle = gateway.connect();
    idle.send_head("GET", "/function/fig", &[]);
    idle.response("GET").assert_status(200);
    let _unused = gateway.connect();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit().code, Some(0));
}

#[test]
fn a_call_in_flight_is_finished() {
    let (upstream, valve) = held();
    let mut gateway = draining("delay: 0s, timeout: 60s", &upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig/hold", &[]);
    eventually("the call is in flight", || valve.waiting() == 1);
    gateway.signal(Signal::TERM);
    eventually("it takes no new connection", || {
        try_request(gateway.address(), "GET", "/function/fig", &[], b"").is_err()
    });
    assert!(!gateway.has_ended(), "a call is still in flight");
    valve.open_once();
    assert_eq!(connection.response("GET").assert_status(200).text(), "done");
    assert_eq!(gateway.wait_exit().code, Some(0));
}

#[test]
fn a_stream_in_flight_is_finished() {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| {
        exchange.begin(200, &[("Content-Type", "text/event-stream")]);
        exchange.chunk("data: 1\n\n");
        wait.wait();
        exchange.chunk("data: 2\n\n");
        exchange.end();
    });
    let mut gateway = draining("delay: 0s, timeout: 60s", &upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[("Accept", "text/event-stream")]);
    connection.head();
    connection.wire.read_chunks(9).unwrap();
    gateway.signal(Signal::TERM);
    eventually("it is no longer ready", || !is_ready(&gateway));
    valve.open_once();
    assert_eq!(connection.wire.read_chunks(9).unwrap(), b"data: 2\n\n");
    assert_eq!(connection.wire.read_chunk().unwrap(), None);
    assert_eq!(gateway.wait_exit().code, Some(0));
}

#[test]
fn during_the_delay_it_is_unready_but_serves() {
    let (upstream, valve) = held();
    let mut gateway = draining("delay: 1500ms, timeout: 60s", &upstream.declared("fig"));
    let begin = Instant::now();
    gateway.signal(Signal::TERM);
    eventually("readiness is off", || {
        gateway.observe("GET", "/readyz").status == 503
    });
    gateway.observe("GET", "/healthz").assert_status(200);
    gateway.get("/function/fig").assert_status(200);
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig/hold", &[]);
    eventually("a new call is in flight", || valve.waiting() == 1);
    valve.open_once();
    connection.response("GET").assert_status(200);
    assert_eq!(gateway.wait_exit().code, Some(0));
    assert!(
        begin.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn the_timeout_ends_what_does_not_end() {
    let (upstream, valve) = held();
    let mut gateway = draining("delay: 0s, timeout: 500ms", &upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig/hold", &[]);
    eventually("the call is in flight", || valve.waiting() == 1);
    gateway.signal(Signal::TERM);
    let exit = gateway.wait_exit();
    assert!(exit.code.is_some(), "it ended by itself: {exit:?}");
    assert!(connection.is_closed());
}

#[test]
fn an_interrupt_ends_it_too() {
    let mut gateway = draining("delay: 0s, timeout: 60s", "");
    gateway.signal(Signal::INT);
    let exit = gateway.wait_exit();
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

/// Whether the readiness check says so; no answer at all is a no.
fn is_ready(gateway: &Gateway) -> bool {
    gateway
        .try_observe("/readyz")
        .is_ok_and(|response| response.status == 200)
}
