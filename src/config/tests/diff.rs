//! What a reload says it changes, line by line.

use super::super::diff::diff;
use super::{Flags, config, read};

fn lines(old: &str, new: &str) -> String {
    let changes = diff(&config(old), &config(new));
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn hash(text: &str) -> String {
    read(text, &[], &Flags::default()).ok().unwrap().hash
}

const CAT: &str = "functions: { a: { process: cat } }";

/// What is written before, what after, and the lines about it.
const CHANGES: &[(&str, &str, &str)] = &[
    ("", "timeouts: { write: 9 }", "timeouts.write: 8s -> 9s"),
    (
        "",
        "server: { listen: \"127.0.0.1:1\", threads: 2, h2c: true }",
        "server.h2c: false -> true (after a restart)\n\
         server.listen: 0.0.0.0:8080 -> 127.0.0.1:1 (after a restart)\n\
         server.threads: auto -> 2 (after a restart)",
    ),
    (
        "",
        "server: { metrics: \"127.0.0.1:1\", max_connections: 5, upstream_keepalive: 6 }",
        "server.max_connections: 20000 -> 5 (after a restart)\n\
         server.metrics: 0.0.0.0:8082 -> 127.0.0.1:1 (after a restart)\n\
         server.upstream_keepalive: 1024 -> 6 (after a restart)",
    ),
    (
        "",
        "server: { trusted_proxies: [10.0.0.0/8], drain: { delay: 1s } }",
        "server.drain.delay: 0s -> 1s\n\
         server.trusted_proxies: [\"127.0.0.0/8\",\"::1/128\"] -> [\"10.0.0.0/8\"]",
    ),
    (
        "",
        "admin: { listen: \"127.0.0.1:1\" }\naccess_log: { format: off, output: stderr }",
        "access_log.format: json -> off\n\
         access_log.output: stdout -> stderr (after a restart)\n\
         admin.listen: added, 127.0.0.1:1 (after a restart)",
    ),
    (
        "provider: { state_dir: /a }",
        "provider: { state_dir: /b }\nadmin: { basic_auth: { enabled: false } }",
        "admin.basic_auth.enabled: true -> false\n\
         admin.basic_auth.password_file: removed, was /a/auth/basic-auth-password\n\
         admin.basic_auth.user_file: removed, was /a/auth/basic-auth-user\n\
         provider.state_dir: /a -> /b (after a restart)",
    ),
    (
        "",
        "provider: { url: \"http://p:1\" }",
        "provider.direct: added (after a restart)\n\
         provider.images: removed (after a restart)\n\
         provider.isolation: removed, was basic (after a restart)\n\
         provider.kind: process -> remote (after a restart)\n\
         provider.logs_url: added, http://p:1/ (after a restart)\n\
         provider.namespace: added, \"\" (after a restart)\n\
         provider.namespaces: removed, was [\"openfaas-fn\"] (after a restart)\n\
         provider.url: added, http://p:1/ (after a restart)",
    ),
    (
        "provider: { url: \"http://p:1\" }",
        "provider: { url: \"http://q:1\" }",
        "provider.logs_url: http://p:1/ -> http://q:1/\n\
         provider.url: http://p:1/ -> http://q:1/",
    ),
    ("", CAT, "functions.a: added"),
    (CAT, "", "functions.a: removed"),
    (
        CAT,
        "functions: { a: { process: cat -n, concurrency: 2, labels: { x.y: \"1\" } } }",
        "functions.a.concurrency: added, 2\n\
         functions.a.labels.x.y: added, 1\n\
         functions.a.process: [\"cat\"] -> [\"cat\",\"-n\"]",
    ),
    (
        CAT,
        "functions: { a: { process: cat, timeouts: { upstream: 5m, exec: 1s }, dir: /x } }",
        "functions.a.dir: added, /x\n\
         functions.a.timeouts.exec: 0s -> 1s\n\
         functions.a.timeouts.upstream: 8s -> 5m",
    ),
    (
        CAT,
        "functions: { a: { process: cat, secrets: [key], limits: { memory: 64Mi, cpu: 0.5 } } }",
        "functions.a.limits.cpu: added, 500m\n\
         functions.a.limits.memory: added, 64Mi\n\
         functions.a.secrets: [] -> [\"key\"]",
    ),
    (
        "",
        "provider: { isolation: sandbox }",
        "provider.isolation: basic -> sandbox (after a restart)",
    ),
    (
        CAT,
        "timeouts: { upstream: 5m }\nfunctions: { a: { process: cat }, b: { process: cat } }",
        "functions.b: added\n\
         timeouts.upstream: 8s -> 5m",
    ),
    (
        "functions: { a: { process: cat }, b: { process: cat, timeouts: { read: 1s } } }",
        "timeouts: { read: 2s }\n\
         functions: { a: { process: cat }, b: { process: cat, timeouts: { read: 3s } } }",
        "functions.b.timeouts.read: 1s -> 3s\n\
         timeouts.read: 8s -> 2s",
    ),
    (
        "routes: [{ host: a, function: f }]",
        "routes: [{ host: b, function: f }]",
        "routes: [{\"function\":\"f\",\"host\":\"a\",\"path\":\"/*\"}] -> \
         [{\"function\":\"f\",\"host\":\"b\",\"path\":\"/*\"}]",
    ),
    (
        "functions: { a: { process: cat, annotations: { x: one } } }",
        "functions: { a: { process: cat, annotations: { x: \"two\\nlines\" } } }",
        "functions.a.annotations.x: one -> \"two\\nlines\"",
    ),
    (
        "functions: { a: { process: cat, environment: { A: s3cret, B: s3cret } } }",
        "functions: { a: { process: cat, environment: { A: s4cret, C: s3cret } } }",
        "functions.a.environment.A: changed, stays hidden\n\
         functions.a.environment.B: removed, was ****\n\
         functions.a.environment.C: added, ****",
    ),
    (
        "provider: { url: \"http://u:s3cret@p:1\" }",
        "provider: { url: \"http://u:s4cret@p:1\" }",
        "provider.logs_url: changed, stays hidden\nprovider.url: changed, stays hidden",
    ),
];

#[test]
fn each_changed_key_is_one_line() {
    for (old, new, expected) in CHANGES {
        assert_eq!(lines(old, new), *expected, "\nfrom: {old}\nto: {new}");
    }
}

#[test]
fn no_change_is_no_line() {
    for text in ["", CAT, "provider: { url: \"http://p\" }"] {
        assert_eq!(lines(text, text), "");
    }
    assert_eq!(
        lines(
            "timeouts: { read: 60s }",
            "timeouts: { read: 1m } # said otherwise"
        ),
        ""
    );
}

#[test]
fn the_digest_is_that_of_the_values() {
    assert_eq!(
        hash(""),
        hash("# a comment\nversion: 1\ntimeouts: { read: 8 }\n")
    );
    assert_eq!(
        hash(CAT),
        hash("functions: { a.openfaas-fn: { process: [cat] } }")
    );
    for (old, new, _) in CHANGES {
        assert_ne!(hash(old), hash(new), "\nfrom: {old}\nto: {new}");
    }
    assert_eq!(hash("").len(), 16);
}

#[test]
fn a_value_from_a_file_stays_hidden_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("ui: {{ store: \"${{file:{}}}\" }}", path.display())
    };
    let (old, new) = (file("old", "s3cret"), file("new", "s4cret"));
    assert_eq!(lines(&old, &new), "ui.store: changed, stays hidden");
    assert_eq!(lines("", &new), "ui.store: added, ****");
    assert_eq!(lines(&old, "ui: { store: open }"), "ui.store: **** -> open");
    assert_ne!(hash(&old), hash(&new));
}
