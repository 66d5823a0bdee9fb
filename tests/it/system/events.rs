//! `GET /system/events`: what changes, as it changes.

use serde_json::{Value, json};

use crate::harness::{
    Connection, Gateway, Signal, Upstream, basic, eventually, eventually_some, under_load,
    unused_port,
};

/// One who listens.
struct Listener {
    connection: Connection,
    text: String,
}

impl Listener {
    #[track_caller]
    fn new(gateway: &Gateway) -> Self {
        let mut connection = open(gateway);
        let head = connection.head();
        assert_eq!(head.word(1), "200", "{head:?}");
        let kind = head.headers.get("Content-Type");
        assert_eq!(kind, Some("text/event-stream"), "{head:?}");
        Self {
            connection,
            text: String::new(),
        }
    }

    /// The next event as it is on the wire; `None` at the end of the stream.
    #[track_caller]
    fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let chunk = self.connection.wire.read_chunk().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event of this name.
    #[track_caller]
    fn next(&mut self, name: &str) -> Value {
        eventually_some(&format!("an event {name}"), || {
            let block = self.block().expect("it goes on");
            let mut lines = block.lines();
            if lines.next() != Some(&format!("event: {name}")) {
                return None;
            }
            let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
            Some(serde_json::from_str(data).unwrap())
        })
    }

    /// Waits until a function is told to be so, and returns its row.
    #[track_caller]
    fn row(&mut self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually_some(&format!("a row of {id}"), || {
            let told = self.next("functions");
            let rows = told["functions"].as_array().unwrap();
            let row = rows.iter().find(|row| row["id"] == id && is_so(row));
            row.cloned()
        })
    }
}

/// A connection on which the stream is asked for.
#[track_caller]
fn open(gateway: &Gateway) -> Connection {
    let (user, password) = gateway.credentials();
    let mut connection = gateway.connect();
    let authorization = basic(&user, &password);
    let headers = [("Authorization", authorization.as_str())];
    connection.send_head("GET", "/system/events", &headers);
    connection
}

fn ids(told: &Value) -> Vec<&str> {
    let rows = told["functions"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap()).collect()
}

#[test]
fn everything_is_told_first_and_then_what_has_changed() {
    let gateway = Gateway::start("functions: { cat: { process: cat }, dog: { process: cat } }\n");
    gateway.get("/system/events").assert_status(401);
    eventually("both can be called", || {
        ["cat", "dog"].map(|name| gateway.explain(name)["now"]["available"] == 1) == [true; 2]
    });
    let mut listener = Listener::new(&gateway);
    assert_eq!(listener.block().unwrap(), "retry: 2000\n\n");
    let first = listener.next("functions");
    assert_eq!(
        (&first["full"], &first["removed"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(ids(&first), ["cat.openfaas-fn", "dog.openfaas-fn"]);
    let expected = json!({
        "id": "cat.openfaas-fn", "name": "cat", "namespace": "openfaas-fn",
        "replicas": 1, "available": 1, "invocations": 0, "calls_per_second": 0.0,
        "in_flight": 0, "waiting": 0, "queued": 0, "declared": true, "updating": false,
        "problem": null, "last_error": null,
    });
    assert_eq!(first["functions"][0], expected);
    let mut status = listener.next("status");
    let program = status["gateway"].take();
    assert_eq!(program["release"], env!("CARGO_PKG_VERSION"));
    assert!(program["started_at"].as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "gateway": null,
        "config": { "generation": 1, "last_error": null, "pending_restart": [], "warnings": [] },
        "provider": { "kind": "process", "up": true },
        "queue": { "problem": null, "queued": 0, "retrying": 0, "running": 0 },
        "draining": false,
    });
    assert_eq!(status, expected);

    gateway.post("/function/cat", "hi").assert_status(200);
    loop {
        let change = listener.next("functions");
        assert_eq!(
            (&change["full"], &change["removed"]),
            (&json!(false), &json!([]))
        );
        assert_eq!(
            ids(&change),
            ["cat.openfaas-fn"],
            "the other has not changed"
        );
        // It may have been looked at while the call was in flight.
        if change["functions"][0]["invocations"] == 1 {
            break;
        }
    }
    assert_eq!(gateway.function("cat")["invocationCount"], 1);
    // Who comes later is told everything too, and of the same.
    let second = Listener::new(&gateway).next("functions");
    assert_eq!(second["full"], true);
    assert_eq!(second["functions"][0]["invocations"], 1);
}

#[test]
fn functions_that_come_and_go_are_told() {
    let gateway = Gateway::start("");
    let mut listener = Listener::new(&gateway);
    assert_eq!(listener.next("functions")["functions"], json!([]));
    gateway.deploy("fig", json!({}));
    listener.row("fig.openfaas-fn", |row| row["available"] == 1);
    let remove = json!({ "functionName": "fig" }).to_string();
    gateway
        .admin("DELETE", "/system/functions", remove)
        .assert_status(202);
    loop {
        let told = listener.next("functions");
        if told["removed"] == json!(["fig.openfaas-fn"]) {
            break;
        }
    }
}

#[test]
fn an_update_is_told_until_the_new_revision_takes_over() {
    let gateway = Gateway::start("");
    let mut listener = Listener::new(&gateway);
    gateway.deploy("fig", json!({}));
    let row = listener.row("fig.openfaas-fn", |row| row["available"] == 1);
    assert_eq!(
        (&row["declared"], &row["updating"]),
        (&json!(false), &json!(false))
    );
    let update = |command: &str, mode: &str| {
        let body = json!({
            "service": "fig", "image": "i", "envProcess": command, "envVars": { "mode": mode },
        });
        gateway
            .admin("PUT", "/system/functions", body.to_string())
            .assert_status(202);
    };
    // It never serves the port that it is given.
    update("sleep 600", "http");
    let row = listener.row("fig.openfaas-fn", |row| row["updating"] == true);
    assert_eq!(row["available"], 1, "the old one serves: {row}");
    update("rev", "classic");
    listener.row("fig.openfaas-fn", |row| row["updating"] == false);
    assert_eq!(gateway.post("/function/fig", "abc").text().trim(), "cba");
}

#[test]
fn load_and_problems_are_told() {
    let gateway = Gateway::start(
        "functions: { cat: { process: cat }, broken: { process: /no/such/program } }\n",
    );
    let mut listener = Listener::new(&gateway);
    let broken = listener.row("broken.openfaas-fn", |row| !row["problem"].is_null());
    let problem = broken["problem"].as_str().unwrap();
    assert!(problem.contains("/no/such/program"), "{problem}");
    let call = |_| {
        gateway.post("/function/cat", "hi").assert_status(200);
    };
    under_load(1, call, || {
        let busy = listener.row("cat.openfaas-fn", |row| {
            row["calls_per_second"].as_f64() > Some(1.0)
        });
        let rate = busy["calls_per_second"].to_string();
        let digits = rate.replace('.', "");
        let digits = digits.trim_start_matches('0').trim_end_matches('0');
        assert!(digits.len() <= 3, "{rate}");
    });
}

#[test]
fn the_last_error_is_told_with_its_call() {
    let upstream = Upstream::start(|exchange| exchange.reply(500, &[], "no"));
    let gateway = Gateway::start(&format!(
        "{}  gone: {{ upstream: \"http://127.0.0.1:{}\" }}\n  \
         later: {{ upstream: [\"{}\"], retry: {{ attempts: 1 }} }}\n",
        upstream.declared("bad"),
        unused_port(),
        upstream.url()
    ));
    let mut listener = Listener::new(&gateway);
    let mut told = |id: &str| {
        let row = listener.row(id, |row| !row["last_error"].is_null());
        let error = row["last_error"].clone();
        assert!(error["at"].as_str().unwrap().ends_with('Z'), "{error}");
        (
            error["status"].clone(),
            error["reason"].clone(),
            error["call_id"].clone(),
        )
    };
    for (name, id) in [("bad", "one"), ("gone", "two")] {
        let path = format!("/function/{name}");
        gateway.request("GET", &path, &[("X-Call-Id", id)], "");
    }
    let (status, reason, call) = told("bad.openfaas-fn");
    assert_eq!(
        (status, reason, call),
        (json!(500), Value::Null, json!("one"))
    );
    assert_eq!(gateway.function("gone")["invocationCount"], 1);
    gateway.submit_with("later", &[("X-Call-Id", "three")], "");
    let (status, reason, call) = told("later.openfaas-fn");
    assert_eq!(
        (status, reason, call),
        (json!(500), Value::Null, json!("three"))
    );
    // What has been told is told to who comes later.
    let mut late = Listener::new(&gateway);
    let row = late.row("gone.openfaas-fn", |row| !row["last_error"].is_null());
    let error = &row["last_error"];
    assert_eq!(
        (&error["status"], &error["reason"], &error["call_id"]),
        (&json!(502), &json!("connect_failed"), &json!("two"))
    );
}

#[test]
fn where_nothing_changes_there_is_a_beat() {
    let gateway = Gateway::start("");
    let mut listener = Listener::new(&gateway);
    assert_eq!(listener.next("beat"), json!({}));
}

#[test]
fn an_error_outlives_a_reload() {
    let upstream = Upstream::start(|exchange| exchange.reply(500, &[], "no"));
    let config = upstream.declared("bad");
    let gateway = Gateway::start(&config);
    gateway.get("/function/bad").assert_status(500);
    gateway.edit_and_wait(&format!("{config}access_log: {{ format: off }}\n"));
    let told = Listener::new(&gateway).next("functions");
    assert_eq!(told["functions"][0]["last_error"]["status"], 500);
}

#[test]
fn a_configuration_that_is_not_good_is_told() {
    let config = "functions: { cat: { process: cat } }\n";
    let gateway = Gateway::start(config);
    let mut listener = Listener::new(&gateway);
    assert_eq!(listener.next("status")["config"]["last_error"], Value::Null);
    gateway.edit("functions: { cat: { procces: cat } }\n");
    let status = listener.next("status");
    let error = status["config"]["last_error"].as_str().unwrap();
    assert!(error.contains("procces"), "{error}");
    gateway.edit(config);
    assert_eq!(listener.next("status")["config"]["last_error"], Value::Null);
}

#[test]
fn no_more_listen_than_can_be_told() {
    let gateway = Gateway::start("");
    let mut listeners: Vec<_> = (0..64).map(|_| Listener::new(&gateway)).collect();
    let reply = gateway.admin("GET", "/system/events", "");
    reply.assert_error(503, "too_many_listeners");
    // All of them are told, and who hangs up makes room.
    gateway.deploy("fig", json!({}));
    for listener in &mut listeners {
        listener.row("fig.openfaas-fn", |_| true);
    }
    listeners.truncate(63);
    eventually("there is room for one", || {
        open(&gateway).head().word(1) == "200"
    });
}

#[test]
fn who_listens_does_not_hold_up_the_end() {
    let mut gateway = Gateway::start(
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", drain: { timeout: 1h } }\n",
    );
    let mut listener = Listener::new(&gateway);
    listener.next("status");
    gateway.signal(Signal::TERM);
    while listener.block().is_some() {}
    assert_eq!(gateway.wait_exit().code, Some(0));
}
