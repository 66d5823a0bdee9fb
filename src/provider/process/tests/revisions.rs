//! What is declared becomes what runs, without a gap.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

fn revision(number: u32) -> Process {
    let mut process = server();
    process.environment = [("revision".into(), number.to_string())].into();
    process
}

#[tokio::test]
async fn a_new_revision_takes_over_and_the_old_one_finishes_its_calls() {
    let running = Running::with(revision(1));
    let view = running.view(|view| view.available == 1).await;
    let old = Arc::clone(&view.replicas[0]);
    let pid = running.status().replicas[0].pid.unwrap();
    let held = old.hold().unwrap();

    running.declare(revision(2));
    let address = old.address().clone();
    let new = running
        .view(|view| view.replicas[0].address() != &address)
        .await;
    assert_eq!(new.available, 1);
    until(|| old.hold().is_none()).await;
    assert!(lives(pid), "ended with a call in flight");
    drop(held);
    until(|| !lives(pid)).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_revisions_change() {
    let running = Running::with(revision(0));
    running.address().await;
    let view = running.provider.view();
    let (over, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (view, over, calls) = (view.clone(), Arc::clone(&over), Arc::clone(&calls));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let replicas = view.borrow()[&name()].replicas.clone();
                    assert!(!replicas.is_empty(), "a gap in the view");
                    let Some(hold) = replicas[0].hold() else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let request = Request::post("/")
                        .body(Full::new(Bytes::from("you")))
                        .unwrap();
                    let reply = call(hold.replica().address(), request).await;
                    assert_eq!(
                        (reply.0.as_u16(), &reply.2[..]),
                        (200, &b"Hello, you!\n"[..])
                    );
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 1..=5 {
        let address = running.address().await;
        let before = calls.load(Ordering::Relaxed);
        running.declare(revision(number));
        running
            .view(|view| view.replicas[0].address() != &address)
            .await;
        until(|| calls.load(Ordering::Relaxed) > before).await;
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    running.end().await;
}

#[tokio::test]
async fn a_revision_that_does_not_start_leaves_the_old_one_serving() {
    let running = Running::with(revision(1));
    let address = running.address().await;
    running.declare(resident("echo broken; exit 1"));
    let view = running.view(|view| view.problem.is_some()).await;
    let problem = view.problem.unwrap();
    assert!(problem.starts_with("the new revision does not start: exited with status 1"));
    assert_eq!(running.address().await, address);
    assert_eq!(running.post("you").await.2, "Hello, you!\n");

    // Taking the change back touches nothing.
    let pid = running.status().replicas[0].pid;
    running.declare(revision(1));
    running.view(|view| view.problem.is_none()).await;
    assert_eq!(running.status().replicas[0].pid, pid);
    assert_eq!(running.status().replicas.len(), 1);
    running.end().await;
}

#[tokio::test]
async fn scaling_adds_and_withdraws_copies_and_touches_no_other() {
    let scaled = |replicas| Process {
        replicas,
        ..revision(1)
    };
    let running = Running::with(scaled(1));
    let first = running.address().await;
    running.declare(scaled(3));
    let view = running.view(|view| view.available == 3).await;
    assert_eq!((view.desired, view.replicas[0].address()), (3, &first));
    running.declare(scaled(1));
    let view = running.view(|view| view.available == 1).await;
    assert_eq!(view.replicas[0].address(), &first);
    running.declare(scaled(0));
    let view = running.view(|view| view.available == 0).await;
    assert_eq!((view.desired, view.problem), (0, None));
    running.declare(scaled(1));
    running.address().await;
    running.end().await;
}

#[tokio::test]
async fn classic_replicas_are_counted_and_share_one_address() {
    let running = Running::start();
    let declare = |replicas| {
        let process = Process {
            replicas,
            ..classic(&["cat"])
        };
        let scaling = Scaling::default();
        let desired = Desired {
            process,
            scaling,
            retry: Default::default(),
        };
        running
            .provider
            .declare([(name(), Arc::new(desired))].into());
    };
    declare(3);
    let view = running.view(|view| view.available == 3).await;
    assert_eq!((view.replicas.len(), view.slots), (1, 3));
    declare(0);
    let view = running.view(|view| view.desired == 0).await;
    assert_eq!((view.replicas.len(), view.available), (0, 0));
    declare(1);
    assert_eq!(running.post("back").await.2, "back");
    running.end().await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_problem_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = classic(&["ct"]);
    process.environment = [("PATH".into(), dir.path().display().to_string())].into();
    let running = Running::with(process);
    let view = running.view(|view| view.problem.is_some()).await;
    assert!(
        view.problem
            .unwrap()
            .starts_with("program `ct` not found in PATH")
    );
    assert_eq!((view.desired, view.available), (1, 0));

    std::os::unix::fs::symlink("/bin/cat", dir.path().join("ct")).unwrap();
    running
        .view(|view| view.problem.is_none() && view.available == 1)
        .await;
    assert_eq!(running.post("here").await.2, "here");
    running.end().await;
}

#[tokio::test]
async fn a_removed_function_drains_and_ends_its_readers() {
    let running = Running::with(revision(1));
    let view = running.view(|view| view.available == 1).await;
    let replica = Arc::clone(&view.replicas[0]);
    let pid = running.status().replicas[0].pid.unwrap();
    let logs = running.provider.logs(&name()).await.unwrap();
    let held = replica.hold().unwrap();

    running.provider.declare(BTreeMap::new());
    let mut view = running.provider.view();
    view.wait_for(|view| view.is_empty()).await.unwrap();
    assert!(!logs.reached(u64::MAX - 1).await);
    until(|| replica.hold().is_none()).await;
    assert!(lives(pid));
    drop(held);
    until(|| !lives(pid)).await;
    running.end().await;
}

#[tokio::test]
async fn the_log_survives_a_new_revision() {
    let running = Running::with(shell("echo one >&2"));
    running.post("").await;
    let logs = running.provider.logs(&name()).await.unwrap();
    running.declare(shell("echo two >&2"));
    let old = running.address().await;
    let fresh = running.view(|view| view.replicas[0].address() != &old);
    // The address may have changed before we asked for the old one.
    tokio::select! { _ = fresh => {}, () = until(|| running.status().replicas.len() == 1) => {} }
    assert!(Arc::ptr_eq(
        &logs,
        &running.provider.logs(&name()).await.unwrap()
    ));
    assert!(
        logs.entries(0)
            .iter()
            .any(|entry| &*entry.text == "Forking fprocess.")
    );
    running.end().await;
}

#[tokio::test]
async fn what_is_declared_is_there_before_anything_runs() {
    let parent = tempfile::tempdir().unwrap();
    let runner = Runner::new(Options {
        runtime_parent: parent.path().to_owned(),
        reaper: None,
        drain: LONG,
        launcher: false,
        isolation: Default::default(),
        state_dir: parent.path().to_owned(),
        hidden: Vec::new(),
    })
    .unwrap();
    let desired = Desired {
        process: classic(&["cat"]),
        scaling: Default::default(),
        retry: Default::default(),
    };
    runner.declare([(name(), Arc::new(desired))].into());
    assert!(runner.view().borrow().is_empty());
    runner.foretell();
    let view = Arc::clone(&runner.view().borrow());
    let function = &view[&name()];
    assert_eq!((function.desired, function.available), (1, 0));
    assert!(function.replicas.is_empty() && function.problem.is_none());
}
