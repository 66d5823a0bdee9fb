//! What a browser may be made to do to the API by a page of another site.

use crate::harness::{Gateway, Upstream, basic, unused_port};

const OPEN: &str = "admin: { basic_auth: { enabled: false } }\n";

#[test]
fn without_a_password_a_name_made_up_elsewhere_does_not_lead_to_the_api() {
    let gateway = Gateway::start(OPEN);
    let port = gateway.address().port();
    for host in [
        "evil.example",
        "evil.example:8080",
        "10.0.0.1",
        "localhost.evil.example",
    ] {
        for (method, path) in [
            ("GET", "/system/functions"),
            ("GET", "/ui/"),
            ("POST", "/system/config/reload"),
        ] {
            // What a page sends to its own site carries no other mark, or the right ones.
            let origin = format!("http://{host}");
            let headers = [("Host", host), ("Origin", origin.as_str())];
            for headers in [&headers[..1], &headers] {
                gateway
                    .request(method, path, headers, "")
                    .assert_error(403, "bad_host");
            }
        }
    }
    for host in [
        "localhost".to_owned(),
        format!("LOCALHOST:{port}"),
        format!("[::1]:{port}"),
    ] {
        gateway
            .request("GET", "/system/functions", &[("Host", &host)], "")
            .assert_status(200);
    }
}

#[test]
fn an_address_of_its_own_for_the_api_is_protected_likewise() {
    let gateway = Gateway::start(&format!(
        "admin: {{ listen: \"127.0.0.1:{}\", basic_auth: {{ enabled: false }} }}\n",
        unused_port()
    ));
    gateway.get("/system/functions").assert_status(200);
    gateway
        .request("GET", "/system/functions", &[("Host", "evil.example")], "")
        .assert_error(403, "bad_host");
}

#[test]
fn functions_may_have_any_name() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&(OPEN.to_owned() + &upstream.declared("fig")));
    let headers = [("Host", "api.example.org")];
    for path in ["/function/fig", "/healthz"] {
        gateway
            .request("GET", path, &headers, "")
            .assert_status(200);
    }
}

#[test]
fn with_a_password_any_name_will_do() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let authorization = basic(&user, &password);
    let headers = [
        ("Authorization", &*authorization),
        ("Host", "gateway.example.org"),
    ];
    gateway
        .request("GET", "/system/functions", &headers, "")
        .assert_status(200);
}

#[test]
fn what_is_decided_by_the_address_stays_until_a_restart() {
    let gateway = Gateway::start(OPEN);
    gateway.edit_and_wait(&format!(
        "server: {{ listen: \"0.0.0.0:{}\", metrics: \"127.0.0.1:0\" }}\n{OPEN}",
        unused_port()
    ));
    gateway
        .request("GET", "/system/functions", &[("Host", "evil.example")], "")
        .assert_error(403, "bad_host");
}

#[test]
fn a_page_of_another_site_changes_nothing_and_reads_nothing() {
    let gateway = Gateway::start("");
    let (user, password) = gateway.credentials();
    let authorization = basic(&user, &password);
    let request = |method: &str, path: &str, mark: (&str, &str)| {
        let headers = [("Authorization", &*authorization), mark];
        gateway.request(method, path, &headers, "")
    };
    let evil = ("Origin", "http://evil.example");
    for mark in [
        evil,
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        request("POST", "/system/config/reload", mark).assert_error(403, "cross_origin");
    }
    let own = format!("http://{}", gateway.address());
    for mark in [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")] {
        request("POST", "/system/config/reload", mark).assert_status(200);
    }
    for (method, path) in [
        ("GET", "/system/functions"),
        ("GET", "/system/config"),
        ("OPTIONS", "/system/functions"),
    ] {
        let response = request(method, path, evil);
        let allowing = |name: &str| response.headers.has(name);
        assert!(!allowing("Access-Control-Allow-Origin"), "{response:?}");
        assert!(
            !allowing("Access-Control-Allow-Credentials"),
            "{response:?}"
        );
    }
}
