//! Nothing is held back: each piece passes before the next one exists (design.md section 7,
//! wire.md section 2.6).

use std::net::Shutdown;

use crate::harness::{Gateway, Upstream, Valve, eventually};

/// Sends `pieces`, each only after the valve was opened for it.
fn piecewise(content_type: &'static str, pieces: &'static [&'static str]) -> (Upstream, Valve) {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| {
        exchange.begin(200, &[("Content-Type", content_type)]);
        for piece in pieces {
            wait.wait();
            exchange.chunk(piece);
        }
        wait.wait();
        exchange.end();
    });
    (upstream, valve)
}

#[track_caller]
fn assert_passes_piecewise(
    content_type: &'static str,
    accept: &str,
    pieces: &'static [&'static str],
) {
    let (upstream, valve) = piecewise(content_type, pieces);
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[("Accept", accept)]);
    let head = connection.head();
    assert_eq!(
        (head.word(1), head.headers.get("Content-Type")),
        ("200", Some(content_type))
    );
    for piece in pieces {
        valve.open_once();
        let received = connection.wire.read_chunks(piece.len()).unwrap();
        assert_eq!(String::from_utf8_lossy(&received), *piece);
    }
    valve.open_once();
    assert_eq!(connection.wire.read_chunk().unwrap(), None);
}

#[test]
fn an_event_passes_before_the_next_one_is_sent() {
    let events = &[
        "data: one\n\n",
        "data: two\n\n",
        ": ping\n\n",
        "data: three\n\n",
    ];
    assert_passes_piecewise("text/event-stream", "text/event-stream", events);
}

#[test]
fn a_line_of_ndjson_passes_before_the_next_one_is_sent() {
    assert_passes_piecewise(
        "application/x-ndjson",
        "*/*",
        &["{\"n\":1}\n", "{\"n\":2}\n"],
    );
}

#[test]
fn one_byte_is_enough_to_be_passed_on() {
    assert_passes_piecewise("text/plain", "*/*", &["a", "b", "c"]);
}

#[test]
fn a_piece_of_the_request_reaches_the_function_before_the_next_one_is_sent() {
    let upstream = Upstream::streaming(|exchange| {
        exchange.begin(200, &[]);
        while let Ok(Some(chunk)) = exchange.wire.read_chunk() {
            exchange.chunk(chunk.to_ascii_uppercase());
        }
        exchange.end();
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("POST", "/function/fig", &[("Transfer-Encoding", "chunked")]);
    assert_eq!(connection.head().word(1), "200");
    for (piece, answer) in [("one", "ONE"), ("two", "TWO"), ("three", "THREE")] {
        connection.wire.send_chunk(piece).unwrap();
        let received = connection.wire.read_chunks(answer.len()).unwrap();
        assert_eq!(String::from_utf8_lossy(&received), answer);
    }
    connection.wire.send_last_chunk().unwrap();
    assert_eq!(connection.wire.read_chunk().unwrap(), None);
}

#[test]
fn a_function_learns_that_its_caller_left() {
    let (upstream, valve) = piecewise("text/event-stream", &["data: one\n\n", "data: never\n\n"]);
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[("Accept", "text/event-stream")]);
    connection.head();
    valve.open_once();
    connection.wire.read_chunks(1).unwrap();
    connection.wire.shutdown(Shutdown::Both);
    drop(connection);
    eventually("the call is over at the gateway", || {
        gateway.metric("gateway_function_invocation_inflight", &[]) == Some(0.0)
    });
    // What the function writes from now on fails, and its connection ends.
    valve.open_for(2);
    eventually("the function's connection is closed", || {
        upstream.open_connections() == 0
    });
}

#[test]
fn a_response_broken_off_does_not_look_whole() {
    let upstream = Upstream::start(|exchange| {
        exchange.begin(200, &[]);
        exchange.chunk("half");
        exchange.close();
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    assert_eq!(connection.head().word(1), "200");
    let rest = String::from_utf8(connection.wire.read_to_end().unwrap()).unwrap();
    assert!(rest.contains("half"), "{rest:?}");
    assert!(
        !rest.ends_with("0\r\n\r\n"),
        "a broken response ended like a whole one: {rest:?}"
    );
}
