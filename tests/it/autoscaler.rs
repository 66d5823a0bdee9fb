//! Replicas that follow the load (wire.md section 5.2, users.md section 4.3).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::Gateway;

/// The rule takes half a minute of quiet.
const LONG: Duration = Duration::from_secs(90);

fn replicas(gateway: &Gateway, name: &str) -> u64 {
    let status = gateway
        .admin("GET", &format!("/system/function/{name}"), "")
        .json();
    status["replicas"].as_u64().unwrap()
}

#[track_caller]
fn within_long(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn load_raises_the_replicas_and_quiet_brings_them_back() {
    let gateway = Gateway::start("");
    for (name, min) in [("busy", "1"), ("fixed", "2")] {
        let labels = json!({ "com.openfaas.scale.min": min, "com.openfaas.scale.max": "2" });
        let deployed =
            json!({ "service": name, "image": "i", "envProcess": "cat", "labels": labels });
        gateway
            .admin("POST", "/system/functions", deployed.to_string())
            .assert_status(202);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // A good ten calls per second of each.
            while !over.load(Ordering::Relaxed) {
                gateway.post("/function/busy", "hi").assert_status(200);
                gateway.post("/function/fixed", "hi").assert_status(200);
                std::thread::sleep(Duration::from_millis(80));
            }
        });
        within_long("two replicas", || replicas(&gateway, "busy") == 2);
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(replicas(&gateway, "fixed"), 2);
    within_long("one replica", || replicas(&gateway, "busy") == 1);
    assert_eq!(replicas(&gateway, "fixed"), 2);
}
