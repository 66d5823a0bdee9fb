//! Requests that are not as they should be: a clear status or a closed connection, never a hang,
//! never a second request smuggled through, and the next call works.

use crate::harness::{Connection, Gateway, Upstream};

const OK: &str = "GET /function/fig/after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Sends the bytes and reads to the end; the statuses of the final responses. The last request
/// must say `Connection: close`.
#[track_caller]
fn statuses(gateway: &Gateway, bytes: &[u8]) -> Vec<u16> {
    talk(gateway, bytes, false)
}

/// Who closes its sending side early counts as gone once its request is understood, so this is for
/// requests that are refused before that.
#[track_caller]
fn talk(gateway: &Gateway, bytes: &[u8], half_close: bool) -> Vec<u16> {
    let mut connection = gateway.connect();
    // The gateway may refuse before it has read everything.
    let _ = connection.wire.send(bytes);
    if half_close {
        connection.wire.shutdown(std::net::Shutdown::Write);
    }
    let text = connection
        .wire
        .read_to_end()
        .expect("an answer or an end, not a hang");
    String::from_utf8_lossy(&text)
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3)?.parse().ok())
        .filter(|status| *status >= 200)
        .collect()
}

/// Asserts that a request is refused, that the function did not see it, and that all is well after.
#[track_caller]
fn assert_refused(upstream: &Upstream, gateway: &Gateway, bytes: &[u8], allowed: &[u16]) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    let before = upstream.requests().len();
    let statuses = talk(gateway, bytes, true);
    assert!(
        statuses.len() <= 1,
        "{shown:?} was answered more than once: {statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| allowed.contains(status)),
        "{shown:?} gave {statuses:?}"
    );
    assert_eq!(
        upstream.requests().len(),
        before,
        "{shown:?} reached the function"
    );
    gateway.get("/function/fig").assert_status(200);
}

#[track_caller]
fn assert_all_refused(requests: &[&str]) {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for request in requests {
        assert_refused(&upstream, &gateway, request.as_bytes(), &[400, 501]);
    }
}

#[test]
fn a_request_needs_exactly_one_host() {
    assert_all_refused(&[
        "GET /function/fig HTTP/1.1\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: a/b\r\n\r\n",
    ]);
}

#[test]
fn a_length_must_be_one_number() {
    assert_all_refused(&[
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 3\r\n\r\nabc",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\nab",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\nab",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 2 2\r\n\r\nab",
    ]);
}

#[test]
fn the_same_length_twice_is_one_length_or_refused() {
    // RFC 9112, section 6.3 allows both.
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let request = b"POST /function/fig HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab";
    let statuses = statuses(&gateway, request);
    assert!(statuses == [200] || statuses == [400], "{statuses:?}");
    for seen in upstream.requests() {
        assert_eq!(
            (seen.headers.all("Content-Length"), seen.body.as_slice()),
            (vec!["2"], b"ab".as_slice())
        );
    }
}

#[test]
fn unknown_transfer_codings_are_refused() {
    assert_all_refused(&[
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "POST /function/fig HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ]);
}

#[test]
fn length_and_chunks_together_smuggle_nothing() {
    // RFC 9112, section 6.1: refuse, or let the chunks win and close.
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let request = "POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /function/fig/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let statuses = talk(&gateway, request.as_bytes(), true);
    assert!(statuses.len() <= 1, "{statuses:?}");
    assert!(
        upstream
            .requests()
            .iter()
            .all(|seen| seen.target != "/smuggled")
    );
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn request_lines_and_header_lines_must_be_well_formed() {
    assert_all_refused(&[
        "GET\r\n\r\n",
        "GET /function/fig\r\n\r\n",
        "GET /function/fig HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /function/fig HTTX/1.1\r\nHost: x\r\n\r\n",
        "G E T /function/fig HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nNo colon here\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nX-Space : 1\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nX-Fold: 1\r\n 2\r\n\r\n",
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nX-Nul: a\0b\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}",
    ]);
}

#[test]
fn bare_line_feeds_smuggle_nothing() {
    // RFC 9112, section 2.2 lets a server take a bare LF as a line end; it must not split requests.
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let request = b"GET /function/fig/lf HTTP/1.1\nHost: x\nConnection: close\n\n";
    let statuses = statuses(&gateway, request);
    assert!(
        statuses == [200] || statuses == [400] || statuses.is_empty(),
        "{statuses:?}"
    );
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn too_many_or_too_large_headers_are_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let many: String = (0..300)
        .map(|number| format!("X-{number}: {number}\r\n"))
        .collect();
    let many = format!("GET /function/fig HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let huge = format!(
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nX-Huge: {}\r\n\r\n",
        "a".repeat(2 << 20)
    );
    let long = format!(
        "GET /function/fig/{} HTTP/1.1\r\nHost: x\r\n\r\n",
        "a".repeat(2 << 20)
    );
    for request in [many, huge, long] {
        assert_refused(
            &upstream,
            &gateway,
            request.as_bytes(),
            &[400, 413, 414, 431],
        );
    }
}

#[test]
fn a_large_header_passes_or_is_refused_but_never_cut() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let value = "a".repeat(100_000);
    let request = format!(
        "GET /function/fig HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: {value}\r\n\r\n"
    );
    let statuses = statuses(&gateway, request.as_bytes());
    assert!(
        matches!(statuses.as_slice(), [200 | 400 | 431]),
        "{statuses:?}"
    );
    assert!(
        upstream
            .requests()
            .iter()
            .all(|seen| seen.header("X-Large") == value)
    );
}

#[test]
fn names_that_are_none_are_told_so() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let long = format!("/function/{}", "a".repeat(100));
    for path in [
        "/function/",
        "/function",
        "/function/a%20b",
        "/function/%00",
        "/function/..",
        "/function/.",
        "/function/%2e%2e/fig",
        "/function/.openfaas-fn",
        "/function/fig..openfaas-fn",
        "/function/a.b.c",
        "/function/%66%69%67%",
        "/function//fig",
        "/function/%c3%a4",
        "/function/fig$",
        &long,
    ] {
        let response = gateway.get(path);
        assert!(
            matches!(response.status, 301 | 400 | 404),
            "{path}: {response:?}"
        );
        if path == "/function/.openfaas-fn" {
            // The public certifier asks for exactly this (users.md section 4.3).
            assert!(matches!(response.status, 404 | 502), "{response:?}");
        }
    }
    for target in ["/function/a b", "/function/fig extra"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let statuses = statuses(&gateway, request.as_bytes());
        assert!(
            statuses.iter().all(|status| matches!(status, 400 | 404)),
            "{target}: {statuses:?}"
        );
    }
    assert!(upstream.requests().is_empty());
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn forms_of_the_request_target_that_are_no_path() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for request in [
        "CONNECT /function/fig HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET function/fig HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] {
        assert_refused(
            &upstream,
            &gateway,
            request.as_bytes(),
            &[400, 404, 405, 501],
        );
    }
    // RFC 9112, section 3.2.2: the absolute form must be understood.
    let absolute = b"GET http://gateway.test/function/fig/a HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&gateway, absolute), [200]);
    assert_eq!(upstream.last().target, "/a");
}

#[test]
fn pipelined_requests_are_answered_in_order_or_not_at_all() {
    let upstream = Upstream::start(|exchange| {
        let target = exchange.request.target.clone();
        exchange.reply(200, &[], target);
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send(format!("GET /function/fig/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /function/fig/2 HTTP/1.1\r\nHost: x\r\n\r\n{OK}"));
    for expected in ["/1", "/2", "/after"] {
        match connection.try_response("GET") {
            Ok(response) => assert_eq!(response.assert_status(200).text(), expected),
            Err(error) => {
                assert!(
                    crate::harness::is_gone(&error),
                    "a hang, not an end: {error}"
                );
                assert_ne!(expected, "/1", "the first one is always answered");
                break;
            }
        }
    }
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn a_body_longer_than_its_length_smuggles_nothing() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let request = b"POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabcdef";
    let statuses = talk(&gateway, request, true);
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 400)),
        "{statuses:?}"
    );
    assert!(upstream.requests().iter().all(|seen| seen.body == b"ab"));
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn a_body_shorter_than_its_length_is_no_call() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send("POST /function/fig HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    drop(connection);
    gateway.post("/function/fig", "after").assert_status(200);
    assert_eq!(
        upstream.requests().len(),
        1,
        "the half request was never whole"
    );
}

#[test]
fn broken_chunks_never_become_a_whole_body() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for body in [
        "zz\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nab\r\n0\r\n\r\n",
        // An empty size, "\r\n\r\n", is one of 0 to Pingora; the function gets a well-formed body.
        "2\r\nab\r\n",
    ] {
        let request = format!(
            "POST /function/fig HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        );
        let mut connection = gateway.connect();
        connection.send(&request);
        connection.wire.shutdown(std::net::Shutdown::Write);
        let text = connection
            .wire
            .read_to_end()
            .unwrap_or_else(|error| panic!("{body:?} hangs: {error}"));
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 400"),
            "{body:?}: {text}"
        );
        gateway.get("/function/fig").assert_status(200);
    }
    assert!(
        upstream.requests().iter().all(|seen| seen.method == "GET"),
        "{:?}",
        upstream.requests()
    );
}

#[test]
fn an_older_protocol_is_served_and_closed() {
    let upstream = Upstream::saying("old");
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send("GET /function/fig HTTP/1.0\r\n\r\n");
    let head = connection.head();
    assert_eq!(head.word(1), "200", "{head:?}");
    assert!(
        !head.headers.has("Transfer-Encoding"),
        "HTTP/1.0 knows no chunks: {head:?}"
    );
    assert_eq!(connection.wire.read_to_end().unwrap(), b"old");
}

#[test]
fn a_connection_that_says_nothing_harms_nobody() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let silent: Vec<Connection> = (0..50).map(|_| gateway.connect()).collect();
    gateway.get("/function/fig").assert_status(200);
    drop(silent);
}
