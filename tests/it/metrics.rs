//! The metrics server: names, labels and buckets of wire.md section 4.1, and the gateway's own.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Gateway, Metrics, Provider, Upstream, Valve, eventually, served, shipped};

/// Those that dashboards know, and some for calls that take minutes.
const BUCKETS: [&str; 16] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60",
    "120", "300", "+Inf",
];
const FIG: (&str, &str) = ("function_name", "fig.openfaas-fn");

#[track_caller]
fn assert_labels(metrics: &Metrics, name: &str, labels: &[&str]) {
    let samples: Vec<_> = metrics.all(name, &[]).collect();
    assert!(!samples.is_empty(), "{name} is missing");
    for sample in samples {
        let keys: Vec<_> = sample.labels.keys().map(String::as_str).collect();
        assert_eq!(keys, labels, "{sample:?}");
    }
}

#[test]
fn calls_are_counted_by_function_and_code() {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(status, &[], "");
    });
    let gateway = Gateway::start(&upstream.declared("fig"));
    for status in [200, 200, 200, 404, 500] {
        gateway
            .get(&format!("/function/fig/{status}"))
            .assert_status(status);
    }
    eventually("five calls are counted", || {
        gateway.metric("gateway_function_invocation_total", &[FIG]) == Some(5.0)
    });
    let metrics = gateway.metrics();
    for (code, count) in [("200", 3.0), ("404", 1.0), ("500", 1.0)] {
        let labels = [FIG, ("code", code)];
        assert_eq!(
            metrics.sum("gateway_function_invocation_total", &labels),
            Some(count),
            "{code}"
        );
        assert_eq!(
            metrics.sum("gateway_functions_seconds_count", &labels),
            Some(count),
            "{code}"
        );
        assert_eq!(
            metrics.sum(
                "gateway_functions_seconds_bucket",
                &[FIG, ("code", code), ("le", "+Inf")]
            ),
            Some(count)
        );
    }
    assert_eq!(
        metrics.sum("gateway_function_invocation_started", &[FIG]),
        Some(5.0)
    );
    assert_labels(
        &metrics,
        "gateway_function_invocation_total",
        &["code", "function_name"],
    );
    assert_labels(
        &metrics,
        "gateway_function_invocation_started",
        &["function_name"],
    );
    assert_labels(
        &metrics,
        "gateway_functions_seconds_count",
        &["code", "function_name"],
    );
}

#[test]
fn types_and_buckets_are_those_that_dashboards_know() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    gateway.get("/function/fig").assert_status(200);
    eventually("the call is counted", || {
        gateway.metric("gateway_functions_seconds_count", &[FIG]) == Some(1.0)
    });
    let metrics = gateway.metrics();
    for (name, kind) in [
        ("gateway_function_invocation_total", "counter"),
        ("gateway_function_invocation_started", "counter"),
        ("gateway_functions_seconds", "histogram"),
        ("gateway_service_count", "gauge"),
        ("gateway_function_invocation_inflight", "gauge"),
        ("gateway_held_requests", "gauge"),
        ("gateway_config_last_reload_successful", "gauge"),
        (
            "gateway_config_last_reload_success_timestamp_seconds",
            "gauge",
        ),
        ("gateway_config_generation", "gauge"),
    ] {
        metrics.assert_described(name, kind);
    }
    let buckets: Vec<_> = metrics
        .all("gateway_functions_seconds_bucket", &[FIG])
        .map(|sample| &sample.labels["le"])
        .collect();
    assert_eq!(buckets, BUCKETS);
    assert!(
        metrics
            .sum("process_open_fds", &[])
            .is_some_and(|count| count > 0.0)
    );
    assert!(metrics.sum("process_start_time_seconds", &[]).is_some());
}

#[test]
fn a_function_has_its_series_before_its_first_call() {
    let gateway = Gateway::start("functions:\n  fig: { process: \"cat\", replicas: 3 }\n");
    eventually("the replica count is known", || {
        gateway.metric("gateway_service_count", &[FIG]) == Some(3.0)
    });
}

#[test]
fn a_call_in_flight_is_in_the_gauge() {
    let (upstream, valve) = Upstream::held();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    eventually("the call arrived", || valve.waiting() == 1);
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.sum("gateway_function_invocation_inflight", &[]),
        Some(1.0)
    );
    assert_eq!(
        metrics.sum("gateway_function_invocation_started", &[FIG]),
        Some(1.0)
    );
    assert!(matches!(
        metrics.sum("gateway_function_invocation_total", &[FIG]),
        None | Some(0.0)
    ));
    valve.open_once();
    connection.response("GET").assert_status(200);
    eventually("the gauge is back", || {
        gateway.metric("gateway_function_invocation_inflight", &[]) == Some(0.0)
    });
}

#[test]
fn failures_are_counted_with_the_status_the_caller_got() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{}\"], timeouts: {{ upstream: 200ms }} }}\n",
        upstream.url()
    ));
    gateway.get("/function/fig").assert_status(504);
    eventually("the failure is counted", || {
        gateway.metric("gateway_function_invocation_total", &[FIG, ("code", "504")]) == Some(1.0)
    });
}

#[test]
fn unknown_names_share_one_series() {
    let gateway = Gateway::start("");
    for number in 0..30 {
        gateway
            .get(&format!("/function/no-{number}"))
            .assert_status(404);
    }
    let unknown = [("function_name", "unknown"), ("code", "404")];
    eventually("the unknown names are counted", || {
        gateway.metric("gateway_function_invocation_total", &unknown) == Some(30.0)
    });
    let metrics = gateway.metrics();
    let named = metrics
        .samples
        .iter()
        .filter(|sample| sample.labels.values().any(|value| value.starts_with("no-")));
    assert_eq!(named.count(), 0);
}

#[test]
fn without_a_namespace_the_bare_name_is_the_label() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::with("")
        .env("functions_provider_url", provider.url())
        .start();
    // A call before the provider was first asked counts as one to an unknown name.
    eventually("the dotted name is the label", || {
        gateway.get("/function/fig.openfaas-fn").assert_status(200);
        gateway.metric("gateway_function_invocation_started", &[FIG]) == Some(1.0)
    });

    let gateway = Gateway::with("")
        .env("functions_provider_url", provider.url())
        .env("function_namespace", "openfaas-fn")
        .start();
    eventually("the namespace is appended", || {
        gateway.get("/function/fig").assert_status(200);
        gateway.metric("gateway_function_invocation_started", &[FIG]) == Some(1.0)
    });
}

#[test]
fn configuration_metrics_tell_the_last_load() {
    let gateway = Gateway::start("");
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.sum("gateway_config_last_reload_successful", &[]),
        Some(1.0)
    );
    let loaded = metrics
        .sum("gateway_config_last_reload_success_timestamp_seconds", &[])
        .unwrap();
    assert!(loaded > 1.6e9, "{loaded} is not seconds since 1970");
    assert!(
        metrics
            .sum("gateway_config_generation", &[])
            .is_some_and(|generation| generation >= 1.0)
    );
}

#[test]
fn calls_that_fail_are_counted_by_their_reason() {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| {
        if exchange.request.target == "/break" {
            return exchange.close();
        }
        wait.wait();
        exchange.reply(200, &[], "");
    });
    let gateway = Gateway::start(&format!(
        "scale: {{ wait: {{ line: 1, timeout: 100ms }} }}\nqueue: {{ workers: 1, max_calls: 1 }}\n\
         functions:\n  fig: {{ upstream: [\"{}\"], concurrency: 1 }}\n  \
         fog: {{ upstream: [\"{}\"] }}\n",
        upstream.url(),
        upstream.url()
    ));
    gateway.get("/function/fig/break").assert_status(502);
    gateway.get("/function/nobody").assert_status(404);
    let mut first = gateway.connect();
    first.send_head("GET", "/function/fig", &[]);
    eventually("the only place is taken", || valve.waiting() == 1);
    gateway.get("/function/fig").assert_status(504);
    gateway.post("/async-function/fog", "").assert_status(202);
    eventually("the only worker is busy", || valve.waiting() == 2);
    gateway.post("/async-function/fig", "").assert_status(429);
    let fig = FIG.1;
    for (name, reason) in [
        (fig, "upstream_failed"),
        (fig, "wait_timeout"),
        (fig, "queue_full"),
        ("unknown", "not_found"),
    ] {
        let labels = [("function_name", name), ("reason", reason)];
        eventually(reason, || {
            gateway.metric("gateway_rejected_total", &labels) == Some(1.0)
        });
    }
    let timed_out = [FIG, ("code", "504")];
    let calls = gateway.metric("gateway_function_invocation_total", &timed_out);
    assert_eq!(calls, None, "it never reached the function");
    valve.open_for(2);
    first.response("GET").assert_status(200);
    assert_eq!(
        gateway.metric("gateway_rejected_total", &[]),
        Some(4.0),
        "a good call has no reason"
    );
}

#[test]
fn reasons_that_alerts_ask_for_are_zero_before_they_happen() {
    let rules = fs::read_to_string(shipped("conf/prometheus/gateway.rules.yml")).unwrap();
    let lists = rules.split("reason=~\"").skip(1);
    let asked: BTreeSet<&str> = lists
        .flat_map(|rest| rest.split('"').next().unwrap().split('|'))
        .collect();
    let gateway = Gateway::start("functions:\n  fig: { process: cat }\n");
    let metrics = gateway.metrics();
    let shown = metrics.all("gateway_rejected_total", &[FIG]);
    let begun: BTreeSet<&str> = shown
        .inspect(|sample| assert_eq!(sample.value, 0.0, "{sample:?}"))
        .map(|sample| sample.labels["reason"].as_str())
        .collect();
    assert_eq!(
        begun, asked,
        "those and no others: each is a series of every function"
    );
}

#[test]
fn queued_calls_without_a_place_are_counted_once_for_each_try() {
    let (upstream, valve) = Upstream::held();
    let gateway = Gateway::start(&format!(
        "scale: {{ wait: {{ line: 1 }} }}\n\
         queue: {{ retry: {{ min_wait: 24h, max_wait: 24h }} }}\n\
         functions:\n  fig: {{ upstream: [\"{}\"], concurrency: 1 }}\n  \
         broken: {{ process: @DIR@/nothing, mode: http }}\n",
        upstream.url()
    ));
    let mut callers = [gateway.connect(), gateway.connect()];
    for caller in &mut callers {
        caller.send_head("GET", "/function/fig", &[]);
    }
    eventually("the only place and the line are taken", || {
        let held = gateway.metric("gateway_held_requests", &[FIG]);
        valve.waiting() == 1 && held == Some(1.0)
    });
    for function in ["fig", "fig", "broken"] {
        gateway.submit(function, "");
    }
    let broken = ("function_name", "broken.openfaas-fn");
    for (name, reason, count) in [(FIG, "line_full", 2.0), (broken, "not_ready", 1.0)] {
        let labels = [name, ("reason", reason)];
        eventually(reason, || {
            gateway.metric("gateway_rejected_total", &labels) == Some(count)
        });
    }
    assert_eq!(gateway.metric("gateway_rejected_total", &[]), Some(3.0));
    valve.open_for(2);
    for caller in &mut callers {
        caller.response("GET").assert_status(200);
    }
}

#[test]
fn a_queued_call_that_waits_in_vain_is_counted_whoevers_patience_ends() {
    for patience in [
        "scale: { wait: { timeout: 300ms } }\nqueue: { retry: { min_wait: 24h, max_wait: 24h } }",
        "queue: { timeout: 300ms, retry: { min_wait: 24h, max_wait: 24h } }",
    ] {
        let valve = Valve::default();
        let wait = valve.clone();
        let upstream = Upstream::start(move |exchange| {
            wait.wait();
            exchange.reply(200, &[], "");
        });
        let gateway = Gateway::start(&format!(
            "{patience}\nfunctions:\n  fig: {{ upstream: [\"{}\"], concurrency: 1 }}\n",
            upstream.url()
        ));
        let mut first = gateway.connect();
        first.send_head("GET", "/function/fig", &[]);
        eventually("the only place is taken", || valve.waiting() == 1);
        gateway.submit("fig", "");
        let labels = [FIG, ("reason", "wait_timeout")];
        eventually(patience, || {
            gateway.metric("gateway_rejected_total", &labels) == Some(1.0)
        });
        assert_eq!(gateway.metric("gateway_rejected_total", &[]), Some(1.0));
        valve.open_once();
        first.response("GET").assert_status(200);
    }
}

#[test]
fn limits_stand_beside_what_they_limit() {
    let gateway = Gateway::start(
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", max_connections: 77 }\n\
         queue: { workers: 3, max_calls: 99 }\n\
         functions:\n  fig: { process: cat, scale: { min: 2, max: 5 } }\n",
    );
    let proxy = [("listener", "proxy")];
    let open: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send_head("GET", "/function/fig", &[]);
            connection.response("GET").assert_status(200);
            connection
        })
        .collect();
    eventually("the connections are shown", || {
        gateway.metric("gateway_connections", &proxy) == Some(4.0)
    });
    drop(open);
    eventually("the connections are gone", || {
        gateway.metric("gateway_connections", &proxy) == Some(0.0)
    });
    for (name, labels, limit) in [
        ("gateway_connections_max", &proxy[..], 77.0),
        ("gateway_queue_workers", &[], 3.0),
        ("gateway_queue_max_calls", &[], 99.0),
        ("gateway_service_min", &[FIG], 2.0),
        ("gateway_service_max", &[FIG], 5.0),
    ] {
        eventually(name, || gateway.metric(name, labels) == Some(limit));
    }
}

#[test]
fn what_processes_of_functions_use_is_measured() {
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ process: {:?}, mode: http }}\n",
        served()
    ));
    gateway.get("/function/fig/pid").assert_status(200);
    let labels = [FIG, ("namespace", "openfaas-fn")];
    eventually("its memory is known", || {
        gateway
            .metric("pod_memory_working_set_bytes", &labels)
            .is_some_and(|bytes| bytes > 0.0)
    });
    let metrics = gateway.metrics();
    metrics.assert_described("pod_cpu_usage_seconds_total", "counter");
    assert!(
        metrics
            .sum("pod_cpu_usage_seconds_total", &labels)
            .is_some()
    );
}

#[test]
fn requests_to_the_provider_are_counted_without_names() {
    let provider = Provider::with(&["fig"]);
    let gateway = provider.gateway("");
    gateway
        .admin("GET", "/system/function/fig?usage=1", "")
        .assert_status(200);
    for path in ["/system/function/{name}", "/system/functions"] {
        let labels = [("method", "GET"), ("path", path), ("code", "200")];
        for name in [
            "provider_http_requests_total",
            "provider_http_request_duration_seconds_count",
        ] {
            eventually(path, || gateway.metric(name, &labels) >= Some(1.0));
        }
    }
    assert_eq!(gateway.metric("gateway_provider_up", &[]), Some(1.0));
    drop(provider);
    eventually("it does not answer", || {
        let unanswered = [("code", "none")];
        gateway.metric("provider_http_requests_total", &unanswered) >= Some(1.0)
    });
    eventually("it is down", || {
        gateway.metric("gateway_provider_up", &[]) == Some(0.0)
    });
}

#[test]
fn a_gateway_tells_its_version_and_that_its_own_provider_is_there() {
    let gateway = Gateway::start("");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(gateway.metric("gateway_build_info", &version), Some(1.0));
    assert_eq!(gateway.metric("gateway_provider_up", &[]), Some(1.0));
}

#[test]
fn the_metrics_server_serves_nothing_else() {
    let gateway = Gateway::start("");
    let scrape = gateway.observe("GET", "/metrics").assert_status(200);
    assert!(
        scrape.header("Content-Type").starts_with("text/plain"),
        "{}",
        scrape.header("Content-Type")
    );
    assert_eq!(
        gateway.observe("GET", "/healthz").assert_status(200).text(),
        "OK"
    );
    gateway.observe("GET", "/readyz").assert_status(200);
    assert_eq!(gateway.observe("POST", "/healthz").status, 405);
    for path in ["/", "/system/functions", "/function/fig", "/metrics/"] {
        assert_eq!(gateway.observe("GET", path).status, 404, "{path}");
    }
}
