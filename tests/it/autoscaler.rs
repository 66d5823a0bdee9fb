//! Replicas that follow the load (wire.md section 5.2, users.md section 4.3).

use std::time::Duration;

use serde_json::json;

use crate::harness::{Gateway, PATIENCE, under_load, within};

/// The rule takes half a minute of quiet.
const LONG: Duration = Duration::from_secs(90);

#[test]
fn load_raises_the_replicas_and_quiet_brings_them_back() {
    let gateway = Gateway::start("");
    for (name, min) in [("busy", "1"), ("fixed", "2")] {
        let labels = json!({ "com.openfaas.scale.min": min, "com.openfaas.scale.max": "2" });
        gateway.deploy(name, labels);
    }
    let call = |_| {
        // A good ten calls per second of each.
        gateway.post("/function/busy", "hi").assert_status(200);
        gateway.post("/function/fixed", "hi").assert_status(200);
        std::thread::sleep(Duration::from_millis(80));
    };
    under_load(1, call, || {
        within(LONG, "two replicas", || gateway.replicas("busy") == 2);
    });
    assert_eq!(gateway.replicas("fixed"), 2);
    within(LONG, "one replica", || gateway.replicas("busy") == 1);
    assert_eq!(gateway.replicas("fixed"), 2);
}

#[test]
fn queued_calls_ask_for_replicas_by_the_rule_queue() {
    let gateway = Gateway::start("queue: { workers: 1 }\n");
    let labels = json!({
        "com.openfaas.scale.type": "queue",
        "com.openfaas.scale.target": "10",
        "com.openfaas.scale.target-proportion": "1",
        "com.openfaas.scale.max": "3",
        "com.openfaas.scale.zero": "true",
        "com.openfaas.scale.zero-duration": "1s",
    });
    gateway.deploy("busy", labels);
    gateway.deploy("slow", json!({}));
    // The one worker is kept busy, so whoever is queued waits, and nobody calls.
    let body = json!({ "service": "slow", "image": "any", "envProcess": "sleep 600" });
    let update = gateway.admin("PUT", "/system/functions", body.to_string());
    update.assert_status(202);
    let slow = gateway.submit("slow", "");
    gateway.call_in(&slow, "running");
    let calls: Vec<_> = (0..40).map(|_| gateway.submit("busy", "hi")).collect();
    within(PATIENCE * 3, "three replicas", || {
        gateway.replicas("busy") == 3
    });
    within(PATIENCE, "all of them are seen", || {
        gateway.explain("busy")["now"]["queued"] == 40
    });
    // It does not sleep while something is queued for it.
    within(PATIENCE, "it has been quiet for long enough", || {
        gateway.explain("busy")["now"]["calls_per_second"] == 0.0
    });
    assert!(gateway.replicas("busy") > 0);
    gateway.admin("DELETE", &slow, "").assert_status(200);
    for call in calls {
        gateway.call_in(&call, "succeeded");
    }
    within(PATIENCE * 3, "it sleeps", || gateway.replicas("busy") == 0);
}
