//! What metrics and the access log tell of asynchronous calls (users.md section 8.1).

use crate::harness::{Kind, Queued, Upstream, Valve, eventually, eventually_some, on_each_queue};

on_each_queue! {
    calls_are_counted_from_their_submission_to_their_end,
    what_waits_and_runs_is_measured,
    tries_dead_letters_and_callbacks_are_counted,
    the_age_is_that_of_the_oldest_call,
    posts_are_counted_by_their_route,
    a_queued_call_counts_as_a_call_of_its_function,
    gauges_of_a_removed_function_vanish,
    dashboards_know_the_types,
    an_accepted_call_is_a_line_in_the_access_log,
}

const FIG: (&str, &str) = ("function_name", "fig.openfaas-fn");

/// What metrics call the queue.
fn name(kind: Kind) -> (&'static str, &'static str) {
    let name = match kind {
        Kind::Embedded => "embedded",
        Kind::Jetstream => "faas-request",
    };
    ("queue_name", name)
}

fn held() -> (Upstream, Valve) {
    let valve = Valve::default();
    let wait = valve.clone();
    let upstream = Upstream::start(move |exchange| match exchange.request.target.as_str() {
        "/fail" => exchange.reply(503, &[("Retry-After", "3600")], ""),
        _ => {
            wait.wait();
            exchange.reply(200, &[], "");
        }
    });
    (upstream, valve)
}

#[track_caller]
fn eventually_measured(gateway: &Queued, name: &str, labels: &[(&str, &str)], value: f64) {
    eventually(&format!("{name}{labels:?} is {value}"), || {
        gateway.metric(name, labels) == Some(value)
    });
}

fn calls_are_counted_from_their_submission_to_their_end(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("", &upstream.declared("fig"));
    for _ in 0..3 {
        gateway.submit("fig", "");
    }
    // Neither a refused post nor a repeated one is another call.
    gateway.try_submit("fog", &[], "").assert_status(404);
    for _ in 0..2 {
        gateway.submit_with("fig", &[("Idempotency-Key", "key")], "");
    }
    let labels = [name(kind), FIG];
    eventually_measured(
        &gateway,
        "queue_worker_messages_submitted_total",
        &labels,
        4.0,
    );
    eventually_measured(
        &gateway,
        "queue_worker_messages_processed_total",
        &labels,
        4.0,
    );
}

fn what_waits_and_runs_is_measured(kind: Kind) {
    let (upstream, valve) = held();
    let gateway = kind.gateway("workers: 2, per_function: 2", &upstream.declared("fig"));
    eventually_measured(&gateway, "gateway_queue_up", &[], 1.0);
    let failing = gateway.submit("fig/fail", "");
    gateway.call_in(&failing, "retrying");
    for _ in 0..5 {
        gateway.submit("fig", "");
    }
    let measured = |state, value| {
        eventually_measured(
            &gateway,
            "gateway_async_jobs",
            &[FIG, ("state", state)],
            value,
        );
    };
    for (state, value) in [
        ("queued", 3.0),
        ("running", 2.0),
        ("retrying", 1.0),
        ("callback", 0.0),
    ] {
        measured(state, value);
    }
    let labels = [name(kind), FIG];
    eventually_measured(&gateway, "queue_worker_pending_messages", &labels, 4.0);
    eventually_measured(
        &gateway,
        "queue_worker_function_invocation_inflight",
        &labels,
        2.0,
    );
    valve.open_for(5);
    for (state, value) in [("queued", 0.0), ("running", 0.0), ("retrying", 1.0)] {
        measured(state, value);
    }
    gateway.admin("DELETE", &failing, "").assert_status(200);
    measured("retrying", 0.0);
    eventually_measured(&gateway, "queue_worker_pending_messages", &labels, 0.0);
}

fn tries_dead_letters_and_callbacks_are_counted(kind: Kind) {
    let upstream = Upstream::start(|exchange| exchange.reply(500, &[], ""));
    let refusing = std::sync::atomic::AtomicBool::new(true);
    let receiver = Upstream::start(move |exchange| {
        let first = refusing.swap(false, std::sync::atomic::Ordering::SeqCst);
        exchange.reply(if first { 503 } else { 200 }, &[], "");
    });
    let settings = "callbacks: { allow: [127.0.0.1/32] }, \
        retry: { attempts: 3, min_wait: 5ms, max_wait: 10ms }";
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    for url in [receiver.url(), "http://192.168.0.1/".to_owned()] {
        gateway.submit_with("fig", &[("X-Callback-Url", &url)], "");
    }
    eventually_measured(&gateway, "gateway_dead_letters_total", &[FIG], 2.0);
    eventually_measured(&gateway, "gateway_async_retries_total", &[FIG], 4.0);
    let labels = [name(kind), FIG];
    eventually_measured(
        &gateway,
        "queue_worker_messages_processed_total",
        &labels,
        6.0,
    );
    for result in ["delivered", "retried", "failed"] {
        eventually_measured(
            &gateway,
            "gateway_callback_total",
            &[("result", result)],
            1.0,
        );
    }
}

fn the_age_is_that_of_the_oldest_call(kind: Kind) {
    let (upstream, valve) = held();
    let gateway = kind.gateway("workers: 1", &upstream.declared("fig"));
    for _ in 0..2 {
        gateway.submit("fig", "");
    }
    let age = || gateway.metric("gateway_async_age_seconds", &[FIG]);
    eventually("time passes", || age() >= Some(1.0));
    valve.open_for(2);
    eventually("there is no call any more", || age() == Some(0.0));
}

fn posts_are_counted_by_their_route(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("max_body: 10", &upstream.declared("fig"));
    for _ in 0..2 {
        gateway.submit("fig/a/b?c", "");
    }
    gateway
        .try_submit("fig", &[], "longer than that")
        .assert_status(413);
    let path = ("path", "/async-function/{name}");
    let method = ("method", "POST");
    for (status, count) in [("202", 2.0), ("413", 1.0)] {
        let labels = [path, method, ("status", status)];
        eventually_measured(&gateway, "http_requests_total", &labels, count);
    }
}

fn a_queued_call_counts_as_a_call_of_its_function(kind: Kind) {
    let upstream = Upstream::start(|exchange| exchange.reply(418, &[], ""));
    let gateway = kind.gateway("", &upstream.declared("fig"));
    gateway.call_in(&gateway.submit("fig", ""), "failed");
    let labels = [FIG, ("code", "418")];
    eventually_measured(&gateway, "gateway_function_invocation_total", &labels, 1.0);
    eventually_measured(&gateway, "gateway_functions_seconds_count", &labels, 1.0);
    eventually_measured(&gateway, "gateway_function_invocation_started", &[FIG], 1.0);
    eventually_measured(
        &gateway,
        "gateway_function_invocation_inflight",
        &[FIG],
        0.0,
    );
}

fn gauges_of_a_removed_function_vanish(kind: Kind) {
    let (upstream, valve) = held();
    let gateway = kind.gateway("", &upstream.declared("fig"));
    let location = gateway.submit("fig", "");
    let gauges = [
        "gateway_async_jobs",
        "gateway_async_age_seconds",
        "queue_worker_pending_messages",
        "queue_worker_function_invocation_inflight",
    ];
    let measured = |gauge| gateway.metric(gauge, &[FIG]);
    for gauge in gauges {
        eventually("it is measured", || measured(gauge).is_some());
    }
    valve.open_once();
    gateway.call_in(&location, "succeeded");
    eventually("nothing runs", || {
        measured("gateway_async_jobs") == Some(0.0)
    });
    gateway.edit_queue("", "");
    for gauge in gauges {
        eventually(&format!("{gauge} is gone"), || measured(gauge).is_none());
    }
}

fn dashboards_know_the_types(kind: Kind) {
    let upstream = Upstream::start(|exchange| match exchange.request.target.as_str() {
        "/dead" => exchange.reply(500, &[], ""),
        "/later" => exchange.reply(500, &[("Retry-After", "3600")], ""),
        _ => exchange.reply(200, &[], ""),
    });
    let settings = "retry: { attempts: 2, min_wait: 5ms, max_wait: 10ms }";
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    gateway.call_in(&gateway.submit("fig/dead", ""), "dead");
    gateway.submit("fig/later", "");
    let back = [("X-Callback-Url", "http://127.0.0.1:1/")];
    gateway.submit_with("fig", &back, "");
    eventually_measured(
        &gateway,
        "gateway_callback_total",
        &[("result", "failed")],
        1.0,
    );
    eventually("the gauges are there", || {
        gateway.metric("gateway_async_jobs", &[]).is_some()
    });
    let metrics = gateway.metrics();
    for (name, kind) in [
        ("queue_worker_messages_submitted_total", "counter"),
        ("queue_worker_messages_processed_total", "counter"),
        ("queue_worker_pending_messages", "gauge"),
        ("queue_worker_function_invocation_inflight", "gauge"),
        ("gateway_async_jobs", "gauge"),
        ("gateway_async_age_seconds", "gauge"),
        ("gateway_async_retries_total", "counter"),
        ("gateway_dead_letters_total", "counter"),
        ("gateway_callback_total", "counter"),
        ("gateway_queue_up", "gauge"),
    ] {
        metrics.assert_described(name, kind);
    }
}

fn an_accepted_call_is_a_line_in_the_access_log(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("max_body: 10", &upstream.declared("fig"));
    gateway.submit_with("fig/a?secret=1", &[("X-Call-Id", "accepted")], "hello");
    gateway
        .try_submit("fig", &[("X-Call-Id", "refused")], "too long for that")
        .assert_status(413);
    let line_of = |id: &str| {
        eventually_some("the line of the call", || {
            gateway
                .access_log()
                .into_iter()
                .find(|line| line["call_id"] == id)
        })
    };
    let line = line_of("accepted");
    assert_eq!(
        (&line["status"], &line["method"]),
        (&202.into(), &"POST".into()),
        "{line}"
    );
    assert_eq!(line["function"], "fig.openfaas-fn", "{line}");
    assert!(
        line["path"]
            .as_str()
            .unwrap()
            .starts_with("/async-function/fig/a"),
        "{line}"
    );
    let line = line_of("refused");
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&413.into(), &"too_large".into()),
        "{line}"
    );
}
