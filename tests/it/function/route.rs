//! Which path reaches which function, and what of the path the function sees.
//!
//! wire.md sections 1.2, 1.3 and 2.1; path and query are kept byte for byte (design.md section 7).

use crate::harness::{Gateway, Upstream};

#[track_caller]
fn assert_targets(gateway: &Gateway, upstream: &Upstream, cases: &[(&str, &str)]) {
    for (path, target) in cases {
        gateway.get(path).assert_status(200);
        assert_eq!(upstream.last().target, *target, "for {path}");
    }
}

#[test]
fn the_function_sees_what_follows_its_name() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    assert_targets(
        &gateway,
        &upstream,
        &[
            ("/function/fig", "/"),
            ("/function/fig/", "/"),
            ("/function/fig/a/b", "/a/b"),
            ("/function/fig/a/b/", "/a/b/"),
            ("/function/fig?x=1", "/?x=1"),
            ("/function/fig/?x=1", "/?x=1"),
            ("/function/fig/a?x=1&x=2", "/a?x=1&x=2"),
            ("/function/fig/function/fig", "/function/fig"),
        ],
    );
}

#[test]
fn path_and_query_arrive_byte_for_byte() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    assert_targets(
        &gateway,
        &upstream,
        &[
            ("/function/fig/a%20b", "/a%20b"),
            ("/function/fig/a%2Fb%3Fc%23d", "/a%2Fb%3Fc%23d"),
            ("/function/fig/%c3%a4%C3%A4", "/%c3%a4%C3%A4"),
            ("/function/fig/%25zz", "/%25zz"),
            ("/function/fig/a+b;c=d,e", "/a+b;c=d,e"),
            ("/function/fig?x=%zz;a&&=", "/?x=%zz;a&&="),
            ("/function/fig?q=a/b?c", "/?q=a/b?c"),
        ],
    );
}

#[test]
fn a_base_path_stands_in_front() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}/base\"] }}\n",
        upstream.url()
    ));
    assert_targets(
        &gateway,
        &upstream,
        &[
            ("/function/fig", "/base"),
            ("/function/fig/", "/base/"),
            ("/function/fig/a?x=1", "/base/a?x=1"),
        ],
    );
}

#[test]
fn every_method_passes() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PURGE",
    ] {
        gateway
            .request(method, "/function/fig", &[], "")
            .assert_status(200);
        assert_eq!(upstream.last().method, method);
    }
}

#[test]
fn a_namespace_may_follow_the_name() {
    let upstream = Upstream::saying("default");
    let other = Upstream::saying("other");
    let gateway = Gateway::start(&format!(
        "provider: {{ state_dir: @DIR@/state, namespaces: [openfaas-fn, prod] }}\n\
         functions:\n  fig: {{ upstream: [\"{}\"] }}\n  fig.prod: {{ upstream: [\"{}\"] }}\n",
        upstream.url(),
        other.url()
    ));
    assert_eq!(gateway.get("/function/fig").text(), "default");
    assert_eq!(gateway.get("/function/fig.openfaas-fn").text(), "default");
    assert_eq!(gateway.get("/function/fig.openfaas-fn/a").text(), "default");
    assert_eq!(upstream.last().target, "/a");
    assert_eq!(gateway.get("/function/fig.prod").text(), "other");
    gateway
        .get("/function/fig.staging")
        .assert_error(404, "not_found");
}

#[test]
fn an_unknown_function_is_a_404_that_says_so() {
    let gateway = Gateway::start("");
    let response = gateway.get("/function/nobody/at/home");
    let body = response.assert_error(404, "not_found");
    assert!(body["error"].as_str().unwrap().contains("nobody"), "{body}");
}

#[test]
fn names_are_case_sensitive_and_whole() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for path in [
        "/function/Fig",
        "/function/figs",
        "/function/fi",
        "/function/fig%2Fa",
        "/functions/fig",
    ] {
        assert_eq!(gateway.get(path).status, 404, "{path}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn own_hosts_and_paths_lead_to_functions() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "{}routes:\n  - {{ host: api.example.org, path: /v1/*, function: fig }}\n  - {{ path: /exact, function: fig }}\n",
        upstream.declared("fig")
    ));
    let call = |host: &str, path: &str| gateway.request("GET", path, &[("Host", host)], "");
    call("api.example.org", "/v1/a?x=1").assert_status(200);
    assert_eq!(
        upstream.last().target,
        "/v1/a?x=1",
        "the function sees the whole path"
    );
    call("API.example.org:8080", "/v1/b").assert_status(200);
    assert_eq!(upstream.last().target, "/v1/b");
    call("anything.example.org", "/exact").assert_status(200);
    assert_eq!(upstream.last().target, "/exact");

    let seen = upstream.requests().len();
    for (host, path) in [
        ("www.example.org", "/v1/a"),
        ("api.example.org", "/v2/a"),
        ("api.example.org", "/v1x"),
        ("api.example.org", "/exact/more"),
    ] {
        assert_eq!(call(host, path).status, 404, "{host}{path}");
    }
    assert_eq!(upstream.requests().len(), seen);
    call("api.example.org", "/function/fig").assert_status(200);
}

#[test]
fn the_root_leads_to_the_portal() {
    let gateway = Gateway::start("");
    let response = gateway.get("/").assert_status(301);
    assert_eq!(response.header("Location"), "/ui/");
    assert_eq!(gateway.get("/nowhere").status, 404);
    assert_eq!(
        gateway.get("/metrics").status,
        404,
        "metrics are on their own port only"
    );
}

#[test]
fn calls_go_to_the_upstream_with_the_fewest_in_flight() {
    let valve = crate::harness::Valve::default();
    let held = valve.clone();
    let first = Upstream::start(move |exchange| {
        if exchange.request.target == "/hold" {
            held.wait();
        }
        exchange.reply(200, &[], "first");
    });
    let second_valve = valve.clone();
    let second = Upstream::start(move |exchange| {
        if exchange.request.target == "/hold" {
            second_valve.wait();
        }
        exchange.reply(200, &[], "second");
    });
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}\", \"{}\"] }}\n",
        first.url(),
        second.url()
    ));
    let mut busy = gateway.connect();
    busy.send_head("GET", "/function/fig/hold", &[]);
    crate::harness::eventually("the held call is in flight", || valve.waiting() == 1);
    let (busy_one, idle_one) = if first.requests().len() == 1 {
        (&first, &second)
    } else {
        (&second, &first)
    };
    for _ in 0..6 {
        gateway.get("/function/fig").assert_status(200);
        // The client has its answer a moment before the gateway is done with the call.
        crate::harness::eventually("only the held call is in flight", || {
            gateway.metric("gateway_function_invocation_inflight", &[]) == Some(1.0)
        });
    }
    assert_eq!(
        (busy_one.requests().len(), idle_one.requests().len()),
        (1, 6)
    );
    valve.open_once();
    busy.response("GET").assert_status(200);
}

#[test]
fn both_of_two_idle_upstreams_get_calls() {
    let (first, second) = (Upstream::echo(), Upstream::echo());
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}\", \"{}\"] }}\n",
        first.url(),
        second.url()
    ));
    for _ in 0..20 {
        gateway.get("/function/fig").assert_status(200);
    }
    assert!(!first.requests().is_empty() && !second.requests().is_empty());
}

#[test]
fn upstreams_may_be_named() {
    let upstream = Upstream::echo();
    let port = upstream.address().port();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"http://localhost:{port}\"] }}\n"
    ));
    crate::harness::eventually("the name is resolved", || {
        gateway.get("/function/fig").status == 200
    });
    assert_eq!(upstream.last().header("Host"), format!("localhost:{port}"));
}
