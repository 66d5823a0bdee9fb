//! HTTP mode: a long-lived process that listens on the port it is given.

use std::fs;
use std::thread;

use crate::harness::{Gateway, alive, eventually, served};

fn declared(more: &str) -> String {
    format!(
        "functions:\n  fig: {{ process: \"{}\", mode: http{more} }}\n",
        served()
    )
}

#[track_caller]
fn pid(gateway: &Gateway) -> u32 {
    gateway
        .get("/function/fig/pid")
        .assert_status(200)
        .text()
        .parse()
        .unwrap()
}

#[test]
fn one_process_serves_every_call() {
    let gateway = Gateway::start(&declared(""));
    let response = gateway.post("/function/fig/a?x=1", "hi").assert_status(200);
    assert_eq!(
        (response.header("X-Target"), response.text().as_str()),
        ("/a?x=1", "hi")
    );
    assert_eq!(pid(&gateway), pid(&gateway));
}

#[test]
fn the_first_call_waits_until_the_process_is_ready() {
    let gateway = Gateway::start(&declared(", environment: { START_WHEN: \"@DIR@/go\" }"));
    thread::scope(|scope| {
        let call = scope.spawn(|| gateway.post("/function/fig", "early"));
        eventually("the call is held", || {
            gateway.metric("gateway_held_requests", &[]) == Some(1.0)
        });
        fs::write(gateway.dir().join("go"), "").unwrap();
        assert_eq!(call.join().unwrap().assert_status(200).text(), "early");
    });
}

#[test]
fn a_ready_path_decides_when_it_is_ready() {
    let gateway = Gateway::start(&declared(
        ", ready_path: /ready, environment: { READY_WHEN: \"@DIR@/go\" }",
    ));
    thread::scope(|scope| {
        let call = scope.spawn(|| gateway.post("/function/fig", "early"));
        eventually("the call is held", || {
            gateway.metric("gateway_held_requests", &[]) == Some(1.0)
        });
        fs::write(gateway.dir().join("go"), "").unwrap();
        assert_eq!(call.join().unwrap().assert_status(200).text(), "early");
    });
}

#[test]
fn who_waits_too_long_is_told() {
    let gateway = Gateway::start(&format!(
        "scale: {{ wait: {{ timeout: 300ms }} }}\n{}",
        declared(", environment: { START_WHEN: \"@DIR@/never\" }")
    ));
    let response = gateway.post("/function/fig", "early");
    let body = response.assert_error(504, "wait_timeout");
    assert_eq!(
        (&body["limit"], &body["call_id"]),
        (&"300ms".into(), &response.header("X-Call-Id").into())
    );
}

#[test]
fn a_full_line_is_told_at_once() {
    let gateway = Gateway::start(&format!(
        "scale: {{ wait: {{ timeout: 20s, line: 1 }} }}\n{}",
        declared(", environment: { START_WHEN: \"@DIR@/go\" }")
    ));
    thread::scope(|scope| {
        let call = scope.spawn(|| gateway.post("/function/fig", "early"));
        eventually("the call is held", || {
            gateway.metric("gateway_held_requests", &[]) == Some(1.0)
        });
        let refused = gateway.get("/function/fig");
        refused.assert_error(503, "line_full");
        assert!(
            refused.header("Retry-After").parse::<u32>().is_ok(),
            "{refused:?}"
        );
        fs::write(gateway.dir().join("go"), "").unwrap();
        call.join().unwrap().assert_status(200);
    });
}

#[test]
fn concurrency_is_a_line_and_not_a_refusal() {
    let gateway = Gateway::start(&declared(", concurrency: 1"));
    let gate = gateway.dir().join("go").display().to_string();
    thread::scope(|scope| {
        let hold = || gateway.request("GET", "/function/fig/hold", &[("X-Until", &gate)], "");
        let first = scope.spawn(hold);
        eventually("the first call is in flight", || {
            gateway.metric("gateway_function_invocation_inflight", &[]) == Some(1.0)
        });
        let second = scope.spawn(|| gateway.get("/function/fig"));
        eventually("the second call waits", || {
            gateway.metric("gateway_held_requests", &[]) == Some(1.0)
        });
        fs::write(&gate, "").unwrap();
        first.join().unwrap().assert_status(200);
        second.join().unwrap().assert_status(200);
    });
}

#[test]
fn a_crash_is_mended() {
    let gateway = Gateway::start(&declared(""));
    let before = pid(&gateway);
    let response = gateway.get("/function/fig/exit");
    assert_eq!(response.status, 502, "{response:?}");
    // Calls wait for the restart; one may still have met the process as it died.
    eventually("another process answers", || {
        let response = gateway.get("/function/fig/pid");
        assert!(matches!(response.status, 200 | 502), "{response:?}");
        response.status == 200 && response.text() != before.to_string()
    });
    assert!(!alive(before));
}

#[test]
fn replicas_are_processes_of_their_own() {
    let gateway = Gateway::start(&declared(", replicas: 2"));
    let mut pids = std::collections::BTreeSet::new();
    eventually("both replicas get calls", || {
        pids.insert(pid(&gateway));
        pids.len() == 2
    });
}

#[test]
fn the_port_is_in_environment_and_arguments() {
    let gateway = Gateway::start(&declared(""));
    let port: u16 = gateway
        .get("/function/fig/env/PORT")
        .text()
        .parse()
        .unwrap();
    assert_eq!(
        gateway.get("/function/fig/env/port").text(),
        port.to_string()
    );
    assert_eq!(gateway.get("/function/fig/env/GATEWAY_SECRET").text(), "");
}

#[test]
fn a_removed_function_ends_with_its_process() {
    let gateway = Gateway::start(&declared(""));
    let pid = pid(&gateway);
    gateway.edit_and_wait("");
    eventually("the function is unknown", || {
        gateway.get("/function/fig").status == 404
    });
    eventually("its process is gone", || !alive(pid));
}

#[test]
fn a_changed_function_is_replaced_without_a_gap() {
    let gateway = Gateway::start(&declared(", environment: { VERSION: \"1\" }"));
    let old = pid(&gateway);
    let gate = gateway.dir().join("go").display().to_string();
    thread::scope(|scope| {
        let in_flight =
            scope.spawn(|| gateway.request("GET", "/function/fig/hold", &[("X-Until", &gate)], ""));
        eventually("a call is in flight on the old process", || {
            gateway.metric("gateway_function_invocation_inflight", &[]) == Some(1.0)
        });
        gateway.edit(&declared(", environment: { VERSION: \"2\" }"));
        eventually("the new process answers", || {
            gateway
                .get("/function/fig/env/VERSION")
                .assert_status(200)
                .text()
                == "2"
        });
        assert!(alive(old), "the old process still has a call");
        fs::write(&gate, "").unwrap();
        assert_eq!(in_flight.join().unwrap().assert_status(200).text(), "held");
    });
    eventually("the old process is gone", || !alive(old));
}

#[test]
fn a_broken_new_version_leaves_the_old_one_serving() {
    let gateway = Gateway::start(&declared(""));
    let old = pid(&gateway);
    gateway.edit_and_wait("functions:\n  fig: { process: \"false\", mode: http }\n");
    for _ in 0..20 {
        assert_eq!(pid(&gateway), old);
    }
}
