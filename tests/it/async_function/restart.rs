//! What was accepted is not lost, however the gateway ends, and goes on when it starts again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{
    Kind, PATIENCE, Queued, Signal, Upstream, Valve, eventually, on_each_queue, try_request, within,
};

on_each_queue! {
    calls_of_every_state_survive_a_kill,
    calls_that_are_accepted_under_load_survive_a_kill,
    results_survive_a_kill,
    callbacks_survive_a_kill,
    running_calls_are_finished_at_the_end_and_others_wait,
    a_call_that_is_broken_off_at_the_end_runs_again,
    a_full_queue_is_still_full_after_a_restart,
}

/// A function whose calls wait at the valve; those with the path `/fail` fail until `healed`.
struct Function {
    upstream: Upstream,
    valve: Valve,
    healed: Arc<AtomicBool>,
}

impl Function {
    fn start() -> Self {
        let (valve, healed) = (Valve::default(), Arc::new(AtomicBool::new(false)));
        let (wait, well) = (valve.clone(), Arc::clone(&healed));
        let upstream = Upstream::start(move |exchange| {
            if exchange.request.target == "/fail" && !well.load(Ordering::SeqCst) {
                exchange.reply(503, &[("Retry-After", "1")], "");
                return;
            }
            wait.wait();
            exchange.reply(200, &[], "");
        });
        Self {
            upstream,
            valve,
            healed,
        }
    }

    /// How often each call was made, by its id.
    fn made(&self) -> BTreeMap<String, usize> {
        let mut made = BTreeMap::new();
        for request in self.upstream.requests() {
            *made
                .entry(format!("/system/async/{}", request.header("X-Call-Id")))
                .or_default() += 1;
        }
        made
    }
}

const TWO: &str = "workers: 2, per_function: 2";

#[track_caller]
fn assert_succeeded(gateway: &Queued, locations: &[String]) {
    for location in locations {
        gateway.call_in(location, "succeeded");
    }
}

fn calls_of_every_state_survive_a_kill(kind: Kind) {
    let function = Function::start();
    let mut gateway = kind.gateway(TWO, &function.upstream.declared("fig"));
    let retrying = gateway.submit("fig/fail", "");
    gateway.call_in(&retrying, "retrying");
    let running: Vec<_> = (0..2).map(|_| gateway.submit("fig", "")).collect();
    eventually("two run", || function.valve.waiting() == 2);
    let queued: Vec<_> = (0..5).map(|_| gateway.submit("fig", "")).collect();
    gateway.kill();
    function.healed.store(true, Ordering::SeqCst);
    function.valve.open_for(100);
    gateway.restart();
    for locations in [&running, &queued, &vec![retrying.clone()]] {
        assert_succeeded(&gateway, locations);
    }
    let made = function.made();
    assert_eq!(made.len(), 8);
    for location in &queued {
        assert_eq!(made[location], 1, "what did not run runs once");
    }
    for location in &running {
        assert_eq!(
            made[location], 2,
            "what ran runs again, as nobody knows how far it came"
        );
    }
    assert!(made[&retrying] >= 2);
    assert!(
        gateway.call(&retrying)["attempts"].as_u64() >= Some(2),
        "tries are counted on"
    );
}

fn calls_that_are_accepted_under_load_survive_a_kill(kind: Kind) {
    let upstream = Upstream::echo();
    let mut gateway = kind.gateway("", &upstream.declared("fig"));
    let mut accepted = Vec::new();
    for round in 0..3 {
        let address = gateway.address();
        let posted: Vec<String> = std::thread::scope(|threads| {
            let posters: Vec<_> = (0..8)
                .map(|poster| {
                    threads.spawn(move || {
                        let mut mine = Vec::new();
                        for number in 0.. {
                            let id = format!("{round}-{poster}-{number}");
                            let headers = [("X-Call-Id", id.as_str())];
                            let path = "/async-function/fig";
                            match try_request(address, "POST", path, &headers, b"x") {
                                Ok(answer) if answer.status == 202 => mine.push(id),
                                _ => break,
                            }
                        }
                        mine
                    })
                })
                .collect();
            eventually("some have run", || {
                upstream.requests().len() >= (round + 1) * 100
            });
            gateway.kill();
            posters
                .into_iter()
                .flat_map(|poster| poster.join().unwrap())
                .collect()
        });
        accepted.extend(posted);
        gateway.restart();
    }
    assert!(accepted.len() >= 200, "{}", accepted.len());
    let mut missing = accepted;
    within(PATIENCE * 6, "every accepted call has run", || {
        let ran: std::collections::HashSet<_> = upstream
            .requests()
            .iter()
            .map(|request| request.header("X-Call-Id").to_owned())
            .collect();
        missing.retain(|id| !ran.contains(id));
        missing.is_empty()
    });
}

fn results_survive_a_kill(kind: Kind) {
    let upstream = Upstream::echo();
    let mut gateway = kind.gateway("", &upstream.declared("fig"));
    let location = gateway.submit("fig", "to be remembered");
    let before = gateway.call_in(&location, "succeeded");
    gateway.kill();
    gateway.restart();
    let after = gateway.call_in(&location, "succeeded");
    assert_eq!(before, after);
    assert_eq!(after["result"]["body"], "to be remembered");
    assert_eq!(upstream.requests().len(), 1);
}

fn callbacks_survive_a_kill(kind: Kind) {
    let (upstream, well) = (Upstream::echo(), Arc::new(AtomicBool::new(false)));
    let healed = Arc::clone(&well);
    let receiver = Upstream::start(move |exchange| match healed.load(Ordering::SeqCst) {
        true => exchange.reply(200, &[], ""),
        false => exchange.reply(503, &[("Retry-After", "1")], ""),
    });
    let settings = "callbacks: { allow: [127.0.0.0/8] }";
    let mut gateway = kind.gateway(settings, &upstream.declared("fig"));
    let url = receiver.url();
    let location = gateway.submit_with("fig", &[("X-Callback-Url", &url)], "result");
    eventually("the receiver refused it", || {
        !receiver.requests().is_empty()
    });
    gateway.call_in(&location, "succeeded");
    gateway.kill();
    well.store(true, Ordering::SeqCst);
    gateway.restart();
    gateway.call_when(&location, "called back", |call| {
        call["callback"]["state"] == "delivered"
    });
    assert_eq!(receiver.last().body, b"result");
    assert_eq!(
        upstream.requests().len(),
        1,
        "the function is not called again for that"
    );
}

fn running_calls_are_finished_at_the_end_and_others_wait(kind: Kind) {
    let function = Function::start();
    let mut gateway = kind.gateway(TWO, &function.upstream.declared("fig"));
    let locations: Vec<_> = (0..7).map(|_| gateway.submit("fig", "")).collect();
    eventually("two run", || function.valve.waiting() == 2);
    gateway.signal(Signal::TERM);
    let address = gateway.address();
    eventually("it takes no new connection", || {
        try_request(address, "GET", "/healthz", &[], b"").is_err()
    });
    assert!(!gateway.has_ended(), "two calls are still in flight");
    function.valve.open_for(100);
    assert_eq!(gateway.wait_exit().code, Some(0));
    assert_eq!(
        function.upstream.requests().len(),
        2,
        "nothing new is begun"
    );
    gateway.restart();
    assert_succeeded(&gateway, &locations);
    let made = function.made();
    assert_eq!(made.len(), 7);
    assert!(made.values().all(|times| *times == 1), "{made:?}");
}

fn a_call_that_is_broken_off_at_the_end_runs_again(kind: Kind) {
    let function = Function::start();
    let server = "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", \
        drain: { delay: 0s, timeout: 200ms } }\n";
    let rest = server.to_owned() + &function.upstream.declared("fig");
    let mut gateway = kind.gateway(TWO, &rest);
    let locations: Vec<_> = (0..3).map(|_| gateway.submit("fig", "")).collect();
    eventually("two run", || function.valve.waiting() == 2);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit().code, Some(0));
    function.valve.open_for(100);
    gateway.restart();
    assert_succeeded(&gateway, &locations);
    let made = function.made();
    let times: Vec<_> = locations.iter().map(|location| made[location]).collect();
    assert_eq!(times, [2, 2, 1]);
}

fn a_full_queue_is_still_full_after_a_restart(kind: Kind) {
    let function = Function::start();
    let settings = "workers: 1, max_calls: 2";
    let mut gateway = kind.gateway(settings, &function.upstream.declared("fig"));
    let locations: Vec<_> = (0..2).map(|_| gateway.submit("fig", "")).collect();
    gateway.kill();
    gateway.restart();
    eventually("it knows that it is full", || {
        gateway.try_submit("fig", &[], "").header("X-Gateway-Error") == "queue_full"
    });
    function.valve.open_for(10);
    assert_succeeded(&gateway, &locations);
    eventually("there is room again", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
}
