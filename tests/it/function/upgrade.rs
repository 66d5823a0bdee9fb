//! WebSocket upgrades pass (RFC 6455, section 4); the gateway does not look inside.

use crate::harness::{Connection, Gateway, Upstream};

const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Accepts the upgrade and returns every byte in upper case.
fn shouting() -> Upstream {
    Upstream::streaming(|exchange| {
        exchange.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        while let Ok(byte) = exchange.wire.read_exact(1) {
            exchange.send(byte.to_ascii_uppercase());
        }
        exchange.close();
    })
}

#[track_caller]
fn upgraded(gateway: &Gateway) -> Connection {
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig/socket", &HANDSHAKE);
    let head = connection.head();
    assert_eq!(head.word(1), "101", "{head:?}");
    assert!(
        head.headers.has_token("Connection", "upgrade")
            && head.headers.has_token("Upgrade", "websocket")
    );
    assert_eq!(
        head.headers.get("Sec-WebSocket-Accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    connection
}

#[test]
fn bytes_pass_both_ways_after_the_upgrade() {
    let upstream = shouting();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = upgraded(&gateway);
    for (sent, received) in [("ping", "PING"), ("and again", "AND AGAIN")] {
        connection.send(sent);
        assert_eq!(
            connection.wire.read_exact(received.len()).unwrap(),
            received.as_bytes()
        );
    }
    let seen = upstream.last();
    assert_eq!(seen.target, "/socket");
    assert!(
        seen.headers.has_token("Connection", "upgrade")
            && seen.headers.has_token("Upgrade", "websocket")
    );
    assert_eq!(seen.header("Sec-WebSocket-Key"), "dGhlIHNhbXBsZSBub25jZQ==");
}

#[test]
fn the_upstream_limit_does_not_end_an_open_socket() {
    let upstream = shouting();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}\"], timeouts: {{ upstream: 200ms, idle: 20s }} }}\n",
        upstream.url()
    ));
    let mut connection = upgraded(&gateway);
    assert!(
        connection
            .wire
            .is_silent(std::time::Duration::from_millis(700))
    );
    connection.send("still there");
    assert_eq!(connection.wire.read_exact(11).unwrap(), b"STILL THERE");
}

#[test]
fn an_idle_socket_ends_at_the_idle_limit() {
    let upstream = shouting();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}\"], timeouts: {{ idle: 300ms }} }}\n",
        upstream.url()
    ));
    let mut connection = upgraded(&gateway);
    assert!(connection.is_closed());
}

#[test]
fn a_function_may_refuse_the_upgrade() {
    let upstream =
        Upstream::start(|exchange| exchange.reply(426, &[("Upgrade", "websocket")], "not here"));
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.request("GET", "/function/fig", &HANDSHAKE, "");
    assert_eq!(
        (response.status, response.text().as_str()),
        (426, "not here")
    );
}

#[test]
fn other_protocols_are_not_offered_to_the_function() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let sent = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABk"),
    ];
    gateway
        .request("GET", "/function/fig", &sent, "")
        .assert_status(200);
    let seen = upstream.last();
    assert!(
        !seen.headers.has("Upgrade") && !seen.headers.has("HTTP2-Settings"),
        "{seen:?}"
    );
}

#[test]
fn an_upgrade_that_is_answered_at_once_stays_open() {
    // One in ten did not while the answer could overtake the end of the request's empty body.
    let upstream = shouting();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for _ in 0..200 {
        let mut connection = upgraded(&gateway);
        connection.send("hi");
        assert_eq!(connection.wire.read_exact(2).unwrap(), b"HI");
    }
}
