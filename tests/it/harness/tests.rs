//! The harness itself: a client that hides a mistake would make every other test worthless.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::{basic, request};
use super::metrics::Metrics;
use super::tool::{Server, adapted};
use super::upstream::{Upstream, full_backlog, unused_port};
use super::wire::{Framing, Wire};
use super::{Connection, Nats, Provider, alive, descendants, eventually, kill, served};

#[test]
fn credentials_are_encoded_as_in_the_standard() {
    // RFC 7617, section 2.
    assert_eq!(
        basic("Aladdin", "open sesame"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    assert_eq!(basic("a", ""), "Basic YTo=");
}

#[test]
fn client_and_upstream_understand_each_other() {
    let upstream = Upstream::echo();
    let response = request(
        upstream.address(),
        "POST",
        "/a?b",
        &[("X-A", "1"), ("X-A", "2")],
        b"body",
    );
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
    let seen = upstream.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/a?b")
    );
    assert_eq!(
        (seen.headers.all("x-a"), seen.framing),
        (vec!["1", "2"], Framing::Length(4))
    );
}

#[test]
fn chunks_are_kept_apart_and_a_missing_end_is_an_error() {
    let upstream = Upstream::start(|exchange| {
        exchange.begin(200, &[]);
        exchange.chunk("one");
        exchange.chunk("two");
        if exchange.request.target == "/whole" {
            exchange.end();
        }
        exchange.close();
    });
    let mut connection = Connection::open(upstream.address());
    connection.send_head("GET", "/whole", &[]);
    assert_eq!(connection.response("GET").text(), "onetwo");
    let mut connection = Connection::open(upstream.address());
    connection.send_head("GET", "/half", &[]);
    assert!(connection.try_response("GET").is_err());
}

#[test]
fn a_closed_upstream_does_not_answer_and_a_full_one_does_not_accept() {
    let upstream = Upstream::start(|exchange| exchange.close());
    let mut connection = Connection::open(upstream.address());
    connection.send_head("GET", "/", &[]);
    assert!(connection.is_closed());
    assert!(Connection::try_open(([127, 0, 0, 1], unused_port()).into()).is_err());
    let (address, _queue, _listener) = full_backlog();
    assert!(TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err());
}

#[test]
fn silence_is_told_from_an_end() {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let mut connection = Connection::open(upstream.address());
    connection.send_head("GET", "/", &[]);
    assert!(connection.wire.is_silent(Duration::from_millis(50)));
    drop(upstream);
    assert!(!connection.wire.is_silent(Duration::from_secs(5)));
}

#[test]
fn series_are_read_with_their_labels() {
    let text = "# HELP a Some help.\n# TYPE a counter\na{b=\"1\",c=\"x,y=z\"} 2\na{b=\"2\",c=\"\"} 3.5\nd 1e3\n";
    let metrics = Metrics::parse(text);
    assert_eq!(metrics.sum("a", &[]), Some(5.5));
    assert_eq!(metrics.sum("a", &[("c", "x,y=z")]), Some(2.0));
    assert_eq!(
        (metrics.sum("a", &[("b", "3")]), metrics.sum("d", &[])),
        (None, Some(1000.0))
    );
    assert_eq!(
        (metrics.types["a"].as_str(), metrics.helps["a"].as_str()),
        ("counter", "Some help.")
    );
}

#[test]
fn the_provider_knows_its_functions() {
    let provider = Provider::with(&["fig"]);
    let address = provider
        .url()
        .trim_start_matches("http://")
        .parse()
        .unwrap();
    assert_eq!(
        request(address, "GET", "/system/functions", &[], b"").json()[0]["name"],
        "fig"
    );
    assert_eq!(
        request(address, "POST", "/function/fig", &[], b"x").status,
        200
    );
    assert_eq!(
        request(address, "POST", "/function/fog", &[], b"x").status,
        404
    );
    assert_eq!(provider.asked("/function/").len(), 2);
}

#[test]
fn the_long_lived_function_serves_and_its_family_is_seen() {
    let command = served();
    let mut words = command.split(' ');
    let port = unused_port();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let address = ([127, 0, 0, 1], port).into();
    eventually("it listens", || Connection::try_open(address).is_ok());
    let pid: u32 = request(address, "GET", "/pid", &[], b"")
        .text()
        .parse()
        .unwrap();
    let sleeper: u32 = request(address, "GET", "/sleeper", &[], b"")
        .text()
        .parse()
        .unwrap();
    assert_eq!((pid, descendants(pid)), (child.id(), vec![sleeper]));
    child.kill().unwrap();
    child.wait().unwrap();
    kill(sleeper);
    eventually("both are gone", || !alive(pid) && !alive(sleeper));
}

#[test]
fn a_wire_reads_what_is_there() {
    let upstream = Upstream::start(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nA:b\r\nContent-Length: 3\r\n\r\nabc")
    });
    let mut wire = Wire::new(TcpStream::connect(upstream.address()).unwrap()).unwrap();
    wire.send("GET / HTTP/1.1\r\n\r\n").unwrap();
    let head = wire.read_head().unwrap().unwrap();
    assert_eq!(
        (head.word(1), head.headers.get("a"), head.framing()),
        ("200", Some("b"), Framing::Length(3))
    );
    assert_eq!(wire.read_exact(3).unwrap(), b"abc");
}

#[test]
#[should_panic(expected = "\"for: 5s\" in conf/minimal.yaml")]
fn a_shipped_file_is_not_adapted_where_it_says_something_else() {
    adapted("conf/minimal.yaml", &[("for: 5s", "for: 1s")]);
}

#[test]
#[should_panic(expected = "it ends at once:\nwhy it cannot start")]
fn a_server_that_does_not_start_says_why() {
    Server::start(|_, _| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo why it cannot start >&2"]);
        command
    });
}

#[test]
fn a_nats_server_comes_back_to_its_address() {
    let mut nats = Nats::start();
    let url = nats.url();
    let address = url.strip_prefix("nats://").unwrap().parse().unwrap();
    nats.kill();
    assert!(Connection::try_open(address).is_err());
    nats.restart();
    assert_eq!(nats.url(), url);
    let mut connection = Connection::open(address);
    let mut greeting = || connection.wire.read_exact(4);
    assert_eq!(greeting().unwrap(), b"INFO");
    nats.pause();
    // Whoever connects is greeted by the system, but not by the server.
    let mut paused = Connection::open(address);
    assert!(paused.wire.is_silent(Duration::from_millis(50)));
    nats.resume();
    assert_eq!(paused.wire.read_exact(4).unwrap(), b"INFO");
}
