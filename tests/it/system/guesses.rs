//! Nobody tries out a list of passwords.

use crate::harness::{Gateway, Response, basic, unused_port};

/// Wrong passwords in a row that are answered as such.
const FREE: usize = 10;

/// Asks with a password on behalf of an address. The test itself is a trusted proxy, as every
/// client on the loopback interface is unless the configuration says otherwise.
#[track_caller]
fn ask(gateway: &Gateway, address: &str, password: &str) -> Response {
    let headers = [
        ("Authorization", &*basic("admin", password)),
        ("X-Forwarded-For", address),
    ];
    gateway.request("GET", "/system/functions", &headers, "")
}

#[track_caller]
fn guess(gateway: &Gateway, address: &str, times: usize) {
    for _ in 0..times {
        ask(gateway, address, "wrong").assert_status(401);
    }
}

#[track_caller]
fn assert_blocked(response: &Response) {
    response.assert_error(429, "too_many_failures");
    let wait: u32 = response.header("Retry-After").parse().unwrap();
    assert!((1..=6).contains(&wait), "{response:?}");
}

#[test]
fn after_too_many_wrong_ones_not_even_the_right_one_opens() {
    let gateway = Gateway::start("");
    let right = gateway.credentials().1;
    guess(&gateway, "192.0.2.1", FREE);
    assert_blocked(&ask(&gateway, "192.0.2.1", "wrong"));
    assert_blocked(&ask(&gateway, "192.0.2.1", &right));
    // Nobody else suffers from it.
    ask(&gateway, "192.0.2.2", &right).assert_status(200);
    gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200);
}

#[test]
fn it_opens_again_when_the_time_is_over() {
    let gateway = Gateway::start("");
    let right = gateway.credentials().1;
    guess(&gateway, "192.0.2.1", FREE);
    assert_blocked(&ask(&gateway, "192.0.2.1", &right));
    crate::harness::eventually("the address may try again", || {
        ask(&gateway, "192.0.2.1", &right).status == 200
    });
}

#[test]
fn who_sends_no_password_does_not_guess() {
    let gateway = Gateway::start("");
    let right = gateway.credentials().1;
    for authorization in ["", "Bearer ", "Bearer token", "Basic "] {
        for _ in 0..=FREE {
            let headers = [
                ("Authorization", authorization),
                ("X-Forwarded-For", "192.0.2.1"),
            ];
            gateway
                .request("GET", "/system/functions", &headers, "")
                .assert_status(401);
        }
    }
    ask(&gateway, "192.0.2.1", &right).assert_status(200);
    guess(&gateway, "192.0.2.1", FREE);
    assert_blocked(&ask(&gateway, "192.0.2.1", &right));
    let headers = [("X-Forwarded-For", "192.0.2.1")];
    gateway
        .request("GET", "/system/functions", &headers, "")
        .assert_status(401);
}

#[test]
fn a_right_one_makes_up_for_the_wrong_ones() {
    let gateway = Gateway::start("");
    let right = gateway.credentials().1;
    for _ in 0..3 {
        guess(&gateway, "192.0.2.1", FREE - 1);
        ask(&gateway, "192.0.2.1", &right).assert_status(200);
    }
}

#[test]
fn what_a_client_says_of_itself_does_not_make_it_another_one() {
    let gateway = Gateway::start("");
    let right = gateway.credentials().1;
    for number in 0..FREE {
        guess(&gateway, &format!("198.51.100.{number}, 192.0.2.1"), 1);
    }
    assert_blocked(&ask(&gateway, "192.0.2.1", &right));

    let yaml =
        "server: { listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", trusted_proxies: [] }\n";
    let gateway = Gateway::start(yaml);
    let right = gateway.credentials().1;
    for number in 0..FREE {
        guess(&gateway, &format!("192.0.2.{number}"), 1);
    }
    assert_blocked(&ask(&gateway, "203.0.113.1", &right));
}

#[test]
fn an_ipv6_network_counts_as_one() {
    let gateway = Gateway::start("");
    let right = gateway.credentials().1;
    for number in 0..FREE {
        guess(&gateway, &format!("2001:db8:1:1::{number}"), 1);
    }
    assert_blocked(&ask(&gateway, "2001:db8:1:1:ffff::1", &right));
    ask(&gateway, "2001:db8:1:2::1", &right).assert_status(200);
}

#[test]
fn an_address_of_its_own_for_the_api_counts_likewise() {
    let gateway = Gateway::start(&format!(
        "admin: {{ listen: \"127.0.0.1:{}\" }}\n",
        unused_port()
    ));
    let right = gateway.credentials().1;
    guess(&gateway, "192.0.2.1", FREE);
    assert_blocked(&ask(&gateway, "192.0.2.1", &right));
    ask(&gateway, "192.0.2.2", &right).assert_status(200);
}

#[test]
fn they_are_counted() {
    let gateway = Gateway::start("");
    let failures = || gateway.metric("gateway_auth_failures_total", &[]);
    assert_eq!(failures(), Some(0.0));
    gateway.get("/system/functions").assert_status(401);
    gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200);
    assert_eq!(failures(), Some(0.0));
    guess(&gateway, "192.0.2.1", FREE);
    assert_eq!(failures(), Some(10.0));
    assert_blocked(&ask(&gateway, "192.0.2.1", "wrong"));
    assert_eq!(failures(), Some(11.0));
}
