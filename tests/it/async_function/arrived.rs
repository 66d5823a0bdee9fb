//! What reaches the function of a call that was queued: the same as of one that was not.

use crate::harness::{Framing, Queued};
use crate::harness::{Kind, Provider, Upstream, on_each_queue, served};

on_each_queue! {
    path_and_query_arrive_byte_for_byte,
    bodies_arrive_whatever_is_in_them,
    a_chunked_body_arrives_whole,
    headers_arrive_with_every_value,
    headers_of_one_connection_stay_behind,
    the_clients_host_and_address_are_forwarded,
    processes_of_every_mode_are_called,
    a_remote_providers_function_is_called_by_its_whole_path,
}

fn echo(kind: Kind) -> (Upstream, Queued) {
    let upstream = Upstream::echo();
    let gateway = kind.gateway("", &upstream.declared("fig"));
    (upstream, gateway)
}

fn path_and_query_arrive_byte_for_byte(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    for (posted, arrives) in [
        ("fig", "/"),
        ("fig/", "/"),
        ("fig?x=1&x=2", "/?x=1&x=2"),
        ("fig/a/b.css", "/a/b.css"),
        ("fig/a%2Fb/%C3%BC?q=%20+%26", "/a%2Fb/%C3%BC?q=%20+%26"),
        ("fig.openfaas-fn/x/?a=/../b", "/x/?a=/../b"),
        ("f%69g/y?", "/y"),
    ] {
        gateway.call_in(&gateway.submit(posted, ""), "succeeded");
        let request = upstream.last();
        assert_eq!(request.method, "POST");
        let target = request.target.trim_end_matches('?');
        assert_eq!(target, arrives, "{posted}");
    }
}

fn bodies_arrive_whatever_is_in_them(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let all: Vec<u8> = (0..=255).collect();
    let large = all.repeat(2000);
    for body in [&b""[..], b"text", b"\0", &all, &large] {
        gateway.call_in(&gateway.submit("fig", body), "succeeded");
        let request = upstream.last();
        assert_eq!(request.body, body);
        // A function may ask for the length, also of nothing.
        assert_eq!(request.framing, Framing::Length(body.len()));
    }
}

fn a_chunked_body_arrives_whole(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let mut connection = gateway.connect();
    let chunks = [("Transfer-Encoding", "chunked")];
    connection.send_head("POST", "/async-function/fig", &chunks);
    for piece in ["one ", "two ", "\0\r\n0\r\n"] {
        connection.wire.send_chunk(piece).unwrap();
    }
    connection.wire.send_last_chunk().unwrap();
    let accepted = connection.response("POST").assert_status(202);
    gateway.call_in(accepted.header("Location"), "succeeded");
    let request = upstream.last();
    assert_eq!(request.body, b"one two \0\r\n0\r\n");
    assert_eq!(request.framing, Framing::Length(14));
}

fn headers_arrive_with_every_value(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let sent = [
        ("X-Many", "one"),
        ("X-Many", "two"),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "br"),
        ("Cookie", "a=1; b=2"),
        ("Authorization", "Bearer for-the-function"),
        ("User-Agent", "tester/1"),
        ("Accept-Encoding", "br"),
        ("X-Callback-Url", "http://127.0.0.1:1/back"),
        ("X-Empty", ""),
    ];
    gateway.call_in(&gateway.submit_with("fig", &sent, "{}"), "succeeded");
    let request = upstream.last();
    assert_eq!(request.headers.all("X-Many"), ["one", "two"]);
    for (name, value) in &sent[2..] {
        assert_eq!(request.headers.all(name), [*value], "{name}");
    }
}

fn headers_of_one_connection_stay_behind(kind: Kind) {
    let (upstream, gateway) = echo(kind);
    let sent = [
        ("Connection", "X-Hop, close"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Proxy-Connection", "keep-alive"),
        ("X-Stays", "1"),
    ];
    gateway.call_in(&gateway.submit_with("fig", &sent, "x"), "succeeded");
    let request = upstream.last();
    for name in [
        "X-Hop",
        "Keep-Alive",
        "TE",
        "Proxy-Connection",
        "Transfer-Encoding",
    ] {
        assert!(!request.headers.has(name), "{name} in {request:?}");
    }
    assert!(!request.headers.has_token("Connection", "X-Hop"));
    assert_eq!(request.header("X-Stays"), "1");
}

fn the_clients_host_and_address_are_forwarded(kind: Kind) {
    let upstream = Upstream::echo();
    let arrived = |trusted: &str| {
        let server = format!(
            "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", trusted_proxies: [{trusted}] }}\n"
        );
        let gateway = kind.gateway("", &(server + &upstream.declared("fig")));
        let sent = [
            ("Host", "shop.example.org:81"),
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Host", "front.example.org"),
        ];
        gateway.call_in(&gateway.submit_with("fig", &sent, ""), "succeeded");
        let request = upstream.last();
        assert_eq!(
            request.headers.all("Host"),
            [upstream.address().to_string()]
        );
        let of = |name: &str| request.headers.all(name).join(", ");
        (of("X-Forwarded-Host"), of("X-Forwarded-For"))
    };
    let (host, client) = arrived("");
    assert_eq!(
        (host.as_str(), client.as_str()),
        ("shop.example.org:81", "127.0.0.1")
    );
    let (host, client) = arrived("127.0.0.0/8");
    assert_eq!(host, "front.example.org");
    assert_eq!(client, "203.0.113.9, 127.0.0.1");
}

fn processes_of_every_mode_are_called(kind: Kind) {
    let functions = format!(
        "functions:\n  classic: {{ process: cat }}\n  \
         streaming: {{ process: cat, mode: streaming }}\n  \
         http: {{ process: {:?}, mode: http }}\n",
        served()
    );
    let gateway = kind.gateway("", &functions);
    for name in ["classic", "streaming", "http"] {
        let call = gateway.call_in(&gateway.submit(name, "hi"), "succeeded");
        assert_eq!(call["result"]["body"], "hi", "{name}");
        assert_eq!(call["attempts"], 1, "{name}");
    }
}

fn a_remote_providers_function_is_called_by_its_whole_path(kind: Kind) {
    let provider = Provider::with(&["fig"]);
    let gateway = kind.gateway("", &provider.selected());
    crate::harness::eventually("the list is known", || {
        gateway.try_submit("fig", &[], "").status == 202
    });
    gateway.call_in(&gateway.submit("fig/a?b=1", "hi"), "succeeded");
    let asked = provider.asked("/function/fig").into_iter();
    let bodies = asked.filter(|request| request.body == b"hi");
    let lines: Vec<_> = bodies
        .map(|request| (request.method, request.target))
        .collect();
    assert_eq!(lines.len(), 1);
    let (method, target) = &lines[0];
    assert_eq!(method, "POST");
    // With its namespace or without: a provider knows both.
    assert!(target.starts_with("/function/fig"), "{target}");
    assert!(target.ends_with("/a?b=1"), "{target}");
}
