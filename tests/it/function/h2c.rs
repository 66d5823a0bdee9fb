//! HTTP/2 without TLS from the client, where the configuration allows it.

use crate::harness::{Gateway, H2Connection, Upstream};

#[test]
fn http2_is_spoken_on_the_same_port_when_allowed() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", h2c: true }}\n{}",
        upstream.declared("fig")
    ));
    let mut connection = H2Connection::open(gateway.address());
    for body in ["first", "second"] {
        let (status, received) = connection.post("/function/fig/a", body.as_bytes()).unwrap();
        assert_eq!((status, received.as_slice()), (200, body.as_bytes()));
    }
    let seen = upstream.last();
    assert_eq!(
        (seen.target.as_str(), seen.header("X-Forwarded-Host")),
        ("/a", "gateway.test")
    );
    assert_eq!(
        gateway
            .post("/function/fig", "h1")
            .assert_status(200)
            .text(),
        "h1"
    );
    assert_eq!(
        connection
            .post("/function/nobody", b"")
            .map(|(status, _)| status),
        Some(404)
    );
}

#[test]
fn http2_is_refused_otherwise() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = H2Connection::open(gateway.address());
    assert_eq!(connection.post("/function/fig", b"x"), None);
    assert!(upstream.requests().is_empty());
    gateway.get("/function/fig").assert_status(200);
}
