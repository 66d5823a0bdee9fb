//! `POST`, `PUT` and `DELETE /system/functions` of the process provider (wire.md section 9).

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Gateway, Response, eventually, saying};

fn deployment(name: &str, command: &str) -> Value {
    json!({ "service": name, "image": "functions/alpine:latest", "envProcess": command })
}

fn with(mut deployment: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    deployment.as_object_mut().unwrap().extend(more);
    deployment
}

fn send(gateway: &Gateway, method: &str, body: &Value) -> Response {
    gateway.admin(method, "/system/functions", body.to_string())
}

#[track_caller]
fn refused(gateway: &Gateway, method: &str, body: &Value, status: u16, reason: &str) -> String {
    let error = send(gateway, method, body).assert_error(status, reason);
    error["error"].as_str().unwrap().to_owned()
}

#[track_caller]
fn status(gateway: &Gateway, name: &str) -> Value {
    let path = format!("/system/function/{name}");
    gateway.admin("GET", &path, "").assert_status(200).json()
}

#[test]
fn a_deployed_function_can_be_called_at_once_and_a_deleted_one_no_more() {
    let gateway = Gateway::start("");
    for round in 0..20 {
        send(&gateway, "POST", &deployment("shout", "tr a-z A-Z")).assert_status(202);
        let reply = gateway.post("/function/shout", "hi").assert_status(200);
        assert_eq!(reply.text(), "HI", "round {round}");
        send(&gateway, "DELETE", &json!({ "functionName": "shout" })).assert_status(202);
        gateway
            .post("/function/shout", "hi")
            .assert_error(404, "not_found");
        assert_eq!(
            gateway.admin("GET", "/system/function/shout", "").status,
            404
        );
    }
}

#[test]
fn what_was_deployed_is_shown_verbatim() {
    let gateway = Gateway::start("");
    let plain = deployment("plain", "sha512sum");
    let rich = with(
        deployment("rich", "env"),
        json!({
            "envVars": { "custom_env": "custom_env_value" },
            "labels": { "canary_build": "true" },
            "annotations": { "json": "{\"a\": [1]}" },
            "limits": { "memory": "5Mi", "cpu": "100m" },
            "requests": { "memory": "1Mi" },
            "constraints": ["node.platform.os == linux"],
            "readOnlyRootFilesystem": true,
            "network": "unknown fields are ignored",
        }),
    );
    send(&gateway, "POST", &plain).assert_status(202);
    send(&gateway, "POST", &rich).assert_status(202);
    let shown = status(&gateway, "plain");
    for key in [
        "envVars",
        "limits",
        "requests",
        "secrets",
        "constraints",
        "usage",
        "problem",
    ] {
        assert!(
            shown.get(key).is_none(),
            "{key} is left out where it was not set: {shown}"
        );
    }
    assert_eq!(shown["labels"], json!({ "faas_function": "plain" }));
    assert_eq!(shown["annotations"], json!({}));
    assert_eq!(
        (&shown["namespace"], &shown["replicas"]),
        (&json!("openfaas-fn"), &json!(1))
    );

    let shown = status(&gateway, "rich");
    for key in [
        "image",
        "envProcess",
        "envVars",
        "annotations",
        "limits",
        "requests",
        "constraints",
    ] {
        assert_eq!(shown[key], rich[key], "{key}");
    }
    assert_eq!(
        shown["labels"],
        json!({ "canary_build": "true", "faas_function": "rich" })
    );
    assert!(
        shown["createdAt"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{shown}"
    );
    let text = gateway.get("/function/rich").assert_status(200).text();
    assert!(text.contains("custom_env=custom_env_value"), "{text}");
}

#[test]
fn a_client_of_2019_is_understood() {
    let gateway = Gateway::start("");
    let body = json!({
        "service": "fig", "image": "functions/figlet:0.13.0", "network": "", "envProcess": "cat",
        "envVars": null, "constraints": null, "secrets": null, "labels": null, "annotations": null,
        "limits": null, "requests": null, "readOnlyRootFilesystem": false, "registryAuth": "",
    });
    send(&gateway, "POST", &body).assert_status(202);
    gateway.post("/function/fig", "hi").assert_status(200);
}

#[test]
fn what_cannot_be_deployed_is_refused_with_what_to_do() {
    let gateway = Gateway::start("functions: { declared: { process: cat } }\n");
    send(&gateway, "POST", &deployment("taken", "cat")).assert_status(202);
    for (body, status, reason, words) in [
        (deployment("taken", "cat"), 409, "conflict", "PUT"),
        (
            deployment("declared", "cat"),
            409,
            "conflict",
            "configuration file",
        ),
        (deployment("", "cat"), 400, "bad_request", "empty"),
        (deployment("a.b", "cat"), 400, "bad_request", "a.b"),
        (deployment("../up", "cat"), 400, "bad_request", "../up"),
        (deployment("a/b", "cat"), 400, "bad_request", "a/b"),
        (deployment(&"x".repeat(64), "cat"), 400, "bad_request", "63"),
        (
            deployment("f", ""),
            400,
            "bad_request",
            "provider: { images:",
        ),
        (
            with(deployment("f", "cat"), json!({ "image": " " })),
            400,
            "bad_request",
            "image",
        ),
        (
            with(deployment("f", "cat"), json!({ "namespace": "nowhere" })),
            400,
            "bad_request",
            "nowhere",
        ),
        (
            with(deployment("f", "cat"), json!({ "namespace": "../x" })),
            400,
            "bad_request",
            "../x",
        ),
        (
            with(deployment("f", "cat"), json!({ "secrets": ["missing"] })),
            400,
            "bad_request",
            "`missing`",
        ),
        (
            with(deployment("f", "cat"), json!({ "secrets": ["../../auth"] })),
            400,
            "bad_request",
            "secret",
        ),
        (
            with(deployment("f", "cat"), json!({ "envVars": { "A=B": "c" } })),
            400,
            "bad_request",
            "A=B",
        ),
        (
            with(
                deployment("f", "cat"),
                json!({ "envVars": { "exec_timeout": "soon" } }),
            ),
            400,
            "bad_request",
            "exec_timeout",
        ),
        (
            with(deployment("f", "cat"), json!({ "labels": { "a": 1 } })),
            400,
            "bad_request",
            "string",
        ),
        (json!({ "image": "i" }), 400, "bad_request", "service"),
        (json!([]), 400, "bad_request", "cannot be read"),
    ] {
        let error = refused(&gateway, "POST", &body, status, reason);
        assert!(error.contains(words), "{error}, for {body}");
    }
    for body in ["", "{", "no json"] {
        let reply = gateway.admin("POST", "/system/functions", body);
        reply.assert_error(400, "bad_request");
    }
    let deployed = gateway.state().join("functions/openfaas-fn");
    let files: Vec<_> = fs::read_dir(deployed)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["taken.json"], "nothing else was written");
}

#[test]
fn update_and_delete_need_a_function() {
    let gateway = Gateway::start("functions: { declared: { process: cat } }\n");
    refused(
        &gateway,
        "PUT",
        &deployment("nobody", "cat"),
        404,
        "not_found",
    );
    refused(
        &gateway,
        "PUT",
        &deployment("declared", "env"),
        409,
        "conflict",
    );
    refused(
        &gateway,
        "DELETE",
        &json!({ "functionName": "nobody" }),
        404,
        "not_found",
    );
    refused(
        &gateway,
        "DELETE",
        &json!({ "functionName": "" }),
        400,
        "bad_request",
    );
    refused(
        &gateway,
        "DELETE",
        &json!({ "functionName": "declared" }),
        409,
        "conflict",
    );
    refused(&gateway, "DELETE", &json!({}), 400, "bad_request");
}

#[test]
fn an_update_changes_the_function_and_keeps_what_it_does_not_speak_of() {
    let gateway = Gateway::start("");
    send(&gateway, "POST", &deployment("fig", "echo one")).assert_status(202);
    let before = status(&gateway, "fig");
    let scale = json!({ "serviceName": "fig", "replicas": 3 });
    gateway
        .admin("POST", "/system/scale-function/fig", scale.to_string())
        .assert_status(202);
    send(&gateway, "PUT", &deployment("fig", "echo two")).assert_status(202);
    let after = status(&gateway, "fig");
    assert_eq!(
        (&after["createdAt"], &after["replicas"]),
        (&before["createdAt"], &json!(3))
    );
    assert_eq!(after["envProcess"], "echo two");
    eventually("the new command answers", || {
        gateway.get("/function/fig").assert_status(200).text() == "two\n"
    });
}

#[test]
fn an_update_that_never_becomes_ready_leaves_the_old_revision_serving_and_says_why() {
    let gateway = Gateway::start("");
    let hello = |command: &str| {
        with(
            deployment("hello", command),
            json!({ "envVars": { "mode": "http" } }),
        )
    };
    let good = saying("one");
    send(&gateway, "POST", &hello(&good)).assert_status(202);
    assert_eq!(
        gateway
            .get("/function/hello/word")
            .assert_status(200)
            .text(),
        "one"
    );
    send(&gateway, "PUT", &hello("false")).assert_status(202);
    eventually("the status says why", || {
        let problem = status(&gateway, "hello")["problem"].clone();
        problem
            .as_str()
            .is_some_and(|problem| problem.contains("new revision") && problem.contains("status 1"))
    });
    for _ in 0..5 {
        assert_eq!(
            gateway
                .get("/function/hello/word")
                .assert_status(200)
                .text(),
            "one"
        );
    }
    send(&gateway, "PUT", &hello(&saying("two"))).assert_status(202);
    eventually("the next update repairs it", || {
        gateway
            .get("/function/hello/word")
            .assert_status(200)
            .text()
            == "two"
    });
    assert!(status(&gateway, "hello").get("problem").is_none());
}

#[test]
fn no_call_fails_while_a_function_is_updated() {
    let gateway = Gateway::start("");
    let revision = |number: usize| {
        with(
            deployment("hello", &saying(&format!("revision-{number}"))),
            json!({ "envVars": { "mode": "http" } }),
        )
    };
    send(&gateway, "POST", &revision(0)).assert_status(202);
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    gateway.get("/function/hello/word").assert_status(200);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..=5 {
            send(&gateway, "PUT", &revision(number)).assert_status(202);
            let expected = format!("revision-{number}");
            eventually(&expected, || {
                gateway.get("/function/hello/word").text() == expected
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(calls.load(Ordering::Relaxed) > 20);
}

#[test]
fn images_of_the_table_have_folder_mode_and_command() {
    let table = |word: &str| {
        format!(
            "provider:\n  state_dir: @DIR@/state\n  images:\n    \
             \"*acme/hello:*\": {{ mode: http, command: {:?} }}\n    \
             \"*acme/list:*\": {{ dir: \"@DIR@\" }}\n",
            saying(word)
        )
    };
    let gateway = Gateway::with(&table("one"))
        .file("in-its-folder", "")
        .start();
    let mapped = json!({ "service": "hello", "image": "ghcr.io/acme/hello:1" });
    send(&gateway, "POST", &mapped).assert_status(202);
    assert_eq!(
        gateway
            .get("/function/hello/word")
            .assert_status(200)
            .text(),
        "one"
    );
    assert_eq!(
        status(&gateway, "hello").get("envProcess"),
        Some(&json!(""))
    );
    let listed = json!({ "service": "list", "image": "acme/list:2", "envProcess": "ls" });
    send(&gateway, "POST", &listed).assert_status(202);
    assert!(
        gateway
            .get("/function/list")
            .text()
            .contains("in-its-folder")
    );

    gateway.edit_and_wait(&table("two"));
    eventually("another command for the image is another revision", || {
        gateway
            .get("/function/hello/word")
            .assert_status(200)
            .text()
            == "two"
    });
    gateway.edit_and_wait("provider: { state_dir: @DIR@/state }\n");
    eventually("an image that is mapped no more is a status", || {
        let problem = status(&gateway, "hello")["problem"].clone();
        problem
            .as_str()
            .is_some_and(|problem| problem.contains("provider.images"))
    });
}

#[test]
fn functions_of_the_same_name_live_apart_in_their_namespaces() {
    let gateway =
        Gateway::start("provider: { state_dir: @DIR@/state, namespaces: [openfaas-fn, prod] }\n");
    send(&gateway, "POST", &deployment("fig", "echo default")).assert_status(202);
    let prod = with(
        deployment("fig", "echo prod"),
        json!({ "namespace": "prod" }),
    );
    send(&gateway, "POST", &prod).assert_status(202);
    assert_eq!(gateway.get("/function/fig").text(), "default\n");
    assert_eq!(gateway.get("/function/fig.openfaas-fn").text(), "default\n");
    assert_eq!(gateway.get("/function/fig.prod").text(), "prod\n");
    let shown = gateway
        .admin("GET", "/system/function/fig?namespace=prod", "")
        .json();
    assert_eq!(
        (&shown["namespace"], &shown["envProcess"]),
        (&json!("prod"), &json!("echo prod"))
    );
    let remove = json!({ "functionName": "fig" }).to_string();
    gateway
        .admin("DELETE", "/system/functions?namespace=prod", remove)
        .assert_status(202);
    gateway
        .get("/function/fig.prod")
        .assert_error(404, "not_found");
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn who_hangs_up_in_the_middle_of_a_change_leaves_no_half_of_it() {
    let port = crate::harness::unused_port();
    let gateway = Gateway::start(&format!("admin: {{ listen: \"127.0.0.1:{port}\" }}\n"));
    let (user, password) = gateway.credentials();
    let authorization = crate::harness::basic(&user, &password);
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let ask = |path: &str| {
        let headers = [("Authorization", authorization.as_str())];
        crate::harness::try_request(api, "GET", path, &headers, b"").unwrap()
    };
    for round in 0..30 {
        let name = format!("f{round}");
        let body = deployment(&name, "cat").to_string();
        let mut connection = crate::harness::Connection::open(api);
        connection.send(format!(
            "POST /system/functions HTTP/1.1\r\nHost: {api}\r\nAuthorization: {authorization}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        std::thread::sleep(std::time::Duration::from_micros(round * 100));
        drop(connection);
        let file = gateway
            .state()
            .join(format!("functions/openfaas-fn/{name}.json"));
        eventually("disk and memory agree", || {
            let on_disk = file.exists();
            let shown = ask(&format!("/system/function/{name}")).status == 200;
            on_disk == file.exists() && on_disk == shown
        });
    }
}
