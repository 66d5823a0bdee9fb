//! What an unchanged `faas-cli` sends, command by command, and what it takes from the answers (wire.md
//! section 12).

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, basic};

/// A client that has logged in, or never did: then it sends a token that is empty.
struct Cli<'a> {
    gateway: &'a Gateway,
    authorization: String,
}

impl Cli<'_> {
    fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        let headers = [
            ("Authorization", self.authorization.as_str()),
            ("User-Agent", "faas-cli/0.17.0"),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.gateway.request(method, path, &headers, body)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.send("GET", path, &Value::Null)
            .assert_status(200)
            .json()
    }

    /// `faas-cli deploy`: an update, and where there is nothing to update a new function.
    fn deploy(&self, deployment: &Value) -> u16 {
        match self.send("PUT", "/system/functions", deployment).status {
            404 => self.send("POST", "/system/functions", deployment).status,
            status => status,
        }
    }
}

fn logged_in(gateway: &Gateway) -> Cli<'_> {
    let (user, password) = gateway.credentials();
    Cli {
        gateway,
        authorization: basic(&user, &password),
    }
}

fn deployment() -> Value {
    json!({
        "service": "shout", "image": "functions/alpine:latest", "network": "", "namespace": "",
        "envProcess": "tr a-z A-Z", "envVars": {}, "constraints": null, "secrets": [],
        "labels": {}, "annotations": {}, "limits": null, "requests": null,
        "readOnlyRootFilesystem": false,
    })
}

#[test]
fn login_tells_good_from_bad_credentials() {
    let gateway = Gateway::start("");
    let cli = logged_in(&gateway);
    assert_eq!(
        cli.send("GET", "/system/functions", &Value::Null).status,
        200
    );
    let wrong = Cli {
        gateway: &gateway,
        authorization: basic("admin", "wrong"),
    };
    assert_eq!(
        wrong.send("GET", "/system/functions", &Value::Null).status,
        401
    );
}

#[test]
fn deploy_list_describe_invoke_and_remove() {
    let gateway = Gateway::start("");
    let cli = logged_in(&gateway);
    assert_eq!(cli.deploy(&deployment()), 202);
    assert_eq!(
        cli.deploy(&deployment()),
        202,
        "it exists already, rolling update"
    );

    let list = cli.get("/system/functions?namespace=");
    let entry = &list[0];
    for key in ["name", "image", "invocationCount", "replicas", "createdAt"] {
        assert!(!entry[key].is_null(), "{key} in {entry}");
    }
    let described = cli.get("/system/function/shout?usage=1&namespace=openfaas-fn");
    assert_eq!(
        (&described["name"], &described["availableReplicas"]),
        (&json!("shout"), &json!(1))
    );
    assert_eq!(
        cli.send("GET", "/system/function/nobody?usage=1", &Value::Null)
            .status,
        404
    );

    // The client of 2026 always names the namespace, the one of 2019 never does.
    for path in ["/function/shout.openfaas-fn", "/function/shout"] {
        let reply = gateway.request("POST", path, &[("Content-Type", "text/plain")], "hi");
        assert_eq!(reply.assert_status(200).text(), "HI");
    }
    // `--replace`: removed first, whatever comes of it.
    let remove = json!({ "functionName": "shout", "namespace": "" });
    assert_eq!(cli.send("DELETE", "/system/functions", &remove).status, 202);
    assert_eq!(
        cli.send("POST", "/system/functions", &deployment()).status,
        202
    );
    assert_eq!(cli.send("DELETE", "/system/functions", &remove).status, 202);
    assert_eq!(cli.send("DELETE", "/system/functions", &remove).status, 404);
}

#[test]
fn logs_of_a_function() {
    let gateway = Gateway::start("");
    let cli = logged_in(&gateway);
    cli.deploy(&deployment());
    gateway.post("/function/shout", "hi").assert_status(200);
    let path = "/system/logs?follow=false&name=shout&tail=-1&namespace=openfaas-fn";
    let reply = cli.send("GET", path, &Value::Null).assert_status(200);
    for line in reply.text().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for key in ["name", "namespace", "instance", "timestamp", "text"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
    }
}

#[test]
fn secrets_are_created_updated_listed_applied_and_removed() {
    let gateway = Gateway::start("");
    let cli = logged_in(&gateway);
    let send = |method: &str, body: Value| cli.send(method, "/system/secrets", &body).status;
    let secret = json!({ "name": "key", "namespace": "openfaas-fn", "value": "one" });
    assert_eq!(send("POST", secret.clone()), 201);
    assert_eq!(send("POST", secret.clone()), 409, "then it replaces it");
    assert_eq!(send("PUT", secret.clone()), 200);
    let listed = cli.get("/system/secrets?namespace=openfaas-fn");
    assert_eq!(
        listed,
        json!([{ "name": "key", "namespace": "openfaas-fn" }])
    );
    // `secret apply` removes what is there and creates it again, while functions use it.
    let mut reader = deployment();
    reader["secrets"] = json!(["key"]);
    assert_eq!(cli.deploy(&reader), 202);
    crate::harness::eventually("it has been given the secret", || {
        cli.get("/system/function/shout")["availableReplicas"] == 1
    });
    let named = json!({ "name": "key", "namespace": "openfaas-fn" });
    assert_eq!(send("DELETE", named.clone()), 202, "204 is an error to it");
    gateway.post("/function/shout", "hi").assert_status(200);
    assert_eq!(send("POST", secret), 201);
    assert_eq!(send("DELETE", named.clone()), 202);
    assert_eq!(send("DELETE", named), 404);
}

#[test]
fn namespaces_are_created_shown_updated_and_removed() {
    let gateway = Gateway::start("");
    let cli = logged_in(&gateway);
    let namespace = json!({
        "name": "dev", "labels": { "openfaas": "1" }, "annotations": { "openfaas": "1" },
    });
    assert_eq!(
        cli.send("POST", "/system/namespace/", &namespace).status,
        201
    );
    assert_eq!(cli.get("/system/namespaces"), json!(["openfaas-fn", "dev"]));
    assert_eq!(cli.get("/system/namespace/dev"), namespace);
    assert_eq!(
        cli.send("PUT", "/system/namespace/dev", &namespace).status,
        202
    );
    let remove = json!({ "name": "dev", "labels": { "openfaas": "1" } });
    assert_eq!(
        cli.send("DELETE", "/system/namespace/dev", &remove).status,
        202
    );
    assert_eq!(
        cli.send("GET", "/system/namespace/dev", &Value::Null)
            .status,
        404
    );
}

#[test]
fn version_and_ready() {
    let gateway = Gateway::start("functions: { fig: { process: cat } }\n");
    let cli = logged_in(&gateway);
    let info = cli.get("/system/info");
    for version in [&info["version"], &info["provider"]["version"]] {
        assert!(
            version["release"].is_string() && version["sha"].is_string(),
            "{info}"
        );
    }
    assert_ne!(
        info["provider"]["provider"], "faasd",
        "clients expect less of that one"
    );
    gateway.get("/healthz").assert_status(200);
    crate::harness::eventually("fig is ready", || {
        cli.get("/system/function/fig?usage=1")["availableReplicas"] == 1
    });
}

#[test]
fn without_a_password_an_empty_token_is_no_obstacle() {
    let gateway = Gateway::start("admin: { basic_auth: { enabled: false } }\n");
    let cli = Cli {
        gateway: &gateway,
        authorization: "Bearer ".to_owned(),
    };
    assert_eq!(cli.deploy(&deployment()), 202);
    assert_eq!(cli.get("/system/functions")[0]["name"], "shout");
}

#[test]
fn in_front_of_a_remote_provider_its_answers_come_through() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    let cli = logged_in(&gateway);
    assert_eq!(cli.deploy(&deployment()), 202);
    assert_eq!(
        cli.get("/system/functions")[0]["image"],
        "example.org/fig:1"
    );
    let described = cli.get("/system/function/fig?usage=1");
    assert_eq!(
        (&described["name"], &described["annotations"]),
        (&json!("fig"), &Value::Null)
    );
    let nobody = cli.send("GET", "/system/function/nobody", &Value::Null);
    assert_eq!(
        (nobody.status, nobody.text().as_str()),
        (404, "nobody not found")
    );
    let scaled = cli.send(
        "POST",
        "/system/scale-function/fig",
        &json!({ "replicas": 2 }),
    );
    assert_eq!(
        (scaled.status, scaled.header("X-Answer-Of")),
        (202, "provider")
    );
    assert_eq!(cli.get("/system/secrets")[0]["name"], "a-secret");
    assert_eq!(cli.get("/system/info")["provider"]["provider"], "played");
}
