//! Nothing shows a secret: neither the masked tree, nor `Debug`, nor a line of refusal.

use serde_json::json;

use super::super::masked;
use super::{Flags, config, config_with, read, shown};

/// In every value of the file below that must not be shown.
const SECRET: &str = "s3cret";

/// A file with a secret wherever one can be; `FILE` stands for a `${file:}` that holds it.
const TEXT: &str = r#"
admin:
  basic_auth: { user_file: "/u/FILE", password_file: /p }
  auth_proxy_url: "http://u:s3cret@auth/"
ui: { store: "FILE" }
provider: { namespaces: [openfaas-fn, "FILE"] }
queue:
  kind: jetstream
  jetstream: { url: "nats://u:s3cret@n:4222, nats://v:s3cret@m:4222", stream: "FILE" }
scale: { prometheus: { host: "FILE" } }
functions:
  a:
    process: [sh, -c, "echo FILE", "curl http://u:s3cret@x http://y 'http://v:s3cret@z'"]
    dir: "/FILE"
    environment: { TOKEN: s3cret, FROM: "FILE", LINK: "http://u:s3cret@x" }
    labels: { com.example.token: "FILE" }
    annotations: { link: "http://u:s3cret@x/p@q" }
    ready_path: "/FILE"
    content_type: "FILE"
  b: { process: "echo FILE" }
  c: { upstream: "http://FILE:1" }
  d: { upstream: ["http://open:1", "http://FILE:1"] }
routes: [{ host: "FILE", path: "/FILE", function: a }]
access_log: { output: "/FILE" }
"#;

fn with_secrets() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    std::fs::write(&path, SECRET).unwrap();
    let text = TEXT.replace("FILE", &format!("${{file:{}}}", path.display()));
    (folder, text)
}

#[test]
fn no_secret_is_shown() {
    let (_folder, text) = with_secrets();
    let config = config(&text);
    let tree = masked(&config);
    assert!(!tree.to_string().contains(SECRET), "{tree:#}");
    for (key, expected) in [
        ("admin.basic_auth.user_file", json!("****")),
        ("admin.basic_auth.password_file", json!("/p")),
        ("admin.auth_proxy_url", json!("http://****@auth/")),
        ("provider.namespaces", json!("****")),
        (
            "queue.jetstream.url",
            json!("nats://****@n:4222,nats://****@m:4222"),
        ),
        ("queue.jetstream.subject", json!("****")),
        (
            "functions.a.process",
            json!([
                "sh",
                "-c",
                "****",
                "curl http://****@x http://y 'http://****@z'"
            ]),
        ),
        (
            "functions.a.environment",
            json!({ "TOKEN": "****", "FROM": "****", "LINK": "****" }),
        ),
        ("functions.a.labels", json!({ "com.example.token": "****" })),
        (
            "functions.a.annotations",
            json!({ "link": "http://****@x/p@q" }),
        ),
        ("functions.b.process", json!("****")),
        ("functions.d.upstream", json!(["http://open:1", "****"])),
        (
            "routes",
            json!([{ "host": "****", "path": "****", "function": "a" }]),
        ),
    ] {
        assert_eq!(shown(&config, key), expected, "{key}");
    }
}

#[test]
fn a_value_that_another_takes_over_is_as_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let text = |file_text: &str, text: &str| {
        std::fs::write(&path, file_text).unwrap();
        config(&text.replace("FILE", &format!("${{file:{}}}", path.display())))
    };
    let limits = text(
        "7s",
        "timeouts: { idle: \"FILE\" }\nfunctions: { a: { process: cat } }",
    );
    assert_eq!(shown(&limits, "functions.a.timeouts.idle"), "****");
    assert_eq!(shown(&limits, "functions.a.timeouts.read"), "8s");
    let remote = text("http://p:1", "provider: { url: \"FILE\" }");
    assert_eq!(shown(&remote, "provider.url"), "****");
    assert_eq!(shown(&remote, "provider.logs_url"), "****");
    let state = text("/s", "provider: { state_dir: \"FILE\" }");
    assert_eq!(shown(&state, "admin.basic_auth.user_file"), "****");
    let namespace = text("ns", "provider: { namespace: \"FILE\" }");
    assert_eq!(shown(&namespace, "provider.namespaces"), "****");
}

#[test]
fn debug_shows_no_secret() {
    let (_folder, text) = with_secrets();
    let debugged = format!("{:?}", config(&text));
    assert!(!debugged.contains(SECRET), "{debugged}");
    assert!(debugged.contains("functions"), "{debugged}");

    let url = [("functions_provider_url", "http://u:s3cret@p:1")];
    let provider = format!("{:?}", config_with("", &url).provider);
    assert!(!provider.contains(SECRET), "{provider}");
    assert!(provider.contains("****@p:1"), "{provider}");

    let function = config("functions: { a: { process: cat, environment: { A: s3cret } } }");
    let debugged = format!("{:?}", function.functions);
    assert!(!debugged.contains(SECRET), "{debugged}");

    let raw = format!("{:?}", super::super::file::parse(&text));
    assert!(raw.contains("environment"), "{raw}");
    assert!(!raw.contains(SECRET), "{raw}");
}

#[test]
fn a_refusal_shows_no_secret() {
    let (_folder, text) = with_secrets();
    let file = text.lines().find(|line| line.starts_with("ui:")).unwrap();
    let value = file
        .trim_start_matches("ui: { store: ")
        .trim_end_matches(" }");
    for (text, expected) in [
        (
            format!("timeouts: {{ read: {value} }}"),
            "g.yaml:1:19: `timeouts.read`: `****` is not a duration, write it like `30s`, `1m30s` \
             or `250ms`",
        ),
        (
            "functions: { a: { upstream: \"http://u:s3cret@a\" } }".to_owned(),
            "g.yaml:1:29: `functions.a.upstream`: `http://****@a` names a user, credentials are \
             not sent to functions",
        ),
        (
            format!("routes: [{{ host: \"a b\", path: {value}, function: {value} }}]"),
            "g.yaml:1:18: `routes.0.host`: `a b` is not a host name, write it without scheme, port \
             and `*`",
        ),
        (
            format!(
                "functions: {{ f: {{ process: cat }} }}\nroutes:\n  - host: {value}\n    path: {value}\n    function: f\n  - path: /x\n    function: {value}/"
            ),
            "",
        ),
    ] {
        let Err(error) = read(&text, &[], &Flags::default()) else {
            panic!("accepted: {text}");
        };
        let lines = error.to_string();
        assert!(!lines.contains(SECRET), "{lines}");
        assert!(expected.is_empty() || lines == expected, "{lines}");
    }
}
