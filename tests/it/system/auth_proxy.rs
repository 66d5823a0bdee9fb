//! `admin.auth_proxy_url`: an external service decides who may use the API (wire.md section 8).

use std::sync::Mutex;

use crate::harness::{Gateway, Upstream, basic, eventually, full_backlog, unused_port};

/// A service that lets in who says `Bearer good`, and refuses everybody else in its own words.
fn doorkeeper() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.request.header("Authorization") == "Bearer good" {
            exchange.reply(200, &[("X-Discarded", "1")], "welcome");
        } else {
            let headers = [
                ("WWW-Authenticate", "Bearer realm=\"theirs\""),
                ("Content-Type", "text/html"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("Keep-Alive", "timeout=5"),
            ];
            exchange.reply(401, &headers, "<p>log in</p>");
        }
    })
}

/// A service with one answer to everything.
fn saying(status: u16, headers: &'static [(&str, &str)], body: &'static str) -> Upstream {
    Upstream::start(move |exchange| exchange.reply(status, headers, body))
}

fn asking(url: &str) -> String {
    format!("admin: {{ auth_proxy_url: \"{url}/validate?a=b\" }}\n")
}

const GOOD: &[(&str, &str)] = &[("Authorization", "Bearer good")];

#[test]
fn a_200_lets_in_and_leaves_no_trace() {
    let service = doorkeeper();
    let gateway = Gateway::start(&asking(&service.url()));
    let response = gateway.request("GET", "/system/functions", GOOD, "");
    assert_eq!(response.text(), "[]", "{response:?}");
    assert!(!response.headers.has("X-Discarded"), "{response:?}");
    assert!(gateway.stderr().contains("admin.auth_proxy_url"));
}

#[test]
fn any_other_answer_is_the_clients() {
    let service = doorkeeper();
    let gateway = Gateway::start(&asking(&service.url()));
    // Not even the gateway's own password opens it.
    let response = gateway.admin("GET", "/system/functions", "");
    assert_eq!(response.status, 401, "{response:?}");
    assert_eq!(
        response.header("WWW-Authenticate"),
        "Bearer realm=\"theirs\""
    );
    assert_eq!(response.header("Content-Type"), "text/html");
    assert_eq!(response.headers.all("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("Keep-Alive"), "", "{response:?}");
    assert_eq!(response.text(), "<p>log in</p>");
}

#[test]
fn only_200_is_a_yes_and_redirects_are_the_clients_to_follow() {
    let elsewhere = saying(200, &[], "");
    let location: &'static str = format!("{}/login", elsewhere.url()).leak();
    let headers: &'static [(&str, &str)] = vec![("Location", location)].leak();
    let redirecting = saying(302, headers, "");
    let gateway = Gateway::start(&asking(&redirecting.url()));
    let response = gateway.get("/ui/").assert_status(302);
    assert_eq!(response.header("Location"), location);
    assert_eq!(elsewhere.requests().len(), 0, "the gateway does not follow");

    for status in [201, 204, 403, 500] {
        let service = saying(status, &[], "no");
        let gateway = Gateway::start(&asking(&service.url()));
        gateway.get("/system/info").assert_status(status);
    }
}

#[test]
fn it_is_asked_with_the_requests_headers_and_no_body() {
    let service = doorkeeper();
    let gateway = Gateway::start(&asking(&service.url()));
    let headers = [
        ("Authorization", "Bearer good"),
        ("Cookie", "session=1"),
        ("X-Forwarded-Proto", "https"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Content-Type", "application/json"),
    ];
    gateway.request("POST", "/system/config/reload", &headers, "{}");
    let asked = service.last();
    assert_eq!((&*asked.method, &*asked.target), ("GET", "/validate?a=b"));
    assert_eq!(asked.header("Host"), service.address().to_string());
    assert_eq!(asked.header("Cookie"), "session=1");
    assert_eq!(asked.header("Content-Type"), "application/json");
    assert_eq!(asked.header("X-Forwarded-Proto"), "https");
    for name in [
        "Connection",
        "X-Hop",
        "TE",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        assert!(!asked.headers.has(name), "{name} in {asked:?}");
    }
    assert!(asked.body.is_empty());
}

#[test]
fn its_connections_are_kept() {
    let service = doorkeeper();
    let gateway = Gateway::start(&asking(&service.url()));
    for _ in 0..5 {
        gateway
            .request("GET", "/system/info", &[], "")
            .assert_status(401);
    }
    assert_eq!(service.requests().len(), 5);
    assert_eq!(service.connections(), 1);
}

#[test]
fn functions_and_health_are_not_its_concern() {
    let (service, fig) = (doorkeeper(), Upstream::echo());
    let yaml = asking(&service.url()) + &fig.declared("fig");
    let gateway = Gateway::start(&yaml);
    gateway.get("/function/fig").assert_status(200);
    gateway.get("/healthz").assert_status(200);
    gateway.get("/").assert_status(301);
    assert_eq!(service.requests().len(), 0);
}

#[test]
fn a_service_that_cannot_be_asked_lets_nobody_in() {
    let too_long: &'static str = "x".repeat(70_000).leak();
    let rambling = saying(403, &[], too_long);
    let breaking = Upstream::start(|exchange| exchange.close());
    let nobody = format!("http://127.0.0.1:{}", unused_port());
    for url in [rambling.url(), breaking.url(), nobody] {
        let gateway = Gateway::start(&asking(&url));
        let response = gateway.admin("GET", "/system/functions", "");
        let body = response.assert_error(500, "auth_proxy_failed");
        assert!(!body["error"].to_string().contains("127.0.0.1"), "{body}");
        eventually("the log says why", || {
            gateway.stderr().contains("no answer")
        });
    }
}

#[test]
fn a_silent_service_is_given_up_after_timeouts_upstream() {
    let silent = Upstream::start(|exchange| exchange.hang());
    let stuttering = Upstream::start(|exchange| {
        exchange.begin(401, &[]);
        exchange.chunk("and then");
        exchange.hang();
    });
    let (full, _queue, _listener) = full_backlog();
    for url in [silent.url(), stuttering.url(), format!("http://{full}")] {
        let yaml = format!("timeouts: {{ upstream: 200ms }}\n{}", asking(&url));
        let gateway = Gateway::start(&yaml);
        gateway
            .get("/system/functions")
            .assert_error(500, "auth_proxy_failed");
    }
}

#[test]
fn it_comes_and_goes_with_a_reload() {
    let service = doorkeeper();
    let gateway = Gateway::start("");
    gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200);
    gateway.edit_and_wait(&asking(&service.url()));
    gateway
        .admin("GET", "/system/functions", "")
        .assert_status(401);
    gateway
        .request("GET", "/system/functions", GOOD, "")
        .assert_status(200);
    gateway.edit_and_wait("timeouts: { read: 9s }\n");
    gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200);
    gateway
        .request("GET", "/system/functions", GOOD, "")
        .assert_status(401);
}

#[test]
fn it_is_not_asked_while_basic_auth_is_off() {
    let service = doorkeeper();
    let url = service.url();
    let gateway = Gateway::start(&format!(
        "admin: {{ auth_proxy_url: \"{url}\", basic_auth: {{ enabled: false }} }}\n"
    ));
    gateway.get("/system/functions").assert_status(200);
    assert_eq!(service.requests().len(), 0);
    eventually("the log says so", || {
        let words = "`admin.auth_proxy_url` has no effect";
        gateway.stderr().contains(words)
    });
}

#[test]
fn the_environment_names_it_too() {
    let service = doorkeeper();
    let gateway = Gateway::with("")
        .env("basic_auth", "true")
        .env("auth_proxy_url", service.url())
        .start();
    gateway.get("/system/functions").assert_status(401);
    gateway
        .request("GET", "/system/functions", GOOD, "")
        .assert_status(200);
}

#[test]
fn wrong_passwords_are_counted_whoever_checks_them_but_tokens_are_not() {
    let service = doorkeeper();
    let gateway = Gateway::start(&asking(&service.url()));
    let status = |authorization: &str| {
        let headers = [("Authorization", authorization)];
        let response = gateway.request("GET", "/system/functions", &headers, "");
        response.status
    };
    for _ in 0..11 {
        assert_eq!(status("Bearer bad"), 401);
    }
    for _ in 0..10 {
        assert_eq!(status(&basic("admin", "wrong")), 401);
    }
    assert_eq!(status(&basic("admin", "wrong")), 429);
    assert_eq!(status("Bearer good"), 200);
}

#[test]
fn one_users_success_gives_no_more_guesses_at_anothers_password() {
    let mine = basic("mallory", "mine");
    let accepted = Mutex::new(mine.clone());
    let service = Upstream::start(move |exchange| {
        let right = exchange.request.header("Authorization") == *accepted.lock().unwrap();
        exchange.reply(if right { 200 } else { 401 }, &[], "");
    });
    let gateway = Gateway::start(&asking(&service.url()));
    let status = |authorization: &str| {
        let headers = [("Authorization", authorization)];
        let response = gateway.request("GET", "/system/functions", &headers, "");
        response.status
    };
    for _ in 0..10 {
        assert_eq!(status(&basic("alice", "wrong")), 401);
        // The last one is too late.
        status(&mine);
    }
    assert_eq!(status(&basic("alice", "wrong")), 429);
}
