//! Functions that nobody calls are put to sleep, and no call is lost by that.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, eventually, served, under_load};

const OFTEN: &str = "scale: { autoscaler: { interval: 50ms } }\n";
const VERY_OFTEN: &str = "scale: { autoscaler: { interval: 5ms } }\n";

fn sleepy(after: &str) -> Value {
    json!({ "com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": after })
}

#[test]
fn whoever_may_sleep_sleeps_when_nobody_calls_and_wakes_again() {
    let gateway = Gateway::start(OFTEN);
    gateway.deploy("fig", sleepy("300ms"));
    gateway.deploy(
        "awake",
        json!({ "com.openfaas.scale.zero-duration": "1ms" }),
    );
    for _ in 0..3 {
        gateway.post("/function/fig", "hi").assert_status(200);
        eventually("it sleeps", || gateway.replicas("fig") == 0);
    }
    assert_eq!(gateway.replicas("awake"), 1);
    let explained = gateway.explain("fig");
    let reasons = gateway.reasons("fig");
    assert_eq!(reasons[..2], ["idle", "woken"], "the newest first");
    let idle = explained["decisions"][0]["inputs"]["idle_seconds"].as_f64();
    assert!(idle.is_some_and(|idle| idle >= 0.3), "{idle:?}");
}

#[test]
fn the_file_says_the_same_as_the_labels() {
    let gateway = Gateway::start(&format!(
        "{OFTEN}functions:\n  hello: {{ process: {:?}, mode: http, \
         scale: {{ min: 2, zero: true, zero_duration: 200ms }} }}\n",
        served()
    ));
    gateway.get("/function/hello/pid").assert_status(200);
    eventually("it sleeps", || gateway.replicas("hello") == 0);
    gateway.get("/function/hello/pid").assert_status(200);
    let explained = gateway.explain("hello");
    let decisions = explained["decisions"].as_array().unwrap();
    let woken = decisions
        .iter()
        .find(|decision| decision["reason"] == "woken");
    assert_eq!(woken.unwrap()["to"], 2);
}

#[test]
fn where_nobody_is_woken_nobody_is_put_to_sleep() {
    let gateway = Gateway::start(
        "scale: { from_zero: false, autoscaler: { interval: 5ms } }\nfunctions:\n  \
         fig: { process: cat, scale: { zero: true, zero_duration: 10ms } }\n",
    );
    eventually("it has been idle for long enough", || {
        let explained = gateway.explain("fig");
        explained["now"]["idle_seconds"].as_f64() > Some(0.2)
    });
    assert_eq!(gateway.replicas("fig"), 1);
    gateway.post("/function/fig", "hi").assert_status(200);
}

#[test]
fn a_long_call_keeps_its_function_awake_to_its_end() {
    let gateway = Gateway::start(&format!(
        "{OFTEN}functions:\n  slow: {{ process: [sleep, \"1.2\"], \
         scale: {{ zero: true, zero_duration: 200ms }} }}\n"
    ));
    std::thread::scope(|threads| {
        let call = threads.spawn(|| gateway.post("/function/slow", "").assert_status(200));
        while !call.is_finished() {
            // Read before the call can have ended.
            let count = gateway.replicas("slow");
            if !call.is_finished() {
                assert_eq!(count, 1);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        call.join().unwrap();
    });
    eventually("it sleeps", || gateway.replicas("slow") == 0);
}

/// Calls again and again with pauses around the time after which the function sleeps, so that calls
/// and sleep meet.
fn call_around_sleep(gateway: &Gateway, path: &str, sleeps: impl Fn() -> usize) {
    let calls = AtomicUsize::new(0);
    let pauses: [_; 4] = std::array::from_fn(|caller| AtomicU64::new(caller as u64 * 7));
    let call = |caller: usize| {
        let answer = gateway.post(path, "hi").assert_status(200);
        assert_eq!(answer.text(), "hi");
        calls.fetch_add(1, Ordering::Relaxed);
        let pause = (pauses[caller].load(Ordering::Relaxed) * 5 + 3) % 53;
        pauses[caller].store(pause, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(80 + pause));
    };
    under_load(pauses.len(), call, || {
        eventually("it sleeps ten times between calls", || sleeps() >= 10);
    });
    assert!(calls.load(Ordering::Relaxed) >= 10);
}

fn idles(gateway: &Gateway) -> usize {
    let labels = [
        ("function_name", "fig.openfaas-fn"),
        ("direction", "down"),
        ("reason", "idle"),
    ];
    let idles = gateway.metric("gateway_scale_decisions_total", &labels);
    idles.unwrap_or_default() as usize
}

#[test]
fn a_call_that_comes_while_it_is_put_to_sleep_is_not_lost() {
    let gateway = Gateway::start(VERY_OFTEN);
    gateway.deploy("fig", sleepy("20ms"));
    call_around_sleep(&gateway, "/function/fig", || idles(&gateway));
}

#[test]
fn nor_is_it_with_a_remote_provider() {
    let provider = Provider::with(&["fig"]);
    provider.change("fig", |fig| {
        fig.labels = sleepy("20ms");
        fig.start = Duration::from_millis(20);
    });
    let gateway = provider.gateway(VERY_OFTEN);
    call_around_sleep(&gateway, "/function/fig", || idles(&gateway));
    let to_zero = |request: &crate::harness::Recorded| {
        String::from_utf8_lossy(&request.body).contains("\"replicas\":0")
    };
    let asked = provider.asked("/system/scale-function/fig");
    assert!(asked.iter().filter(|request| to_zero(request)).count() >= 10);
}

#[test]
fn a_provider_that_refuses_leaves_it_awake() {
    let provider = Provider::with(&["fig"]);
    provider.change("fig", |fig| fig.labels = sleepy("20ms"));
    provider.stumble(usize::MAX);
    let gateway = provider.gateway(VERY_OFTEN);
    eventually("it was tried", || {
        provider.asked("/system/scale-function/fig").len() > 2
    });
    gateway.post("/function/fig", "hi").assert_status(200);
    assert_eq!(provider.function("fig").replicas, 1);
    assert_eq!(idles(&gateway), 0);
}
