//! Classic mode: one process per call (users.md section 5.3).

use std::fs;
use std::thread;

use crate::harness::{Gateway, alive, eventually, eventually_some};

/// A function `fig` that runs this script with `sh`, with more keys after it.
fn script(text: &str, more: &str) -> Gateway {
    Gateway::with(&format!(
        "functions:\n  fig: {{ process: \"sh @DIR@/fig.sh\"{more} }}\n"
    ))
    .file("fig.sh", text)
    .start()
}

/// The value of a variable in the output of `env`.
fn variable<'a>(output: &'a str, name: &str) -> Option<&'a str> {
    output
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn the_body_goes_in_and_the_output_comes_out() {
    let gateway = Gateway::start("functions:\n  echo: { process: \"cat\" }\n");
    let response = gateway.post("/function/echo", "hi").assert_status(200);
    assert_eq!(response.text(), "hi");
    assert_eq!(response.header("X-Call-Id").len(), 36);
    assert_eq!(gateway.get("/function/echo").assert_status(200).text(), "");
}

#[test]
fn arguments_are_split_at_spaces_and_no_shell_sees_them() {
    let gateway = Gateway::start("functions:\n  fig: { process: \"echo  one $HOME ;true\" }\n");
    assert_eq!(
        gateway.get("/function/fig").assert_status(200).text(),
        "one $HOME ;true\n"
    );
}

#[test]
fn a_megabyte_passes_unchanged() {
    let gateway = Gateway::start("functions:\n  echo: { process: \"cat\" }\n");
    let body: Vec<u8> = (0..1 << 20_u32)
        .map(|index| (index ^ index >> 8) as u8)
        .collect();
    assert!(
        gateway
            .post("/function/echo", &body)
            .assert_status(200)
            .body
            == body
    );
}

#[test]
fn the_request_is_in_the_environment() {
    let gateway = Gateway::start("functions:\n  env: { process: \"env\" }\n");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let output = gateway
            .request(method, "/function/env.openfaas-fn", &[], "")
            .assert_status(200)
            .text();
        assert_eq!(variable(&output, "Http_Method"), Some(method));
    }
    let sent = [
        ("X-Call-Id", "77"),
        ("X-Some-Header", "a b"),
        ("Content-Type", "text/x"),
        ("Host", "a.example"),
    ];
    let output = gateway
        .request("POST", "/function/env/a/b?testing=1", &sent, "body")
        .assert_status(200)
        .text();
    for (name, value) in [
        ("Http_Method", "POST"),
        ("Http_Query", "testing=1"),
        ("Http_Path", "/a/b"),
        ("Http_ContentLength", "4"),
        ("Http_Content_Length", "4"),
        ("Http_Content_Type", "text/x"),
        ("Http_X_Call_Id", "77"),
        ("Http_X_Some_Header", "a b"),
        ("Http_X_Forwarded_Host", "a.example"),
    ] {
        assert_eq!(variable(&output, name), Some(value), "{name} in {output}");
    }
    assert_eq!(
        variable(&output, "Http_X_Start_Time").map(str::len),
        Some(19)
    );
    assert!(variable(&output, "Http_Host").is_some());
}

#[test]
fn headers_stay_out_of_the_environment_where_told_so() {
    let gateway = Gateway::start("functions:\n  env: { process: \"env\", cgi_headers: false }\n");
    let output = gateway.get("/function/env?a=1").assert_status(200).text();
    assert!(!output.contains("Http_"), "{output}");
}

#[test]
fn the_environment_is_the_declared_one_and_nothing_else() {
    let gateway = Gateway::with(
        "functions:\n  env: { process: \"env\", environment: { custom_env: \"a = b\" } }\n",
    )
    .env("GATEWAY_SECRET", "not yours")
    .start();
    let sent = [("LD-PRELOAD", "/evil.so"), ("PATH", "/evil")];
    let output = gateway
        .request("GET", "/function/env", &sent, "")
        .assert_status(200)
        .text();
    assert_eq!(variable(&output, "custom_env"), Some("a = b"));
    let names: Vec<_> = output
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    let own = ["GATEWAY_INSTANCE", "PATH", "custom_env"];
    let foreign = |name: &&&str| !name.starts_with("Http_") && !own.contains(name);
    assert_eq!(names.iter().find(foreign), None, "{output}");
    assert_ne!(variable(&output, "PATH"), Some("/evil"));
}

#[test]
fn the_reply_has_the_requests_type_unless_told_otherwise() {
    let gateway = Gateway::start(
        "functions:\n  echo: { process: \"cat\" }\n  typed: { process: \"cat\", content_type: \"text/html\" }\n",
    );
    let sent = [("Content-Type", "application/json")];
    let response = gateway.request("POST", "/function/echo", &sent, "{}");
    assert_eq!(response.header("Content-Type"), "application/json");
    let response = gateway.request("POST", "/function/typed", &sent, "{}");
    assert_eq!(response.header("Content-Type"), "text/html");
}

#[test]
fn standard_error_joins_the_reply_unless_told_otherwise() {
    let text = "echo out; echo err >&2; echo out again";
    assert_eq!(
        script(text, "").get("/function/fig").text(),
        "out\nerr\nout again\n"
    );
    assert_eq!(
        script(text, ", combine_output: false")
            .get("/function/fig")
            .text(),
        "out\nout again\n"
    );
}

#[test]
fn failing_is_a_500() {
    let gateway = script("echo so far; exit 3", "");
    let response = gateway.get("/function/fig").assert_status(500);
    assert!(response.text().contains("so far"), "{response:?}");
    script("kill -9 $$", "")
        .get("/function/fig")
        .assert_status(500);
}

#[test]
fn a_function_need_not_read_its_input() {
    let gateway = script("echo done", "");
    let body = vec![b'x'; 2 << 20];
    for _ in 0..3 {
        assert_eq!(
            gateway
                .post("/function/fig", &body)
                .assert_status(200)
                .text(),
            "done\n"
        );
    }
}

#[test]
fn a_function_that_takes_too_long_is_killed_with_its_children() {
    let gateway = script(
        "sleep 300 & echo $! >@; echo $$ >>@; wait"
            .replace('@', "${0%/*}/pids")
            .as_str(),
        ", timeouts: { exec: 1s, upstream: 30s }",
    );
    let response = gateway.get("/function/fig");
    assert!(response.status >= 500, "{response:?}");
    assert_eq!(
        response.header("X-Gateway-Error"),
        "exec_timeout",
        "{response:?}"
    );
    let pids = fs::read_to_string(gateway.dir().join("pids")).unwrap();
    let pids: Vec<u32> = pids.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    eventually("the process and its child are gone", || {
        !pids.iter().any(|pid| alive(*pid))
    });
}

#[test]
fn a_caller_who_leaves_takes_the_process_along() {
    let gateway = script(
        "echo $$ >${0%/*}/pid; exec sleep 300",
        ", timeouts: { upstream: 60s }",
    );
    let mut connection = gateway.connect();
    connection.send_head("GET", "/function/fig", &[]);
    let file = gateway.dir().join("pid");
    let pid: u32 = eventually_some("the process runs", || {
        fs::read_to_string(&file).ok()?.trim().parse().ok()
    });
    assert!(alive(pid));
    drop(connection);
    eventually("the process is gone", || !alive(pid));
}

#[test]
fn more_than_max_inflight_is_a_429() {
    let gateway = script(
        "echo x >>${0%/*}/started; while [ ! -e ${0%/*}/go ]; do sleep 0.02; done; echo done",
        ", max_inflight: 1",
    );
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.get("/function/fig"));
        eventually("the first call runs", || {
            gateway.dir().join("started").exists()
        });
        gateway.get("/function/fig").assert_status(429);
        fs::write(gateway.dir().join("go"), "").unwrap();
        assert_eq!(first.join().unwrap().assert_status(200).text(), "done\n");
    });
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let gateway = Gateway::start(
        "scale: { wait: { timeout: 300ms } }\nfunctions:\n  fig: { process: \"no-such-program -x\" }\n",
    );
    let response = gateway.get("/function/fig");
    assert!(matches!(response.status, 500..=504), "{response:?}");
    // What is wrong is for its owner's eyes, not for every caller's.
    assert!(!response.text().contains("no-such-program"), "{response:?}");
    let status = gateway.admin("GET", "/system/function/fig", "").json();
    let problem = status["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("no-such-program"), "{status}");
}

#[test]
fn calls_run_at_once() {
    let gateway = Gateway::start("functions:\n  echo: { process: \"cat\" }\n");
    thread::scope(|scope| {
        for worker in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for number in 0..10 {
                    let body = format!("{worker}-{number}");
                    assert_eq!(
                        gateway
                            .post("/function/echo", &body)
                            .assert_status(200)
                            .text(),
                        body
                    );
                }
            });
        }
    });
}

#[test]
fn the_working_directory_is_the_declared_one() {
    let gateway = Gateway::start("functions:\n  fig: { process: \"pwd\", dir: \"@DIR@\" }\n");
    let output = gateway.get("/function/fig").assert_status(200).text();
    assert_eq!(
        fs::canonicalize(output.trim()).unwrap(),
        fs::canonicalize(gateway.dir()).unwrap()
    );
}

#[test]
fn a_process_may_gain_no_privileges() {
    let gateway = Gateway::start("functions:\n  fig: { process: \"cat /proc/self/status\" }\n");
    let output = gateway.get("/function/fig").assert_status(200).text();
    let flag = output
        .lines()
        .find_map(|line| line.strip_prefix("NoNewPrivs:"));
    assert_eq!(flag.map(str::trim), Some("1"), "{output}");
}
