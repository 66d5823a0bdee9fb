//! Replicas that follow the load (wire.md section 5.2, users.md section 4.3).

use std::time::Duration;

use serde_json::json;

use crate::harness::{Gateway, under_load, within};

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
