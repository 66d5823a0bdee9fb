//! `/system/config`: what is in force, and loading it again.

use crate::harness::{Gateway, Response, Upstream, eventually};

#[track_caller]
fn config(gateway: &Gateway) -> serde_json::Value {
    gateway
        .admin("GET", "/system/config", "")
        .assert_status(200)
        .json()
}

#[track_caller]
fn reload(gateway: &Gateway) -> Response {
    gateway.admin("POST", "/system/config/reload", "")
}

#[test]
fn it_shows_what_is_in_force_and_since_when() {
    let gateway = Gateway::start("timeouts: { upstream: 90s }\n");
    let shown = config(&gateway);
    assert_eq!(shown["config"]["timeouts"]["upstream"], "1m30s", "{shown}");
    assert_eq!(
        shown["config"]["timeouts"]["read"], "8s",
        "defaults are shown, too"
    );
    assert!(shown["generation"].as_u64().is_some(), "{shown}");
    assert!(
        shown["hash"].as_str().is_some_and(|hash| hash.len() >= 8),
        "{shown}"
    );
    assert!(!shown["loaded_at"].is_null(), "{shown}");
    assert!(shown["last_error"].is_null(), "{shown}");
    assert!(
        shown["pending_restart"]
            .as_array()
            .is_none_or(Vec::is_empty),
        "{shown}"
    );
    assert!(
        shown["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("gateway.yaml")),
        "{shown}"
    );
}

#[test]
fn secrets_are_masked() {
    let gateway = Gateway::with(
        "admin: { auth_proxy_url: \"http://user:hunter2@127.0.0.1:1/validate\", basic_auth: { enabled: false } }\n\
         functions:\n  env: { process: \"env\", environment: { A: \"hunter2\", B: \"${file:@DIR@/secret}\", C: \"${TOKEN}\" } }\n",
    )
    .file("secret", "hunter2\n")
    .env("TOKEN", "hunter2")
    .start();
    assert_eq!(
        gateway
            .get("/function/env")
            .assert_status(200)
            .text()
            .matches("hunter2")
            .count(),
        3
    );
    let response = gateway.get("/system/config");
    if response.status == 200 {
        assert!(response.text().contains("****"), "{response:?}");
    }
    assert!(!response.text().contains("hunter2"), "{response:?}");
    assert!(!gateway.stderr().contains("hunter2"));
}

#[test]
fn reloading_tells_the_changes() {
    let gateway = Gateway::start("timeouts: { upstream: 8s }\n");
    let before = config(&gateway);
    std::fs::write(
        gateway.dir().join("gateway.yaml"),
        edited(&gateway, "upstream: 8s", "upstream: 9s"),
    )
    .unwrap();
    let answer = reload(&gateway).assert_status(200).json();
    assert!(answer["changes"].is_array(), "{answer}");
    assert!(
        answer["generation"].as_u64() > before["generation"].as_u64(),
        "{answer}"
    );
    let after = config(&gateway);
    assert_eq!(after["config"]["timeouts"]["upstream"], "9s");
    assert_ne!(after["hash"], before["hash"]);
}

#[test]
fn reloading_without_a_change_changes_nothing() {
    let gateway = Gateway::start("");
    let before = config(&gateway);
    let answer = reload(&gateway).assert_status(200).json();
    assert_eq!(
        answer["changes"].as_array().map(Vec::len),
        Some(0),
        "{answer}"
    );
    assert_eq!(config(&gateway)["hash"], before["hash"]);
}

#[test]
fn a_broken_file_is_a_422_with_its_place() {
    let gateway = Gateway::start("timeouts: { upstream: 8s }\n");
    gateway.edit("timeouts: { upstrem: 9s }\n");
    let answer = reload(&gateway);
    assert_eq!(answer.status, 422, "{answer:?}");
    let answer = answer.json();
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains("upstrem") && error.contains("upstream"),
        "did you mean: {error}"
    );
    assert!(has_place(error), "line and column: {error}");
    assert!(answer["reason"].is_string(), "{answer}");

    let shown = config(&gateway);
    assert_eq!(shown["config"]["timeouts"]["upstream"], "8s");
    assert!(
        shown["last_error"].as_str().is_some_and(has_place),
        "{shown}"
    );
    gateway.edit("timeouts: { upstream: 9s }\n");
    eventually("the error is forgotten once the file is mended", || {
        config(&gateway)["last_error"].is_null()
    });
}

#[test]
fn what_needs_a_restart_is_listed_as_pending() {
    let gateway = Gateway::start("");
    gateway.edit(
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", max_connections: 77 }\n",
    );
    let pending = |value: &serde_json::Value| {
        value["pending_restart"]
            .to_string()
            .contains("server.max_connections")
    };
    eventually("the change is pending", || pending(&config(&gateway)));
}

#[test]
fn functions_of_the_environment_file_and_default_are_interpolated() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(
        "# ${NOT_SET} in a comment is nothing\n\
         timeouts: { upstream: \"${LIMIT:-33s}\" }\n\
         functions:\n  fig: { upstream: [\"${UPSTREAM}\"] }\n",
    )
    .env("UPSTREAM", upstream.url())
    .start();
    gateway.get("/function/fig").assert_status(200);
    assert_eq!(config(&gateway)["config"]["timeouts"]["upstream"], "33s");
}

/// The configuration file with one text replaced by another.
fn edited(gateway: &Gateway, from: &str, to: &str) -> String {
    std::fs::read_to_string(gateway.dir().join("gateway.yaml"))
        .unwrap()
        .replace(from, to)
}

/// Whether a message names a place as `file:line:column`.
fn has_place(message: &str) -> bool {
    message.split("gateway.yaml:").skip(1).any(|rest| {
        let mut numbers = rest.splitn(3, ':');
        let mut number = || {
            numbers
                .next()
                .is_some_and(|text| text.trim().parse::<u32>().is_ok())
        };
        number() && number()
    })
}
