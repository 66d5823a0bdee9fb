//! Who may use the API (wire.md section 8, design.md section 7).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{
    Gateway, Response, Upstream, basic, eventually, eventually_some, try_request,
};

#[track_caller]
fn with(gateway: &Gateway, authorization: &str) -> Response {
    gateway.request(
        "GET",
        "/system/functions",
        &[("Authorization", authorization)],
        "",
    )
}

#[track_caller]
fn assert_refused(response: &Response) {
    assert_eq!(response.status, 401, "{response:?}");
    assert_eq!(
        response.header("WWW-Authenticate"),
        "Basic realm=\"Restricted\""
    );
    assert_eq!(response.text(), "invalid credentials");
}

#[test]
fn without_credentials_the_api_is_closed() {
    let gateway = Gateway::start("");
    for (method, path) in [
        ("GET", "/system/functions"),
        ("POST", "/system/functions"),
        ("GET", "/system/function/fig"),
        ("GET", "/system/info"),
        ("GET", "/system/namespaces"),
        ("GET", "/system/config"),
        ("POST", "/system/config/reload"),
        ("GET", "/ui/"),
    ] {
        assert_refused(&gateway.request(method, path, &[], ""));
    }
}

#[test]
fn generated_credentials_open_it() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    assert_eq!(user, "admin");
    assert!(password.len() >= 16, "a generated password is long");
    with(&gateway, &basic(&user, &password)).assert_status(200);
    // The scheme's case does not matter (RFC 7235, section 2.1).
    with(
        &gateway,
        &basic(&user, &password).replacen("Basic", "bAsIc", 1),
    )
    .assert_status(200);
}

#[test]
fn generated_credentials_are_private_and_survive_a_restart() {
    let mut gateway = Gateway::start("");
    let file = gateway.state().join("auth/basic-auth-password");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o077,
        0,
        "others may not read it"
    );
    let password = gateway.credentials().1;
    assert!(!gateway.stderr().contains(&password) && !gateway.stdout().contains(&password));
    assert!(
        gateway.stderr().contains("basic-auth-password"),
        "it says where the password lies"
    );

    gateway.signal(crate::harness::Signal::TERM);
    assert_eq!(gateway.wait_exit().code, Some(0));
    let state = gateway.state().display().to_string();
    let again = Gateway::start(&format!("provider: {{ state_dir: {state} }}\n"));
    with(&again, &basic("admin", &password)).assert_status(200);
}

#[test]
fn wrong_credentials_do_not_open_it() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let almost = &password[..password.len() - 1];
    for wrong in [
        basic(&user, ""),
        basic(&user, almost),
        basic(&user, &format!("{password}x")),
        basic("nobody", &password),
        basic("", &password),
        basic(&user, &password).replacen("Basic", "Bearer", 1),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!".to_owned(),
        "Basic YWRtaW4=".to_owned(),
        format!("Basic {user}:{password}"),
    ] {
        assert_refused(&with(&gateway, &wrong));
    }
}

#[test]
fn named_files_are_used_and_white_space_around_them_is_not() {
    let gateway = Gateway::with(
        "admin: { basic_auth: { enabled: true, user_file: @DIR@/user, password_file: @DIR@/password } }\n",
    )
    .file("user", " alice\n")
    .file("password", "\tpass: word \n\n")
    .start();
    with(&gateway, &basic("alice", "pass: word")).assert_status(200);
    assert_refused(&with(&gateway, &basic("alice", "pass: word ")));
    assert!(!gateway.state().join("auth/basic-auth-password").exists());
}

#[test]
fn the_secret_mount_path_of_the_environment_is_used() {
    let setup = Gateway::with("")
        .file("basic-auth-user", "bob")
        .file("basic-auth-password", "builder\n");
    let mount = setup.dir().display().to_string();
    let gateway = setup
        .env("basic_auth", "true")
        .env("secret_mount_path", mount)
        .start();
    with(&gateway, &basic("bob", "builder")).assert_status(200);
}

#[test]
fn it_can_be_switched_off() {
    let gateway = Gateway::start("admin: { basic_auth: { enabled: false } }\n");
    gateway.get("/system/functions").assert_status(200);
    let gateway = Gateway::with("").env("basic_auth", "false").start();
    gateway.get("/system/functions").assert_status(200);
}

#[test]
fn while_it_is_off_what_a_client_logs_in_with_is_ignored() {
    let gateway = Gateway::start("admin: { basic_auth: { enabled: false } }\n");
    // The first is what faas-cli sends without a login.
    for authorization in ["Bearer ", "Bearer", "Basic eDp5", "nonsense"] {
        with(&gateway, authorization).assert_status(200);
    }
}

#[test]
fn a_variable_alone_does_not_open_a_public_address() {
    let public = "server: { listen: \"0.0.0.0:0\", metrics: \"127.0.0.1:0\" }\n";
    for command in ["run", "check"] {
        let exit = Gateway::with(public)
            .env("basic_auth", "false")
            .arg(command)
            .run();
        assert_eq!(exit.code, Some(1), "{exit:?}");
        let words = "write `admin: { basic_auth: { enabled: false } }` into the configuration";
        assert!(exit.stderr.contains(words), "{exit:?}");
    }
    let open = format!("{public}admin: {{ basic_auth: {{ enabled: false }} }}\n");
    let exit = Gateway::with(&open)
        .env("basic_auth", "false")
        .arg("check")
        .run();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stderr.contains("no password protects"), "{exit:?}");
}

#[test]
fn nor_does_it_at_a_reload() {
    let gateway = Gateway::with("").env("basic_auth", "false").start();
    gateway.edit("server: { listen: \"0.0.0.0:0\", metrics: \"127.0.0.1:0\" }\n");
    let error = eventually_some("the reload is refused", || {
        let shown = gateway.get("/system/config").assert_status(200).json();
        shown["last_error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("`basic_auth`: no password"), "{error}");
}

#[test]
fn a_rotated_password_counts_at_once() {
    let gateway = Gateway::start("");
    let (user, old) = gateway.credentials();
    let file = gateway.state().join("auth/basic-auth-password");
    fs::write(&file, "another one\n").unwrap();
    assert_refused(&with(&gateway, &basic(&user, &old)));
    with(&gateway, &basic(&user, "another one")).assert_status(200);
}

#[test]
fn an_empty_or_missing_file_lets_nobody_in() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let file = gateway.state().join("auth/basic-auth-password");
    for empty in ["", "\n"] {
        fs::write(&file, empty).unwrap();
        assert_refused(&with(&gateway, &basic(&user, &password)));
        assert_refused(&with(&gateway, &basic(&user, "")));
        assert_refused(&gateway.get("/system/functions"));
    }
    eventually("the log says why", || {
        gateway.stderr().contains("basic-auth-password is empty")
    });
    fs::remove_file(&file).unwrap();
    assert_refused(&with(&gateway, &basic(&user, &password)));
    fs::write(&file, &password).unwrap();
    with(&gateway, &basic(&user, &password)).assert_status(200);
}

#[test]
fn a_reload_that_names_an_empty_or_missing_file_changes_nothing() {
    let named = |password: &str| {
        format!(
            "admin: {{ basic_auth: {{ user_file: @DIR@/user, password_file: @DIR@/{password} }} }}\n"
        )
    };
    let gateway = Gateway::with(&named("password"))
        .file("user", "alice")
        .file("password", "secret")
        .file("empty", "")
        .start();
    let alice = basic("alice", "secret");
    for name in ["empty", "missing"] {
        gateway.edit(&named(name));
        eventually("the reload is refused and says why", || {
            let headers = [("Authorization", alice.as_str())];
            let shown = gateway.request("GET", "/system/config", &headers, "");
            let shown = shown.assert_status(200).json();
            let error = shown["last_error"].as_str().unwrap_or_default();
            error.contains(&format!("/{name}"))
        });
        assert_refused(&gateway.get("/system/functions"));
        assert_refused(&with(&gateway, &basic("alice", "")));
    }
    assert_eq!(gateway.generation(), 1.0);
}

#[test]
fn functions_and_health_are_open_to_everybody() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    gateway.get("/function/fig").assert_status(200);
    gateway.get("/healthz").assert_status(200);
    gateway.get("/").assert_status(301);
    gateway.observe("GET", "/metrics").assert_status(200);
}

#[test]
fn credentials_are_not_checked_on_functions_but_passed_on() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&upstream.declared("fig"));
    let wrong = basic("some", "body");
    gateway
        .request("GET", "/function/fig", &[("Authorization", &wrong)], "")
        .assert_status(200);
    assert_eq!(upstream.last().header("Authorization"), wrong);
}

#[test]
fn the_portal_is_behind_the_same_door() {
    let gateway = Gateway::start("");
    let response = gateway.admin("GET", "/ui/", "").assert_status(200);
    assert!(
        response.header("Content-Type").starts_with("text/html"),
        "{response:?}"
    );
}

#[test]
fn an_address_of_its_own_takes_the_api_off_the_public_one() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "admin: {{ listen: \"127.0.0.1:0\" }}\n{}\
         routes: [{{ host: gw.example.org, path: /*, function: fig }}]\n",
        upstream.declared("fig")
    ));
    let (user, password) = gateway.credentials();
    let authorization = basic(&user, &password);
    let (own, public) = (gateway.address(), public_address(&gateway));
    assert_ne!(own, public);
    let ask = |at, host, path| {
        let headers = [("Authorization", authorization.as_str()), ("Host", host)];
        try_request(at, "GET", path, &headers, b"").unwrap()
    };
    for path in ["/system/config", "/ui/", "/healthz"] {
        ask(public, "localhost", path).assert_error(404, "not_found");
        // No public domain takes the API's place at its own address.
        for host in ["localhost", "gw.example.org"] {
            let answer = ask(own, host, path).assert_status(200);
            assert!(upstream.requests().is_empty(), "{path}: {answer:?}");
        }
    }
    // The portal calls functions where it is; what they send is no page of the API's origin.
    let answer = ask(own, "localhost", "/function/fig").assert_status(200);
    assert_eq!(answer.header("Content-Security-Policy"), "sandbox");
    let answer = ask(public, "gw.example.org", "/any").assert_status(200);
    assert!(answer.headers.get("Content-Security-Policy").is_none());
}

/// Where functions are called, as the gateway says when it starts.
fn public_address(gateway: &Gateway) -> std::net::SocketAddr {
    let said = gateway.stderr();
    let (_, after) = said.split_once("curl -d hi http://").unwrap();
    after.split_once('/').unwrap().0.parse().unwrap()
}
