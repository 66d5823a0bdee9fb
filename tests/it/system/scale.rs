//! `POST /system/scale-function/NAME` of the process provider.

use serde_json::{Value, json};

use crate::harness::{Gateway, Response, eventually};

fn scale(gateway: &Gateway, name: &str, replicas: impl Into<Value>) -> Response {
    let body = json!({ "serviceName": name, "replicas": replicas.into() });
    gateway.admin(
        "POST",
        &format!("/system/scale-function/{name}?namespace="),
        body.to_string(),
    )
}

#[track_caller]
fn counts(gateway: &Gateway, name: &str) -> (u64, u64) {
    let path = format!("/system/function/{name}?namespace=&usage=1");
    let status = gateway.admin("GET", &path, "").assert_status(200).json();
    let number = |key: &str| status[key].as_u64().expect("a number, even zero");
    (number("replicas"), number("availableReplicas"))
}

#[test]
fn the_next_look_shows_the_new_number() {
    let gateway = Gateway::start("functions: { declared: { process: cat } }\n");
    let deployed = json!({ "service": "fig", "image": "i", "envProcess": "cat" });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    for name in ["fig", "declared"] {
        for replicas in [3, 0, 2] {
            scale(&gateway, name, replicas).assert_status(202);
            assert_eq!(counts(&gateway, name).0, replicas, "{name}");
            eventually("all are available", || counts(&gateway, name).1 == replicas);
        }
        gateway
            .post(&format!("/function/{name}"), "hi")
            .assert_status(200);
    }
}

#[test]
fn the_smallest_number_is_what_a_function_starts_with() {
    let gateway = Gateway::start("");
    for (name, min, replicas) in [("two", "2", 2), ("none", "0", 0), ("odd", "many", 1)] {
        let labels = json!({ "com.openfaas.scale.min": min });
        let deployed =
            json!({ "service": name, "image": "i", "envProcess": "cat", "labels": labels });
        gateway
            .admin("POST", "/system/functions", deployed.to_string())
            .assert_status(202);
        assert_eq!(counts(&gateway, name).0, replicas, "{name}");
    }
}

#[test]
fn a_resident_function_gets_a_process_for_each_replica() {
    let command = crate::harness::served();
    let gateway = Gateway::start(&format!(
        "functions: {{ hello: {{ process: {command:?}, mode: http }} }}\n"
    ));
    gateway.get("/function/hello/pid").assert_status(200);
    scale(&gateway, "hello", 3).assert_status(202);
    eventually("three processes", || counts(&gateway, "hello") == (3, 3));
    scale(&gateway, "hello", 1).assert_status(202);
    eventually("one process", || counts(&gateway, "hello") == (1, 1));
    gateway.get("/function/hello/pid").assert_status(200);
}

#[test]
fn what_cannot_be_is_refused() {
    let gateway = Gateway::start("functions: { fig: { process: cat } }\n");
    scale(&gateway, "nobody", 1).assert_error(404, "not_found");
    scale(&gateway, "fig", 1001).assert_error(400, "bad_request");
    for replicas in [json!(-1), json!("two"), json!(1.5), json!(null)] {
        scale(&gateway, "fig", replicas).assert_error(400, "bad_request");
    }
    let path = "/system/scale-function/fig";
    gateway
        .admin("POST", path, "")
        .assert_error(400, "bad_request");
    assert_eq!(counts(&gateway, "fig").0, 1);
}

#[test]
fn a_declaration_that_changes_counts_again() {
    let with =
        |replicas: u32| format!("functions: {{ fig: {{ process: cat, replicas: {replicas} }} }}\n");
    let gateway = Gateway::start(&with(1));
    scale(&gateway, "fig", 4).assert_status(202);
    gateway.edit_and_wait(&format!("timeouts: {{ idle: 5s }}\n{}", with(1)));
    assert_eq!(counts(&gateway, "fig").0, 4, "another key is no reason");
    gateway.edit_and_wait(&with(2));
    assert_eq!(counts(&gateway, "fig").0, 2);
}
