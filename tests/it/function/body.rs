//! Bodies, both ways: every byte, with the framing the sender chose (wire.md section 2.1, items 5
//! and 12; section 13, quirk 4).

use std::thread;

use crate::harness::{Gateway, Upstream};

/// Five megabytes in which no stretch looks like another.
fn big() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..5 << 20).map(|_| next()).collect()
}

#[test]
fn a_body_with_a_length_keeps_it() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway
        .post("/function/fig", "twelve bytes")
        .assert_status(200);
    assert_eq!(response.text(), "twelve bytes");
    let seen = upstream.last();
    assert_eq!(seen.header("Content-Length"), "12");
    assert!(!seen.headers.has("Transfer-Encoding"));
}

#[test]
fn a_chunked_body_stays_chunked() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("POST", "/function/fig", &[("Transfer-Encoding", "chunked")]);
    connection.send("5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n");
    assert_eq!(
        connection.response("POST").assert_status(200).text(),
        "hello world"
    );
    let seen = upstream.last();
    assert!(seen.headers.has_token("Transfer-Encoding", "chunked"));
    assert!(!seen.headers.has("Content-Length"));
}

#[test]
fn no_body_is_no_body() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    gateway.get("/function/fig").assert_status(200);
    let seen = upstream.last();
    assert!(
        !seen.headers.has("Content-Length") && !seen.headers.has("Transfer-Encoding"),
        "{seen:?}"
    );

    gateway
        .request("POST", "/function/fig", &[("Content-Length", "0")], "")
        .assert_status(200);
    assert_eq!(upstream.last().header("Content-Length"), "0");
}

#[test]
fn big_bodies_arrive_whole_in_both_directions() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let body = big();
    let response = gateway.post("/function/fig", &body).assert_status(200);
    assert!(
        upstream.last().body == body,
        "the request body changed on its way"
    );
    assert!(
        response.body == body,
        "the response body changed on its way"
    );
    assert_eq!(response.header("Content-Length"), body.len().to_string());
}

#[test]
fn a_big_chunked_body_arrives_whole() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let body = big();
    let mut connection = gateway.connect();
    connection.send_head("POST", "/function/fig", &[("Transfer-Encoding", "chunked")]);
    for piece in body.chunks(100_001) {
        connection.wire.send_chunk(piece).unwrap();
    }
    connection.wire.send_last_chunk().unwrap();
    assert!(connection.response("POST").assert_status(200).body == body);
}

#[test]
fn head_has_the_length_but_no_body() {
    let upstream = Upstream::start(|exchange| exchange.reply(200, &[], "12345"));
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("HEAD", "/function/fig", &[]);
    assert_eq!(connection.response("HEAD").header("Content-Length"), "5");
    connection.send_head("GET", "/function/fig", &[]);
    assert_eq!(
        connection.response("GET").text(),
        "12345",
        "the connection is still in step"
    );
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let upstream = Upstream::streaming(|exchange| {
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = exchange.wire.read_body(exchange.request.framing).unwrap();
        exchange.reply(200, &[], body);
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head(
        "POST",
        "/function/fig",
        &[("Expect", "100-continue"), ("Content-Length", "2")],
    );
    assert_eq!(connection.head().word(1), "100");
    connection.send("hi");
    assert_eq!(connection.response("POST").assert_status(200).text(), "hi");
    assert_eq!(upstream.last().header("Expect"), "100-continue");
}

#[test]
fn a_response_that_ends_with_the_connection_arrives_whole() {
    let upstream = Upstream::start(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
        exchange.close();
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    assert_eq!(
        gateway.get("/function/fig").assert_status(200).text(),
        "until the end"
    );
}

#[test]
fn a_connection_serves_many_calls() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    for number in 0..50 {
        let body = format!("call {number}");
        let length = body.len().to_string();
        connection.send_head("POST", "/function/fig", &[("Content-Length", &length)]);
        connection.send(&body);
        assert_eq!(connection.response("POST").assert_status(200).text(), body);
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the connection to the function is kept, too"
    );
}

#[test]
fn calls_at_once_do_not_mix() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    thread::scope(|scope| {
        for worker in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for number in 0..25 {
                    let body = format!("{worker}-{number}").repeat(1 + number * 50);
                    assert_eq!(
                        gateway
                            .post("/function/fig", &body)
                            .assert_status(200)
                            .text(),
                        body
                    );
                }
            });
        }
    });
}

#[test]
fn a_function_may_answer_before_it_has_read_everything() {
    let upstream = Upstream::streaming(|exchange| {
        exchange.reply(413, &[("Connection", "close")], "too much");
        let _ = exchange.wire.read_body(exchange.request.framing);
        exchange.close();
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("POST", "/function/fig", &[("Content-Length", "100000")]);
    connection.send(vec![b'x'; 1000]);
    assert_eq!(
        connection.response("POST").assert_status(413).text(),
        "too much"
    );
}
