//! Calls of functions that have no replica: they are woken, and the calls wait.

use serde_json::json;

use crate::harness::{Gateway, eventually, served};

fn gateway(scale: &str) -> Gateway {
    Gateway::start(&format!(
        "scale: {scale}\nfunctions:\n  cat: {{ process: cat }}\n  \
         hello: {{ process: {:?}, mode: http }}\n",
        served()
    ))
}

#[track_caller]
fn put_to_sleep(gateway: &Gateway, name: &str) {
    let body = json!({ "serviceName": name, "replicas": 0 }).to_string();
    gateway
        .admin("POST", &format!("/system/scale-function/{name}"), body)
        .assert_status(202);
    eventually("it sleeps", || replicas(gateway, name) == (0, 0));
}

fn replicas(gateway: &Gateway, name: &str) -> (u64, u64) {
    let status = gateway
        .admin("GET", &format!("/system/function/{name}"), "")
        .json();
    let number = |key: &str| status[key].as_u64().unwrap();
    (number("replicas"), number("availableReplicas"))
}

#[test]
fn a_call_wakes_the_function_and_is_answered() {
    let gateway = gateway("{ from_zero: true }");
    for _ in 0..3 {
        put_to_sleep(&gateway, "cat");
        assert_eq!(
            gateway
                .post("/function/cat", "hi")
                .assert_status(200)
                .text(),
            "hi"
        );
        assert_eq!(replicas(&gateway, "cat"), (1, 1));
        put_to_sleep(&gateway, "hello");
        gateway.get("/function/hello/pid").assert_status(200);
    }
}

#[test]
fn a_function_is_woken_once_whoever_waits() {
    let gateway = gateway("{ from_zero: true }");
    put_to_sleep(&gateway, "hello");
    std::thread::scope(|threads| {
        let calls: Vec<_> = (0..50)
            .map(|_| threads.spawn(|| gateway.get("/function/hello/pid").assert_status(200).text()))
            .collect();
        let pids: std::collections::BTreeSet<_> =
            calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert_eq!(pids.len(), 1, "one replica answers all of them: {pids:?}");
    });
    let woken = || gateway.stderr().matches("woken").count();
    eventually("the log tells of it", || woken() > 0);
    assert_eq!(woken(), 1, "{}", gateway.stderr());
}

#[test]
fn it_is_woken_to_the_least_its_labels_ask_for() {
    let gateway = Gateway::start("");
    let deployed = json!({
        "service": "fig", "image": "i", "envProcess": "cat",
        "labels": { "com.openfaas.scale.min": "2" },
    });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    put_to_sleep(&gateway, "fig");
    gateway.post("/function/fig", "hi").assert_status(200);
    assert_eq!(replicas(&gateway, "fig").0, 2);
}

#[test]
fn a_function_that_was_deployed_without_replicas_is_woken_too() {
    let gateway = Gateway::start("");
    let deployed = json!({
        "service": "fig", "image": "i", "envProcess": "cat",
        "labels": { "com.openfaas.scale.min": "0" },
    });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    assert_eq!(replicas(&gateway, "fig").0, 0);
    gateway.post("/function/fig", "hi").assert_status(200);
}

#[test]
fn where_it_is_not_wanted_nobody_is_woken() {
    let gateway = gateway("{ from_zero: false }");
    put_to_sleep(&gateway, "cat");
    gateway
        .post("/function/cat", "hi")
        .assert_error(503, "not_ready");
    assert_eq!(replicas(&gateway, "cat"), (0, 0));
}
