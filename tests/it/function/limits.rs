//! Limits of what a function's processes may use.

use serde_json::json;

use crate::harness::Gateway;

const GREEDY: &str = "python3 -c print(len(bytearray(200000000)))";

#[test]
fn memory_beyond_the_limit_cannot_be_had() {
    let gateway = Gateway::start("");
    for (name, limits, status) in [
        ("free", json!(null), 200),
        ("roomy", json!({ "memory": "1Gi" }), 200),
        ("tight", json!({ "memory": "100Mi" }), 500),
    ] {
        let deployment =
            json!({ "service": name, "image": "i", "envProcess": GREEDY, "limits": limits });
        gateway
            .admin("POST", "/system/functions", deployment.to_string())
            .assert_status(202);
        let reply = gateway.get(&format!("/function/{name}"));
        assert_eq!(reply.status, status, "{name}: {reply:?}");
    }
}

#[test]
fn a_small_limit_lets_small_programs_run() {
    let gateway = Gateway::start(
        "functions: { sum: { process: sha512sum, limits: { memory: 5Mi, cpu: 100m } } }\n",
    );
    gateway.post("/function/sum", "hi").assert_status(200);
}

#[test]
fn the_limit_holds_in_a_sandbox_too() {
    let gateway = Gateway::start(&format!(
        "provider: {{ state_dir: @DIR@/state, isolation: sandbox }}\n\
         functions: {{ greedy: {{ process: {GREEDY:?}, limits: {{ memory: 100Mi }} }} }}\n"
    ));
    let reply = gateway.get("/function/greedy");
    assert_eq!(reply.status, 500, "{reply:?}");
    assert!(reply.text().contains("MemoryError"), "{reply:?}");
}

#[test]
fn the_limit_is_the_functions_and_not_its_launchers() {
    for isolation in ["basic", "sandbox"] {
        let gateway = Gateway::start(&format!(
            "provider: {{ state_dir: @DIR@/state, isolation: {isolation} }}\n"
        ));
        let secret = json!({ "name": "key", "value": "x" });
        gateway
            .admin("POST", "/system/secrets", secret.to_string())
            .assert_status(201);
        for (name, command, memory, status) in [
            ("small", "cat /var/openfaas/secrets/key", "5Mi", 200),
            ("greedy", GREEDY, "100Mi", 500),
        ] {
            let deployment = json!({
                "service": name, "image": "i", "envProcess": command, "secrets": ["key"],
                "limits": { "memory": memory },
            });
            gateway
                .admin("POST", "/system/functions", deployment.to_string())
                .assert_status(202);
            for _ in 0..10 {
                let reply = gateway.get(&format!("/function/{name}"));
                assert_eq!(reply.status, status, "{isolation} {name}: {reply:?}");
                let expected = if status == 200 { "x" } else { "MemoryError" };
                assert!(reply.text().contains(expected), "{isolation}: {reply:?}");
            }
        }
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    let gateway = Gateway::start("");
    for limits in [
        json!({ "memory": "lots" }),
        json!({ "cpu": "fast" }),
        json!({ "memory": "-1Mi" }),
    ] {
        for key in ["limits", "requests"] {
            let deployment =
                json!({ "service": "f", "image": "i", "envProcess": "cat", key: limits });
            let reply = gateway.admin("POST", "/system/functions", deployment.to_string());
            let body = reply.assert_error(400, "bad_request");
            assert!(body["error"].as_str().unwrap().contains(key), "{body}");
        }
    }
}

#[test]
fn info_tells_how_limits_are_kept_and_why_not_better() {
    let gateway = Gateway::start("");
    let info = gateway
        .admin("GET", "/system/info", "")
        .assert_status(200)
        .json();
    let report = &info["provider"]["isolation"];
    let kept = (
        report["memory_limit"].as_str(),
        report["cpu_limit"].as_str(),
    );
    match report["no_cgroups"].as_str() {
        Some(why) => {
            assert!(why.len() > 10, "{report}");
            assert_eq!(kept, (Some("rlimit_data"), Some("none")), "{report}");
        }
        None => assert!(
            kept.0 == Some("cgroup") || kept.1 == Some("cgroup"),
            "{report}"
        ),
    }
}

#[test]
fn the_gateway_opens_more_files_than_it_was_started_with_and_functions_do_not() {
    for isolation in ["none", "sandbox"] {
        // It is asked once the whole body has come.
        let yaml = format!(
            "provider: {{ state_dir: @DIR@/state, isolation: {isolation} }}\n\
             functions: {{ files: {{ process: [sh, -c, cat && ulimit -n && ulimit -Hn] }} }}\n"
        );
        let gateway = Gateway::with(&yaml).open_files("-S -n 300").start();
        let most = gateway.metric("process_max_fds", &[]).unwrap();
        assert!(most > 300.0, "{most}");
        let told = gateway
            .post("/function/files", "")
            .assert_status(200)
            .text();
        assert_eq!(told, format!("300\n{most}\n"), "{isolation}");
    }
}
