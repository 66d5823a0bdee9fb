//! `GET /system/scaling/NAME`: how many replicas a function has, and why; and the rules that follow
//! its load.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, eventually, served, under_load};

fn replicas(gateway: &Gateway, name: &str) -> u64 {
    gateway.explain(name)["now"]["replicas"].as_u64().unwrap()
}

#[test]
fn it_tells_numbers_rule_and_decisions() {
    let gateway = Gateway::start(
        "functions:\n  cat:\n    process: cat\n    concurrency: 3\n    scale: { type: capacity, \
         target: 4, min: 2, max: 9, down_window: 30s, zero: true }\n",
    );
    gateway.scale("cat", 5);
    let explained = gateway.explain("cat");
    assert_eq!(explained["name"], "cat");
    assert_eq!(explained["namespace"], "openfaas-fn");
    let rule = &explained["rule"];
    assert_eq!(
        (&rule["type"], &rule["target"]),
        (&json!("capacity"), &json!(4.0))
    );
    assert_eq!((&rule["min"], &rule["max"]), (&json!(2), &json!(9)));
    assert_eq!(rule["down_window"], "30s");
    assert_eq!(rule["zero_duration"], "15m");
    assert_eq!(rule["concurrency"], 3);
    let says = rule["says"].as_str().unwrap();
    assert!(
        says.contains("one replica for each 3.6 calls in flight"),
        "{says}"
    );
    let decision = &explained["decisions"][0];
    assert_eq!((&decision["from"], &decision["to"]), (&json!(2), &json!(5)));
    assert_eq!(
        (&decision["direction"], &decision["reason"]),
        (&json!("up"), &json!("asked"))
    );
    assert!(decision["at"].as_str().unwrap().ends_with('Z'));
    eventually("the number is in force", || replicas(&gateway, "cat") == 5);
    let labels = [
        ("function_name", "cat.openfaas-fn"),
        ("direction", "up"),
        ("reason", "asked"),
    ];
    let counted = gateway.metric("gateway_scale_decisions_total", &labels);
    assert_eq!(counted, Some(1.0));
    let target = [
        ("function_name", "cat.openfaas-fn"),
        ("scaling_type", "capacity"),
    ];
    assert_eq!(
        gateway.metric("gateway_service_target_load", &target),
        Some(4.0)
    );
    gateway
        .admin("GET", "/system/scaling/nobody", "")
        .assert_error(404, "not_found");
}

#[test]
fn only_the_last_fifty_decisions_are_told() {
    let gateway = Gateway::start("functions: { cat: { process: cat } }\n");
    for round in 1..=60 {
        gateway.scale("cat", 1 + round % 2);
        eventually("it has them", || replicas(&gateway, "cat") == 1 + round % 2);
    }
    let decisions = gateway.explain("cat")["decisions"].clone();
    assert_eq!(decisions.as_array().unwrap().len(), 50);
}

#[test]
fn a_static_upstream_says_that_nobody_scales_it() {
    let gateway = Gateway::start("functions: { far: { upstream: \"http://127.0.0.1:9\" } }\n");
    assert_eq!(gateway.explain("far")["rule"]["type"], "none");
}

#[test]
fn calls_in_flight_raise_the_replicas_and_their_end_brings_them_back() {
    let gateway = Gateway::start(&format!(
        "scale: {{ autoscaler: {{ interval: 100ms }} }}\nfunctions:\n  hello:\n    process: {:?}\n    \
         mode: http\n    concurrency: 1\n    scale: {{ type: capacity, target: 1, target_proportion: \
         1, max: 4, down_window: 2s }}\n",
        served()
    ));
    let call = |_| {
        gateway.get("/function/hello/slow").assert_status(200);
    };
    under_load(3, call, || {
        eventually("three replicas for three at once", || {
            gateway.explain("hello")["now"]["available"] == 3
        });
    });
    eventually("one replica", || replicas(&gateway, "hello") == 1);
    let decisions = gateway.explain("hello")["decisions"].clone();
    let newest = &decisions[0];
    assert_eq!(
        (&newest["direction"], &newest["reason"]),
        (&json!("down"), &json!("capacity"))
    );
    for decision in decisions.as_array().unwrap() {
        assert_eq!(decision["reason"], "capacity");
        assert!(decision["to"].as_u64().unwrap() <= 4);
    }
}

#[test]
fn calls_per_second_raise_the_replicas() {
    let gateway = Gateway::start("scale: { autoscaler: { interval: 100ms } }\n");
    let labels = json!({
        "com.openfaas.scale.type": "rps",
        "com.openfaas.scale.target": "5",
        "com.openfaas.scale.target-proportion": "1",
        "com.openfaas.scale.max": "3",
    });
    gateway.deploy("fig", labels);
    eventually("three replicas, and no more", || {
        gateway.post("/function/fig", "hi").assert_status(200);
        std::thread::sleep(Duration::from_millis(20));
        replicas(&gateway, "fig") == 3
    });
    let load = gateway.explain("fig")["decisions"][0]["inputs"]["load"].as_f64();
    assert!(load.is_some_and(|load| load > 10.0), "{load:?}");
}

#[test]
fn a_remote_provider_is_asked_once_for_each_number() {
    let provider = Provider::with(&["fig"]);
    provider.change("fig", |fig| {
        fig.labels = json!({
            "com.openfaas.scale.type": "rps",
            "com.openfaas.scale.target": "5",
            "com.openfaas.scale.max": "3",
        });
    });
    let gateway = provider.gateway("scale: { autoscaler: { interval: 50ms } }\n");
    eventually("three replicas, and no more", || {
        gateway.post("/function/fig", "hi").assert_status(200);
        std::thread::sleep(Duration::from_millis(20));
        provider.function("fig").replicas == 3
    });
    // Looks go on at the same load, long before the provider's list is asked for again.
    for _ in 0..20 {
        gateway.post("/function/fig", "hi").assert_status(200);
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = provider.asked("/system/scale-function/fig");
    let numbers: Vec<u64> = asked
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            body["replicas"].as_u64().unwrap()
        })
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn where_the_autoscaler_is_off_the_load_changes_nothing() {
    let gateway = Gateway::start(
        "scale: { autoscaler: { enabled: false } }\nfunctions:\n  cat: { process: cat, \
         scale: { type: rps, target: 0.1 } }\n",
    );
    eventually("the load was looked at", || {
        gateway.post("/function/cat", "hi").assert_status(200);
        gateway.explain("cat")["now"]["load"].as_f64() > Some(2.0)
    });
    let explained = gateway.explain("cat");
    assert_eq!(explained["now"]["replicas"], 1);
    assert_eq!(explained["decisions"], json!([]));
    let says = explained["rule"]["says"].as_str().unwrap();
    assert!(says.contains("scale.autoscaler is off"), "{says}");
}
