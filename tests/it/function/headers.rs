//! Which headers reach the function, and which come back: wire.md sections 2.1, 2.2 and 3 with the
//! differences of design.md section 7.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Gateway, Upstream};

const TRUSTING: &str = "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", trusted_proxies: [127.0.0.0/8] }\n";
const DISTRUSTING: &str =
    "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", trusted_proxies: [] }\n";

#[test]
fn a_call_id_is_made_and_goes_both_ways() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let id = gateway.get("/function/fig").header("X-Call-Id").to_owned();
    assert_eq!(upstream.last().headers.all("X-Call-Id"), [id.as_str()]);

    // A random UUID (RFC 9562, section 5.4), lower case, with hyphens.
    let parsed = uuid::Uuid::parse_str(&id).unwrap();
    assert_eq!(parsed.get_version_num(), 4);
    assert_eq!(parsed.hyphenated().to_string(), id);
    assert_ne!(gateway.get("/function/fig").header("X-Call-Id"), id);
}

#[test]
fn the_callers_id_is_kept_and_echoed() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.request("GET", "/function/fig", &[("X-Call-Id", "order 66/ä")], "");
    assert_eq!(response.headers.all("X-Call-Id"), ["order 66/ä"]);
    assert_eq!(upstream.last().headers.all("X-Call-Id"), ["order 66/ä"]);

    let response = gateway.request("GET", "/function/fig", &[("X-Call-Id", "")], "");
    assert_eq!(
        response.header("X-Call-Id").len(),
        36,
        "an empty id counts as none"
    );
}

#[test]
fn the_functions_own_call_id_wins() {
    let upstream = Upstream::start(|exchange| {
        exchange.reply(200, &[("X-Call-Id", "mine"), ("X-Start-Time", "7")], "");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.get("/function/fig");
    assert_eq!(response.headers.all("X-Call-Id"), ["mine"]);
    assert_eq!(response.headers.all("X-Start-Time"), ["7"]);
}

#[test]
fn the_start_time_is_ours_and_in_nanoseconds() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.request("GET", "/function/fig", &[("X-Start-Time", "1")], "");
    let started = response.header("X-Start-Time").to_owned();
    assert_eq!(
        upstream.last().headers.all("X-Start-Time"),
        [started.as_str()]
    );
    assert_eq!(started.len(), 19);
    let started = UNIX_EPOCH + Duration::from_nanos(started.parse().unwrap());
    let age = SystemTime::now().duration_since(started).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
}

#[test]
fn the_clients_host_is_forwarded_as_such() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    gateway.request(
        "GET",
        "/function/fig",
        &[("Host", "shop.example.org:81")],
        "",
    );
    let seen = upstream.last();
    assert_eq!(seen.headers.all("Host"), [upstream.address().to_string()]);
    assert_eq!(
        seen.headers.all("X-Forwarded-Host"),
        ["shop.example.org:81"]
    );
}

#[test]
fn a_trusted_proxys_forwarding_headers_are_kept_and_extended() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!("{TRUSTING}{}", upstream.declared("fig")));
    let sent = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Host", "front.example.org"),
    ];
    gateway.request("GET", "/function/fig", &sent, "");
    let seen = upstream.last();
    assert_eq!(
        seen.headers.all("X-Forwarded-For").join(", "),
        "203.0.113.9, 127.0.0.1"
    );
    assert_eq!(seen.headers.all("X-Forwarded-Host"), ["front.example.org"]);
}

#[test]
fn anybody_elses_forwarding_headers_are_replaced() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!("{DISTRUSTING}{}", upstream.declared("fig")));
    let sent = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.10"),
        ("X-Forwarded-Host", "front.example.org"),
        ("Host", "real.example.org"),
    ];
    gateway.request("GET", "/function/fig", &sent, "");
    let seen = upstream.last();
    assert_eq!(seen.headers.all("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(seen.headers.all("X-Forwarded-Host"), ["real.example.org"]);
}

#[test]
fn end_to_end_headers_arrive_with_every_value() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let sent = [
        ("X-Many", "one"),
        ("X-Many", "two"),
        ("Cookie", "a=1; b=2"),
        ("Authorization", "Bearer for-the-function"),
        ("User-Agent", "tester/1"),
        ("Accept-Encoding", "br"),
        ("X-Empty", ""),
    ];
    gateway.request("GET", "/function/fig", &sent, "");
    let seen = upstream.last();
    assert_eq!(seen.headers.all("X-Many"), ["one", "two"]);
    for (name, value) in &sent[2..] {
        assert_eq!(seen.headers.all(name), [*value], "{name}");
    }
    for name in ["Via", "Forwarded", "X-Real-Ip", "X-Request-Id"] {
        assert!(!seen.headers.has(name), "{name} was added");
    }
}

#[test]
fn hop_by_hop_headers_stop_at_the_gateway() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let sent = [
        ("Connection", "keep-alive, X-Named"),
        ("X-Named", "secret"),
        ("Proxy-Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authorization", "Basic YTpi"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "something/1"),
    ];
    gateway
        .request("GET", "/function/fig", &sent, "")
        .assert_status(200);
    let seen = upstream.last();
    for (name, _) in &sent[1..] {
        assert!(!seen.headers.has(name), "{name} leaked: {seen:?}");
    }
    assert!(!seen.headers.has_token("Connection", "X-Named"));
}

#[test]
fn hop_by_hop_response_headers_stop_too() {
    let upstream = Upstream::start(|exchange| {
        let headers = [
            ("Connection", "keep-alive, X-Named"),
            ("X-Named", "secret"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
            ("X-Kept", "yes"),
        ];
        exchange.reply(200, &headers, "");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.get("/function/fig");
    for name in ["X-Named", "Keep-Alive", "Proxy-Authenticate"] {
        assert!(!response.headers.has(name), "{name} leaked: {response:?}");
    }
    assert_eq!(response.header("X-Kept"), "yes");
}

#[test]
fn every_cookie_comes_back() {
    let upstream = Upstream::start(|exchange| {
        exchange.reply(
            200,
            &[
                ("Set-Cookie", "a=1"),
                ("X-Between", ""),
                ("Set-Cookie", "b=2; Path=/"),
            ],
            "",
        );
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    let response = gateway.get("/function/fig");
    assert_eq!(response.headers.all("Set-Cookie"), ["a=1", "b=2; Path=/"]);
}

#[test]
fn calls_of_the_api_carry_no_call_id() {
    let gateway = Gateway::start("");
    let response = gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200);
    assert!(
        !response.headers.has("X-Call-Id") && !response.headers.has("X-Start-Time"),
        "{response:?}"
    );
}
