//! `GET /system/logs` (wire.md section 11).

use serde_json::{Value, json};

use crate::harness::{Connection, Gateway, Signal, basic, eventually};

const FIG: &str = "functions: { fig: { process: cat } }\n";

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn read(gateway: &Gateway, query: &str) -> Vec<Value> {
    let reply = gateway
        .admin("GET", &format!("/system/logs?{query}"), "")
        .assert_status(200);
    assert_eq!(reply.header("Content-Type"), "application/x-ndjson");
    lines(&reply.text())
}

/// A connection on which the lines to come are read.
#[track_caller]
fn follow(gateway: &Gateway, query: &str) -> Connection {
    let (user, password) = gateway.credentials();
    let mut connection = gateway.connect();
    let authorization = basic(&user, &password);
    let headers = [("Authorization", authorization.as_str())];
    connection.send_head("GET", &format!("/system/logs?{query}"), &headers);
    let head = connection.head();
    assert_eq!(head.word(1), "200", "{head:?}");
    connection
}

#[test]
fn lines_are_json_and_the_response_ends() {
    let gateway = Gateway::start(FIG);
    gateway
        .post("/function/fig", "hello world")
        .assert_status(200);
    let lines = read(&gateway, "name=fig&namespace=&follow=false&tail=-1");
    for line in &lines {
        assert_eq!(
            (&line["name"], &line["namespace"]),
            (&json!("fig"), &json!("openfaas-fn"))
        );
        let timestamp = line["timestamp"].as_str().unwrap();
        assert_eq!(
            (timestamp.len(), timestamp.ends_with('Z')),
            (30, true),
            "{timestamp}"
        );
        assert!(
            line["instance"]
                .as_str()
                .is_some_and(|name| name.starts_with("fig-")),
            "{line}"
        );
    }
    let texts: Vec<_> = lines
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    assert!(texts[0].starts_with("Forking fprocess"), "{texts:?}");
    assert!(texts[1].starts_with("Wrote 11 Bytes"), "{texts:?}");
}

#[test]
fn tail_since_and_instance_choose_lines() {
    let gateway = Gateway::start(FIG);
    for _ in 0..3 {
        gateway.post("/function/fig", "x").assert_status(200);
    }
    let all = read(&gateway, "name=fig");
    assert_eq!(all.len(), 6);
    assert_eq!(read(&gateway, "name=fig&tail=2"), all[4..]);
    assert_eq!(read(&gateway, "name=fig&tail=0"), all);
    let since = all[2]["timestamp"].as_str().unwrap();
    assert_eq!(read(&gateway, &format!("name=fig&since={since}")), all[2..]);
    assert_eq!(
        read(&gateway, "name=fig&since=2999-01-01T00:00:00%2B02:00"),
        Vec::<Value>::new()
    );
    let instance = all[0]["instance"].as_str().unwrap();
    assert_eq!(
        read(&gateway, &format!("name=fig&instance={instance}")),
        all
    );
    assert_eq!(
        read(&gateway, "name=fig&instance=other"),
        Vec::<Value>::new()
    );
}

#[test]
fn what_cannot_be_read_is_told() {
    let gateway = Gateway::start(FIG);
    for (query, status, reason) in [
        ("", 400, "bad_request"),
        ("name=", 400, "bad_request"),
        ("name=nobody", 404, "not_found"),
        ("name=fig&namespace=nowhere", 404, "not_found"),
        ("name=fig&tail=many", 422, "unreadable"),
        ("name=fig&since=yesterday", 422, "unreadable"),
    ] {
        let reply = gateway.admin("GET", &format!("/system/logs?{query}"), "");
        reply.assert_error(status, reason);
    }
}

#[test]
fn who_follows_gets_each_line_at_once_until_the_function_is_removed() {
    let gateway = Gateway::start("");
    let deployed = json!({ "service": "fig", "image": "i", "envProcess": "cat" });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    gateway.post("/function/fig", "x").assert_status(200);
    let mut connection = follow(&gateway, "name=fig&follow=true&tail=1");
    let mut next = || {
        let chunk = connection.wire.read_chunk().unwrap()?;
        Some(lines(&String::from_utf8(chunk).unwrap()))
    };
    let before = next().unwrap();
    assert_eq!(before.len(), 1, "{before:?}");
    gateway.post("/function/fig", "four").assert_status(200);
    let mut after = Vec::new();
    while after.len() < 2 {
        after.extend(next().expect("it goes on"));
    }
    assert!(
        after[1]["text"]
            .as_str()
            .unwrap()
            .starts_with("Wrote 4 Bytes"),
        "{after:?}"
    );
    let remove = json!({ "functionName": "fig" });
    gateway
        .admin("DELETE", "/system/functions", remove.to_string())
        .assert_status(202);
    assert_eq!(next(), None, "it ends well");
}

#[test]
fn who_hangs_up_leaves_room_for_others() {
    let gateway = Gateway::start(FIG);
    // More than the API serves at once.
    for _ in 0..300 {
        drop(follow(&gateway, "name=fig&follow=true"));
    }
    gateway.admin("GET", "/system/info", "").assert_status(200);
}

#[test]
fn who_follows_does_not_hold_up_the_end() {
    let mut gateway = Gateway::start(&format!(
        "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", drain: {{ timeout: 1h }} }}\n{FIG}"
    ));
    let mut connection = follow(&gateway, "name=fig&follow=true");
    gateway.signal(Signal::TERM);
    assert_eq!(
        connection.wire.read_chunk().unwrap(),
        None,
        "the stream ends well"
    );
    assert_eq!(gateway.wait_exit().code, Some(0));
}

#[test]
fn the_log_outlives_an_update() {
    let gateway = Gateway::start("");
    let deployed = |command: &str| {
        json!({ "service": "fig", "image": "i", "envProcess": command }).to_string()
    };
    gateway
        .admin("POST", "/system/functions", deployed("cat"))
        .assert_status(202);
    gateway.post("/function/fig", "x").assert_status(200);
    gateway
        .admin("PUT", "/system/functions", deployed("echo new"))
        .assert_status(202);
    eventually("the new command answers", || {
        gateway.get("/function/fig").text() == "new\n"
    });
    let instances: std::collections::BTreeSet<_> = read(&gateway, "name=fig")
        .iter()
        .map(|line| line["instance"].to_string())
        .collect();
    assert_eq!(instances.len(), 2, "{instances:?}");
}
