//! Who may use the API (wire.md section 8, design.md section 7).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Gateway, Response, Upstream, basic};

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
        "admin: {{ listen: \"127.0.0.1:{}\" }}\n{}",
        crate::harness::unused_port(),
        upstream.declared("fig")
    ));
    // The printed API address is the API's; both are told apart by what they serve.
    let (user, password) = gateway.credentials();
    let authorization = basic(&user, &password);
    let headers = [("Authorization", authorization.as_str())];
    let config = gateway.request("GET", "/system/config", &headers, "");
    let function = gateway.get("/function/fig");
    let both = (config.status == 200, function.status == 200);
    assert!(
        both == (true, false) || both == (false, true),
        "one address serves both: {config:?} {function:?}"
    );
}
