//! What a function sees of the machine, and what `/system/info` tells of it.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Gateway, Signal, alive, eventually, eventually_some};

const SANDBOX: &str = "provider: { state_dir: @DIR@/state, isolation: sandbox }\n";

fn sandboxed(functions: &str) -> Gateway {
    Gateway::start(&format!("{SANDBOX}functions:\n{functions}"))
}

#[track_caller]
fn report(gateway: &Gateway) -> Value {
    let info = gateway
        .admin("GET", "/system/info", "")
        .assert_status(200)
        .json();
    info["provider"]["isolation"].clone()
}

fn names(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[test]
fn info_tells_what_is_active() {
    let always = [
        "process_group",
        "clean_environment",
        "no_new_privileges",
        "no_core_files",
    ];
    for (asked, more) in [
        ("none", &[][..]),
        ("basic", &["private_secrets_mount"][..]),
        (
            "sandbox",
            &[
                "private_secrets_mount",
                "user_namespace",
                "process_namespace",
                "ipc_namespace",
                "read_only_files",
                "private_tmp",
                "hidden_state",
            ],
        ),
    ] {
        let gateway = Gateway::start(&format!(
            "provider: {{ state_dir: @DIR@/state, isolation: {asked} }}\n"
        ));
        let report = report(&gateway);
        assert_eq!(report["asked"], asked);
        assert_eq!(
            names(&report["active"]),
            [&always, more].concat(),
            "{report}"
        );
        assert_eq!(report["missing"], json!([]), "{report}");
    }
}

#[test]
fn in_a_sandbox_files_are_read_only_but_for_tmp_and_the_own_folder() {
    let gateway = Gateway::with(&format!(
        "{SANDBOX}functions:\n  own: {{ process: [sh, -c, 'echo x > made && cat made'], dir: @DIR@ }}\n  \
         tmp: {{ process: [sh, -c, 'echo x > /tmp/made && ls -A /tmp'] }}\n  \
         etc: {{ process: [sh, -c, 'echo x > /etc/made'] }}\n  \
         usr: {{ process: [touch, /usr/made] }}\n"
    ))
    .start();
    assert_eq!(
        gateway.get("/function/own").assert_status(200).text(),
        "x\n"
    );
    assert!(
        gateway.dir().join("made").exists(),
        "the own folder is the real one"
    );
    assert_eq!(
        gateway.get("/function/tmp").assert_status(200).text(),
        "made\n"
    );
    assert!(
        !std::path::Path::new("/tmp/made").exists(),
        "its /tmp is its own"
    );
    for name in ["etc", "usr"] {
        let reply = gateway.get(&format!("/function/{name}"));
        assert_eq!(reply.status, 500, "{reply:?}");
        assert!(reply.text().contains("Read-only"), "{reply:?}");
    }
}

#[test]
fn in_a_sandbox_neither_the_state_nor_other_processes_are_seen() {
    let gateway = sandboxed(
        "  state: { process: [sh, -c, 'ls -A @DIR@/state; ls -A /proc | grep -c \"^[0-9]\"'], dir: / }\n",
    );
    let reply = gateway.get("/function/state").assert_status(200).text();
    assert!(
        gateway.state().join("auth").is_dir() && !reply.contains("auth"),
        "{reply}"
    );
    // Init, the shell, ls and grep.
    let processes = reply
        .lines()
        .last()
        .and_then(|line| line.parse::<u32>().ok());
    assert!(processes.is_some_and(|count| count <= 4), "{reply}");
}

#[test]
fn in_a_sandbox_the_credentials_of_a_service_are_not_seen() {
    let look = "functions:\n  look: { process: [ls, -A, @DIR@/credentials], dir: @DIR@ }\n";
    let start = |isolation: &str| {
        let provider = format!("provider: {{ state_dir: @DIR@/state, isolation: {isolation} }}\n");
        let setup = Gateway::with(&format!("{provider}{look}"));
        let credentials = setup.dir().join("credentials");
        fs::create_dir(&credentials).unwrap();
        fs::write(credentials.join("basic-auth-password"), "secret").unwrap();
        let place = credentials.display().to_string();
        setup.env("CREDENTIALS_DIRECTORY", place).start()
    };
    let seen = |gateway: &Gateway| gateway.get("/function/look").assert_status(200).text();
    assert_eq!(seen(&start("sandbox")), "");
    assert_eq!(seen(&start("basic")), "basic-auth-password\n");
}

#[test]
fn in_a_sandbox_status_and_bodies_go_through() {
    let gateway = sandboxed(
        "  cat: { process: cat }\n  fail: { process: [sh, -c, 'echo no; exit 3'] }\n  \
         killed: { process: [sh, -c, 'kill -9 $$'] }\n  missing: { process: /nowhere/program }\n",
    );
    let body = "x".repeat(300_000);
    assert_eq!(
        gateway
            .post("/function/cat", &body)
            .assert_status(200)
            .text(),
        body
    );
    let failed = gateway.get("/function/fail");
    assert_eq!((failed.status, failed.text().as_str()), (500, "no\n"));
    let killed = gateway.get("/function/killed");
    assert_eq!(killed.status, 500);
    assert!(killed.text().contains("137"), "{killed:?}");
    gateway
        .get("/function/missing")
        .assert_error(503, "not_ready");
}

#[test]
fn in_a_sandbox_a_server_gets_term_and_whoever_left_its_group_ends_with_it() {
    let script = "trap 'echo ended in peace; exit 0' TERM; setsid sleep 1000 & \
                  python3 -m http.server --bind 127.0.0.1 $PORT & wait";
    let mut gateway = sandboxed(&format!(
        "  server: {{ process: [sh, -c, \"{script}\"], mode: http }}\n"
    ));
    gateway.get("/function/server").assert_status(200);
    let sleepers = || -> Vec<u32> {
        let family = crate::harness::descendants(gateway.pid());
        let command = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.starts_with(b"sleep\x001000"))
        };
        family.into_iter().filter(command).collect()
    };
    let sleeper = eventually_some("the one that left", || sleepers().first().copied());
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit().code, Some(0));
    eventually("it ended too", || !alive(sleeper));
}

#[test]
fn a_sandbox_that_cannot_be_had_is_not_replaced_by_less() {
    let gateway = Gateway::with(&format!(
        "{SANDBOX}functions: {{ cat: {{ process: cat }} }}\n"
    ))
    .without_namespaces()
    .start();
    let report = report(&gateway);
    assert_eq!(report["missing"].as_array().unwrap().len(), 7, "{report}");
    eventually("the status says why", || {
        let status = gateway.admin("GET", "/system/function/cat", "").json();
        status["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("`sandbox`"))
    });
    gateway
        .post("/function/cat", "hi")
        .assert_error(503, "not_ready");
}

#[test]
fn a_gateway_that_is_not_root_has_a_sandbox_too() {
    let functions = "functions:\n  caps: { process: grep -h Cap /proc/self/status }\n  \
                     etc: { process: touch /etc/made }\n";
    let gateway = Gateway::with(&format!("{SANDBOX}{functions}"))
        .unprivileged()
        .start();
    assert_eq!(report(&gateway)["missing"], json!([]));
    let capabilities = gateway.get("/function/caps").assert_status(200).text();
    assert_eq!(capabilities.lines().count(), 5, "{capabilities}");
    for line in capabilities.lines() {
        assert!(line.ends_with("0000000000000000"), "{capabilities}");
    }
    let refused = gateway.get("/function/etc");
    assert!(refused.text().contains("Read-only"), "{refused:?}");
}

#[test]
fn usage_is_told_when_asked_for() {
    let script = "python3 -c 'x=bytearray(50000000)\nwhile True: pass'";
    let gateway = Gateway::start(&format!(
        "functions: {{ busy: {{ process: {:?} }}, idle: {{ process: cat }} }}\n",
        ["sh", "-c", script]
    ));
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/busy", &[]);
    let usage = |name: &str| {
        let path = format!("/system/function/{name}?usage=1");
        gateway.admin("GET", &path, "").assert_status(200).json()["usage"].clone()
    };
    eventually("it is busy and big", || {
        let usage = usage("busy");
        usage["cpu"].as_f64().unwrap() > 100.0 && usage["totalMemoryBytes"].as_f64().unwrap() > 5e7
    });
    assert_eq!(
        usage("idle"),
        json!({ "cpu": 0.0, "totalMemoryBytes": 0.0 })
    );
    let plain = gateway.admin("GET", "/system/function/busy", "").json();
    assert!(plain.get("usage").is_none(), "{plain}");
}

#[test]
fn what_the_linker_obeys_is_for_the_function_and_not_for_its_launcher() {
    let gateway = sandboxed(
        "  env: { process: env, environment: { LD_PRELOAD: /nowhere/lib.so, LD_X: y } }\n",
    );
    let text = gateway.get("/function/env").assert_status(200).text();
    for expected in ["LD_PRELOAD=/nowhere/lib.so", "LD_X=y"] {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected} in {text}"
        );
    }
    assert!(!text.contains("GATEWAY_LAUNCH"), "{text}");
    // The function's own linker complains, once; the launcher's would have been a second one.
    assert_eq!(text.matches("cannot be preloaded").count(), 1, "{text}");
}
