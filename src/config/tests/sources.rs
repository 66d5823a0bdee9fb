//! File, variables and flags together: who wins, who is warned, and what is said of a bad source.

use std::fs;

use serde_json::json;

use super::super::load::load;
use super::super::{Provider, Sources};
use super::{Flags, REMOTE, config_with, read, refusal, shown};

#[test]
fn the_file_warns_of_what_it_cannot_do() {
    let text = "\
queue: { workers: 3 }
admin: { basic_auth: { enabled: false } }
server: { listen: \"127.0.0.1:1\" }
routes: [{ function: later }]
";
    let loaded = read(text, &[], &Flags::default()).ok().unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "g.yaml:4:22: `routes.0.function`: no function `later` is declared, calls fail until \
             it is deployed",
        ]
    );
}

#[test]
fn the_later_of_file_variable_and_flag_wins() {
    let file = "server: { listen: \"127.0.0.1:1\", upstream_keepalive: 1, threads: 1 }\n\
                timeouts: { read: 1s, write: 1s }\nprovider: { state_dir: /file }\n";
    let variables = [
        ("read_timeout", "2"),
        ("max_idle_conns", "2"),
        ("write_timeout", "-5"),
    ];
    let flags = Flags {
        listen: Some("127.0.0.1:3".to_owned()),
        metrics: Some("127.0.0.1:4".to_owned()),
        threads: Some("3".to_owned()),
        state_dir: Some("/flag".to_owned()),
    };
    let config = read(file, &variables, &flags).ok().unwrap().config;
    for (key, expected) in [
        ("server.listen", json!("127.0.0.1:3")),
        ("server.metrics", json!("127.0.0.1:4")),
        ("server.threads", json!(3)),
        ("server.upstream_keepalive", json!(2)),
        ("timeouts.read", json!("2s")),
        ("timeouts.write", json!("1s")),
        ("timeouts.upstream", json!("8s")),
        ("provider.state_dir", json!("/flag")),
        (
            "admin.basic_auth.user_file",
            json!("/flag/auth/basic-auth-user"),
        ),
    ] {
        assert_eq!(shown(&config, key), expected, "{key}");
    }
}

#[test]
fn a_provider_in_the_environment_overrules_a_file_of_processes() {
    let file = "provider: { kind: process, namespaces: [a] }\nfunctions:\n  \
                f: { process: cat }\n  g: { upstream: \"http://g\" }\n";
    let loaded = read(file, &[REMOTE], &Flags::default()).ok().unwrap();
    assert!(matches!(loaded.config.provider, Provider::Remote(_)));
    let names: Vec<String> = loaded
        .config
        .functions
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["g"]);
    assert_eq!(
        loaded.warnings,
        [
            "g.yaml:1:41: `provider.namespaces` has no effect: `provider.kind` must be `process` \
             for it",
            "g.yaml:3:17: `functions.f.process` has no effect: the remote provider cannot run it, \
             `provider.kind` must be `process`",
        ]
    );
}

#[test]
fn a_wrong_flag_is_named() {
    let flags = Flags {
        listen: Some(":8080".to_owned()),
        threads: Some("no".to_owned()),
        ..Flags::default()
    };
    assert_eq!(
        refusal("version: 2", &[], &flags),
        "1:10: `version`: this gateway knows version 1 only\n\
         flag `--listen`: `:8080` has no address before its port, write `0.0.0.0:8080`\n\
         flag `--threads`: `no` is not a number of threads, write `auto` or at least 1"
    );
    let flags = Flags {
        metrics: Some("0.0.0.0:8080".to_owned()),
        ..Flags::default()
    };
    assert_eq!(
        refusal("", &[], &flags),
        "flag `--metrics`: port 8080 is that of `server.listen`, too, give each its own"
    );
}

#[test]
fn credentials_are_named_only_by_who_names_both_files() {
    let named = |text: &str, variables: &[(&str, &str)]| {
        config_with(text, variables).admin.basic_auth.unwrap().named
    };
    assert!(!named("", &[]));
    assert!(!named("admin: { basic_auth: { enabled: true } }", &[]));
    assert!(named(
        "admin: { basic_auth: { user_file: /u, password_file: /p } }",
        &[]
    ));
    assert!(named("", &[("secret_mount_path", "/s")]));
}

#[test]
fn a_file_is_read_whole_and_a_missing_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.yaml");
    let sources = Sources {
        file: Some(path.clone()),
        ..Sources::default()
    };
    let line = load(&sources).err().unwrap().to_string();
    let expected = format!(
        "reading {}: No such file or directory (os error 2)",
        path.display()
    );
    assert_eq!(line, expected);

    fs::write(&path, "timeouts: { raed: 1 }").unwrap();
    let line = load(&sources).err().unwrap().to_string();
    let expected = "1:13: unknown key `raed` in `timeouts`, did you mean `read`?";
    assert_eq!(line, format!("{}:{expected}", path.display()));

    fs::write(&path, b"ui: { store: \xff }").unwrap();
    let line = load(&sources).err().unwrap().to_string();
    let expected = "stream did not contain valid UTF-8";
    assert_eq!(line, format!("reading {}: {expected}", path.display()));

    let text = "timeouts: { read: 3 } # as it was written\n";
    fs::write(&path, text).unwrap();
    let loaded = load(&sources).ok().unwrap();
    assert_eq!((loaded.file, &*loaded.text), (Some(path), text));
    assert_eq!(loaded.config.timeouts.read.as_secs(), 3);
}
