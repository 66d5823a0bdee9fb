//! `${…}` in all kinds of values, seen from outside.

use std::fs;

use serde_json::json;

use super::super::Place;
use super::{Flags, config_with, refusal, shown};

const VARIABLES: &[(&str, &str)] = &[
    ("NUMBER", "7"),
    ("LONG", "1m30s"),
    ("NET", "10.0.0.0/8"),
    ("SET", "set"),
    ("EMPTY", ""),
    ("ODD", "it's \"a\": b # c\n- d, [e] {f} ${SET}"),
];

#[test]
fn every_kind_of_value_is_filled_in() {
    let text = r#"
server:
  threads: ${NUMBER}
  h2c: ${H2C:-true}
  trusted_proxies: ["${NET}", "${NONE:-127.0.0.1}"]
timeouts:
  read: ${LONG}
  write: ${NUMBER}s
  upstream: ${NUMBER}
access_log: { format: "${FORMAT:-text}", output: "/var/log/${SET}.log" }
functions:
  echo:
    process: ["run-${SET}", "${NUMBER}"]
    concurrency: ${NUMBER}
    labels: { com.example.who: "${SET}" }
  two: { process: "cat ${SET}" }
  up: { upstream: "http://${SET}:${NUMBER}" }
"#;
    let config = config_with(text, VARIABLES);
    for (key, expected) in [
        ("server.threads", json!(7)),
        ("server.h2c", json!(true)),
        (
            "server.trusted_proxies",
            json!(["10.0.0.0/8", "127.0.0.1/32"]),
        ),
        ("timeouts.read", json!("1m30s")),
        ("timeouts.write", json!("7s")),
        ("timeouts.upstream", json!("7s")),
        ("access_log.format", json!("text")),
        ("access_log.output", json!("/var/log/set.log")),
        ("functions.echo.process", json!(["run-set", "7"])),
        ("functions.echo.concurrency", json!(7)),
        ("functions.echo.labels", json!({ "com.example.who": "set" })),
        ("functions.two.process", json!(["cat", "set"])),
        ("functions.up.upstream", json!(["http://set:7"])),
    ] {
        assert_eq!(shown(&config, key), expected, "{key}");
    }
}

#[test]
fn what_is_filled_in_never_changes_the_structure() {
    let text = "functions:\n  a:\n    process: cat\n    environment:\n      ODD: ${ODD}\n      \
                QUOTED: \"${ODD}\"\n      AFTER: $${SET} ${SET}\n      EMPTY: ${EMPTY}\n";
    let config = config_with(text, VARIABLES);
    let function = config.functions.values().next().unwrap();
    let Place::Process(process) = &function.place else {
        panic!("not a process");
    };
    let odd = VARIABLES[5].1;
    let value = |name: &str| process.environment[name].as_str();
    assert_eq!(value("ODD"), odd);
    assert_eq!(value("QUOTED"), odd);
    assert_eq!(value("AFTER"), "${SET} set");
    assert_eq!(value("EMPTY"), "");
    assert_eq!(process.environment.len(), 4);
}

#[test]
fn files_are_filled_in_everywhere_and_lose_their_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        format!("${{file:{}}}", path.display())
    };
    let number = file("number", "9\n");
    let text = format!(
        "server: {{ threads: \"{number}\" }}\ntimeouts: {{ read: \"{}\" }}\nfunctions:\n  a:\n    \
         process: [echo, \"{}\"]\n    concurrency: {number}\n    environment: {{ TOKEN: \"{}\" }}\n",
        file("time", "1m\r\n"),
        file("argument", "a: b # c\n- d\n\n"),
        file("token", "t0ken\n"),
    );
    let config = config_with(&text, &[]);
    assert_eq!(config.server.threads.unwrap().get(), 9);
    assert_eq!(config.timeouts.read.as_secs(), 60);
    let function = config.functions.values().next().unwrap();
    assert_eq!(function.scaling.concurrency.unwrap().get(), 9);
    let Place::Process(process) = &function.place else {
        panic!("not a process");
    };
    assert_eq!(process.command, ["echo", "a: b # c\n- d\n"]);
    assert_eq!(process.environment["TOKEN"], "t0ken");
}

#[test]
fn comments_and_keys_are_left_alone() {
    let text = "# ${NONE} ${\nfunctions:\n  a:\n    process: cat # ${NONE}\n    \
                labels: { \"${SET}\": x } # ${file:/nowhere}\n";
    let config = config_with(text, VARIABLES);
    assert_eq!(
        shown(&config, "functions.a.labels"),
        json!({ "${SET}": "x" })
    );
}

#[test]
fn what_cannot_be_filled_in_has_its_place() {
    for (text, expected) in [
        (
            "functions:\n  a:\n    process: run ${NONE}",
            "3:14: `functions.a.process`: the environment variable `NONE` is not set, set it or \
             write `${NONE:-default}`",
        ),
        (
            "server:\n  threads: \"${NONE}\"",
            "2:12: `server.threads`: the environment variable `NONE` is not set, set it or write \
             `${NONE:-default}`",
        ),
        (
            "functions: { a: { process: [cat, \"${NONE}\"], environment: { A: \"${X\" } } }",
            "1:34: `functions.a.process.1`: the environment variable `NONE` is not set, set it or \
             write `${NONE:-default}`\n\
             1:64: `functions.a.environment.A`: `${` is never closed, add `}`, or write `$${` for \
             the characters themselves",
        ),
        (
            "ui: { store: \"${file:/no/such/file}\" }",
            "1:14: `ui.store`: cannot read `/no/such/file`: No such file or directory (os error 2)",
        ),
        (
            "timeouts: { read: ${LONG} }",
            "1:20: expected `,` or `}`; inside `{ }` and `[ ]` write `\"${NAME}\"` in quotes",
        ),
        (
            "server: { threads: \"${SET}\" }",
            "1:20: `server.threads`: `set` is not a number of threads, write `auto` or at least 1",
        ),
        (
            "functions: { a: { process: cat, environment: { \"${SET}\": x } } }",
            "1:48: `functions.a.environment`: `${` is filled in in values only, write the \
             variable's name itself",
        ),
    ] {
        let lines = refusal(text, VARIABLES, &Flags::default());
        assert_eq!(lines, expected, "{text}");
    }
}
