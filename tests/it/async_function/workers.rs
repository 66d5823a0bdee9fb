//! Who runs when: queued calls share the workers fairly, and stay within every limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Kind, Upstream, Valve, eventually, on_each_queue, served};

on_each_queue! {
    a_flooded_function_does_not_keep_anothers_call_waiting,
    no_more_calls_run_at_once_than_there_are_workers,
    no_more_calls_of_one_function_run_at_once_than_its_share,
    a_functions_own_limit_is_kept_and_costs_no_try,
    calls_wait_for_their_turn_in_order,
    a_function_that_sleeps_is_woken,
    a_call_may_take_longer_than_others,
    the_time_of_a_try_is_bounded,
}

/// The most that was ever there at once.
#[derive(Default)]
struct Most {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Most {
    fn come(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn go(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// A function that counts its calls, which wait at the valve and take a moment then.
fn counting(counter: &Arc<Most>, valve: &Valve) -> Upstream {
    let (counter, valve) = (Arc::clone(counter), valve.clone());
    Upstream::start(move |exchange| {
        counter.come();
        valve.wait();
        std::thread::sleep(Duration::from_millis(2));
        counter.go();
        exchange.reply(200, &[], "");
    })
}

fn functions(named: &[(&str, &Upstream)]) -> String {
    let lines = named
        .iter()
        .map(|(name, upstream)| format!("  {name}: {{ upstream: [\"{}\"] }}\n", upstream.url()));
    format!("functions:\n{}", lines.collect::<String>())
}

fn a_flooded_function_does_not_keep_anothers_call_waiting(kind: Kind) {
    let (slow, valve) = Upstream::held();
    let quick = Upstream::echo();
    let settings = "workers: 4, per_function: 3";
    let gateway = kind.gateway(settings, &functions(&[("slow", &slow), ("quick", &quick)]));
    let flood: Vec<_> = (0..40).map(|_| gateway.submit("slow", "")).collect();
    eventually("its share runs", || valve.waiting() == 3);
    for _ in 0..5 {
        gateway.call_in(&gateway.submit("quick", ""), "succeeded");
    }
    assert_eq!(slow.requests().len(), 3);
    valve.open_for(40);
    for location in flood {
        gateway.call_in(&location, "succeeded");
    }
}

fn no_more_calls_run_at_once_than_there_are_workers(kind: Kind) {
    let (all, valve) = (Arc::default(), Valve::default());
    let upstreams: Vec<_> = (0..4).map(|_| counting(&all, &valve)).collect();
    let names = ["a", "b", "c", "d"];
    let named: Vec<_> = names.into_iter().zip(&upstreams).collect();
    let gateway = kind.gateway("workers: 4, per_function: 3", &functions(&named));
    let locations: Vec<_> = (0..80)
        .map(|number| gateway.submit(names[number % 4], ""))
        .collect();
    eventually("all workers have something to do", || valve.waiting() == 4);
    valve.open_for(80);
    for location in locations {
        gateway.call_in(&location, "succeeded");
    }
    assert_eq!(all.most(), 4);
}

fn no_more_calls_of_one_function_run_at_once_than_its_share(kind: Kind) {
    let counters = [Arc::default(), Arc::default()];
    let valve = Valve::default();
    let upstreams = counters.each_ref().map(|counter| counting(counter, &valve));
    let named = [("a", &upstreams[0]), ("b", &upstreams[1])];
    let gateway = kind.gateway("workers: 8, per_function: 3", &functions(&named));
    let locations: Vec<_> = (0..80)
        .map(|number| gateway.submit(["a", "b"][number % 2], ""))
        .collect();
    eventually("both have their share", || valve.waiting() == 6);
    valve.open_for(80);
    for location in locations {
        gateway.call_in(&location, "succeeded");
    }
    assert_eq!(counters.each_ref().map(|counter| counter.most()), [3, 3]);
}

fn a_functions_own_limit_is_kept_and_costs_no_try(kind: Kind) {
    let (most, valve) = (Arc::default(), Valve::default());
    let upstream = counting(&most, &valve);
    let functions = format!(
        "functions:\n  fig: {{ upstream: [\"{}\"], concurrency: 2 }}\n",
        upstream.url()
    );
    let gateway = kind.gateway("workers: 8, per_function: 8", &functions);
    let locations: Vec<_> = (0..40).map(|_| gateway.submit("fig", "")).collect();
    eventually("its places are taken", || valve.waiting() == 2);
    valve.open_for(40);
    for location in locations {
        let call = gateway.call_in(&location, "succeeded");
        assert_eq!(call["attempts"], 1);
    }
    assert_eq!(most.most(), 2);
}

fn calls_wait_for_their_turn_in_order(kind: Kind) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("workers: 1", &upstream.declared("fig"));
    let locations: Vec<_> = (0..30)
        .map(|number| gateway.submit("fig", format!("{number}")))
        .collect();
    for location in locations {
        gateway.call_in(&location, "succeeded");
    }
    let order: Vec<_> = upstream
        .requests()
        .into_iter()
        .map(|request| String::from_utf8(request.body).unwrap())
        .collect();
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(order, expected);
}

fn a_function_that_sleeps_is_woken(kind: Kind) {
    let functions = format!(
        "functions:\n  cat: {{ process: cat }}\n  hello: {{ process: {:?}, mode: http }}\n",
        served()
    );
    let gateway = kind.gateway("", &functions);
    for name in ["cat", "hello"] {
        gateway.scale(name, 0);
        eventually("calls find it asleep", || {
            gateway.explain(name)["now"]["replicas"] == 0
        });
        let call = gateway.call_in(&gateway.submit(name, "hi"), "succeeded");
        assert_eq!(
            (&call["attempts"], &call["result"]["body"]),
            (&1.into(), &"hi".into())
        );
        assert_eq!(gateway.replicas(name), 1);
    }
}

fn a_call_may_take_longer_than_others(kind: Kind) {
    let upstream = Upstream::start(|exchange| {
        std::thread::sleep(Duration::from_millis(500));
        exchange.reply(200, &[], "at last");
    });
    let functions = format!(
        "functions:\n  fig: {{ upstream: [\"{}\"], timeouts: {{ upstream: 100ms }} }}\n",
        upstream.url()
    );
    let gateway = kind.gateway("", &functions);
    gateway
        .post("/function/fig", "")
        .assert_error(504, "upstream_timeout");
    let call = gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    assert_eq!(
        (&call["attempts"], &call["result"]["body"]),
        (&1.into(), &"at last".into())
    );
    assert!(call["tries"][0]["seconds"].as_f64() >= Some(0.49), "{call}");
}

fn the_time_of_a_try_is_bounded(kind: Kind) {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let settings = "timeout: 100ms, retry: { attempts: 2, min_wait: 5ms, max_wait: 10ms }";
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    let call = gateway.call_in(&gateway.submit("fig", ""), "dead");
    assert_eq!(
        (&call["attempts"], &call["result"]["status"]),
        (&2.into(), &503.into())
    );
    for tried in call["tries"].as_array().unwrap() {
        let why = tried["error"].as_str().unwrap();
        assert!(why.contains("queue.timeout"), "{tried}");
        assert!(tried["seconds"].as_f64() >= Some(0.1), "{tried}");
    }
    eventually("connections are given up", || {
        upstream.open_connections() == 0
    });
    assert_eq!(upstream.requests().len(), 2);
    let labels = [("function_name", "fig.openfaas-fn"), ("code", "504")];
    let failed = gateway.metric("gateway_function_invocation_total", &labels);
    assert_eq!(
        failed,
        Some(2.0),
        "they are errors, as other calls that take too long"
    );
}
