//! Calls of functions that have no replica: they are woken, and the calls wait.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Gateway, Provider, eventually, served};

fn gateway(scale: &str) -> Gateway {
    Gateway::start(&format!(
        "scale: {scale}\nfunctions:\n  cat: {{ process: cat }}\n  \
         hello: {{ process: {:?}, mode: http }}\n",
        served()
    ))
}

#[track_caller]
fn put_to_sleep(gateway: &Gateway, name: &str) {
    gateway.scale(name, 0);
    eventually("calls find it asleep", || {
        gateway.explain(name)["now"]["replicas"] == 0
    });
}

fn replicas(gateway: &Gateway, name: &str) -> (u64, u64) {
    let status = gateway.function(name);
    let number = |key: &str| status[key].as_u64().unwrap();
    (number("replicas"), number("availableReplicas"))
}

#[test]
fn a_call_wakes_the_function_and_is_answered() {
    let gateway = gateway("{ from_zero: true }");
    for _ in 0..3 {
        put_to_sleep(&gateway, "cat");
        assert_eq!(
            gateway
                .post("/function/cat", "hi")
                .assert_status(200)
                .text(),
            "hi"
        );
        assert_eq!(replicas(&gateway, "cat"), (1, 1));
        put_to_sleep(&gateway, "hello");
        gateway.get("/function/hello/pid").assert_status(200);
    }
}

#[test]
fn a_function_is_woken_once_whoever_waits() {
    let gateway = gateway("{ from_zero: true }");
    put_to_sleep(&gateway, "hello");
    std::thread::scope(|threads| {
        let calls: Vec<_> = (0..50)
            .map(|_| threads.spawn(|| gateway.get("/function/hello/pid").assert_status(200).text()))
            .collect();
        let pids: std::collections::BTreeSet<_> =
            calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert_eq!(pids.len(), 1, "one replica answers all of them: {pids:?}");
    });
    assert_eq!(decisions(&gateway, "hello", "up", "woken"), 1.0);
    let metrics = gateway.metrics();
    let labels = [("function_name", "hello.openfaas-fn")];
    let waited = metrics.sum("gateway_cold_start_seconds_count", &labels);
    assert!(waited.is_some_and(|count| count >= 1.0), "{waited:?}");
    assert_eq!(metrics.sum("gateway_held_requests", &labels), Some(0.0));
}

fn decisions(gateway: &Gateway, name: &str, direction: &str, reason: &str) -> f64 {
    let name = format!("{name}.openfaas-fn");
    let labels = [
        ("function_name", name.as_str()),
        ("direction", direction),
        ("reason", reason),
    ];
    let counted = gateway.metric("gateway_scale_decisions_total", &labels);
    counted.unwrap_or_default()
}

#[test]
fn a_call_that_waited_for_a_replica_says_how_long() {
    let gateway = gateway("{}");
    gateway.post("/function/cat", "hi").assert_status(200);
    let warm = gateway.post("/function/cat", "hi").assert_status(200);
    assert_eq!(warm.header("X-Cold-Start"), "");
    put_to_sleep(&gateway, "hello");
    let begun = Instant::now();
    let cold = gateway.get("/function/hello/pid").assert_status(200);
    let waited: u128 = cold.header("X-Cold-Start").parse().unwrap();
    // In whole milliseconds, rounded up.
    assert!(
        (1..=begun.elapsed().as_millis() + 1).contains(&waited),
        "{waited}"
    );
    let warm = gateway.get("/function/hello/pid").assert_status(200);
    assert_eq!(warm.header("X-Cold-Start"), "");
}

#[test]
fn neither_preflights_nor_health_checks_nor_the_api_wake_anybody() {
    let gateway = gateway("{}");
    put_to_sleep(&gateway, "hello");
    let asks = [
        ("OPTIONS", "/function/hello/x"),
        ("GET", "/function/hello/_/health"),
        ("GET", "/function/hello.openfaas-fn/_/ready"),
    ];
    for (method, path) in asks {
        let answer = gateway.request(method, path, &[], "");
        answer.assert_error(503, "asleep");
        assert_eq!(answer.header("Retry-After"), "1");
    }
    gateway.get("/healthz").assert_status(200);
    gateway.get("/ui/").assert_status(401);
    gateway
        .admin("GET", "/system/scaling/hello", "")
        .assert_status(200);
    assert_eq!(replicas(&gateway, "hello"), (0, 0));
    assert_eq!(decisions(&gateway, "hello", "up", "woken"), 0.0);
    // Awake it gets all of them.
    gateway.get("/function/hello/pid").assert_status(200);
    for (method, path) in asks {
        let answer = gateway.request(method, path, &[], "");
        assert_eq!(answer.header("X-Gateway-Error"), "", "{method} {path}");
    }
}

#[test]
fn a_woken_function_is_awake_in_the_store_too() {
    let state = tempfile::tempdir().unwrap();
    let yaml = format!("provider: {{ state_dir: {:?} }}\n", state.path());
    let gateway = Gateway::start(&yaml);
    let password = std::fs::read_to_string(state.path().join("auth/basic-auth-password")).unwrap();
    let authorization = crate::harness::basic("admin", password.trim());
    let headers = [("Authorization", authorization.as_str())];
    let deployed = json!({
        "service": "fig", "image": "i", "envProcess": "cat",
        "labels": { "com.openfaas.scale.min": "0" },
    });
    gateway
        .request("POST", "/system/functions", &headers, deployed.to_string())
        .assert_status(202);
    gateway.post("/function/fig", "hi").assert_status(200);
    let file = state.path().join("functions/openfaas-fn/fig.json");
    let stored = || {
        let text = std::fs::read_to_string(&file).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        record["replicas"].as_u64()
    };
    eventually("the store knows of it", || stored() == Some(1));
}

/// A gateway in front of a provider whose function `fig` sleeps and takes so long to start.
fn remote(start: Duration, scale: &str) -> (Provider, Gateway) {
    let provider = Provider::with(&["fig"]);
    provider.change("fig", |fig| {
        (fig.replicas, fig.available, fig.start) = (0, 0, start);
    });
    let gateway = provider.gateway(&format!("scale: {scale}\n"));
    eventually("the list is known", || {
        let labels = [("function_name", "fig.openfaas-fn")];
        gateway.metric("gateway_service_count", &labels) == Some(0.0)
    });
    (provider, gateway)
}

fn scaled(provider: &Provider) -> Vec<String> {
    let scaled = provider.asked("/system/scale-function/fig?namespace=openfaas-fn");
    let body =
        |request: &crate::harness::Recorded| String::from_utf8(request.body.clone()).unwrap();
    scaled.iter().map(body).collect()
}

#[test]
fn a_remote_function_is_woken_once_for_a_whole_herd() {
    let (provider, gateway) = remote(Duration::from_millis(300), "{}");
    std::thread::scope(|threads| {
        for _ in 0..50 {
            threads.spawn(|| {
                let answer = gateway.post("/function/fig", "hi").assert_status(200);
                let waited: u64 = answer.header("X-Cold-Start").parse().unwrap();
                assert!((1..5_000).contains(&waited), "{waited}");
            });
        }
    });
    let woken: serde_json::Value = serde_json::from_str(&scaled(&provider)[0]).unwrap();
    assert_eq!(woken["serviceName"], "fig");
    assert_eq!(
        (&woken["namespace"], &woken["replicas"]),
        (&json!("openfaas-fn"), &json!(1))
    );
    assert_eq!(scaled(&provider).len(), 1);
    assert_eq!(decisions(&gateway, "fig", "up", "woken"), 1.0);
    // Nobody was let through before there was a replica: the provider answered no call with 503.
    assert_eq!(provider.asked("/function/fig").len(), 50);
    // Every 5 ms and later, by one for all: some fifty looks in 300 ms, and not as many for each call.
    let looks = provider.asked("/system/function/fig").len();
    assert!((2..500).contains(&looks), "{looks}");
}

#[test]
fn a_provider_that_stumbles_fails_nobody_who_waits() {
    let (provider, gateway) = remote(Duration::from_millis(200), "{}");
    provider.stumble(4);
    gateway.post("/function/fig", "hi").assert_status(200);
    assert_eq!(decisions(&gateway, "fig", "up", "woken"), 1.0);
}

#[test]
fn a_remote_function_that_is_removed_while_calls_wait_is_not_found() {
    let (provider, gateway) = remote(Duration::from_secs(3600), "{}");
    std::thread::scope(|threads| {
        let call = threads.spawn(|| gateway.post("/function/fig", "hi"));
        eventually("it is being woken", || !scaled(&provider).is_empty());
        provider.remove("fig");
        call.join().unwrap().assert_error(404, "not_found");
    });
}

#[test]
fn the_wait_and_the_line_have_an_end() {
    let limits = "{ wait: { timeout: 2s, line: 3 } }";
    let (_provider, gateway) = remote(Duration::from_secs(3600), limits);
    let held = || {
        gateway.metric(
            "gateway_held_requests",
            &[("function_name", "fig.openfaas-fn")],
        )
    };
    std::thread::scope(|threads| {
        let begun = Instant::now();
        let calls: Vec<_> = (0..3)
            .map(|_| threads.spawn(|| gateway.post("/function/fig", "hi")))
            .collect();
        eventually("three wait", || held() == Some(3.0));
        let refused = gateway.post("/function/fig", "hi");
        assert!(begun.elapsed() < Duration::from_secs(5));
        refused.assert_error(503, "line_full");
        assert_eq!(refused.header("Retry-After"), "1");
        for call in calls {
            let late = call.join().unwrap();
            assert_eq!(late.assert_error(504, "wait_timeout")["limit"], "2s");
            assert_eq!(late.header("Retry-After"), "1");
        }
    });
    assert_eq!(held(), Some(0.0));
}

#[test]
fn a_caller_who_has_gone_leaves_the_line() {
    let (provider, gateway) = remote(Duration::from_secs(3600), "{ wait: { line: 1 } }");
    let held = || {
        gateway.metric(
            "gateway_held_requests",
            &[("function_name", "fig.openfaas-fn")],
        )
    };
    let mut gone = gateway.connect();
    gone.send_head("GET", "/function/fig", &[]);
    eventually("it waits", || held() == Some(1.0));
    eventually("it is being woken", || !scaled(&provider).is_empty());
    drop(gone);
    eventually("it has left", || held() == Some(0.0));
    // The place in line is free again.
    provider.change("fig", |fig| fig.ready_at = Instant::now());
    gateway.post("/function/fig", "hi").assert_status(200);
}

#[test]
fn without_from_zero_a_remote_provider_is_called_all_the_same() {
    let (provider, gateway) = remote(Duration::ZERO, "{ from_zero: false }");
    let answer = gateway.post("/function/fig", "hi");
    assert_eq!((answer.status, answer.header("X-Gateway-Error")), (503, ""));
    assert_eq!(scaled(&provider), [""; 0]);
}

#[test]
fn it_is_woken_to_the_least_its_labels_ask_for() {
    let gateway = Gateway::start("");
    gateway.deploy("fig", json!({ "com.openfaas.scale.min": "2" }));
    put_to_sleep(&gateway, "fig");
    gateway.post("/function/fig", "hi").assert_status(200);
    assert_eq!(replicas(&gateway, "fig").0, 2);
}

#[test]
fn a_function_that_was_deployed_without_replicas_is_woken_too() {
    let gateway = Gateway::start("");
    gateway.deploy("fig", json!({ "com.openfaas.scale.min": "0" }));
    assert_eq!(replicas(&gateway, "fig").0, 0);
    gateway.post("/function/fig", "hi").assert_status(200);
}

#[test]
fn where_it_is_not_wanted_nobody_is_woken() {
    let gateway = gateway("{ from_zero: false }");
    put_to_sleep(&gateway, "cat");
    gateway
        .post("/function/cat", "hi")
        .assert_error(503, "not_ready");
    assert_eq!(replicas(&gateway, "cat"), (0, 0));
}
