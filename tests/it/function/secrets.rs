//! Secrets as functions see them: at `/var/openfaas/secrets`, without being written there, or in a
//! folder that the environment names where the kernel does not allow that (users.md section 4.4).

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Gateway, Response, eventually};

/// The four ways a gateway may find the world.
const ISOLATIONS: [&str; 3] = ["none", "basic", "sandbox"];

fn isolated(isolation: &str) -> Gateway {
    Gateway::start(&format!(
        "provider: {{ state_dir: @DIR@/state, isolation: {isolation} }}\n"
    ))
}

#[track_caller]
fn deploy(gateway: &Gateway, method: &str, deployment: &Value) {
    gateway
        .admin(method, "/system/functions", deployment.to_string())
        .assert_status(202);
}

#[track_caller]
fn put_secret(gateway: &Gateway, method: &str, secret: &Value) {
    let status = if method == "POST" { 201 } else { 200 };
    gateway
        .admin(method, "/system/secrets", secret.to_string())
        .assert_status(status);
}

fn reader() -> Value {
    json!({
        "service": "reader", "image": "alpine", "secrets": ["api-key"],
        "envProcess": "cat /var/openfaas/secrets/api-key",
    })
}

#[track_caller]
fn isolation(gateway: &Gateway) -> Value {
    let info = gateway
        .admin("GET", "/system/info", "")
        .assert_status(200)
        .json();
    info["provider"]["isolation"].clone()
}

#[test]
fn a_classic_function_reads_the_exact_bytes() {
    for name in ISOLATIONS {
        let gateway = isolated(name);
        put_secret(
            &gateway,
            "POST",
            &json!({ "name": "api-key", "rawValue": "AP8KDQ==" }),
        );
        deploy(&gateway, "POST", &reader());
        let reply = gateway.get("/function/reader").assert_status(200);
        assert_eq!(reply.body, [0, 255, 10, 13], "{name}");
        assert!(
            !Path::new("/var/openfaas").exists(),
            "nothing is written there on the host"
        );
    }
}

#[test]
fn a_resident_function_reads_them_too() {
    for name in ISOLATIONS {
        let gateway = isolated(name);
        put_secret(
            &gateway,
            "POST",
            &json!({ "name": "index.html", "value": "hush" }),
        );
        let server =
            "python3 -m http.server --bind 127.0.0.1 --directory /var/openfaas/secrets {port}";
        deploy(
            &gateway,
            "POST",
            &json!({
                "service": "server", "image": "i", "secrets": ["index.html"],
                "envProcess": server, "envVars": { "mode": "http" },
            }),
        );
        assert_eq!(
            gateway.get("/function/server/").assert_status(200).text(),
            "hush",
            "{name}"
        );
    }
}

#[test]
fn the_environment_says_where_they_are() {
    for (name, place) in [("basic", "/var/openfaas/secrets"), ("none", ".secrets")] {
        let gateway = isolated(name);
        put_secret(
            &gateway,
            "POST",
            &json!({ "name": "api-key", "value": "hush" }),
        );
        let env = json!({
            "service": "env", "image": "i", "secrets": ["api-key"], "envProcess": "env",
        });
        deploy(&gateway, "POST", &env);
        let text = gateway.get("/function/env").assert_status(200).text();
        for variable in ["secret_mount_path=", "OPENFAAS_SECRETS_DIR="] {
            let line = text.lines().find(|line| line.starts_with(variable));
            assert!(
                line.is_some_and(|line| line.contains(place)),
                "{variable} in {text}"
            );
        }
        assert!(!text.contains("hush"), "values stay out of the environment");
    }
}

#[test]
fn an_update_of_the_function_brings_the_new_value() {
    let gateway = isolated("basic");
    put_secret(
        &gateway,
        "POST",
        &json!({ "name": "api-key", "value": "old" }),
    );
    deploy(&gateway, "POST", &reader());
    let read = || gateway.get("/function/reader").assert_status(200).text();
    assert_eq!(read(), "old");
    put_secret(
        &gateway,
        "PUT",
        &json!({ "name": "api-key", "value": "new" }),
    );
    assert_eq!(read(), "old", "a running copy keeps what it started with");
    deploy(&gateway, "PUT", &reader());
    eventually("the new value is seen", || read() == "new");
}

#[test]
fn a_function_sees_only_what_it_asked_for() {
    let gateway = isolated("basic");
    for name in ["api-key", "other"] {
        put_secret(&gateway, "POST", &json!({ "name": name, "value": name }));
    }
    let list = json!({
        "service": "list", "image": "i", "secrets": ["api-key", "api-key"],
        "envProcess": "ls /var/openfaas/secrets",
    });
    deploy(&gateway, "POST", &list);
    assert_eq!(
        gateway.get("/function/list").assert_status(200).text(),
        "api-key\n"
    );
}

#[test]
fn they_cannot_be_changed_by_the_function() {
    let gateway = isolated("basic");
    put_secret(
        &gateway,
        "POST",
        &json!({ "name": "api-key", "value": "hush" }),
    );
    let write = json!({
        "service": "write", "image": "i", "secrets": ["api-key"],
        "envProcess": "tee /var/openfaas/secrets/api-key",
    });
    deploy(&gateway, "POST", &write);
    let reply: Response = gateway.post("/function/write", "mine");
    assert_eq!(reply.status, 500, "{reply:?}");
    deploy(&gateway, "POST", &reader());
    assert_eq!(
        gateway.get("/function/reader").assert_status(200).text(),
        "hush"
    );
}

#[test]
fn a_secret_that_is_gone_at_the_next_start_is_named_and_its_return_repairs_it() {
    let gateway = Gateway::start("functions: { fig: { process: cat, secrets: [api-key] } }\n");
    eventually("the status names it", || {
        let status = gateway.admin("GET", "/system/function/fig", "").json();
        status["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("secret `api-key`"))
    });
    put_secret(
        &gateway,
        "POST",
        &json!({ "name": "api-key", "value": "hush" }),
    );
    eventually("it starts", || {
        gateway.post("/function/fig", "hi").status == 200
    });
}

#[test]
fn a_kernel_that_refuses_namespaces_is_told_of_and_secrets_go_the_other_way() {
    let gateway = Gateway::with("").without_namespaces().start();
    let report = isolation(&gateway);
    assert_eq!(report["asked"], "basic");
    assert_eq!(report["secrets"], "secret_mount_path");
    assert_eq!(
        report["missing"][0]["name"], "private_secrets_mount",
        "{report}"
    );
    assert!(
        report["missing"][0]["why"]
            .as_str()
            .is_some_and(|why| why.len() > 10),
        "{report}"
    );
    put_secret(
        &gateway,
        "POST",
        &json!({ "name": "api-key", "value": "hush" }),
    );
    deploy(&gateway, "POST", &reader());
    assert_eq!(
        gateway.get("/function/reader").assert_status(200).text(),
        "hush"
    );
}
