//! `/system/async`: asynchronous calls, what became of them, and what can be done about it.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::harness::{Kind, Queued, Upstream, Valve, eventually, on_each_queue};

on_each_queue! {
    a_call_tells_how_it_went,
    every_state_is_seen,
    a_result_has_headers_and_a_body,
    a_body_that_is_no_text_is_in_base64,
    a_long_body_is_cut,
    results_are_forgotten_after_their_time,
    calls_are_listed_the_newest_first,
    calls_are_listed_by_function_and_state,
    the_list_says_what_waits_and_runs,
    a_list_of_something_else_is_a_bad_request,
    an_unknown_call_is_not_found,
    a_queued_call_is_cancelled_before_it_runs,
    a_running_call_is_broken_off,
    a_process_that_runs_for_a_call_is_ended_with_it,
    a_retrying_call_is_cancelled,
    a_dead_letter_is_thrown_away,
    a_call_that_has_ended_cannot_be_cancelled,
    a_dead_letter_is_replayed_with_all_its_tries,
    only_a_dead_letter_is_replayed,
    a_call_that_is_cancelled_makes_place_for_another,
    everything_needs_the_password,
}

const QUICK: &str = "retry: { attempts: 2, min_wait: 5ms, max_wait: 10ms }";

/// A function that answers with the status in its path; `/hold` waits at the valve, and `/later` asks
/// for time.
fn function() -> (Upstream, Valve) {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| match exchange.request.target.as_str() {
        "/hold" => {
            wait.wait();
            exchange.reply(200, &[], "held");
        }
        "/later" => exchange.reply(503, &[("Retry-After", "3600")], "later"),
        target => {
            let status = target[1..].parse().unwrap_or(200);
            let body = exchange.request.body.clone();
            exchange.reply(status, &[], body);
        }
    });
    (upstream, valve)
}

fn gateway(kind: Kind, settings: &str) -> (Queued, Upstream, Valve) {
    let (upstream, valve) = function();
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    (gateway, upstream, valve)
}

#[track_caller]
fn time(value: &Value) -> SystemTime {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no time"));
    humantime::parse_rfc3339(text).unwrap()
}

fn a_call_tells_how_it_went(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "results: { keep: 2h }");
    let begun = SystemTime::now() - std::time::Duration::from_secs(1);
    let location = gateway.submit("fig/201", "hi");
    let call = gateway.call_in(&location, "succeeded");
    assert_eq!(
        location,
        format!("/system/async/{}", call["id"].as_str().unwrap())
    );
    assert_eq!(call["call_id"], call["id"]);
    assert_eq!(call["function"], "fig.openfaas-fn");
    assert_eq!(
        (&call["attempts"], &call["replays"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        (&call["next_try_at"], &call["callback"]),
        (&Value::Null, &Value::Null)
    );
    let (submitted, ended) = (time(&call["submitted_at"]), time(&call["ended_at"]));
    assert!(
        begun < submitted && submitted <= ended && ended <= SystemTime::now(),
        "{call}"
    );
    let kept = time(&call["expires_at"])
        .duration_since(ended)
        .unwrap()
        .as_secs();
    assert!((7190..=7210).contains(&kept), "{kept}");
    let tries = call["tries"].as_array().unwrap();
    assert_eq!(tries.len(), 1);
    assert_eq!(
        (&tries[0]["status"], &tries[0]["error"]),
        (&201.into(), &Value::Null)
    );
    assert!(
        tries[0]["seconds"]
            .as_f64()
            .is_some_and(|seconds| (0.0..10.0).contains(&seconds))
    );
    assert!(time(&tries[0]["at"]) >= submitted);
}

fn every_state_is_seen(kind: Kind) {
    let (gateway, upstream, valve) = gateway(kind, "workers: 1");
    let later = gateway.submit("fig/later", "");
    let retrying = gateway.call_in(&later, "retrying");
    assert!(time(&retrying["next_try_at"]) > SystemTime::now());
    assert_eq!(
        (&retrying["attempts"], &retrying["result"]),
        (&1.into(), &Value::Null)
    );
    let running = gateway.submit("fig/hold", "");
    let seen = gateway.call_in(&running, "running");
    assert_eq!(
        (&seen["ended_at"], &seen["expires_at"]),
        (&Value::Null, &Value::Null)
    );
    let queued = gateway.submit("fig", "");
    let seen = gateway.call(&queued);
    assert_eq!(
        (&seen["state"], &seen["attempts"]),
        (&"queued".into(), &0.into())
    );
    assert_eq!(
        (&seen["tries"], &seen["result"]),
        (&json!([]), &Value::Null)
    );
    valve.open_once();
    gateway.call_in(&running, "succeeded");
    gateway.call_in(&queued, "succeeded");
    let failed = gateway.call_in(&gateway.submit("fig/404", ""), "failed");
    assert_eq!(failed["result"]["status"], 404);
    gateway.admin("DELETE", &later, "").assert_status(200);
    assert_eq!(gateway.call(&later)["state"], "cancelled");
    gateway.edit_queue(QUICK, &upstream.declared("fig"));
    let dead = gateway.call_in(&gateway.submit("fig/500", ""), "dead");
    assert_eq!(dead["tries"].as_array().unwrap().len(), 2);
}

fn a_result_has_headers_and_a_body(kind: Kind) {
    let upstream = Upstream::start(|exchange| {
        let headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
        ];
        exchange.reply(200, &headers, "grüße");
    });
    let gateway = kind.gateway("", &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    let result = &call["result"];
    assert_eq!(
        (&result["status"], &result["body"]),
        (&200.into(), &"grüße".into())
    );
    assert_eq!(
        (&result["body_base64"], &result["truncated"]),
        (&Value::Null, &false.into())
    );
    let headers = result["headers"].as_array().unwrap();
    let has = |name: &str, value: &str| headers.contains(&json!([name, value]));
    assert!(has("content-type", "text/plain; charset=utf-8"), "{result}");
    assert!(
        has("set-cookie", "a=1") && has("set-cookie", "b=2"),
        "{result}"
    );
    let hop = |header: &Value| ["x-hop", "connection"].contains(&header[0].as_str().unwrap());
    assert!(!headers.iter().any(hop), "{result}");
}

fn a_body_that_is_no_text_is_in_base64(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "");
    let call = gateway.call_in(&gateway.submit("fig", b"\xff\x00\xfe"), "succeeded");
    let result = &call["result"];
    assert_eq!(
        (&result["body"], &result["body_base64"]),
        (&Value::Null, &"/wD+".into())
    );
    let empty = gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    assert_eq!(empty["result"]["body"], "");
}

fn a_long_body_is_cut(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "results: { max_body: 1000 }");
    for (length, truncated) in [(1000, false), (1001, true), (300_000, true)] {
        let location = gateway.submit("fig", vec![b'x'; length]);
        let call = gateway.call_in(&location, "succeeded");
        let result = &call["result"];
        assert_eq!(result["body"].as_str().unwrap().len(), 1000, "{length}");
        assert_eq!(result["truncated"], truncated, "{length}");
    }
}

fn results_are_forgotten_after_their_time(kind: Kind) {
    let settings = "results: { keep: 1s }, retry: { attempts: 1 }";
    let (gateway, _upstream, _valve) = gateway(kind, settings);
    let dead = gateway.submit("fig/500", "");
    gateway.call_in(&dead, "dead");
    let location = gateway.submit("fig", "");
    gateway.call_in(&location, "succeeded");
    eventually("it is forgotten", || {
        gateway.admin("GET", &location, "").status == 404
    });
    gateway.admin("DELETE", &location, "").assert_status(404);
    // Dead letters have a time of their own.
    assert_eq!(gateway.call(&dead)["state"], "dead");
    assert_eq!(gateway.calls("").len(), 1);
}

fn ids(calls: &[Value]) -> Vec<String> {
    calls
        .iter()
        .map(|call| format!("/system/async/{}", call["id"].as_str().unwrap()))
        .collect()
}

fn calls_are_listed_the_newest_first(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "");
    assert!(gateway.calls("").is_empty());
    let mut locations: Vec<_> = (0..7).map(|_| gateway.submit("fig", "")).collect();
    for location in &locations {
        gateway.call_in(location, "succeeded");
    }
    locations.reverse();
    eventually("all are listed", || ids(&gateway.calls("")) == locations);
    assert_eq!(ids(&gateway.calls("limit=3")), locations[..3]);
    let call = &gateway.calls("limit=1")[0];
    assert!(call.get("result").is_none(), "a list has no bodies: {call}");
    assert_eq!(
        (&call["state"], &call["attempts"]),
        (&"succeeded".into(), &1.into())
    );
}

fn calls_are_listed_by_function_and_state(kind: Kind) {
    let (upstream, valve) = function();
    let url = upstream.url();
    let functions = format!(
        "functions:\n  fig: {{ upstream: [{url:?}] }}\n  date: {{ upstream: [{url:?}] }}\n"
    );
    let settings = "workers: 1, retry: { attempts: 1, codes: [500] }";
    let gateway = kind.gateway(settings, &functions);
    let failed = gateway.submit("date/404", "");
    gateway.call_in(&failed, "failed");
    let dead = gateway.submit("fig/500", "");
    gateway.call_in(&dead, "dead");
    let done = gateway.submit("fig", "");
    gateway.call_in(&done, "succeeded");
    let running = gateway.submit("fig/hold", "");
    gateway.call_in(&running, "running");
    let queued = gateway.submit("date", "");
    let listed = |query: &str, expected: &[&String]| {
        eventually(&format!("{query} lists {expected:?}"), || {
            let calls = ids(&gateway.calls(query));
            calls.iter().eq(expected.iter().copied())
        });
    };
    listed("", &[&queued, &running, &done, &dead, &failed]);
    listed("function=fig", &[&running, &done, &dead]);
    listed("function=date.openfaas-fn", &[&queued, &failed]);
    listed("function=fog", &[]);
    for (state, location) in [
        ("failed", &failed),
        ("dead", &dead),
        ("succeeded", &done),
        ("running", &running),
        ("queued", &queued),
    ] {
        listed(&format!("state={state}"), &[location]);
    }
    listed("state=cancelled", &[]);
    listed("function=fig&state=queued", &[]);
    listed("function=fig&state=dead&limit=5", &[&dead]);
    valve.open_once();
}

fn the_list_says_what_waits_and_runs(kind: Kind) {
    let (gateway, _upstream, valve) = gateway(kind, "workers: 2, per_function: 2");
    gateway.call_in(&gateway.submit("fig/later", ""), "retrying");
    for _ in 0..5 {
        gateway.submit("fig/hold", "");
    }
    let waiting = || {
        let listed = gateway.admin("GET", "/system/async?limit=1", "").json();
        assert!(listed["queue"]["problem"].is_null(), "{listed}");
        assert!(
            listed["queue"]["name"]
                .as_str()
                .is_some_and(|name| !name.is_empty())
        );
        listed["queue"]["functions"][0].clone()
    };
    eventually("two run", || waiting()["running"] == 2);
    let fig = waiting();
    let expected = json!({
        "function": "fig.openfaas-fn", "queued": 3, "retrying": 1, "running": 2, "callbacks": 0,
        "oldest_at": fig["oldest_at"],
    });
    assert_eq!(fig, expected);
    assert!(time(&fig["oldest_at"]) <= SystemTime::now());
    valve.open_for(5);
    eventually("one is left", || {
        let fig = waiting();
        (fig["queued"] == 0) && (fig["running"] == 0) && (fig["retrying"] == 1)
    });
}

fn a_list_of_something_else_is_a_bad_request(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "");
    for query in [
        "state=lost",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=many",
        "function=a%20b",
    ] {
        let refused = gateway.admin("GET", &format!("/system/async?{query}"), "");
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
        assert!(refused.text().len() > 10, "{refused:?}");
    }
    let refused = gateway.admin("POST", "/system/async", "");
    assert_eq!((refused.status, refused.header("Allow")), (405, "GET,HEAD"));
}

fn an_unknown_call_is_not_found(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "");
    let long = "x".repeat(100);
    for id in ["nobody", "a.b", "a%20b", "*", &long] {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/replay")] {
            let answer = gateway.admin(method, &format!("/system/async/{id}{path}"), "");
            assert_eq!(answer.status, 404, "{method} {id}{path}: {answer:?}");
        }
    }
}

#[track_caller]
fn cancel(gateway: &Queued, location: &str) -> Value {
    gateway
        .admin("DELETE", location, "")
        .assert_status(200)
        .json()
}

fn a_queued_call_is_cancelled_before_it_runs(kind: Kind) {
    let (gateway, upstream, valve) = gateway(kind, "workers: 1");
    let running = gateway.submit("fig/hold", "");
    gateway.call_in(&running, "running");
    let queued = gateway.submit("fig/unwanted", "");
    let last = gateway.submit("fig/wanted", "");
    let cancelled = cancel(&gateway, &queued);
    assert_eq!(
        (&cancelled["state"], &cancelled["attempts"]),
        (&"cancelled".into(), &0.into())
    );
    assert!(time(&cancelled["ended_at"]) <= SystemTime::now());
    assert!(cancelled["expires_at"].is_string(), "{cancelled}");
    valve.open_once();
    gateway.call_in(&last, "succeeded");
    assert_eq!(gateway.call(&queued)["state"], "cancelled");
    assert!(
        !upstream
            .requests()
            .iter()
            .any(|request| request.target == "/unwanted")
    );
}

fn a_running_call_is_broken_off(kind: Kind) {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let gateway = kind.gateway("workers: 1", &upstream.declared("fig"));
    let location = gateway.submit("fig", "");
    // Its connection alone does not say that it has arrived.
    eventually("it runs", || upstream.requests().len() == 1);
    assert_eq!(upstream.open_connections(), 1);
    assert_eq!(cancel(&gateway, &location)["state"], "cancelled");
    eventually("its connection is closed", || {
        upstream.open_connections() == 0
    });
    // Its worker is free for the next one.
    gateway.submit("fig", "");
    eventually("the next one runs", || upstream.requests().len() == 2);
    let call = gateway.call(&location);
    assert_eq!(
        (&call["state"], &call["result"]),
        (&"cancelled".into(), &Value::Null)
    );
}

fn a_process_that_runs_for_a_call_is_ended_with_it(kind: Kind) {
    let functions =
        "functions:\n  sleeper: { process: [sh, -c, \"echo $$ > @DIR@/pid; sleep 300\"] }\n";
    let gateway = kind.gateway("", functions);
    let location = gateway.submit("sleeper", "");
    let file = gateway.dir().join("pid");
    let pid = crate::harness::eventually_some("its process runs", || {
        std::fs::read_to_string(&file).ok()?.trim().parse().ok()
    });
    assert!(crate::harness::alive(pid));
    assert_eq!(cancel(&gateway, &location)["state"], "cancelled");
    eventually("its process has ended", || !crate::harness::alive(pid));
}

fn a_retrying_call_is_cancelled(kind: Kind) {
    let (gateway, upstream, _valve) = gateway(kind, "");
    let location = gateway.submit("fig/later", "");
    gateway.call_in(&location, "retrying");
    let cancelled = cancel(&gateway, &location);
    assert_eq!(
        (&cancelled["state"], &cancelled["attempts"]),
        (&"cancelled".into(), &1.into())
    );
    assert!(cancelled["next_try_at"].is_null(), "{cancelled}");
    gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    assert_eq!(upstream.requests().len(), 2);
}

fn a_dead_letter_is_thrown_away(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, QUICK);
    let location = gateway.submit("fig/500", "");
    gateway.call_in(&location, "dead");
    assert_eq!(cancel(&gateway, &location)["state"], "cancelled");
    gateway
        .admin("POST", &format!("{location}/replay"), "")
        .assert_status(409);
    gateway.admin("DELETE", &location, "").assert_status(409);
    eventually("it is listed so", || gateway.calls("state=dead").is_empty());
}

fn a_call_that_has_ended_cannot_be_cancelled(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "");
    for (path, state) in [("fig", "succeeded"), ("fig/404", "failed")] {
        let location = gateway.submit(path, "");
        gateway.call_in(&location, state);
        let refused = gateway.admin("DELETE", &location, "").assert_status(409);
        assert!(refused.text().contains(state), "{refused:?}");
        assert_eq!(gateway.call(&location)["state"], state);
    }
}

fn a_dead_letter_is_replayed_with_all_its_tries(kind: Kind) {
    let healed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let well = std::sync::Arc::clone(&healed);
    let upstream = Upstream::start(move |exchange| {
        let status = if well.load(std::sync::atomic::Ordering::SeqCst) {
            200
        } else {
            500
        };
        exchange.reply(status, &[], "answer");
    });
    let gateway = kind.gateway(QUICK, &upstream.declared("fig"));
    let location = gateway.submit_with("fig/a?b", &[("X-Own", "kept")], "body");
    gateway.call_in(&location, "dead");
    let replay = || {
        gateway
            .admin("POST", &format!("{location}/replay"), "")
            .assert_status(202)
    };
    let replayed = replay().json();
    assert_eq!(
        (&replayed["attempts"], &replayed["replays"]),
        (&0.into(), &1.into())
    );
    assert!(
        replayed["ended_at"].is_null() && replayed["expires_at"].is_null(),
        "{replayed}"
    );
    eventually("it has had all its tries again", || {
        upstream.requests().len() == 4
    });
    let dead = gateway.call_in(&location, "dead");
    assert_eq!(
        (&dead["attempts"], &dead["replays"]),
        (&2.into(), &1.into())
    );
    healed.store(true, std::sync::atomic::Ordering::SeqCst);
    replay();
    let call = gateway.call_in(&location, "succeeded");
    assert_eq!(
        (&call["attempts"], &call["replays"]),
        (&1.into(), &2.into())
    );
    assert_eq!(call["result"]["status"], 200);
    for request in upstream.requests() {
        assert_eq!(
            (request.target.as_str(), request.body.as_slice()),
            ("/a?b", &b"body"[..])
        );
        assert_eq!(request.header("X-Own"), "kept");
    }
}

fn only_a_dead_letter_is_replayed(kind: Kind) {
    let (gateway, upstream, valve) = gateway(kind, "workers: 1");
    let replay = |location: &str, state: &str| {
        let refused = gateway
            .admin("POST", &format!("{location}/replay"), "")
            .assert_status(409);
        assert!(refused.text().len() > 10, "{state}: {refused:?}");
    };
    for (path, state) in [
        ("fig", "succeeded"),
        ("fig/404", "failed"),
        ("fig/later", "retrying"),
        ("fig/hold", "running"),
        ("fig", "queued"),
    ] {
        let location = gateway.submit(path, "");
        gateway.call_in(&location, state);
        replay(&location, state);
    }
    valve.open_once();
    eventually("nothing is left to do", || {
        gateway.calls("state=succeeded").len() == 3
    });
    assert_eq!(upstream.requests().len(), 5);
}

fn a_call_that_is_cancelled_makes_place_for_another(kind: Kind) {
    let (gateway, _upstream, valve) = gateway(kind, "workers: 1, max_calls: 2");
    let running = gateway.submit("fig/hold", "");
    gateway.call_in(&running, "running");
    let queued = gateway.submit("fig", "");
    gateway
        .try_submit("fig", &[], "")
        .assert_error(429, "queue_full");
    cancel(&gateway, &queued);
    let mut last = None;
    eventually("there is place for one", || {
        let answer = gateway.try_submit("fig", &[], "");
        last = Some(answer.header("Location").to_owned());
        answer.status == 202
    });
    valve.open_once();
    gateway.call_in(&last.unwrap(), "succeeded");
}

fn everything_needs_the_password(kind: Kind) {
    let (gateway, _upstream, _valve) = gateway(kind, "");
    let location = gateway.submit("fig", "");
    gateway.call_in(&location, "succeeded");
    let replay = format!("{location}/replay");
    for (method, path) in [
        ("GET", "/system/async"),
        ("GET", &location),
        ("DELETE", &location),
        ("POST", &replay),
        ("GET", "/system/async/nobody"),
    ] {
        let answer = gateway.request(method, path, &[], "");
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.text(), "invalid credentials");
    }
    gateway.call(&location);
}
