//! One line per call.

use std::fs;

use serde_json::Value;

use crate::harness::{Gateway, Upstream, eventually_some};

#[track_caller]
fn line_of(gateway: &Gateway, call_id: &str) -> Value {
    eventually_some("the line of the call", || {
        gateway
            .access_log()
            .into_iter()
            .find(|line| line["call_id"] == call_id)
    })
}

/// Numbers under keys that contain `word`.
fn numbers(line: &Value, word: &str) -> Vec<f64> {
    let object = line.as_object().expect("an object");
    object
        .iter()
        .filter(|(key, _)| key.contains(word))
        .filter_map(|(_, value)| value.as_f64())
        .collect()
}

#[test]
fn the_caller_is_whom_trusted_proxies_name() {
    let upstream = Upstream::saying("hi");
    let forwarded = [("X-Forwarded-For", "203.0.113.7, 198.51.100.9")];
    // The test is the proxy.
    for (trusted, client) in [
        ("[127.0.0.0/8]", "198.51.100.9"),
        ("[127.0.0.0/8, 198.51.100.0/24]", "203.0.113.7"),
        ("[]", "127.0.0.1"),
    ] {
        let gateway = Gateway::start(&format!(
            "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", trusted_proxies: {trusted} }}\n{}",
            upstream.declared("fig")
        ));
        let headers = [&forwarded[..], &[("X-Call-Id", "it")]].concat();
        gateway
            .request("GET", "/function/fig", &headers, "")
            .assert_status(200);
        assert_eq!(line_of(&gateway, "it")["client"], client, "{trusted}");
    }
}

#[test]
fn a_call_is_one_json_line() {
    let upstream = Upstream::saying("twelve bytes");
    let gateway = Gateway::start(&upstream.declared("fig"));
    let sent = [("X-Call-Id", "the-call")];
    gateway
        .request("POST", "/function/fig/a?secret=1", &sent, "hello")
        .assert_status(200);
    let line = line_of(&gateway, "the-call");
    assert_eq!(line["function"], "fig.openfaas-fn", "{line}");
    assert_eq!(
        (&line["status"], &line["method"]),
        (&200.into(), &"POST".into()),
        "{line}"
    );
    assert!(
        line["path"]
            .as_str()
            .is_some_and(|path| path.starts_with("/function/fig/a")),
        "{line}"
    );
    assert!(line.to_string().contains("12"), "the bytes sent: {line}");
    assert!(
        numbers(&line, "bytes").contains(&12.0) && numbers(&line, "bytes").contains(&5.0),
        "{line}"
    );
    let durations = [
        numbers(&line, "seconds"),
        numbers(&line, "duration"),
        numbers(&line, "_ms"),
    ]
    .concat();
    assert!(
        !durations.is_empty() && durations.iter().all(|duration| *duration >= 0.0),
        "{line}"
    );
    assert!(line["reason"].as_str().is_none_or(str::is_empty), "{line}");
    assert_eq!(gateway.access_log().len(), 1);
}

#[test]
fn a_failed_call_names_its_reason() {
    let gateway = Gateway::start("");
    gateway
        .request("GET", "/function/nobody", &[("X-Call-Id", "lost")], "")
        .assert_status(404);
    let line = line_of(&gateway, "lost");
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&404.into(), &"not_found".into()),
        "{line}"
    );
}

#[test]
fn many_calls_are_as_many_lines() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    for _ in 0..50 {
        gateway.get("/function/fig").assert_status(200);
    }
    let lines = eventually_some("fifty lines", || {
        let lines = gateway.access_log();
        (lines.len() >= 50).then_some(lines)
    });
    assert_eq!(lines.len(), 50);
    let mut ids: Vec<_> = lines
        .iter()
        .map(|line| line["call_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn text_lines_are_words() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "access_log: {{ format: text }}\n{}",
        upstream.declared("fig")
    ));
    gateway
        .request("GET", "/function/fig", &[("X-Call-Id", "in-words")], "")
        .assert_status(200);
    let line = eventually_some("the line", || {
        gateway
            .stdout()
            .lines()
            .find(|line| line.contains("in-words"))
            .map(str::to_owned)
    });
    assert!(
        line.contains("status=200") && line.contains("fig.openfaas-fn"),
        "{line}"
    );
}

#[test]
fn a_callers_id_cannot_forge_a_line() {
    let upstream = Upstream::echo();
    for format in ["json", "text"] {
        let gateway = Gateway::start(&format!(
            "access_log: {{ format: {format} }}\n{}",
            upstream.declared("fig")
        ));
        let forged = "x\" status=999 \"y\\";
        gateway
            .request("GET", "/function/fig", &[("X-Call-Id", forged)], "")
            .assert_status(200);
        gateway
            .request("GET", "/function/fig", &[("X-Call-Id", "after")], "")
            .assert_status(200);
        eventually_some("the second line", || {
            gateway.stdout().contains("after").then_some(())
        });
        assert_eq!(gateway.stdout().lines().count(), 2);
        if format == "json" {
            assert_eq!(line_of(&gateway, forged)["status"], 200);
        } else {
            let words = gateway.stdout();
            assert!(!words.contains(" status=999 \"y"), "{words}");
        }
    }
}

#[test]
fn lines_may_go_to_a_file_to_stderr_or_nowhere() {
    let upstream = Upstream::echo();
    let call = |log: &str| {
        let gateway = Gateway::start(&format!(
            "access_log: {{ {log} }}\n{}",
            upstream.declared("fig")
        ));
        gateway
            .request("GET", "/function/fig", &[("X-Call-Id", "somewhere")], "")
            .assert_status(200);
        gateway
    };
    let gateway = call("output: \"@DIR@/access.log\"");
    let file = gateway.dir().join("access.log");
    eventually_some("the line in the file", || {
        fs::read_to_string(&file)
            .ok()?
            .contains("somewhere")
            .then_some(())
    });
    assert_eq!(gateway.stdout(), "");

    let gateway = call("output: stderr");
    eventually_some("the line on stderr", || {
        gateway.stderr().contains("somewhere").then_some(())
    });
    assert_eq!(gateway.stdout(), "");

    let mut gateway = call("format: off");
    gateway.signal(crate::harness::Signal::TERM);
    let exit = gateway.wait_exit();
    assert!(
        !exit.stdout.contains("somewhere") && !exit.stderr.contains("somewhere"),
        "{exit:?}"
    );
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "access_log: {{ output: \"@DIR@/access.log\" }}\n{}",
        upstream.declared("fig")
    ));
    let file = gateway.dir().join("access.log");
    let moved = gateway.dir().join("access.log.1");
    let call = |id: &str| {
        gateway
            .request("GET", "/function/fig", &[("X-Call-Id", id)], "")
            .assert_status(200);
        eventually_some("its line", || {
            fs::read_to_string(&file)
                .ok()
                .filter(|text| text.contains(id))
        })
    };
    call("before");
    fs::rename(&file, &moved).unwrap();
    assert!(!call("after").contains("before"));
    let old = fs::read_to_string(&moved).unwrap();
    assert!(old.contains("before") && !old.contains("after"), "{old}");
    // One that cannot be opened anew goes on where it was.
    fs::remove_file(&moved).unwrap();
    fs::rename(&file, &moved).unwrap();
    fs::create_dir(&file).unwrap();
    gateway
        .request("GET", "/function/fig", &[("X-Call-Id", "further")], "")
        .assert_status(200);
    eventually_some("its line in the old file", || {
        fs::read_to_string(&moved)
            .ok()
            .filter(|text| text.contains("further"))
    });
}

#[test]
fn every_line_is_written_before_the_end() {
    let upstream = Upstream::echo();
    let mut gateway = Gateway::start(&upstream.declared("fig"));
    gateway
        .request("GET", "/function/fig", &[("X-Call-Id", "the-last")], "")
        .assert_status(200);
    gateway.signal(crate::harness::Signal::TERM);
    assert!(gateway.wait_exit().stdout.contains("the-last"));
}
