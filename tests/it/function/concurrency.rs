//! Calls beyond what a function takes at once wait in line and go to the replica with least to do;
//! and who works is not killed because fewer replicas are needed.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::thread;

use serde_json::json;

use crate::harness::{Gateway, Provider, alive, eventually, served};

fn metric(gateway: &Gateway, metric: &str, name: &str) -> f64 {
    let name = format!("{name}.openfaas-fn");
    let found = gateway.metric(metric, &[("function_name", &name)]);
    found.unwrap_or_default()
}

fn in_flight(gateway: &Gateway, name: &str) -> f64 {
    metric(gateway, "gateway_function_invocation_inflight", name)
}

fn held(gateway: &Gateway, name: &str) -> f64 {
    metric(gateway, "gateway_held_requests", name)
}

#[test]
fn no_replica_gets_more_at_once_than_it_takes_and_none_stays_idle() {
    let gateway = Gateway::start(&format!(
        "functions:\n  hello:\n    process: {:?}\n    mode: http\n    replicas: 3\n    \
         labels: {{ com.openfaas.concurrency: \"1\" }}\n",
        served()
    ));
    eventually("three replicas", || {
        metric(&gateway, "gateway_service_ready_count", "hello") == 3.0
    });
    let pids = Mutex::new(BTreeSet::new());
    thread::scope(|threads| {
        for _ in 0..12 {
            threads.spawn(|| {
                for _ in 0..10 {
                    // 429 says that it was not alone.
                    let answer = gateway.get("/function/hello/alone").assert_status(200);
                    pids.lock().unwrap().insert(answer.text());
                }
            });
        }
    });
    assert_eq!(pids.lock().unwrap().len(), 3);
}

#[test]
fn replicas_of_a_classic_function_are_places() {
    let gateway = Gateway::start("");
    let go = gateway.dir().join("go");
    fs::write(
        gateway.dir().join("wait.sh"),
        format!(
            "until [ -e {} ]; do sleep 0.02; done; echo done\n",
            go.display()
        ),
    )
    .unwrap();
    let deployed = json!({
        "service": "wait",
        "image": "i",
        "envProcess": format!("sh {}", gateway.dir().join("wait.sh").display()),
        "labels": { "com.openfaas.concurrency": "1", "com.openfaas.scale.min": "2" },
    });
    gateway
        .admin("POST", "/system/functions", deployed.to_string())
        .assert_status(202);
    thread::scope(|threads| {
        let calls: Vec<_> = (0..4)
            .map(|_| threads.spawn(|| gateway.post("/function/wait", "")))
            .collect();
        eventually("two run and two wait", || {
            (in_flight(&gateway, "wait"), held(&gateway, "wait")) == (2.0, 2.0)
        });
        // One more place takes one more call.
        gateway.scale("wait", 3);
        eventually("three run and one waits", || {
            (in_flight(&gateway, "wait"), held(&gateway, "wait")) == (3.0, 1.0)
        });
        fs::write(&go, "").unwrap();
        for call in calls {
            assert_eq!(call.join().unwrap().assert_status(200).text(), "done\n");
        }
    });
}

#[test]
fn calls_of_a_remote_function_wait_for_the_places_of_its_replicas() {
    let provider = Provider::with(&["fig"]);
    provider.change("fig", |fig| {
        fig.labels = json!({ "com.openfaas.concurrency": "2" });
        (fig.replicas, fig.available) = (3, 3);
    });
    let gateway = provider.gateway("");
    eventually("its replicas are known", || {
        metric(&gateway, "gateway_service_ready_count", "fig") == 3.0
    });
    provider.hold(true);
    thread::scope(|threads| {
        let calls: Vec<_> = (0..8)
            .map(|_| threads.spawn(|| gateway.post("/function/fig", "hi")))
            .collect();
        eventually("six run and two wait", || {
            (in_flight(&gateway, "fig"), held(&gateway, "fig")) == (6.0, 2.0)
        });
        eventually("six have arrived", || {
            provider.asked("/function/fig").len() == 6
        });
        provider.hold(false);
        for call in calls {
            call.join().unwrap().assert_status(200);
        }
    });
}

#[test]
fn calls_in_line_are_served_in_the_order_they_came() {
    let gateway = Gateway::start(&format!(
        "functions:\n  hello: {{ process: {:?}, mode: http, concurrency: 1 }}\n",
        served()
    ));
    let go = gateway.dir().join("go").display().to_string();
    let order = Mutex::new(Vec::new());
    thread::scope(|threads| {
        let until = [("X-Until", go.as_str())];
        let (gateway, order) = (&gateway, &order);
        threads.spawn(move || gateway.request("GET", "/function/hello/hold", &until, ""));
        eventually("the first is in flight", || {
            in_flight(gateway, "hello") == 1.0
        });
        for number in 1..=5 {
            threads.spawn(move || {
                gateway.get("/function/hello/slow").assert_status(200);
                order.lock().unwrap().push(number);
            });
            eventually("it has its place in line", || {
                held(gateway, "hello") == f64::from(number)
            });
        }
        fs::write(&go, "").unwrap();
    });
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn who_works_is_not_killed_because_fewer_are_needed() {
    let gateway = Gateway::start(&format!(
        "functions:\n  hello:\n    process: {:?}\n    mode: http\n    replicas: 2\n    \
         concurrency: 1\n    timeouts: {{ stop: 100ms }}\n",
        served()
    ));
    let pid = || gateway.get("/function/hello/pid").assert_status(200).text();
    let mut pids = BTreeSet::new();
    eventually("both replicas answer", || {
        pids.insert(pid());
        pids.len() == 2
    });
    let go = gateway.dir().join("go").display().to_string();
    let until = [("X-Until", go.as_str())];
    thread::scope(|threads| {
        let hold = || gateway.request("GET", "/function/hello/hold", &until, "");
        let calls = [threads.spawn(hold), threads.spawn(hold)];
        eventually("both work", || in_flight(&gateway, "hello") == 2.0);
        // A place of one that goes is nobody else's: the one that stays takes calls all the same.
        gateway.scale("hello", 3);
        eventually("the third is ready", || {
            metric(&gateway, "gateway_service_ready_count", "hello") == 3.0
        });
        gateway.get("/function/hello/pid").assert_status(200);
        // To one and to none, while both work.
        for replicas in [1, 0] {
            gateway.scale("hello", replicas);
            eventually("the number is in force", || {
                metric(&gateway, "gateway_service_ready_count", "hello") == replicas as f64
            });
        }
        assert!(pids.iter().all(|pid| alive(pid.parse().unwrap())));
        fs::write(&go, "").unwrap();
        for call in calls {
            assert_eq!(call.join().unwrap().assert_status(200).text(), "held");
        }
    });
    for pid in &pids {
        eventually("it ends when its call has ended", || {
            !alive(pid.parse().unwrap())
        });
    }
}

#[test]
fn a_new_revision_takes_calls_while_the_old_one_still_works() {
    let gateway = Gateway::start("");
    let declared = |word: &str| {
        format!(
            "functions:\n  fig: {{ process: {:?}, mode: http, concurrency: 1 }}\n",
            crate::harness::saying(word)
        )
    };
    gateway.edit_and_wait(&declared("old"));
    let word = || gateway.get("/function/fig/word").assert_status(200).text();
    assert_eq!(word(), "old");
    let go = gateway.dir().join("go").display().to_string();
    let until = [("X-Until", go.as_str())];
    thread::scope(|threads| {
        let call = threads.spawn(|| gateway.request("GET", "/function/fig/hold", &until, ""));
        eventually("the old one works", || in_flight(&gateway, "fig") == 1.0);
        gateway.edit_and_wait(&declared("new"));
        assert_eq!(word(), "new");
        fs::write(&go, "").unwrap();
        assert_eq!(call.join().unwrap().assert_status(200).text(), "held");
    });
}

#[test]
fn a_limit_that_comes_while_calls_are_in_flight_holds_up_nobody_for_good() {
    let declared = |more: &str| {
        format!(
            "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", threads: 1 }}\nfunctions:\n  fig: {{ process: {:?}, mode: http{more} }}\n",
            served()
        )
    };
    let gateway = Gateway::start(&declared(""));
    let go = gateway.dir().join("go").display().to_string();
    let until = [("X-Until", go.as_str())];
    thread::scope(|threads| {
        let first = threads.spawn(|| gateway.request("GET", "/function/fig/hold", &until, ""));
        eventually("it is in flight", || in_flight(&gateway, "fig") == 1.0);
        gateway.edit_and_wait(&declared(", concurrency: 1"));
        let second = threads.spawn(|| gateway.get("/function/fig/pid"));
        eventually("the next one waits", || held(&gateway, "fig") == 1.0);
        // The one thread of the proxy has time for others.
        gateway.get("/healthz").assert_status(200);
        fs::write(&go, "").unwrap();
        first.join().unwrap().assert_status(200);
        second.join().unwrap().assert_status(200);
    });
}
