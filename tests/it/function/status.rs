//! What the function answers is what the caller gets (wire.md section 2.2).

use crate::harness::{Gateway, Upstream};

#[test]
fn every_status_passes_with_its_body() {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(status, &[], "a body");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    for status in [
        200, 201, 202, 206, 400, 401, 404, 405, 408, 418, 429, 500, 502, 503, 504, 599,
    ] {
        let response = gateway
            .post(&format!("/function/fig/{status}"), "x")
            .assert_status(status);
        assert_eq!(response.text(), "a body");
        assert!(
            !response.headers.has("X-Gateway-Error"),
            "the function's {status} is not ours"
        );
    }
    assert_eq!(upstream.requests().len(), 16, "nothing is called twice");
}

#[test]
fn statuses_without_a_body_keep_the_connection_usable() {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(status, &[("ETag", "\"1\"")], "");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    for status in [204, 304, 200] {
        connection.send_head("GET", &format!("/function/fig/{status}"), &[]);
        let response = connection.response("GET").assert_status(status);
        assert_eq!(response.header("ETag"), "\"1\"");
    }
}

#[test]
fn redirects_are_passed_on_and_never_followed() {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(status, &[("Location", "/elsewhere?x=1")], "moved");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    for status in [301, 302, 303, 307, 308] {
        let response = gateway
            .get(&format!("/function/fig/{status}"))
            .assert_status(status);
        assert_eq!(response.header("Location"), "/elsewhere?x=1");
    }
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.target != "/elsewhere?x=1")
    );
}

#[test]
fn early_hints_come_before_the_response() {
    let upstream = Upstream::start(|exchange| {
        exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        exchange.reply(200, &[], "done");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.get("/function/fig").assert_status(200);
    assert_eq!(
        (response.interim.as_slice(), response.text().as_str()),
        ([103].as_slice(), "done")
    );
}

#[test]
fn the_functions_content_type_is_not_touched() {
    let upstream = Upstream::start(|exchange| {
        exchange.reply(
            200,
            &[("Content-Type", "application/x-odd; v=\"1, 2\"")],
            "{}",
        );
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    assert_eq!(
        gateway.get("/function/fig").header("Content-Type"),
        "application/x-odd; v=\"1, 2\""
    );
}
