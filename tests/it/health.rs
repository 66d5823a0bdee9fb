//! `gateway health`: what a health check in a container asks, with no other program's help.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::{Exit, Gateway, Signal, Upstream, eventually, unused_port};

/// Where nobody listens.
fn nobody() -> String {
    format!("127.0.0.1:{}", unused_port())
}

/// Asks at this address, with these words more.
fn ask(metrics: impl ToString, words: &[&str]) -> Exit {
    let setup = Gateway::bare()
        .arg("health")
        .arg("--metrics")
        .arg(metrics.to_string());
    words
        .iter()
        .fold(setup, |setup, word| setup.arg(*word))
        .run()
}

#[track_caller]
fn assert_says(exit: &Exit, code: i32, words: &[&str]) {
    assert_eq!(exit.code, Some(code), "{exit:?}");
    let (said, other) = match code {
        0 => (&exit.stdout, &exit.stderr),
        _ => (&exit.stderr, &exit.stdout),
    };
    assert_eq!(other, "", "{exit:?}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    for word in words {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn a_gateway_that_serves_is_a_0() {
    let gateway = Gateway::start("");
    let metrics = gateway.metrics_address();
    assert_says(&ask(metrics, &[]), 0, &["ready", &metrics.to_string()]);
    assert_says(&ask(metrics, &["--live"]), 0, &["alive"]);
    // An address of the whole machine is asked on this one.
    let everywhere = format!("0.0.0.0:{}", metrics.port());
    assert_says(&ask(everywhere, &[]), 0, &["ready", &metrics.to_string()]);
}

#[test]
fn a_gateway_that_drains_is_alive_but_not_ready() {
    let (upstream, valve) = Upstream::held();
    let mut gateway = Gateway::start(&upstream.declared("fig"));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    eventually("the call is in flight", || valve.waiting() == 1);
    gateway.signal(Signal::TERM);
    let metrics = gateway.metrics_address();
    eventually("it is not ready any more", || {
        ask(metrics, &[]).code == Some(1)
    });
    assert_says(&ask(metrics, &[]), 1, &["not ready", "503", "draining"]);
    assert_says(&ask(metrics, &["--live"]), 0, &["alive"]);
    valve.open_once();
    connection.response("GET").assert_status(200);
    gateway.wait_exit();
    assert_says(&ask(metrics, &["--live"]), 1, &["not alive"]);
}

#[test]
fn nobody_there_is_a_1() {
    assert_says(&ask(nobody(), &[]), 1, &["not ready", "refused"]);
}

#[test]
fn who_takes_the_question_and_says_nothing_is_a_1_within_seconds() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let begin = Instant::now();
    let exit = ask(mute.local_addr().unwrap(), &[]);
    assert_says(&exit, 1, &["not ready", "no answer within 3s"]);
    assert!(
        begin.elapsed() < Duration::from_secs(9),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn somebody_else_at_the_address_is_a_1() {
    let upstream = Upstream::start(|exchange| exchange.reply(404, &[], "what?"));
    let address = upstream.url().replace("http://", "");
    assert_says(&ask(address, &[]), 1, &["404", "what?"]);
}

#[test]
fn a_long_answer_of_somebody_else_does_not_hide_its_status() {
    let page = "fig ".repeat(100_000);
    let upstream = Upstream::start(move |exchange| exchange.reply(404, &[], &page));
    let address = upstream.url().replace("http://", "");
    let exit = ask(address, &[]);
    assert_says(&exit, 1, &["404", "fig fig"]);
    assert!(exit.stderr.len() < 10_000, "{}", exit.stderr.len());
}

#[test]
fn it_is_found_as_run_finds_its_address() {
    let gateway = Gateway::start("");
    let metrics = gateway.metrics_address().to_string();
    let file = |text: &str| Gateway::with(text).arg("health");
    let named = format!("server: {{ metrics: \"{metrics}\" }}\n");
    assert_says(&file(&named).run(), 0, &[&metrics]);
    let by_variable = file("server: { metrics: \"${METRICS}\" }\n").env("METRICS", &metrics);
    assert_says(&by_variable.run(), 0, &[&metrics]);
    // A flag is stronger, and what else stands in the file does not matter then.
    let elsewhere = format!("server: {{ metrics: \"{}\" }}\n", nobody());
    assert_says(&file(&elsewhere).run(), 1, &["refused"]);
    let bad = format!("{elsewhere}timeouts: {{ upstrem: 5s }}\n");
    assert_says(&file(&bad).run(), 1, &["which gateway", "upstrem"]);
    let flagged = file(&bad).arg("--metrics").arg(&metrics);
    assert_says(&flagged.run(), 0, &[&metrics]);
}

#[test]
fn a_port_that_is_chosen_at_the_start_cannot_be_guessed() {
    let exit = Gateway::with("server: { metrics: \"127.0.0.1:0\" }\n")
        .arg("health")
        .run();
    assert_says(&exit, 1, &["--metrics"]);
}
