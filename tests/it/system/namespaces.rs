//! `/system/namespaces` and `/system/namespace/NAME` of the process provider.

use serde_json::{Value, json};

use crate::harness::{Gateway, Response};

fn send(gateway: &Gateway, method: &str, name: &str, body: &Value) -> Response {
    gateway.admin(
        method,
        &format!("/system/namespace/{name}"),
        body.to_string(),
    )
}

#[track_caller]
fn names(gateway: &Gateway) -> Value {
    gateway
        .admin("GET", "/system/namespaces", "")
        .assert_status(200)
        .json()
}

#[test]
fn a_namespace_is_created_shown_changed_and_removed() {
    let gateway = Gateway::start("");
    let body =
        json!({ "name": "prod", "labels": { "openfaas": "1" }, "annotations": { "a": "b" } });
    send(&gateway, "POST", "", &body).assert_status(201);
    send(&gateway, "POST", "", &body).assert_error(409, "conflict");
    assert_eq!(names(&gateway), json!(["openfaas-fn", "prod"]));
    assert_eq!(
        send(&gateway, "GET", "prod", &json!(""))
            .assert_status(200)
            .json(),
        body
    );
    let changed = json!({ "name": "prod", "labels": { "tier": "one" } });
    send(&gateway, "PUT", "prod", &changed).assert_status(202);
    let shown = send(&gateway, "GET", "prod", &json!("")).json();
    assert_eq!(shown["labels"], json!({ "tier": "one" }));

    let deployed = json!({
        "service": "fig", "image": "i", "envProcess": "echo prod", "namespace": "prod",
    });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    assert_eq!(
        gateway.get("/function/fig.prod").assert_status(200).text(),
        "prod\n"
    );
    send(&gateway, "DELETE", "prod", &body).assert_error(409, "conflict");
    let remove = json!({ "functionName": "fig", "namespace": "prod" });
    gateway
        .admin("DELETE", "/system/functions", remove.to_string())
        .assert_status(202);
    send(&gateway, "DELETE", "prod", &body).assert_status(202);
    assert_eq!(names(&gateway), json!(["openfaas-fn"]));
    send(&gateway, "GET", "prod", &json!("")).assert_error(404, "not_found");
}

#[test]
fn those_of_the_file_are_there_and_stay() {
    let gateway = Gateway::start(
        "provider: { state_dir: @DIR@/state, namespaces: [openfaas-fn, certifier-test] }\n",
    );
    assert_eq!(names(&gateway), json!(["openfaas-fn", "certifier-test"]));
    send(&gateway, "GET", "certifier-test", &json!("")).assert_status(200);
    send(&gateway, "DELETE", "certifier-test", &json!({})).assert_error(409, "conflict");
    send(&gateway, "POST", "", &json!({ "name": "openfaas-fn" })).assert_error(409, "conflict");
}

#[test]
fn unknown_and_bad_names_are_refused() {
    let gateway = Gateway::start("");
    for method in ["GET", "PUT", "DELETE"] {
        send(&gateway, method, "nowhere", &json!({})).assert_error(404, "not_found");
    }
    for name in ["", "a b", "..", "a.b", "a/b"] {
        send(&gateway, "POST", "", &json!({ "name": name })).assert_error(400, "bad_request");
    }
    assert_eq!(names(&gateway), json!(["openfaas-fn"]));
}
