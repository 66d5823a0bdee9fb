//! A long-lived function for HTTP mode: this very test binary, started by the gateway with the
//! name of one ignored test. So nothing else needs to be built or installed.

use std::env;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::eventually;
use super::upstream::{Exchange, Upstream};

/// The command that runs it. It reads `PORT`, `START_WHEN` (a file that must exist before it
/// listens), `READY_WHEN` (the same for `/ready`), and answers as [`answer`] says.
pub fn command() -> String {
    let binary = env::current_exe().unwrap();
    format!(
        "{} --exact harness::served::serves_as_a_function --ignored --nocapture",
        binary.display()
    )
}

/// The same, with a word that it tells at `/word`.
pub fn saying(word: &str) -> String {
    // To the test binary it is one more test that there is none of.
    format!("{} {word}", command())
}

#[test]
#[ignore = "not a test: a function that gateways under test start"]
fn serves_as_a_function() {
    let Ok(port) = env::var("PORT") else {
        return;
    };
    wait_for_file(env::var("START_WHEN").ok());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let _upstream = Upstream::on(listener, answer);
    loop {
        thread::park();
    }
}

fn answer(exchange: &mut Exchange) {
    let target = exchange.request.target.clone();
    match target.as_str() {
        "/word" => exchange.reply(200, &[], env::args().next_back().unwrap_or_default()),
        "/pid" => exchange.reply(200, &[], std::process::id().to_string()),
        "/exit" => std::process::exit(3),
        "/sleeper" => exchange.reply(200, &[], sleeper(false).to_string()),
        // One that is in no group of the function's any more.
        "/stray" => exchange.reply(200, &[], sleeper(true).to_string()),
        "/ready" => {
            let ready = env::var("READY_WHEN").map_or(true, |file| Path::new(&file).exists());
            exchange.reply(if ready { 200 } else { 503 }, &[], "");
        }
        "/slow" => {
            thread::sleep(Duration::from_millis(200));
            exchange.reply(200, &[], "");
        }
        "/alone" => {
            static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
            let alone = AT_ONCE.fetch_add(1, Ordering::SeqCst) == 0;
            thread::sleep(Duration::from_millis(20));
            AT_ONCE.fetch_sub(1, Ordering::SeqCst);
            let pid = std::process::id().to_string();
            exchange.reply(if alone { 200 } else { 429 }, &[], pid);
        }
        "/hold" => {
            wait_for_file(Some(exchange.request.header("X-Until").to_owned()));
            exchange.reply(200, &[], "held");
        }
        _ => match target[1..].split_once('/') {
            Some(("env", name)) => exchange.reply(200, &[], env::var(name).unwrap_or_default()),
            Some(("status", status)) => exchange.reply(status.parse().unwrap(), &[], ""),
            _ => {
                let body = exchange.request.body.clone();
                exchange.reply(200, &[("X-Target", &target)], body);
            }
        },
    }
}

fn wait_for_file(path: Option<String>) {
    if let Some(path) = path {
        eventually(&path, || Path::new(&path).exists());
    }
}

/// Starts a process that outlives this one, if it may; maybe in a group of its own.
fn sleeper(apart: bool) -> u32 {
    let mut command = Command::new("sleep");
    command.arg("300").stdin(Stdio::null());
    if apart {
        command.process_group(0);
    }
    command.spawn().unwrap().id()
}
