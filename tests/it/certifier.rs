//! What the public certifier suite asks of a provider (users.md section 4.3), test by test; scaling by
//! load is in `autoscaler.rs`.

use serde_json::{Value, json};

use crate::harness::{Gateway, eventually};

const YAML: &str = "provider:\n  state_dir: @DIR@/state\n  namespaces: [openfaas-fn, certifier-test]\n  \
    images:\n    \"*theaxer/redirector:*\": { dir: \"@DIR@\", mode: http }\n";

/// The functions' image, and a program in the role of the redirector.
const ALPINE: &str = "docker.io/functions/alpine:latest";
const REDIRECTOR: &str = "#!/usr/bin/env python3\n\
    import os\n\
    from http.server import BaseHTTPRequestHandler, HTTPServer\n\
    class Handler(BaseHTTPRequestHandler):\n\
    \x20   def do_GET(self):\n\
    \x20       self.send_response(302)\n\
    \x20       self.send_header('Location', os.environ['destination'])\n\
    \x20       self.end_headers()\n\
    HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()\n";

fn gateway() -> Gateway {
    let setup = Gateway::with(YAML).file("handler", REDIRECTOR);
    let handler = setup.dir().join("handler");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(handler, mode).unwrap();
    setup.start()
}

#[track_caller]
fn deploy(gateway: &Gateway, deployment: &Value) {
    gateway
        .admin("POST", "/system/functions", deployment.to_string())
        .assert_status(202);
}

#[test]
fn deploy_metadata() {
    let gateway = gateway();
    let blob = "{\"canary_build\":\"true\",\"nested\":{\"a\":[1,2]}}";
    for namespace in ["", "certifier-test"] {
        for (name, extra) in [
            ("stronghash", json!({ "envProcess": "sha512sum" })),
            (
                "env-test-annotations",
                json!({ "envProcess": "env", "annotations": { "important": blob } }),
            ),
            (
                "memory-limit",
                json!({ "envProcess": "env", "limits": { "memory": "5Mi", "cpu": "100m" } }),
            ),
        ] {
            let mut deployment =
                json!({ "service": name, "image": ALPINE, "namespace": namespace });
            let extra = extra.as_object().unwrap().clone();
            deployment.as_object_mut().unwrap().extend(extra.clone());
            deploy(&gateway, &deployment);
            let path = format!("/system/function/{name}?namespace={namespace}&usage=1");
            let status = gateway.admin("GET", &path, "").assert_status(200).json();
            assert!(
                status["labels"].is_object() && status["annotations"].is_object(),
                "{status}"
            );
            assert_eq!(status["labels"]["faas_function"], name);
            for (key, value) in &extra {
                assert_eq!(status[key], *value, "{key}");
            }
            let there = |key: &str| status.get(key).is_some();
            assert!(!there("envVars") && !there("requests"), "{status}");
            assert_eq!(there("limits"), name == "memory-limit");
        }
        let path = format!("/system/functions?namespace={namespace}");
        let listed = gateway.admin("GET", &path, "").assert_status(200).json();
        let expected = if namespace.is_empty() {
            "openfaas-fn"
        } else {
            namespace
        };
        let here = |entry: &&Value| entry["namespace"] == expected;
        assert_eq!(
            listed.as_array().unwrap().iter().filter(here).count(),
            3,
            "{listed}"
        );
    }
}

#[test]
fn namespaces_health_and_info() {
    let gateway = gateway();
    let namespaces = gateway.admin("GET", "/system/namespaces", "").json();
    assert_eq!(namespaces, json!(["openfaas-fn", "certifier-test"]));
    gateway.get("/healthz").assert_status(200);
    let info = gateway.admin("GET", "/system/info", "").json();
    for filled in [
        &info["provider"]["provider"],
        &info["provider"]["orchestration"],
        &info["provider"]["version"]["release"],
        &info["provider"]["version"]["sha"],
        &info["version"]["release"],
        &info["version"]["sha"],
    ] {
        assert!(
            filled.as_str().is_some_and(|text| !text.is_empty()),
            "{info}"
        );
    }
}

#[test]
fn invoke_of_an_empty_name_is_not_found() {
    for name in ["", ".openfaas-fn"] {
        let status = gateway().get(&format!("/function/{name}")).status;
        assert!([404, 502].contains(&status), "{name}: {status}");
    }
}

#[test]
fn invoke_with_every_verb_a_query_and_a_redirect() {
    let gateway = gateway();
    deploy(
        &gateway,
        &json!({
            "service": "env-test-verbs", "image": ALPINE, "envProcess": "env",
            "envVars": { "custom_env": "custom_env_value" },
        }),
    );
    let path = "/function/env-test-verbs.openfaas-fn";
    for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let reply = gateway.request(verb, path, &[], "").assert_status(200);
        assert!(
            reply.text().contains(&format!("Http_Method={verb}\n")),
            "{reply:?}"
        );
        assert!(!reply.header("X-Call-Id").is_empty() && !reply.header("X-Start-Time").is_empty());
    }
    let reply = gateway.get(&format!("{path}?testing=1")).text();
    assert!(
        reply.contains("Http_Query=testing=1\n") && reply.contains("custom_env=custom_env_value")
    );

    deploy(
        &gateway,
        &json!({
            "service": "redirector-test", "image": "docker.io/theaxer/redirector:latest",
            "envProcess": "./handler", "envVars": { "destination": "http://example.com" },
        }),
    );
    let reply = gateway
        .get("/function/redirector-test.openfaas-fn")
        .assert_status(302);
    assert_eq!(reply.header("Location"), "http://example.com");
}

#[test]
fn logs_have_the_watchdogs_lines() {
    let gateway = gateway();
    deploy(
        &gateway,
        &json!({ "service": "test-logger", "image": "functions/alpine:latest", "envProcess": "cat" }),
    );
    let reply = gateway
        .post("/function/test-logger.openfaas-fn", "hello world")
        .assert_status(200);
    assert_eq!(reply.text(), "hello world");
    let path = "/system/logs?name=test-logger&namespace=&follow=false";
    let text = gateway.admin("GET", path, "").assert_status(200).text();
    let stripped: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["text"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .map(|text| {
            text.trim_start_matches(|c: char| c.is_ascii_digit() || " /:".contains(c))
                .to_owned()
        })
        .collect();
    assert!(stripped[0].starts_with("Forking fprocess"), "{stripped:?}");
    assert!(stripped[1].starts_with("Wrote 11 Bytes"), "{stripped:?}");
}

#[test]
fn scale_to_the_minimum_and_from_zero_during_an_invocation() {
    let gateway = gateway();
    let labels = json!({ "com.openfaas.scale.min": "2", "com.openfaas.scale.max": "2" });
    deploy(
        &gateway,
        &json!({
            "service": "test-min-scale", "image": ALPINE, "envProcess": "sha512sum", "labels": labels,
        }),
    );
    let replicas = |name: &str| {
        let path = format!("/system/function/{name}?namespace=&usage=1");
        gateway.admin("GET", &path, "").json()["replicas"].clone()
    };
    assert_eq!(replicas("test-min-scale"), 2);

    let name = "test-scale-from-zero";
    deploy(
        &gateway,
        &json!({ "service": name, "image": ALPINE, "envProcess": "sha512sum" }),
    );
    let body = json!({ "serviceName": name, "replicas": 0 }).to_string();
    gateway
        .admin(
            "POST",
            &format!("/system/scale-function/{name}?namespace="),
            body,
        )
        .assert_status(202);
    assert_eq!(replicas(name), 0);
    gateway
        .post(&format!("/function/{name}.openfaas-fn"), "hi")
        .assert_status(200);
}

#[test]
fn secrets_are_seen_as_they_are_and_change_with_an_update() {
    let gateway = gateway();
    let send = |method: &str, path: &str, body: &Value| {
        let status = gateway.admin(method, path, body.to_string()).status;
        assert!(
            [200, 201, 202].contains(&status),
            "{method} {path}: {status}"
        );
    };
    let function = json!({
        "service": "secret-string", "image": ALPINE, "secrets": ["secret-name"],
        "envProcess": "cat /var/openfaas/secrets/secret-name",
    });
    send(
        "POST",
        "/system/secrets",
        &json!({ "name": "secret-name", "value": "secret-value" }),
    );
    send("POST", "/system/functions", &function);
    let read = || {
        gateway
            .get("/function/secret-string.openfaas-fn")
            .assert_status(200)
            .text()
    };
    assert_eq!(read(), "secret-value");
    send(
        "PUT",
        "/system/secrets",
        &json!({ "name": "secret-name", "value": "updated" }),
    );
    send("PUT", "/system/functions", &function);
    eventually("the new value is seen", || read() == "updated");
    send(
        "DELETE",
        "/system/functions",
        &json!({ "functionName": "secret-string" }),
    );
    send(
        "DELETE",
        "/system/secrets",
        &json!({ "name": "secret-name" }),
    );
    assert_eq!(
        gateway.admin("GET", "/system/secrets", "").json(),
        json!([])
    );
}
