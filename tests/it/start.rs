//! Starting: what is printed, and every way in which it fails, with one clear line and at once.

use std::net::TcpListener;
use std::path::Path;

use crate::harness::{Exit, Gateway, Provider, Upstream, unused_port};

/// Asserts a failure that is told in one line with these words in it.
#[track_caller]
fn assert_fails(exit: &Exit, words: &[&str]) {
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let lines: Vec<_> = exit
        .stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    assert_eq!(lines.len(), 1, "one line, not {lines:#?}");
    for word in words {
        assert!(lines[0].contains(word), "{word} in {}", lines[0]);
    }
    assert!(!lines[0].contains("panicked"), "{}", lines[0]);
}

#[test]
fn it_prints_where_everything_is() {
    let gateway = Gateway::start("functions:\n  echo: { process: \"cat\" }\n");
    let text = gateway.stderr();
    let value = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("{label} in {text}"))
            .trim()
            .to_owned()
    };
    let address = gateway.address();
    assert_eq!(value("API "), format!("http://{address}"));
    assert_eq!(value("UI "), format!("http://{address}/ui/"));
    assert!(value("metrics ").ends_with("/metrics"));
    assert_eq!(Path::new(&value("state ")), gateway.state());
    assert!(value("login ").contains("basic-auth-password"), "{text}");
    assert!(
        text.contains("/function/echo"),
        "it says how to call the first function: {text}"
    );
    assert_ne!(address.port(), 0);
}

#[test]
fn a_file_that_does_not_exist_is_named() {
    let exit = Gateway::bare()
        .arg("--config")
        .arg("nowhere/gateway.yaml")
        .run();
    assert_fails(&exit, &["nowhere/gateway.yaml"]);
}

#[test]
fn a_bad_file_is_told_with_line_and_column() {
    let yaml = "version: 1\nserver: { listen: \"127.0.0.1:0\" }\nprovider: { state_dir: @DIR@/state }\ntimeouts:\n  upstrem: 5s\n";
    assert_fails(
        &Gateway::with(yaml).run(),
        &["gateway.yaml:5:3", "upstrem", "upstream"],
    );
    assert_fails(&Gateway::with("functions: [\n").run(), &["gateway.yaml:"]);
    assert_fails(
        &Gateway::with("timeouts: { upstream: soon }\n").run(),
        &["gateway.yaml:", "soon"],
    );
    assert_fails(
        &Gateway::with("functions:\n  \"a b\": { process: cat }\n").run(),
        &["gateway.yaml:", "a b"],
    );
    assert_fails(
        &Gateway::with("functions:\n  fig: {}\n").run(),
        &["gateway.yaml:", "fig"],
    );
    assert_fails(
        &Gateway::with("timeouts: { read: \"${NOT_SET}\" }\n").run(),
        &["gateway.yaml:", "NOT_SET"],
    );
}

#[test]
fn a_bad_variable_is_named() {
    let exit = Gateway::with("")
        .env("functions_provider_url", "not a url")
        .run();
    assert_fails(&exit, &["functions_provider_url"]);
}

#[test]
fn a_port_in_use_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (listen, metrics) in [
        (address.as_str(), "127.0.0.1:0"),
        ("127.0.0.1:0", address.as_str()),
    ] {
        let exit = Gateway::with(&format!(
            "server: {{ listen: \"{listen}\", metrics: \"{metrics}\" }}\n"
        ))
        .run();
        assert_fails(&exit, &[&address]);
    }
}

#[test]
fn a_missing_password_file_is_named() {
    let exit = Gateway::with(
        "admin: { basic_auth: { user_file: @DIR@/user, password_file: @DIR@/password } }\n",
    )
    .file("user", "alice")
    .run();
    assert_fails(&exit, &["/password"]);
    let exit = Gateway::with("")
        .env("basic_auth", "true")
        .env("secret_mount_path", "/nowhere")
        .run();
    assert_fails(&exit, &["/nowhere/basic-auth-user"]);
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let exit = Gateway::with("provider: { state_dir: @DIR@/file/state }\n")
        .file("file", "")
        .run();
    assert_fails(&exit, &["/file/state"]);
}

#[test]
fn the_environment_alone_starts_a_drop_in() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::bare()
        .env("functions_provider_url", format!("{}/", provider.url()))
        .env("basic_auth", "false")
        .arg("--listen")
        .arg("127.0.0.1:0")
        .arg("--metrics")
        .arg("127.0.0.1:0")
        .start();
    assert_eq!(
        gateway
            .post("/function/fig", "hi")
            .assert_status(200)
            .text(),
        "hi"
    );
    gateway.get("/system/functions").assert_status(200);
}

#[test]
fn the_environment_goes_over_the_file_and_flags_over_both() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let yaml = format!(
        "timeouts: {{ upstream: 20s }}\n{}",
        upstream.declared("fig")
    );
    let setup = Gateway::with(&yaml).env("upstream_timeout", "250ms");
    let flagged = setup.dir().join("flagged").display().to_string();
    let gateway = setup.arg("--state-dir").arg(flagged.clone()).start();
    assert_eq!(
        gateway
            .get("/function/fig")
            .assert_error(504, "upstream_timeout")["limit"],
        "250ms"
    );
    assert!(gateway.stderr().contains(&flagged));
    assert!(
        Path::new(&flagged)
            .join("auth/basic-auth-password")
            .exists()
    );
}

#[test]
fn a_bare_number_in_the_environment_is_seconds() {
    let gateway = Gateway::with("")
        .env("upstream_timeout", "90")
        .env("read_timeout", "nonsense")
        .start();
    let shown = gateway
        .admin("GET", "/system/config", "")
        .assert_status(200)
        .json();
    assert_eq!(shown["config"]["timeouts"]["upstream"], "1m30s");
    assert_eq!(shown["config"]["timeouts"]["read"], "8s");
}

#[test]
fn the_word_run_may_be_said() {
    let upstream = Upstream::echo();
    let gateway = Gateway::with(&upstream.declared("fig")).arg("run").start();
    gateway.get("/function/fig").assert_status(200);
}

#[test]
fn too_few_open_files_for_the_connections_are_told() {
    let yaml =
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", max_connections: 400 }\n";
    for (limit, told) in [("-n 399", true), ("-n 400", false)] {
        let gateway = Gateway::with(yaml).open_files(limit).start();
        let said = gateway.stderr();
        assert_eq!(said.contains("LimitNOFILE="), told, "{limit}: {said}");
    }
    let nats = format!("{{ url: \"nats://127.0.0.1:{}\" }}", unused_port());
    let queue = format!("queue: {{ kind: jetstream, jetstream: {nats} }}\n");
    let worker = Gateway::with(&format!("{yaml}{queue}")).arg("worker");
    let said = worker.open_files("-n 399").start().stderr();
    assert!(!said.contains("LimitNOFILE="), "a worker: {said}");
}

#[test]
fn wrong_usage_is_a_2() {
    for arguments in [["--no-such-flag"], ["no-such-word"], ["--listen"]] {
        let exit = arguments
            .iter()
            .fold(Gateway::bare(), |setup, argument| setup.arg(*argument))
            .run();
        assert_eq!(exit.code, Some(2), "{arguments:?}: {exit:?}");
        assert!(exit.stderr.contains(arguments[0]), "{exit:?}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = Gateway::bare().arg("--help").run();
    assert_eq!(help.code, Some(0), "{help:?}");
    for word in ["check", "schema", "version", "--config", "--listen"] {
        assert!(help.stdout.contains(word), "{word} in {}", help.stdout);
    }
    let version = Gateway::bare().arg("version").run();
    assert_eq!(
        (
            version.code,
            version.stdout.contains(env!("CARGO_PKG_VERSION"))
        ),
        (Some(0), true),
        "{version:?}"
    );
}

#[test]
fn check_gives_the_same_answers() {
    let good = Gateway::with("functions:\n  echo: { process: \"cat\" }\n")
        .arg("check")
        .run();
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = Gateway::with("timeouts: { upstrem: 5s }\n")
        .arg("check")
        .run();
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(
        bad.stderr.contains("gateway.yaml:") && bad.stderr.contains("upstrem"),
        "{bad:?}"
    );
}

#[test]
fn the_schema_is_the_committed_one() {
    let exit = Gateway::bare().arg("schema").run();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let printed: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    let committed =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/schema.json"))
            .unwrap();
    let committed: serde_json::Value = serde_json::from_str(&committed).unwrap();
    assert!(
        printed == committed,
        "refresh it: gateway schema > conf/schema.json"
    );
}

#[test]
fn every_shipped_configuration_is_good() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    for name in [
        "gateway.yaml",
        "minimal.yaml",
        "remote.yaml",
        "compose/gateway/gateway.yaml",
        "kubernetes/config/gateway.yaml",
        "systemd/gateway.yaml",
    ] {
        let exit = Gateway::bare()
            .arg("check")
            .arg("--config")
            .arg(conf.join(name).display().to_string())
            .run();
        assert_eq!(exit.code, Some(0), "{name}: {exit:?}");
    }
}
