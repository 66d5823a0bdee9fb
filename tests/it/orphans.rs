//! No process of a function survives its gateway, however that ends.

use std::fs;

use crate::harness::{
    Gateway, Signal, alive, descendants, eventually, eventually_some, kill, served,
};

#[track_caller]
fn number(text: &str) -> u32 {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{text:?} is not a process id"))
}

#[test]
fn killing_the_gateway_ends_long_lived_functions_and_their_children() {
    let mut gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ process: \"{}\", mode: http }}\n",
        served()
    ));
    let function = number(&gateway.get("/function/fig/pid").assert_status(200).text());
    let grandchild = number(
        &gateway
            .get("/function/fig/sleeper")
            .assert_status(200)
            .text(),
    );
    assert!(alive(function) && alive(grandchild));
    gateway.signal(Signal::KILL);
    gateway.wait_exit();
    assert_gone(&[function, grandchild]);
}

#[test]
fn a_child_that_left_its_group_and_a_killed_reaper_change_nothing() {
    let mut gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ process: \"{}\", mode: http }}\n",
        served()
    ));
    let function = number(&gateway.get("/function/fig/pid").assert_status(200).text());
    let stray = number(&gateway.get("/function/fig/stray").assert_status(200).text());
    let reaper = || {
        let is_reaper = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == b"reaper")
        };
        descendants(gateway.pid()).into_iter().find(is_reaper)
    };
    let first = eventually_some("there is a reaper", reaper);
    kill(first);
    eventually("there is another one", || {
        reaper().is_some_and(|pid| pid != first)
    });
    gateway.signal(Signal::KILL);
    gateway.wait_exit();
    assert_gone(&[function, stray]);
}

#[test]
fn killing_the_gateway_ends_calls_that_are_running() {
    let mut gateway = Gateway::with(
        "functions:\n  fig: { process: \"sh @DIR@/fig.sh\", timeouts: { upstream: 60s } }\n",
    )
    .file(
        "fig.sh",
        "sleep 300 & echo $! $$ >${0%/*}/pids.new; mv ${0%/*}/pids.new ${0%/*}/pids; wait",
    )
    .start();
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    let file = gateway.dir().join("pids");
    let pids = eventually_some("the call runs", || fs::read_to_string(&file).ok());
    let pids: Vec<u32> = pids.split_whitespace().map(number).collect();
    assert!(
        pids.len() == 2 && pids.iter().all(|pid| alive(*pid)),
        "{pids:?}"
    );
    gateway.signal(Signal::KILL);
    gateway.wait_exit();
    assert_gone(&pids);
}

#[test]
fn an_orderly_end_leaves_nothing_either() {
    let mut gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ process: \"{}\", mode: http }}\n",
        served()
    ));
    let grandchild = number(
        &gateway
            .get("/function/fig/sleeper")
            .assert_status(200)
            .text(),
    );
    let mut family = descendants(gateway.pid());
    assert!(family.contains(&grandchild), "{grandchild} in {family:?}");
    family.push(grandchild);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit().code, Some(0));
    assert_gone(&family);
}

#[test]
fn the_first_process_of_a_container_buries_orphans() {
    let gateway = Gateway::with(
        "functions:\n  \
         leave: { process: [sh, -c, 'sleep 300 >/dev/null 2>&1 & echo left'] }\n  \
         look: { process: [sh, -c, 'cat /proc/[0-9]*/stat'] }\n",
    )
    .first_process()
    .start();
    let processes = || gateway.get("/function/look").assert_status(200).text();
    let first = |text: &str| text.lines().any(|line| line.starts_with("1 (gateway) "));
    assert!(first(&processes()), "{}", processes());
    // They lose their parent, are killed with its group, and are the first process's children then.
    let dead = || processes().matches(") Z 1 ").count();
    eventually("one is dead", || {
        gateway.get("/function/leave").assert_status(200);
        dead() > 0
    });
    for _ in 0..5 {
        gateway.get("/function/leave").assert_status(200);
    }
    eventually("all are buried", || dead() == 0);
    gateway.get("/function/leave").assert_status(200);
}

/// Waits until none of these runs; cleans up where the gateway did not.
#[track_caller]
fn assert_gone(pids: &[u32]) {
    let left = || -> Vec<u32> { pids.iter().copied().filter(|pid| alive(*pid)).collect() };
    let gone = std::panic::catch_unwind(|| eventually("no process is left", || left().is_empty()));
    let survivors = left();
    survivors.iter().copied().for_each(kill);
    assert!(gone.is_ok(), "{survivors:?} survived the gateway");
}
