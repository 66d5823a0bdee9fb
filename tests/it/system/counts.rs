//! `invocationCount`: the gateway's own counts, kept over restarts, and other gateways' share from a
//! real Prometheus (wire.md section 4.3).

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Gateway, Prometheus, Signal, Upstream, eventually};

const ECHO: &str = "functions: { echo: { process: cat }, other: { process: cat } }\n";

/// A configuration whose state lies in this folder, apart from the test's own.
fn with_state(state: &std::path::Path) -> String {
    format!("provider: {{ state_dir: \"{}\" }}\n{ECHO}", state.display())
}

fn with_prometheus(address: SocketAddr) -> String {
    let (host, port) = (address.ip(), address.port());
    format!("scale: {{ prometheus: {{ host: \"{host}\", port: {port} }} }}\n{ECHO}")
}

#[track_caller]
fn count(gateway: &Gateway, name: &str) -> f64 {
    let status = gateway.admin("GET", &format!("/system/function/{name}"), "");
    let list = gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200)
        .json();
    let listed = list
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == name);
    let number = |status: &Value| status["invocationCount"].as_f64().expect("a number");
    let counted = number(&status.assert_status(200).json());
    // A call may end between the two.
    assert!(number(listed.unwrap()) >= counted, "{listed:?} {counted}");
    counted
}

fn call(gateway: &Gateway, times: usize) {
    for _ in 0..times {
        gateway.post("/function/echo", "hi").assert_status(200);
    }
}

#[track_caller]
fn eventually_counts(gateway: &Gateway, expected: f64) {
    eventually(&format!("{expected} calls are counted"), || {
        count(gateway, "echo") == expected
    });
}

#[test]
fn counts_survive_a_graceful_restart_to_the_last_call() {
    let state = tempfile::tempdir().unwrap();
    let mut first = Gateway::start(&with_state(state.path()));
    call_with(&first, state.path(), 7);
    first.signal(Signal::TERM);
    assert_eq!(first.wait_exit().code, Some(0));

    let second = Gateway::start(&with_state(state.path()));
    assert_eq!(count_with(&second, state.path()), 7.0);
    let counter = [("function_name", "echo.openfaas-fn")];
    let own = second.metric("gateway_function_invocation_total", &counter);
    assert_eq!(
        own.unwrap_or_default(),
        0.0,
        "what Prometheus scrapes starts at zero"
    );
    call_with(&second, state.path(), 1);
    eventually("the next call is counted on top", || {
        count_with(&second, state.path()) == 8.0
    });
}

#[test]
fn a_killed_gateway_forgets_little_and_leaves_a_whole_file() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("counters.json");
    let mut kept = 0.0;
    for _ in 0..5 {
        let gateway = Gateway::start(&with_state(state.path()));
        let before = count_with(&gateway, state.path());
        assert!(before >= kept, "{before} of {kept}");
        call_with(&gateway, state.path(), 5);
        eventually("the calls are on disk", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let written: Option<Value> = serde_json::from_str(&text).ok();
            written.is_some_and(|written| {
                written["calls"]["echo.openfaas-fn"].as_f64() == Some(before + 5.0)
            })
        });
        kept = before + 5.0;
        call_with(&gateway, state.path(), 3);
        drop(gateway); // by SIGKILL
        let text = fs::read_to_string(&file).unwrap();
        serde_json::from_str::<Value>(&text).unwrap();
    }
    assert!(kept >= 25.0);
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("counters.json"), "{\"version\": 1, \"ca").unwrap();
    let gateway = Gateway::start(&with_state(state.path()));
    assert_eq!(count_with(&gateway, state.path()), 0.0);
    assert!(
        gateway.stderr().contains("counters.json"),
        "{}",
        gateway.stderr()
    );
    assert!(state.path().join("counters.unreadable").exists());
}

#[test]
fn other_gateways_calls_are_added_and_our_own_not_twice() {
    let ours = Gateway::start(ECHO);
    let theirs = Gateway::start(ECHO);
    let targets = [ours.metrics_address(), theirs.metrics_address()];
    let mut prometheus = Prometheus::scraping(&targets);
    ours.edit_and_wait(&with_prometheus(prometheus.address()));
    call(&ours, 3);
    call(&theirs, 4);
    eventually("Prometheus has seen all calls", || {
        prometheus.value("sum(gateway_function_invocation_total)") == Some(7.0)
    });
    eventually_counts(&ours, 7.0);
    assert_eq!(count(&ours, "other"), 0.0);
    assert_eq!(count(&theirs, "echo"), 4.0, "it asks no Prometheus");
    assert_eq!(ours.metric("gateway_prometheus_up", &[]), Some(1.0));

    prometheus.kill();
    eventually("it is noticed that Prometheus is gone", || {
        ours.metric("gateway_prometheus_up", &[]) == Some(0.0)
    });
    call(&ours, 1);
    eventually_counts(&ours, 8.0);
}

#[test]
fn a_restart_is_not_counted_twice_while_prometheus_remembers_the_life_before() {
    let state = tempfile::tempdir().unwrap();
    let metrics = crate::harness::unused_port();
    let yaml = |prometheus: Option<SocketAddr>| {
        let scale = prometheus.map_or_else(String::new, |at| {
            format!(
                "scale: {{ prometheus: {{ host: \"{}\", port: {} }} }}\n",
                at.ip(),
                at.port()
            )
        });
        format!(
            "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:{metrics}\" }}\n{scale}{}",
            with_state(state.path())
        )
    };
    let mut first = Gateway::start(&yaml(None));
    let prometheus = Prometheus::scraping(&[first.metrics_address()]);
    call_with(&first, state.path(), 6);
    eventually("Prometheus has seen all calls", || {
        prometheus.value("sum(gateway_function_invocation_total)") == Some(6.0)
    });
    first.signal(Signal::TERM);
    assert_eq!(first.wait_exit().code, Some(0));
    let second = Gateway::start(&yaml(Some(prometheus.address())));
    eventually("Prometheus was asked", || {
        second.metric("gateway_prometheus_up", &[]) == Some(1.0)
    });
    assert_eq!(count_with(&second, state.path()), 6.0);
}

#[test]
fn a_prometheus_that_fails_or_hangs_changes_nothing() {
    let garbage = Upstream::start(|exchange| exchange.reply(200, &[], "<html>"));
    let broken = Upstream::start(|exchange| exchange.reply(500, &[], "{}"));
    let hanging = Upstream::start(|_| std::thread::sleep(crate::harness::PATIENCE * 2));
    for upstream in [&garbage, &broken, &hanging] {
        let address: SocketAddr = upstream
            .url()
            .trim_start_matches("http://")
            .parse()
            .unwrap();
        let gateway = Gateway::start(&with_prometheus(address));
        call(&gateway, 2);
        eventually("Prometheus was asked", || !upstream.requests().is_empty());
        let begun = Instant::now();
        eventually_counts(&gateway, 2.0);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "nobody waits for Prometheus"
        );
    }
}

/// The generated password lies in the state folder, which is not the test's own here.
fn count_with(gateway: &Gateway, state: &std::path::Path) -> f64 {
    let answer = admin_with(gateway, state, "/system/function/echo");
    answer["invocationCount"].as_f64().unwrap()
}

fn call_with(gateway: &Gateway, state: &std::path::Path, times: usize) {
    let before = count_with(gateway, state);
    call(gateway, times);
    eventually("the calls are counted", || {
        count_with(gateway, state) == before + times as f64
    });
}

#[track_caller]
fn admin_with(gateway: &Gateway, state: &std::path::Path, path: &str) -> Value {
    let password = fs::read_to_string(state.join("auth/basic-auth-password")).unwrap();
    let authorization = crate::harness::basic("admin", password.trim());
    let headers = [("Authorization", authorization.as_str())];
    gateway
        .request("GET", path, &headers, "")
        .assert_status(200)
        .json()
}
