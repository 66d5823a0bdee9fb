//! `GET /system/store`: functions to choose from, and which of them can run here.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Upstream, Valve, eventually, unused_port};

#[track_caller]
fn store(gateway: &Gateway) -> Value {
    gateway
        .admin("GET", "/system/store", "")
        .assert_status(200)
        .json()
}

fn names(store: &Value) -> Vec<&str> {
    let functions = store["functions"].as_array().unwrap().iter();
    functions
        .map(|function| function["name"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn find<'a>(store: &'a Value, name: &str) -> &'a Value {
    let mut functions = store["functions"].as_array().unwrap().iter();
    let found = functions.find(|function| function["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {store}"))
}

fn from(source: &str) -> String {
    format!("ui: {{ store: \"{source}\" }}\n")
}

fn list(name: &str) -> String {
    json!({ "version": "0.2.0", "functions": [{
        "name": name, "title": name, "description": "Some words.", "fprocess": "cat",
        "icon": "https://icons.example/a.png",
        "images": { "x86_64": "i:1", "armhf": "i:1-arm", "arm64": "i:1-arm64" },
    }] })
    .to_string()
}

#[test]
fn whatever_of_the_built_in_functions_runs_here_can_be_deployed_and_called() {
    let gateway = Gateway::start("");
    let store = store(&gateway);
    assert_eq!(store["source"], "built in");
    assert_eq!(
        (&store["fetched_at"], &store["problem"]),
        (&Value::Null, &Value::Null)
    );
    let distinct: BTreeSet<&str> = names(&store).into_iter().collect();
    assert_eq!(distinct.len(), 12);
    for function in store["functions"].as_array().unwrap() {
        let name = function["name"].as_str().unwrap();
        if function["runs"] == false {
            let reason = function["reason"].as_str().unwrap();
            assert!(
                reason.contains("is not on this machine"),
                "{name}: {reason}"
            );
            continue;
        }
        assert_eq!(function["reason"], Value::Null);
        let deployment = function["deployment"].to_string();
        gateway
            .admin("POST", "/system/functions", deployment)
            .assert_status(202);
        // It would leave this machine.
        if name != "fetch" {
            let path = format!("/function/{name}");
            let reply = match name {
                "manuals" => gateway.get(&path),
                _ => gateway.post(&path, "{\"a\": 1}"),
            };
            assert_eq!(reply.status, 200, "{name}: {reply:?}");
            assert!(!reply.body.is_empty(), "{name}");
        }
    }
    for everywhere in ["echo", "env", "word-count", "sha512", "sort-lines", "date"] {
        assert_eq!(find(&store, everywhere)["runs"], true, "{everywhere}");
    }
    assert_eq!(gateway.post("/function/echo", "hi").text(), "hi");
}

#[test]
fn a_program_that_is_not_here_is_told_with_what_to_do() {
    let list = json!([
        { "name": "a", "image": "i", "fprocess": "no-such-program-here -x" },
        { "name": "b", "image": "i/b:1" },
        { "name": "c", "image": "mapped/c:1" },
    ]);
    let gateway = Gateway::with(
        "ui: { store: \"@DIR@/store.json\" }\nprovider:\n  state_dir: @DIR@/state\n  \
         images: { \"mapped/*\": { command: cat } }\n",
    )
    .file("store.json", &list.to_string())
    .start();
    let store = store(&gateway);
    let reason = |name| find(&store, name)["reason"].as_str().unwrap();
    assert_eq!(
        reason("a"),
        "the program `no-such-program-here` is not on this machine: install it, or map image `i` \
         in provider.images of the configuration"
    );
    assert!(reason("b").contains("nothing says which command image `i/b:1`"));
    assert_eq!(find(&store, "c")["runs"], true);
}

#[test]
fn a_store_elsewhere_is_asked_once_and_only_when_somebody_looks() {
    let upstream = Upstream::start(|exchange| {
        exchange.reply(200, &[("Content-Type", "application/json")], list("one"));
    });
    let gateway = Gateway::start(&from(&format!("{}/functions.json", upstream.url())));
    gateway.get("/healthz").assert_status(200);
    assert_eq!(upstream.requests().len(), 0);
    for _ in 0..3 {
        let store = store(&gateway);
        assert_eq!(names(&store), ["one"], "{store}");
        assert_eq!(
            store["source"],
            format!("{}/functions.json", upstream.url())
        );
        assert!(store["fetched_at"].is_string(), "{store}");
        assert!(!store.to_string().contains("icons.example"), "{store}");
    }
    assert_eq!(upstream.requests().len(), 1);
    let request = upstream.last();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/functions.json")
    );
    assert!(request.header("User-Agent").starts_with("gateway/"));
    assert_eq!(request.header("Authorization"), "");
}

#[test]
fn those_who_ask_while_it_is_fetched_wait_for_the_same_answer() {
    let valve = Valve::default();
    let wait = valve.clone();
    let held = Upstream::start(move |exchange| {
        wait.wait();
        exchange.reply(200, &[], list("one"));
    });
    let gateway = Gateway::start(&from(&held.url()));
    let answered = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                assert_eq!(names(&store(&gateway)), ["one"]);
                answered.fetch_add(1, Ordering::SeqCst);
            });
        }
        eventually("the store is asked", || held.requests().len() == 1);
        assert_eq!(answered.load(Ordering::SeqCst), 0);
        valve.open_for(4);
    });
    assert_eq!(held.requests().len(), 1);
}

#[test]
fn a_store_that_is_no_good_is_told_and_the_built_in_list_is_shown() {
    let upstream = Upstream::start(|exchange| match exchange.request.target.as_str() {
        "/500" => exchange.reply(500, &[], ""),
        "/html" => exchange.reply(200, &[], "<html>"),
        "/moved" => exchange.reply(301, &[("Location", "/html")], ""),
        "/long" => exchange.reply(200, &[], " ".repeat((4 << 20) + 1)),
        "/cut" => {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[");
            exchange.close();
        }
        _ => exchange.reply(200, &[], list("good")),
    });
    let gateway = Gateway::start("");
    let closed = format!("http://127.0.0.1:{}/", unused_port());
    let at = |path: &str| format!("{}{path}", upstream.url());
    for (source, why) in [
        (at("/500"), "it answers with status 500"),
        (at("/html"), "it is no JSON"),
        (at("/moved"), "it redirects"),
        (at("/long"), "it is longer than 4 MiB"),
        (at("/cut"), "ui.store cannot be read"),
        (closed, "Connection refused"),
        ("/no/such/file.json".to_owned(), "No such file"),
    ] {
        gateway.edit_and_wait(&from(&source));
        let store = store(&gateway);
        assert_eq!(store["source"], source);
        let problem = store["problem"].as_str().unwrap();
        assert!(problem.contains(why), "{source}: {problem}");
        assert!(
            problem.ends_with("shown are the built-in functions"),
            "{problem}"
        );
        assert!(names(&store).contains(&"echo"), "{store}");
    }
    gateway.edit_and_wait(&from(&at("/good")));
    let changed = store(&gateway);
    assert_eq!(
        (names(&changed), &changed["problem"]),
        (vec!["good"], &Value::Null)
    );
}

#[test]
fn a_file_is_followed_and_its_last_good_text_stays() {
    let gateway = Gateway::with(&from("@DIR@/store.json"))
        .file("store.json", &list("one"))
        .start();
    assert_eq!(names(&store(&gateway)), ["one"]);
    let file = gateway.dir().join("store.json");
    fs::write(&file, list("two")).unwrap();
    eventually("it is read again", || names(&store(&gateway)) == ["two"]);
    fs::write(&file, "{").unwrap();
    eventually("what is wrong is told", || {
        !store(&gateway)["problem"].is_null()
    });
    let broken = store(&gateway);
    assert_eq!(names(&broken), ["two"]);
    assert!(
        broken["problem"]
            .as_str()
            .unwrap()
            .contains("it is no JSON"),
        "{broken}"
    );
}

#[test]
fn a_provider_of_images_runs_those_of_a_store_and_no_programs_of_this_machine() {
    let provider = Provider::with(&[]);
    let gateway = provider.gateway("");
    let own = store(&gateway);
    let echo = find(&own, "echo");
    assert_eq!(echo["runs"], false);
    assert!(
        echo["reason"].as_str().unwrap().contains("ui.store"),
        "{echo}"
    );
    let upstream = Upstream::start(|exchange| {
        let functions = json!({ "functions": [
            { "name": "fits", "images": { "x86_64": "a", "armhf": "b", "arm64": "c" } },
            { "name": "foreign", "images": { "pdp11": "a" } },
        ] });
        exchange.reply(200, &[], functions.to_string());
    });
    let gateway = provider.gateway(&from(&upstream.url()));
    let other = store(&gateway);
    assert_eq!(find(&other, "fits")["runs"], true);
    assert!(
        find(&other, "foreign")["reason"]
            .as_str()
            .unwrap()
            .contains("pdp11")
    );
}

#[test]
fn an_address_that_cannot_be_one_is_refused_at_the_start() {
    for (source, why) in [
        ("ftp://example.org/a", "is neither of http nor of https"),
        ("https://me:secret@example.org/a", "names a user"),
        ("", "is empty"),
    ] {
        let exit = Gateway::with(&from(source)).run();
        assert!(exit.stderr.contains(why), "{source}: {}", exit.stderr);
        assert!(!exit.stderr.contains("secret"), "{}", exit.stderr);
    }
    Gateway::start("").get("/system/store").assert_status(401);
}
