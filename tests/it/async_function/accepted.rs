//! What the client gets who posts a call, and what it does not.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Connection, Kind, Upstream, eventually, on_each_queue};

on_each_queue! {
    a_call_is_accepted_with_its_id_its_start_and_where_to_ask,
    a_callers_id_is_kept_and_names_the_call,
    calls_with_the_same_id_all_run_and_are_told_apart,
    an_id_that_no_path_can_hold_is_kept_beside_another,
    a_function_has_several_ways_to_be_named,
    only_a_post_is_a_call,
    an_unknown_function_is_not_found,
    a_body_over_the_limit_is_refused_with_the_limit,
    a_callback_url_has_to_be_one_that_can_be_posted_to,
    a_queue_that_is_full_says_so_and_goes_on_when_it_is_not,
    whoever_waits_for_100_continue_gets_it,
}

fn echo(kind: Kind) -> (Upstream, crate::harness::Queued) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("", &upstream.declared("fig"));
    (upstream, gateway)
}

fn a_call_is_accepted_with_its_id_its_start_and_where_to_ask(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let accepted = gateway
        .post("/async-function/fig", "later")
        .assert_status(202);
    assert_eq!(accepted.text(), "");
    let id = accepted.header("X-Call-Id");
    assert!(id.len() >= 16, "{accepted:?}");
    let location = accepted.header("Location");
    assert_eq!(location, format!("/system/async/{id}"));
    let start: u128 = accepted.header("X-Start-Time").parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now.as_nanos() - start < 60_000_000_000, "{start}");
    gateway.call_in(location, "succeeded");
    let request = upstream.last();
    assert_eq!(request.header("X-Call-Id"), id);
    assert_eq!(request.header("X-Start-Time"), start.to_string());
    assert_eq!(upstream.requests().len(), 1);
}

fn a_callers_id_is_kept_and_names_the_call(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let own = [("X-Call-Id", "my_call-1")];
    let accepted = gateway.try_submit("fig", &own, "").assert_status(202);
    assert_eq!(accepted.header("X-Call-Id"), "my_call-1");
    assert_eq!(accepted.header("Location"), "/system/async/my_call-1");
    let call = gateway.call_in("/system/async/my_call-1", "succeeded");
    assert_eq!(
        (&call["id"], &call["call_id"]),
        (&"my_call-1".into(), &"my_call-1".into())
    );
    assert_eq!(upstream.last().headers.all("X-Call-Id"), ["my_call-1"]);
}

fn calls_with_the_same_id_all_run_and_are_told_apart(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let own = [("X-Call-Id", "shared")];
    let locations: Vec<_> = (0..3)
        .map(|number| gateway.submit_with("fig", &own, format!("call {number}")))
        .collect();
    for (number, location) in locations.iter().enumerate() {
        let call = gateway.call_in(location, "succeeded");
        assert_eq!(call["call_id"], "shared");
        assert_eq!(call["result"]["body"], format!("call {number}"));
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.headers.all("X-Call-Id"), ["shared"]);
    }
}

fn an_id_that_no_path_can_hold_is_kept_beside_another(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let long = "x".repeat(200);
    for own in ["a/../b c", "*", "a.b", long.as_str()] {
        let accepted = gateway
            .try_submit("fig", &[("X-Call-Id", own)], "")
            .assert_status(202);
        assert_eq!(accepted.header("X-Call-Id"), own);
        let call = gateway.call_in(accepted.header("Location"), "succeeded");
        assert_eq!(call["call_id"], own);
        assert_ne!(call["id"], own);
        assert_eq!(upstream.last().header("X-Call-Id"), own);
    }
}

fn a_function_has_several_ways_to_be_named(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    for name in [
        "fig",
        "fig.openfaas-fn",
        "f%69g",
        "fig%2Eopenfaas-fn",
        "fig/",
        "fig/a",
    ] {
        let call = gateway.call_in(&gateway.submit(name, ""), "succeeded");
        assert_eq!(call["function"], "fig.openfaas-fn", "{name}");
    }
    assert_eq!(upstream.requests().len(), 6);
}

fn only_a_post_is_a_call(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let refused = gateway.request(method, "/async-function/fig", &[], "");
        assert_eq!(refused.status, 405, "{method}");
        assert_eq!(refused.header("Allow"), "POST", "{method}");
    }
    assert!(gateway.calls("").is_empty());
    assert!(upstream.requests().is_empty());
}

fn an_unknown_function_is_not_found(kind: Kind) {
    let (_upstream, gateway) = echo(kind);
    for name in ["fog", "fig.elsewhere", "fog/fig"] {
        gateway
            .try_submit(name, &[], "x")
            .assert_error(404, "not_found");
    }
    gateway.post("/async-function/", "x").assert_status(404);
    assert!(gateway.calls("").is_empty());
}

fn a_body_over_the_limit_is_refused_with_the_limit(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("max_body: 1000", &upstream.declared("fig"));
    let (fits, over) = (vec![b'x'; 1000], vec![b'x'; 1001]);
    let refused = gateway.try_submit("fig", &[], &over);
    assert_limit(&refused.assert_error(413, "too_large"));
    let mut connection = gateway.connect();
    chunked(&mut connection, &over);
    assert_limit(&connection.response("POST").assert_error(413, "too_large"));
    // What is announced is refused before it is sent.
    let mut connection = gateway.connect();
    let announced = [("Content-Length", "1000000000")];
    connection.send_head("POST", "/async-function/fig", &announced);
    connection.response("POST").assert_error(413, "too_large");
    assert!(gateway.calls("").is_empty());

    let mut connection = gateway.connect();
    chunked(&mut connection, &fits);
    let accepted = connection.response("POST").assert_status(202);
    for location in [accepted.header("Location"), &gateway.submit("fig", &fits)] {
        gateway.call_in(location, "succeeded");
        assert_eq!(upstream.last().body, fits);
    }
}

#[track_caller]
fn assert_limit(body: &serde_json::Value) {
    let text = body.to_string();
    assert!(text.contains("1000"), "{text}");
}

fn chunked(connection: &mut Connection, body: &[u8]) {
    let chunks = [("Transfer-Encoding", "chunked")];
    connection.send_head("POST", "/async-function/fig", &chunks);
    for piece in body.chunks(300) {
        // It may have been refused already.
        let _ = connection.wire.send_chunk(piece);
    }
    let _ = connection.wire.send_last_chunk();
}

fn a_callback_url_has_to_be_one_that_can_be_posted_to(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    for url in [
        "/relative",
        "ftp://example.org/",
        "ht tp://foo.com",
        "http://",
        "http:///x",
        "",
        "example.org",
    ] {
        let answer = gateway.try_submit("fig", &[("X-Callback-Url", url)], "x");
        let refused = answer.assert_error(400, "bad_request");
        assert!(
            refused["error"]
                .as_str()
                .unwrap()
                .contains("X-Callback-Url"),
            "{refused}"
        );
    }
    assert!(gateway.calls("").is_empty());
    assert!(upstream.requests().is_empty());
}

fn a_queue_that_is_full_says_so_and_goes_on_when_it_is_not(kind: Kind) {
    let (upstream, valve) = Upstream::held();
    let gateway = kind.gateway("max_calls: 3, workers: 1", &upstream.declared("fig"));
    let locations: Vec<_> = (0..3).map(|_| gateway.submit("fig", "")).collect();
    let refused = gateway.try_submit("fig", &[], "");
    let body = refused.assert_error(429, "queue_full");
    assert!(body.to_string().contains("max_calls"), "{body}");
    let seconds: u32 = refused.header("Retry-After").parse().unwrap();
    assert!(seconds >= 1);
    valve.open_once();
    gateway.call_in(&locations[0], "succeeded");
    eventually("there is room for one", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
    gateway
        .try_submit("fig", &[], "")
        .assert_error(429, "queue_full");
    valve.open_for(10);
    for location in &locations {
        gateway.call_in(location, "succeeded");
    }
    eventually("all have run", || upstream.requests().len() == 4);
}

fn whoever_waits_for_100_continue_gets_it(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let mut connection = gateway.connect();
    let headers = [("Content-Length", "4"), ("Expect", "100-continue")];
    connection.send_head("POST", "/async-function/fig", &headers);
    assert_eq!(connection.head().word(1), "100");
    connection.send("body");
    let accepted = connection.response("POST").assert_status(202);
    gateway.call_in(accepted.header("Location"), "succeeded");
    assert_eq!(upstream.last().body, b"body");
    assert!(!upstream.last().headers.has("Expect"));
}
