//! Who may use the API (wire.md section 8, design.md section 7).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Gateway, Response, Upstream, basic, eventually, unused_port};

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
        unused_port(),
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

#[test]
fn an_address_that_guesses_has_to_wait_even_with_the_right_password() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let wrong = basic(&user, "wrong");
    for _ in 0..10 {
        assert_refused(&with(&gateway, &wrong));
    }
    for authorization in [&wrong, &basic(&user, &password)] {
        let response = with(&gateway, authorization);
        response.assert_error(429, "too_many_failures");
        let seconds: u64 = response.header("Retry-After").parse().unwrap();
        assert!((1..=6).contains(&seconds), "{seconds}");
    }
    assert_eq!(
        gateway.metric("gateway_auth_failures_total", &[]),
        Some(10.0)
    );
    // Functions, and who brings no password, are as before.
    assert_refused(&gateway.get("/system/functions"));
    gateway.get("/healthz").assert_status(200);
}

#[test]
fn behind_a_trusted_proxy_each_client_guesses_for_itself() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let from = |client: &str, password: &str| {
        let authorization = basic(&user, password);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("X-Forwarded-For", client),
        ];
        gateway.request("GET", "/system/info", &headers, "")
    };
    for _ in 0..10 {
        assert_refused(&from("192.0.2.1", "wrong"));
    }
    from("192.0.2.1", &password).assert_error(429, "too_many_failures");
    from("192.0.2.2", &password).assert_status(200);
    // What a client claims itself stands to the left of what the proxy saw.
    from("192.0.2.2, 192.0.2.1", &password).assert_error(429, "too_many_failures");
}

#[test]
fn requests_without_a_password_are_no_guesses() {
    let gateway = Gateway::start("");
    for _ in 0..30 {
        assert_refused(&gateway.get("/system/info"));
        assert_refused(&with(&gateway, "Bearer "));
    }
    gateway.admin("GET", "/system/info", "").assert_status(200);
}

#[test]
fn an_address_of_its_own_knows_who_guesses_too() {
    let port = unused_port();
    let gateway = Gateway::start(&format!("admin: {{ listen: \"127.0.0.1:{port}\" }}\n"));
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let ask = |headers: &[(&str, &str)]| {
        crate::harness::try_request(api, "GET", "/system/info", headers, b"").unwrap()
    };
    let (user, password) = gateway.credentials();
    for _ in 0..10 {
        assert_refused(&ask(&[("Authorization", &basic(&user, "wrong"))]));
    }
    let right = basic(&user, &password);
    ask(&[("Authorization", &right)]).assert_error(429, "too_many_failures");
    ask(&[("Authorization", &right), ("X-Forwarded-For", "192.0.2.7")]).assert_status(200);
}

#[test]
fn a_rotated_password_counts_at_once_and_an_empty_file_lets_nobody_in() {
    let gateway = Gateway::start("");
    let (user, old) = gateway.credentials();
    let file = gateway.state().join("auth/basic-auth-password");
    fs::write(&file, "rotated\n").unwrap();
    with(&gateway, &basic(&user, "rotated")).assert_status(200);
    assert_refused(&with(&gateway, &basic(&user, &old)));
    fs::write(&file, "").unwrap();
    assert_refused(&with(&gateway, &basic(&user, "")));
    assert_refused(&with(&gateway, &basic(&user, "rotated")));
    fs::remove_file(&file).unwrap();
    assert_refused(&with(&gateway, &basic(&user, "rotated")));
}

#[test]
fn a_plug_in_is_asked_with_the_clients_headers_and_lets_pass_with_200_only() {
    let plugin = Upstream::start(|exchange| {
        let status = exchange.request.header("X-Answer").parse().unwrap_or(200);
        exchange.reply(
            status,
            &[("X-Of", "plugin"), ("Location", "/login")],
            "its words",
        );
    });
    let gateway = Gateway::start(&format!(
        "admin: {{ auth_proxy_url: \"{}/validate\" }}\n",
        plugin.url()
    ));
    let ask =
        |headers: &[(&str, &str)]| gateway.request("POST", "/system/config/reload", headers, "{}");
    ask(&[("X-Token", "mine"), ("Connection", "close")]).assert_status(200);
    let asked = plugin.last();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/validate")
    );
    assert_eq!(
        (asked.header("X-Token"), asked.header("Content-Length")),
        ("mine", "")
    );
    assert!(asked.body.is_empty());
    for status in ["204", "302", "401", "500"] {
        let refused = ask(&[("X-Answer", status)]);
        assert_eq!(refused.status.to_string(), status);
        assert_eq!(
            (refused.header("X-Of"), refused.header("Location")),
            ("plugin", "/login")
        );
        let words = if status == "204" { "" } else { "its words" };
        assert_eq!(refused.text(), words);
    }
    let before = plugin.requests().len();
    gateway.get("/healthz").assert_status(200);
    assert_eq!(plugin.requests().len(), before, "health is open");
}

#[test]
fn a_plug_in_that_is_away_or_slow_lets_nobody_in() {
    let slow = Upstream::start(|_| std::thread::sleep(crate::harness::PATIENCE));
    for url in [format!("http://127.0.0.1:{}/", unused_port()), slow.url()] {
        let gateway = Gateway::start(&format!(
            "admin: {{ auth_proxy_url: \"{url}\" }}\ntimeouts: {{ upstream: 300ms }}\n"
        ));
        let response = gateway.admin("GET", "/system/info", "");
        response.assert_error(500, "auth_proxy_failed");
    }
}

#[test]
fn the_plug_in_can_be_changed_while_the_gateway_runs() {
    let plugin = Upstream::start(|exchange| exchange.reply(403, &[], "no"));
    let gateway = Gateway::start("");
    gateway.admin("GET", "/system/info", "").assert_status(200);
    gateway.edit(&format!(
        "admin: {{ auth_proxy_url: \"{}\" }}\n",
        plugin.url()
    ));
    eventually("the plug-in is asked", || {
        gateway.admin("GET", "/system/info", "").status == 403
    });
    gateway.edit("");
    eventually("the files count again", || {
        gateway.admin("GET", "/system/info", "").status == 200
    });
}

#[test]
fn a_variable_alone_does_not_open_the_api_to_everybody() {
    let provider = crate::harness::Provider::with(&[]);
    let exit = Gateway::bare()
        .env("functions_provider_url", provider.url())
        .env("basic_auth", "false")
        .arg("--listen")
        .arg("0.0.0.0:0")
        .run();
    assert_ne!(exit.code, Some(0));
    assert!(
        exit.stderr.contains("no password protects"),
        "{}",
        exit.stderr
    );
}

#[test]
fn other_sites_cannot_change_anything_in_a_browsers_name() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let authorization = basic(&user, &password);
    let reload = |header: (&str, &str)| {
        let headers = [("Authorization", authorization.as_str()), header];
        gateway.request("POST", "/system/config/reload", &headers, "")
    };
    reload(("Origin", "http://evil.example")).assert_error(403, "cross_origin");
    reload(("Sec-Fetch-Site", "cross-site")).assert_error(403, "cross_origin");
    let own = format!("http://{}", gateway.address());
    let answer = reload(("Origin", &own)).assert_status(200);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), "");
}

#[test]
fn without_a_password_a_foreign_name_for_the_loopback_address_is_refused() {
    let gateway = Gateway::start("admin: { basic_auth: { enabled: false } }\n");
    let named = |host: &str| gateway.request("GET", "/system/info", &[("Host", host)], "");
    named("rebound.evil.example").assert_error(403, "cross_origin");
    named("localhost").assert_status(200);
    // Clients that never logged in send an empty token.
    with(&gateway, "Bearer ").assert_status(200);
}
