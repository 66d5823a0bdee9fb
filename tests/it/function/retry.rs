//! A call is tried again only where the function cannot have seen it: nothing was sent, or a kept
//! connection was stale and gave not one byte back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Gateway, Upstream, unused_port};

#[test]
fn a_kept_connection_that_was_closed_meanwhile_costs_no_call() {
    let upstream = Upstream::start(|exchange| {
        let body = exchange.request.body.clone();
        exchange.reply(200, &[], body);
        exchange.close();
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    for number in 0..20 {
        let body = format!("call {number}");
        assert_eq!(
            gateway
                .post("/function/fig", &body)
                .assert_status(200)
                .text(),
            body
        );
    }
}

#[test]
fn a_kept_connection_that_ends_without_a_byte_is_replaced() {
    let kept = AtomicBool::new(false);
    let upstream = Upstream::start(move |exchange| {
        if exchange.request.target == "/second" && !kept.swap(true, Ordering::SeqCst) {
            exchange.close();
        } else {
            let body = exchange.request.body.clone();
            exchange.reply(200, &[], body);
        }
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    // One after the other on one connection of the client's: what is kept is back by then.
    let mut client = gateway.connect();
    let mut post = |path: &str, body: &str| {
        client.send_head("POST", path, &[("Content-Length", "1")]);
        client.send(body);
        client.response("POST").assert_status(200)
    };
    post("/function/fig/first", "1");
    let response = post("/function/fig/second", "2");
    assert_eq!(response.text(), "2");
    let seen: Vec<_> = upstream
        .requests()
        .into_iter()
        .map(|request| (request.target, request.connection))
        .collect();
    let expected =
        [("/first", 0), ("/second", 0), ("/second", 1)].map(|(target, on)| (target.to_owned(), on));
    assert_eq!(seen, expected);
}

#[test]
fn a_fresh_connection_that_ends_without_a_byte_is_not_tried_again() {
    let upstream = Upstream::start(|exchange| exchange.close());
    let gateway = Gateway::start(&upstream.declared("fig"));
    for method in ["GET", "POST"] {
        let before = upstream.requests().len();
        gateway
            .request(method, "/function/fig", &[], "")
            .assert_error(502, "upstream_failed");
        assert_eq!(upstream.requests().len(), before + 1, "{method}");
    }
}

#[test]
fn a_kept_connection_that_gave_a_byte_back_is_not_tried_again() {
    let upstream = Upstream::start(|exchange| match exchange.request.target.as_str() {
        "/first" => exchange.reply(200, &[], ""),
        _ => {
            exchange.send("HTTP/1.1 2");
            exchange.close();
        }
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    gateway.get("/function/fig/first").assert_status(200);
    gateway
        .post("/function/fig/second", "2")
        .assert_error(502, "upstream_failed");
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_upstream_that_is_down_costs_no_call_while_another_is_up() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"http://127.0.0.1:{}\", \"{}\"] }}\n",
        unused_port(),
        upstream.url()
    ));
    for number in 0..20 {
        let body = format!("call {number}");
        assert_eq!(
            gateway
                .post("/function/fig", &body)
                .assert_status(200)
                .text(),
            body
        );
    }
}

#[test]
fn a_body_too_big_to_keep_is_never_sent_by_half() {
    let calls = AtomicUsize::new(0);
    let upstream = Upstream::start(move |exchange| {
        if calls.fetch_add(1, Ordering::SeqCst) == 1 {
            exchange.close();
        } else {
            let body = exchange.request.body.clone();
            exchange.reply(200, &[], body);
        }
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let body = vec![b'x'; 300_000];
    gateway.post("/function/fig", "first").assert_status(200);
    let response = gateway.post("/function/fig", &body);
    if response.status != 200 {
        response.assert_error(502, "upstream_failed");
    }
    for request in &upstream.requests()[1..] {
        assert_eq!(request.body.len(), body.len());
    }
}
