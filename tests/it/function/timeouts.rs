//! Every limit says its name: status, reason, and the limit that fired (design.md section 7).

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, Upstream, full_backlog, unused_port};

fn limited(upstream: &Upstream, timeouts: &str) -> Gateway {
    Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}\"], timeouts: {{ {timeouts} }} }}\n",
        upstream.url()
    ))
}

fn hanging() -> Upstream {
    Upstream::start(|exchange| exchange.hang())
}

#[test]
fn a_silent_function_is_a_504_that_names_the_limit() {
    let upstream = hanging();
    let gateway = limited(&upstream, "upstream: 300ms");
    let response = gateway.post("/function/fig", "hi");
    let body = response.assert_error(504, "upstream_timeout");
    assert_eq!(body["limit"], "300ms");
    assert_eq!(body["call_id"], response.header("X-Call-Id"));
    assert_eq!(response.header("X-Call-Id").len(), 36);
    assert_eq!(
        upstream.requests().len(),
        1,
        "a call that was sent is not sent again"
    );
}

#[test]
fn the_limit_for_all_holds_where_a_function_sets_none() {
    let (slow, own) = (hanging(), hanging());
    let gateway = Gateway::start(&format!(
        "timeouts: {{ upstream: 250ms }}\nfunctions:\n  slow: {{ upstream: [\"{}\"] }}\n  own: {{ upstream: [\"{}\"], timeouts: {{ upstream: 350ms }} }}\n",
        slow.url(),
        own.url()
    ));
    assert_eq!(
        gateway
            .get("/function/slow")
            .assert_error(504, "upstream_timeout")["limit"],
        "250ms"
    );
    assert_eq!(
        gateway
            .get("/function/own")
            .assert_error(504, "upstream_timeout")["limit"],
        "350ms"
    );
}

#[test]
fn the_upstream_limit_is_for_silence_and_not_for_the_whole_answer() {
    let limit = Duration::from_secs(2);
    let upstream = Upstream::start(move |exchange| {
        exchange.begin(200, &[]);
        let begin = Instant::now();
        while begin.elapsed() < limit + Duration::from_millis(500) {
            exchange.chunk("drop ");
            // The pace of the answer: far below the limit, while their sum is above it.
            thread::sleep(Duration::from_millis(100));
        }
        exchange.chunk("end");
        exchange.end();
    });
    let gateway = limited(&upstream, "upstream: 2s");
    let response = gateway.get("/function/fig").assert_status(200);
    assert!(response.text().ends_with("drop end"));
}

#[test]
fn a_function_that_falls_silent_midway_is_cut_off() {
    let upstream = Upstream::start(|exchange| {
        exchange.begin(200, &[]);
        exchange.chunk("half");
        exchange.hang();
    });
    let gateway = limited(&upstream, "upstream: 300ms");
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    assert_eq!(connection.head().word(1), "200");
    let rest = String::from_utf8(connection.wire.read_to_end().unwrap()).unwrap();
    assert!(
        rest.contains("half") && !rest.ends_with("0\r\n\r\n"),
        "{rest:?}"
    );
}

#[test]
fn a_client_that_does_not_finish_its_request_gets_a_408() {
    let upstream = Upstream::streaming(|exchange| {
        let _ = exchange.wire.read_body(exchange.request.framing);
        exchange.hang();
    });
    let gateway = limited(&upstream, "read: 300ms, upstream: 20s");
    let mut connection = gateway.connect();
    connection.send_head("POST", "/function/fig", &[("Content-Length", "10")]);
    connection.send("half ");
    let body = connection
        .response("POST")
        .assert_error(408, "read_timeout");
    assert_eq!(body["limit"], "300ms");
}

#[test]
fn a_client_that_does_not_finish_its_headers_is_let_go() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "timeouts: {{ read: 300ms }}\n{}",
        upstream.declared("fig")
    ));
    let mut connection = gateway.connect();
    connection.send("GET /function/fig HTTP/1.1\r\nHost: x\r\nX-Half: ");
    let rest = String::from_utf8(connection.wire.read_to_end().unwrap()).unwrap();
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
        "{rest:?}"
    );
    assert!(upstream.requests().is_empty());
}

#[test]
fn an_event_stream_may_be_silent_for_longer() {
    let upstream = Upstream::start(|exchange| {
        exchange.begin(200, &[("Content-Type", "text/event-stream")]);
        exchange.chunk("data: one\n\n");
        // Silence beyond the upstream limit is what this is about.
        thread::sleep(Duration::from_millis(900));
        exchange.chunk("data: two\n\n");
        exchange.end();
    });
    let gateway = limited(&upstream, "upstream: 300ms, idle: 20s");
    let response = gateway.request(
        "GET",
        "/function/fig",
        &[("Accept", "text/event-stream")],
        "",
    );
    assert_eq!(
        response.assert_status(200).text(),
        "data: one\n\ndata: two\n\n"
    );
}

#[test]
fn an_event_stream_that_never_begins_is_an_idle_timeout() {
    let upstream = hanging();
    let gateway = limited(&upstream, "upstream: 20s, idle: 300ms");
    let response = gateway.request(
        "GET",
        "/function/fig",
        &[("Accept", "text/event-stream")],
        "",
    );
    assert_eq!(response.assert_error(504, "idle_timeout")["limit"], "300ms");
}

#[test]
fn nobody_listening_is_a_502_at_once() {
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"http://127.0.0.1:{}\"] }}\n",
        unused_port()
    ));
    let response = gateway.get("/function/fig");
    let body = response.assert_error(502, "connect_failed");
    assert_eq!(body["call_id"], response.header("X-Call-Id"));
    assert_eq!(response.header("X-Start-Time").len(), 19);
}

#[test]
fn an_upstream_that_does_not_accept_ends_within_the_limit() {
    let (address, _queue, _listener) = full_backlog();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"http://{address}\"], timeouts: {{ upstream: 300ms }} }}\n"
    ));
    let response = gateway.get("/function/fig");
    match response.status {
        502 => response.assert_error(502, "connect_failed"),
        _ => response.assert_error(504, "connect_timeout"),
    };
}

#[test]
fn an_upstream_that_closes_or_talks_nonsense_is_a_502() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc Whatever\r\n\r\n",
    ] {
        let upstream = Upstream::start(move |exchange| {
            exchange.send(answer);
            exchange.close();
        });
        let gateway = Gateway::start(&upstream.declared("fig"));
        gateway
            .post("/function/fig", "hi")
            .assert_error(502, "upstream_failed");
        assert_eq!(
            upstream.requests().len(),
            1,
            "{answer:?}: a call that was sent is not sent again"
        );
    }
}

#[test]
fn the_client_connection_survives_a_failed_call() {
    let upstream = Upstream::start(|exchange| match exchange.request.target.as_str() {
        "/hang" => exchange.hang(),
        _ => exchange.reply(200, &[], "fine"),
    });
    let gateway = limited(&upstream, "upstream: 300ms");
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig/hang", &[]);
    let failed = connection.response("GET").assert_status(504);
    if failed.headers.has_token("Connection", "close") {
        connection = gateway.connect();
    }
    connection.send_head("GET", "/function/fig", &[]);
    assert_eq!(connection.response("GET").assert_status(200).text(), "fine");
}
