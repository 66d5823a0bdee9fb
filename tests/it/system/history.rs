//! `GET /system/history`: what functions did over the last minutes. Steps take five seconds, so each
//! test makes as much of one as it can.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Gateway, Upstream, within};

/// Longest wait for the end of a step, and of the one after it.
const STEPS: Duration = Duration::from_secs(30);
/// Every column there is.
const COLUMNS: [&str; 13] = [
    "calls_per_second",
    "errors_per_second",
    "p50",
    "p95",
    "p99",
    "in_flight",
    "waiting",
    "queued",
    "replicas",
    "available",
    "cold_starts",
    "cpu",
    "memory",
];

#[track_caller]
fn history(gateway: &Gateway, name: &str) -> Value {
    let path = format!("/system/history/{name}");
    gateway.admin("GET", &path, "").assert_status(200).json()
}

fn numbers(history: &Value, column: &str) -> Vec<Option<f64>> {
    let values = history[column].as_array().unwrap().iter();
    values.map(Value::as_f64).collect()
}

fn sum(history: &Value, column: &str) -> f64 {
    numbers(history, column).into_iter().flatten().sum()
}

fn newest(history: &Value, column: &str) -> Option<f64> {
    numbers(history, column).pop().unwrap()
}

/// Waits until a step of a function has ended.
#[track_caller]
fn wait_for_a_step(gateway: &Gateway, name: &str) {
    within(STEPS, "a step has ended", || {
        newest(&history(gateway, name), "calls_per_second").is_some()
    });
}

/// Whether a rate, summed up over all steps, stands for so many calls. Where a look comes late the rate is
/// that of a longer time.
fn stands_for(per_second: f64, calls: f64) -> bool {
    (0.5..2.0).contains(&(per_second * 5.0 / calls))
}

#[test]
fn calls_errors_and_times_are_told() {
    let slow = Duration::from_millis(60);
    let upstream = Upstream::start(move |exchange| {
        std::thread::sleep(slow);
        let status = exchange.request.target.trim_start_matches('/');
        exchange.reply(status.parse().unwrap(), &[], "");
    });
    let gateway = Gateway::start(&format!(
        "{}  idle: {{ upstream: [\"{}\"] }}\n",
        upstream.declared("slow"),
        upstream.url()
    ));
    wait_for_a_step(&gateway, "slow");
    let mut slowest = slow;
    for status in [200, 500, 200, 404, 503, 200] {
        for _ in 0..4 {
            let begun = Instant::now();
            let path = format!("/function/slow/{status}");
            gateway.get(&path).assert_status(status);
            slowest = slowest.max(begun.elapsed());
        }
    }
    let mut told = Value::Null;
    within(STEPS, "24 calls of which 8 failed", || {
        told = history(&gateway, "slow");
        stands_for(sum(&told, "calls_per_second"), 24.0)
            && stands_for(sum(&told, "errors_per_second"), 8.0)
    });
    let failed = sum(&told, "errors_per_second") / sum(&told, "calls_per_second");
    assert!((0.2..0.5).contains(&failed), "a third: {failed}");
    for percentile in ["p50", "p95", "p99"] {
        let seconds: Vec<_> = numbers(&told, percentile).into_iter().flatten().collect();
        assert!((1..=3).contains(&seconds.len()), "{seconds:?}");
        let bounds = slow.as_secs_f64() / 1.25..=slowest.as_secs_f64() * 1.25;
        assert!(
            seconds.iter().all(|seconds| bounds.contains(seconds)),
            "{percentile}: {seconds:?} within {bounds:?}"
        );
    }
    // Nobody here runs it.
    assert_eq!(
        (newest(&told, "cpu"), newest(&told, "memory")),
        (None, None)
    );
    assert_eq!(newest(&told, "replicas"), Some(1.0));

    let overview = gateway.admin("GET", "/system/history", "");
    let overview = overview.assert_status(200).json();
    assert_eq!(overview["step_seconds"], 5);
    let [only] = overview["functions"].as_array().unwrap().as_slice() else {
        panic!("functions that nobody calls are left out: {overview}");
    };
    assert_eq!(only["id"], "slow.openfaas-fn");
    assert_eq!(only["calls_per_second"].as_array().unwrap().len(), 60);
    assert!(stands_for(sum(only, "calls_per_second"), 24.0), "{only}");
}

#[test]
fn before_the_start_there_is_nothing() {
    let gateway = Gateway::start("functions: { cat: { process: cat } }\n");
    let told = history(&gateway, "cat.openfaas-fn");
    assert_eq!(told["id"], "cat.openfaas-fn");
    wait_for_a_step(&gateway, "cat");
    let told = history(&gateway, "cat");
    let there = numbers(&told, "calls_per_second");
    assert_eq!((there.len(), there[0]), (720, None));
    for column in COLUMNS {
        let values = numbers(&told, column);
        assert_eq!(values.len(), 720, "{column}");
        let no_calls = column.starts_with('p');
        let as_expected = |(value, there): (&Option<f64>, &Option<f64>)| {
            value.is_some() == (there.is_some() && !no_calls)
        };
        let mut pairs = values.iter().zip(&there);
        assert!(pairs.all(as_expected), "{column}: {values:?}");
    }
    let until = told["until"].as_str().unwrap();
    assert!(until.ends_with("0Z") || until.ends_with("5Z"), "{until}");
}

#[test]
fn as_much_is_told_as_was_asked_for() {
    let gateway = Gateway::start("functions: { cat: { process: cat } }\n");
    for (seconds, steps) in [("5", 1), ("60", 12), ("3600", 720)] {
        let told = history(&gateway, &format!("cat?seconds={seconds}"));
        assert_eq!(numbers(&told, "memory").len(), steps, "{seconds}");
    }
    for seconds in ["0", "4", "3601", "-5", "all"] {
        let path = format!("/system/history/cat?seconds={seconds}");
        let reply = gateway.admin("GET", &path, "");
        reply.assert_error(400, "bad_request");
    }
    for path in ["nobody", "cat?namespace=elsewhere"] {
        let path = format!("/system/history/{path}");
        let reply = gateway.admin("GET", &path, "");
        reply.assert_error(404, "not_found");
    }
    gateway.get("/system/history").assert_status(401);
}

#[test]
fn calls_that_woke_the_function_are_counted() {
    let gateway = Gateway::start("functions: { cat: { process: cat } }\n");
    gateway.scale("cat", 0);
    within(STEPS, "it sleeps", || {
        gateway.explain("cat")["now"]["replicas"] == 0
    });
    for _ in 0..3 {
        gateway.post("/function/cat", "hi").assert_status(200);
    }
    within(STEPS, "the first call waited", || {
        sum(&history(&gateway, "cat"), "cold_starts") == 1.0
    });
    within(STEPS, "it is awake", || {
        let told = history(&gateway, "cat");
        (newest(&told, "replicas"), newest(&told, "available")) == (Some(1.0), Some(1.0))
    });
}

#[test]
fn what_processes_use_is_told() {
    let gateway = Gateway::start(
        "functions:\n  busy: { process: [sha256sum, /dev/zero] }\n  idle: { process: cat }\n",
    );
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/busy", &[]);
    within(STEPS, "it is busy", || {
        let told = history(&gateway, "busy");
        newest(&told, "in_flight") == Some(1.0)
            // The machine may be busy with other tests.
            && newest(&told, "cpu").is_some_and(|used| (100.0..1100.0).contains(&used))
            && newest(&told, "memory").is_some_and(|used| (100e3..100e6).contains(&used))
    });
    let idle = history(&gateway, "idle");
    assert_eq!(
        (newest(&idle, "cpu"), newest(&idle, "memory")),
        (Some(0.0), Some(0.0))
    );
}
