//! `POST /system/alert` as a real Alertmanager uses it, with the files that an operator deploys for
//! that (wire.md section 5.2, users.md section 8).

use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Alertmanager, Gateway, Prometheus, shipped, tool, under_load, within};

/// The rule looks at the last ten seconds, so quiet takes longer than the usual patience to show.
const LONG: Duration = Duration::from_secs(50);

#[track_caller]
fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8(told).unwrap());
    assert!(output.status.success(), "{command:?}\n{}", told.concat());
}

#[test]
fn the_shipped_files_are_valid() {
    passes(
        tool(&["promtool"])
            .args(["check", "config", "--lint=all", "--lint-fatal"])
            .arg(shipped("conf/prometheus/prometheus.yml")),
    );
    passes(
        tool(&["amtool"])
            .arg("check-config")
            .arg(shipped("conf/alertmanager/alertmanager.yml")),
    );
}

#[test]
fn the_shipped_rule_tells_busy_functions_from_others() {
    passes(
        tool(&["promtool"])
            .args(["test", "rules"])
            .arg(shipped("conf/prometheus/scaling.rules.test.yml")),
    );
}

#[test]
fn load_raises_the_replicas_by_alerts_and_quiet_brings_them_back() {
    let gateway = Gateway::start("scale: { autoscaler: { enabled: false } }\n");
    deploy(&gateway, "busy", 1);
    deploy(&gateway, "idle", 2);
    let password = gateway.state().join("auth/basic-auth-password");
    let alertmanager = Alertmanager::shipped(gateway.address(), &password);
    let _prometheus = Prometheus::shipped(gateway.metrics_address(), alertmanager.address());
    let call = |_| {
        // Up to twenty per second.
        gateway.post("/function/busy", "hi").assert_status(200);
        thread::sleep(Duration::from_millis(50));
    };
    under_load(1, call, || {
        // One more by the first alert, the last one by its repetition.
        within(LONG, "all replicas", || gateway.replicas("busy") == 3);
    });
    within(LONG, "the least replicas", || gateway.replicas("busy") == 1);
    let decisions = gateway.reasons("busy");
    let by_alert = |reason: &String| reason.starts_with("alert_");
    assert!(decisions.iter().all(by_alert), "{decisions:?}");
    assert_eq!(gateway.replicas("idle"), 2, "no alert named it");
}

/// A function that may have up to three replicas, and gets them one by one.
#[track_caller]
fn deploy(gateway: &Gateway, name: &str, min: u64) {
    let labels = json!({
        "com.openfaas.scale.min": min.to_string(),
        "com.openfaas.scale.max": "3",
        "com.openfaas.scale.factor": "30",
    });
    gateway.deploy(name, labels);
    assert_eq!(gateway.replicas(name), min);
}
