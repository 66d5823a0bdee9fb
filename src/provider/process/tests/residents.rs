//! HTTP mode: one long-lived process per copy.

use super::*;

#[tokio::test]
async fn it_serves_on_the_port_it_is_given() {
    let running = Running::with(server());
    assert_eq!(running.post("you").await.2, "Hello, you!\n");
    assert_eq!(running.post("").await.2, "Hello, world!\n");
    let status = running.status();
    assert_eq!(status.replicas[0].state, State::Ready);
    assert!(lives(status.replicas[0].pid.unwrap()));
    running.end().await;
}

#[tokio::test]
async fn the_port_is_in_the_environment_and_the_arguments() {
    let mut process = resident("env; echo argument=$0; exit 1");
    process.command.push("--port={port}".to_owned());
    process.environment = [("own".into(), "value".into())].into();
    let running = Running::with(process);
    running.view(|view| view.problem.is_some()).await;
    let log = running.log();
    let value = |name: &str| {
        let mut values = log.iter().filter_map(|line| line.strip_prefix(name));
        values
            .next()
            .unwrap_or_else(|| panic!("{name} in {log:?}"))
            .to_owned()
    };
    let port = value("PORT=");
    assert_eq!(
        [value("port="), value("http_port=")],
        [port.clone(), port.clone()]
    );
    assert_eq!(value("argument="), format!("--port={port}"));
    assert_eq!(value("own="), "value");
    running.end().await;
}

#[tokio::test]
async fn a_crash_is_told_to_its_owner_and_healed_while_callers_wait() {
    let running = Running::with(server());
    let view = running.view(|view| view.available == 1).await;
    let first = Arc::clone(&view.replicas[0]);
    let pid = running.status().replicas[0].pid.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let view = running.view(|view| view.replicas.is_empty()).await;
    assert!(first.hold().is_none());
    assert_eq!(view.problem, None, "a reason to refuse calls");
    let problem = running.status().problem.clone().unwrap();
    assert!(problem.contains("was killed by signal 9"), "{problem}");
    let view = running.view(|view| view.available == 1).await;
    assert!(view.problem.is_none());
    assert_eq!(running.status().replicas[0].restarts, 1);
    assert_eq!(running.post("again").await.2, "Hello, again!\n");
    running.end().await;
}

#[tokio::test]
async fn one_that_cannot_start_is_tried_again_and_says_why() {
    let running = Running::with(resident("echo out of luck; exit 7"));
    let wanted = |view: &FunctionView| {
        view.problem
            .as_ref()
            .is_some_and(|problem| problem.contains("restart 3"))
    };
    let problem = running.view(wanted).await.problem.unwrap();
    let expected = "exited with status 7, its last line: out of luck; restart 3 follows in";
    assert!(problem.starts_with(expected), "{problem}");
    let status = running.status();
    assert_eq!(
        (status.replicas[0].state, status.replicas[0].pid),
        (State::Failed, None)
    );
    running.end().await;
}

#[tokio::test]
async fn one_that_never_listens_is_ended_after_start_timeout() {
    let mut process = resident("sleep 1000");
    process.watchdog.start_timeout = Duration::from_millis(100);
    let running = Running::with(process);
    let view = running.view(|view| view.problem.is_some()).await;
    assert!(view.replicas.is_empty());
    let problem = view.problem.unwrap();
    assert!(
        problem.starts_with("was not ready within 100ms"),
        "{problem}"
    );
    running.end().await;
}

#[tokio::test]
async fn ready_path_is_asked_before_the_first_call() {
    let mut process = server();
    process.watchdog.ready_path = Some("/ready".to_owned());
    let running = Running::with(process);
    assert_eq!(running.post("you").await.2, "Hello, you!\n");
    running.end().await;
}

#[tokio::test]
async fn stopping_asks_with_term() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script =
        "trap 'echo 0 >> FILE; exit 0' TERM; echo $$ >> FILE; while :; do sleep 0.01; done";
    let running = Running::with(resident(&script.replace("FILE", file.to_str().unwrap())));
    let pid = pids(&file, 1).await[0];
    running.end().await;
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("{pid}\n0\n")
    );
    assert!(!lives(pid));
}

#[tokio::test]
async fn who_ignores_term_gets_kill() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = "trap '' TERM; sleep 1000 & echo $! >> FILE; echo $$ >> FILE; wait; sleep 1000";
    let mut process = resident(&script.replace("FILE", file.to_str().unwrap()));
    process.watchdog.stop_timeout = Duration::from_millis(100);
    let running = Running::with(process);
    let pids = pids(&file, 2).await;
    running.end().await;
    for pid in pids {
        until(|| !lives(pid)).await;
    }
}
