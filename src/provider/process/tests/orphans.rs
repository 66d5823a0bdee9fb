//! Nobody survives the gateway.

use std::process::{Command, Stdio};

use super::*;

/// Where the gateway under test finds its folder.
const FOLDER: &str = "gateway_test_folder";

#[test]
#[ignore = "a part that other tests start as a process"]
fn be_a_reaper() {
    // The test harness's own arguments stand before it.
    let folder = std::env::args_os().next_back().unwrap();
    reaper::main(folder.as_ref());
}

/// A gateway with one call in flight and one long-lived process, each with a grandchild.
#[tokio::test]
#[ignore = "a part that other tests start as a process"]
async fn be_a_gateway() {
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let reaper = this_program("orphans::be_a_reaper").command;
    let provider = Runner::new(Options {
        runtime_parent: folder.clone(),
        reaper: Some(reaper.into_iter().map(OsString::from).collect()),
        drain: LONG,
        launcher: false,
        isolation: Isolation::None,
        state_dir: folder.clone(),
        hidden: Vec::new(),
    });
    let provider = provider.unwrap();
    let file = folder.join("pids");
    let script = "trap '' TERM; sleep 1000 & echo $! >> FILE; echo $$ >> FILE; wait; sleep 1000";
    let script = script.replace("FILE", file.to_str().unwrap());
    let desired = |process| {
        Arc::new(Desired {
            process,
            scaling: Default::default(),
            retry: Default::default(),
        })
    };
    let other = FunctionName::new("other", "test").unwrap();
    let functions = [
        (name(), desired(shell(&script))),
        (other, desired(resident(&script))),
    ];
    provider.declare(functions.into());
    let mut view = provider.view();
    tokio::join!(provider.run(std::future::pending()), async {
        let called = |view: &View| view.get(&name()).is_some_and(|view| view.available == 1);
        let address = view.wait_for(called).await.unwrap()[&name()].replicas[0]
            .address()
            .clone();
        call(&address, Request::post("/").body(Full::default()).unwrap()).await;
    });
}

#[tokio::test]
async fn a_killed_gateway_takes_every_process_along() {
    let folder = tempfile::tempdir().unwrap();
    let command = this_program("orphans::be_a_gateway").command;
    let mut gateway = Command::new(&command[0])
        .args(&command[1..])
        .env(FOLDER, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pids = pids(&folder.path().join("pids"), 4).await;
    assert!(pids.iter().all(|&pid| lives(pid)));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    for pid in pids {
        until(|| !lives(pid)).await;
    }
    // And the reaper cleans up: nothing is left but the file of the test.
    until(|| std::fs::read_dir(folder.path()).unwrap().count() == 1).await;
}

#[tokio::test]
async fn a_stopped_provider_leaves_nothing_behind() {
    let running = Running::with(classic(&["cat"]));
    running.post("x").await;
    assert_eq!(std::fs::read_dir(running.parent.path()).unwrap().count(), 1);
    let Running {
        provider,
        stop,
        task,
        parent,
    } = running;
    stop.send(()).unwrap();
    task.await.unwrap();
    drop(provider);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn calls_in_flight_get_term_when_the_gateway_stops() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = "trap 'echo bye; exit 0' TERM; echo $$ >> FILE; while :; do sleep 0.01; done";
    let running = Running::with(shell(&script.replace("FILE", file.to_str().unwrap())));
    let address = running.address().await;
    let calling = tokio::spawn(async move {
        call(&address, Request::get("/").body(Full::default()).unwrap()).await
    });
    let pid = pids(&file, 1).await[0];
    running.end().await;
    assert!(!lives(pid));
    let (status, _, reply) = calling.await.unwrap();
    assert_eq!(status, 200);
    assert!(reply.ends_with(b"bye\n"), "{reply:?}");
}
