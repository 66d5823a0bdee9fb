//! Calls that fail are tried again, as long and as often as their function says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Gateway, Kind, Provider, Upstream, eventually, on_each_queue, unused_port};

on_each_queue! {
    a_failed_call_is_tried_again_until_it_succeeds,
    only_the_statuses_in_codes_are_tried_again,
    codes_of_the_configuration_replace_the_usual_ones,
    who_asks_for_time_gets_at_least_that,
    tries_that_are_used_up_leave_a_dead_letter,
    a_function_that_cannot_be_reached_is_tried_again,
    an_answer_that_breaks_off_is_tried_again,
    a_file_sets_the_retries_of_one_function,
    labels_set_the_retries_of_a_deployed_function,
    annotations_do_the_same,
    a_function_that_was_removed_leaves_a_dead_letter,
}

const QUICK: &str = "retry: { min_wait: 5ms, max_wait: 20ms, attempts: 4 }";

/// Answers with these statuses, one after the other, and with the last one from then on.
fn answering(statuses: &'static [u16]) -> Upstream {
    let next = Mutex::new(statuses.iter().copied());
    let last = *statuses.last().unwrap();
    Upstream::start(move |exchange| {
        let status = next.lock().unwrap().next().unwrap_or(last);
        exchange.reply(status, &[], format!("this is a {status}"));
    })
}

fn statuses(call: &Value) -> Vec<u64> {
    let tries = call["tries"].as_array().unwrap().iter();
    tries
        .map(|tried| tried["status"].as_u64().unwrap())
        .collect()
}

fn a_failed_call_is_tried_again_until_it_succeeds(kind: Kind) {
    let upstream = answering(&[503, 500, 200]);
    let gateway = kind.gateway(QUICK, &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig/a?b", "body"), "succeeded");
    assert_eq!(call["attempts"], 3);
    assert_eq!(statuses(&call), [503, 500, 200]);
    assert_eq!(call["result"]["status"], 200);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(
            (request.target.as_str(), request.body.as_slice()),
            ("/a?b", &b"body"[..])
        );
        assert_eq!(request.header("X-Call-Id"), requests[0].header("X-Call-Id"));
    }
}

fn only_the_statuses_in_codes_are_tried_again(kind: Kind) {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        exchange.reply(status, &[], "");
    });
    let gateway = kind.gateway(QUICK, &upstream.declared("fig"));
    for (status, state, attempts) in [
        (200, "succeeded", 1),
        (202, "succeeded", 1),
        (302, "succeeded", 1),
        (400, "failed", 1),
        (404, "failed", 1),
        (501, "failed", 1),
        (408, "dead", 4),
        (429, "dead", 4),
        (500, "dead", 4),
        (502, "dead", 4),
        (503, "dead", 4),
        (504, "dead", 4),
    ] {
        let call = gateway.call_in(&gateway.submit(&format!("fig/{status}"), ""), state);
        assert_eq!(call["attempts"], attempts, "{status}");
        assert_eq!(call["result"]["status"], status);
        let target = format!("/{status}");
        let tried = upstream
            .requests()
            .into_iter()
            .filter(|request| request.target == target);
        assert_eq!(tried.count(), attempts, "{status}");
    }
}

fn codes_of_the_configuration_replace_the_usual_ones(kind: Kind) {
    let upstream = answering(&[404, 503]);
    let settings = "retry: { min_wait: 5ms, max_wait: 20ms, codes: [404] }";
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig", ""), "failed");
    assert_eq!(statuses(&call), [404, 503]);
}

fn who_asks_for_time_gets_at_least_that(kind: Kind) {
    let seen: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let times = Arc::clone(&seen);
    let upstream = Upstream::start(move |exchange| {
        let mut times = times.lock().unwrap();
        times.push(Instant::now());
        match times.len() {
            1 => exchange.reply(503, &[("Retry-After", "1")], ""),
            _ => exchange.reply(200, &[], ""),
        }
    });
    let gateway = kind.gateway(QUICK, &upstream.declared("fig"));
    let location = gateway.submit("fig", "");
    let waiting = gateway.call_in(&location, "retrying");
    assert!(waiting["next_try_at"].is_string(), "{waiting}");
    gateway.call_in(&location, "succeeded");
    let seen = seen.lock().unwrap();
    let waited = seen[1] - seen[0];
    // Clocks of the gateway and of the test count in other steps.
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
}

fn tries_that_are_used_up_leave_a_dead_letter(kind: Kind) {
    let upstream = answering(&[500]);
    let gateway = kind.gateway(QUICK, &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig", ""), "dead");
    assert_eq!(statuses(&call), [500, 500, 500, 500]);
    assert_eq!(call["attempts"], 4);
    assert_eq!(call["result"]["body"], "this is a 500");
    assert!(
        call["ended_at"].is_string() && call["next_try_at"].is_null(),
        "{call}"
    );
    assert_eq!(upstream.requests().len(), 4);
}

fn a_function_that_cannot_be_reached_is_tried_again(kind: Kind) {
    let functions = format!(
        "functions:\n  fig: {{ upstream: [\"http://127.0.0.1:{}\"] }}\n",
        unused_port()
    );
    let gateway = kind.gateway(QUICK, &functions);
    let call = gateway.call_in(&gateway.submit("fig", ""), "dead");
    assert_eq!(call["attempts"], 4);
    for tried in call["tries"].as_array().unwrap() {
        assert!(tried["status"].is_null(), "{tried}");
        assert!(
            tried["error"].as_str().is_some_and(|why| why.len() > 10),
            "{tried}"
        );
    }
    assert_eq!(call["result"]["status"], 503);
    assert_eq!(call["result"]["body"], "");
}

fn an_answer_that_breaks_off_is_tried_again(kind: Kind) {
    let first = Mutex::new(true);
    let upstream = Upstream::start(move |exchange| {
        if std::mem::take(&mut *first.lock().unwrap()) {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all of it");
            exchange.close();
        } else {
            exchange.reply(200, &[], "whole");
        }
    });
    let gateway = kind.gateway(QUICK, &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    assert_eq!(call["attempts"], 2);
    assert_eq!(call["result"]["body"], "whole");
}

fn a_file_sets_the_retries_of_one_function(kind: Kind) {
    let upstream = answering(&[404]);
    let url = upstream.url();
    let functions = format!(
        "functions:\n  own: {{ upstream: [{url:?}], retry: {{ attempts: 2, codes: [404] }} }}\n  \
         labelled:\n    upstream: [{url:?}]\n    \
         labels: {{ com.openfaas.retry.attempts: \"3\", com.openfaas.retry.codes: \"400,404\" }}\n  \
         both:\n    upstream: [{url:?}]\n    retry: {{ attempts: 2 }}\n    \
         labels: {{ com.openfaas.retry.attempts: \"3\", com.openfaas.retry.codes: \"404\" }}\n  \
         usual: {{ upstream: [{url:?}] }}\n",
    );
    let gateway = kind.gateway(QUICK, &functions);
    for (name, state, attempts) in [
        ("own", "dead", 2),
        ("labelled", "dead", 3),
        ("both", "dead", 2),
        ("usual", "failed", 1),
    ] {
        let call = gateway.call_in(&gateway.submit(name, ""), state);
        assert_eq!(call["attempts"], attempts, "{name}");
    }
}

#[track_caller]
fn deploy_failing(gateway: &Gateway, name: &str, labels: Value) {
    let deployed =
        json!({ "service": name, "image": "i", "envProcess": "false", "labels": labels });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
}

fn labels_set_the_retries_of_a_deployed_function(kind: Kind) {
    // Without its labels a call would wait for longer than anybody here does.
    let gateway = kind.gateway("retry: { min_wait: 1h, max_wait: 1h }", "");
    let quick = json!({
        "com.openfaas.retry.attempts": "3",
        "com.openfaas.retry.min_wait": "5ms",
        "com.openfaas.retry.max_wait": "10ms",
    });
    deploy_failing(&gateway, "quick", quick);
    let call = gateway.call_in(&gateway.submit("quick", ""), "dead");
    assert_eq!(statuses(&call), [500, 500, 500]);
    deploy_failing(
        &gateway,
        "other",
        json!({ "com.openfaas.retry.codes": "503" }),
    );
    gateway.call_in(&gateway.submit("other", ""), "failed");
    let seconds = json!({
        "com.openfaas.retry.attempts": "2",
        "com.openfaas.retry.max_wait": "10ms",
        "com.openfaas.retry.min_wait": "1ms",
        "com.openfaas.retry.codes": "400, 500",
    });
    deploy_failing(&gateway, "spaced", seconds);
    gateway.call_in(&gateway.submit("spaced", ""), "dead");
}

fn annotations_do_the_same(kind: Kind) {
    let gateway = kind.gateway("retry: { min_wait: 1h, max_wait: 1h }", "");
    let deployment = json!({
        "service": "quick",
        "image": "any",
        "envProcess": "false",
        "labels": { "com.openfaas.retry.attempts": "2" },
        "annotations": {
            "com.openfaas.retry.attempts": "5",
            "com.openfaas.retry.min_wait": "5ms",
            "com.openfaas.retry.max_wait": "10ms",
        },
    });
    gateway
        .admin("POST", "/system/functions", deployment.to_string())
        .assert_status(202);
    let call = gateway.call_in(&gateway.submit("quick", ""), "dead");
    assert_eq!(statuses(&call), [500, 500]);
}

fn a_function_that_was_removed_leaves_a_dead_letter(kind: Kind) {
    let upstream = answering(&[503]);
    let settings = "retry: { min_wait: 5ms, max_wait: 20ms, attempts: 200 }";
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    let location = gateway.submit("fig", "");
    gateway.call_when(&location, "tried", |call| {
        call["attempts"].as_u64() >= Some(2)
    });
    gateway.edit_queue(QUICK, "");
    let call = gateway.call_in(&location, "dead");
    assert_eq!(call["result"]["status"], 503);
    let last = call["tries"].as_array().unwrap().last().unwrap();
    assert!(
        last["error"]
            .as_str()
            .is_some_and(|why| why.contains("fig")),
        "{last}"
    );
}

#[test]
fn a_call_outlives_a_provider_that_is_away() {
    let provider = Provider::with(&["fig"]);
    let queue = "queue: { retry: { attempts: 2, min_wait: 5ms, max_wait: 20ms } }\n";
    let mut gateway = Gateway::start(&format!("{}{queue}", provider.selected()));
    provider.hold(true);
    eventually("the list is known", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
    let location = gateway.submit("fig", "");
    gateway.kill();
    drop(provider);
    gateway.restart();
    let call = gateway.call_when(&location, "tried again and again", |call| {
        call["tries"]
            .as_array()
            .is_some_and(|tries| tries.len() > 5)
            && call["state"] == "retrying"
    });
    assert_eq!(call["attempts"], 0, "{call}");
}
