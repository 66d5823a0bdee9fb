//! `POST /system/alert` as a real Alertmanager uses it, with the files that an operator deploys for
//! that (wire.md section 5.2, users.md section 8).

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Alertmanager, Gateway, Prometheus, shipped, tool};

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
    under_load(&gateway, "busy", || {
        // One more by the first alert, the last one by its repetition.
        within_long("all replicas", || replicas(&gateway, "busy") == 3);
    });
    within_long("the least replicas", || replicas(&gateway, "busy") == 1);
    let decisions = decisions(&gateway, "busy");
    let by_alert = |reason: &String| reason.starts_with("alert_");
    assert!(decisions.iter().all(by_alert), "{decisions:?}");
    assert_eq!(replicas(&gateway, "idle"), 2, "no alert named it");
}

/// A function that may have up to three replicas, and gets them one by one.
#[track_caller]
fn deploy(gateway: &Gateway, name: &str, min: u64) {
    let labels = json!({
        "com.openfaas.scale.min": min.to_string(),
        "com.openfaas.scale.max": "3",
        "com.openfaas.scale.factor": "30",
    });
    let deployed = json!({ "service": name, "image": "i", "envProcess": "cat", "labels": labels });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    assert_eq!(replicas(gateway, name), min);
}

#[track_caller]
fn replicas(gateway: &Gateway, name: &str) -> u64 {
    let path = format!("/system/function/{name}");
    let status = gateway.admin("GET", &path, "").assert_status(200).json();
    status["replicas"].as_u64().unwrap()
}

/// Why a function was scaled, the newest reason first.
#[track_caller]
fn decisions(gateway: &Gateway, name: &str) -> Vec<String> {
    let path = format!("/system/scaling/{name}");
    let explained = gateway.admin("GET", &path, "").assert_status(200).json();
    let decisions = explained["decisions"].as_array().unwrap().iter();
    decisions
        .map(|decision| decision["reason"].as_str().unwrap().to_owned())
        .collect()
}

/// Calls a function up to twenty times per second while `during` runs, whose failure ends the load too.
fn under_load(gateway: &Gateway, name: &str, during: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let _end = Raised(&over);
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let path = format!("/function/{name}");
                gateway.post(&path, "hi").assert_status(200);
                thread::sleep(Duration::from_millis(50));
            }
        });
        during();
    });
}

/// A flag that goes up when this goes away, also in a panic.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
fn within_long(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
