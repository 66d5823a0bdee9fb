//! `/system/secrets` of the process provider; what functions see of them is in `function/secrets.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Gateway, Response};

fn send(gateway: &Gateway, method: &str, body: &Value) -> Response {
    gateway.admin(method, "/system/secrets", body.to_string())
}

#[track_caller]
fn names(gateway: &Gateway, query: &str) -> Value {
    let path = format!("/system/secrets{query}");
    gateway.admin("GET", &path, "").assert_status(200).json()
}

#[test]
fn a_secret_is_created_replaced_listed_and_removed() {
    let gateway = Gateway::start("");
    assert_eq!(names(&gateway, ""), json!([]));
    let secret = json!({ "name": "api-key", "value": "hush" });
    send(&gateway, "POST", &secret).assert_status(201);
    send(&gateway, "POST", &secret).assert_error(409, "conflict");
    send(
        &gateway,
        "PUT",
        &json!({ "name": "api-key", "rawValue": "AP8=" }),
    )
    .assert_status(200);
    let listed = json!([{ "name": "api-key", "namespace": "openfaas-fn" }]);
    assert_eq!(names(&gateway, ""), listed);
    let file = gateway.state().join("secrets/openfaas-fn/api-key");
    assert_eq!(fs::read(&file).unwrap(), [0, 255]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    send(&gateway, "DELETE", &json!({ "name": "api-key" })).assert_status(202);
    send(&gateway, "DELETE", &json!({ "name": "api-key" })).assert_error(404, "not_found");
    send(&gateway, "PUT", &secret).assert_error(404, "not_found");
    assert_eq!(names(&gateway, ""), json!([]));
}

#[test]
fn values_are_shown_nowhere() {
    let gateway = Gateway::start("");
    send(
        &gateway,
        "POST",
        &json!({ "name": "k", "value": "hush-hush" }),
    )
    .assert_status(201);
    send(
        &gateway,
        "POST",
        &json!({ "name": "k", "value": "hush-hush" }),
    )
    .assert_status(409);
    let shown = [
        gateway.admin("GET", "/system/secrets", "").text(),
        gateway.admin("GET", "/system/config", "").text(),
        gateway.stderr(),
        gateway.stdout(),
    ];
    assert!(
        shown.iter().all(|text| !text.contains("hush-hush")),
        "{shown:?}"
    );
}

#[test]
fn namespaces_keep_theirs_apart() {
    let gateway =
        Gateway::start("provider: { state_dir: @DIR@/state, namespaces: [openfaas-fn, prod] }\n");
    send(&gateway, "POST", &json!({ "name": "k", "value": "a" })).assert_status(201);
    let prod = json!({ "name": "k", "namespace": "prod", "value": "b" });
    send(&gateway, "POST", &prod).assert_status(201);
    assert_eq!(
        names(&gateway, "?namespace=prod"),
        json!([{ "name": "k", "namespace": "prod" }])
    );
    send(
        &gateway,
        "DELETE",
        &json!({ "name": "k", "namespace": "prod" }),
    )
    .assert_status(202);
    assert_eq!(names(&gateway, "?namespace=prod"), json!([]));
    assert_eq!(names(&gateway, "").as_array().unwrap().len(), 1);
    let nowhere = json!({ "name": "k", "namespace": "nowhere", "value": "b" });
    send(&gateway, "POST", &nowhere).assert_error(400, "bad_request");
}

#[test]
fn bad_names_and_values_are_refused_and_nothing_is_written() {
    let gateway = Gateway::start("");
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "../../escaped",
        "a/b",
        "a b",
        "ü",
        &"x".repeat(254),
    ] {
        for method in ["POST", "PUT", "DELETE"] {
            let secret = json!({ "name": name, "value": "x" });
            send(&gateway, method, &secret).assert_error(400, "bad_request");
        }
    }
    let raw = json!({ "name": "k", "rawValue": "not base64!" });
    send(&gateway, "POST", &raw).assert_error(400, "bad_request");
    assert!(!gateway.dir().join("escaped").exists() && !gateway.state().join("escaped").exists());
    assert_eq!(names(&gateway, ""), json!([]));
    let longest = "x".repeat(253);
    send(&gateway, "POST", &json!({ "name": longest, "value": "x" })).assert_status(201);
}
