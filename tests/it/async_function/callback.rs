//! Results are posted to the `X-Callback-Url` of their calls (wire.md section 6.3).

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::harness::{Kind, Queued, Recorded, Upstream, eventually, on_each_queue, unused_port};

on_each_queue! {
    a_result_is_posted_with_the_answer_and_its_headers,
    a_failed_result_is_posted_as_well,
    a_dead_letter_calls_back,
    a_function_that_was_not_reached_calls_back_without_a_body,
    a_receiver_that_fails_is_asked_again,
    a_receiver_that_asks_for_time_gets_it,
    a_receiver_that_refuses_is_left_alone,
    a_redirection_is_not_followed,
    a_receiver_that_is_never_there_is_given_up,
    this_machine_is_refused_unless_it_is_allowed,
    a_signed_post_can_be_checked,
    a_password_in_the_url_is_used_and_never_shown,
    a_truncated_result_says_so,
    slow_receivers_hold_up_no_calls,
    a_cancelled_call_does_not_call_back,
    a_replayed_call_calls_back_again,
}

const ALLOWED: &str = "callbacks: { allow: [127.0.0.0/8], timeout: 5s }, \
    retry: { min_wait: 5ms, max_wait: 20ms, attempts: 4 }";

/// Takes whatever is posted.
fn receiver() -> Upstream {
    Upstream::start(|exchange| exchange.reply(204, &[], ""))
}

fn answering(statuses: &'static [u16]) -> Upstream {
    let next = Mutex::new(statuses.iter().copied());
    let last = *statuses.last().unwrap();
    Upstream::start(move |exchange| {
        let status = next.lock().unwrap().next().unwrap_or(last);
        exchange.reply(status, &[], "");
    })
}

#[track_caller]
fn submit(gateway: &Queued, path: &str, receiver: &Upstream) -> String {
    let url = format!("{}/back?a=b", receiver.url());
    gateway.submit_with(path, &[("X-Callback-Url", &url)], "x")
}

#[track_caller]
fn called_back(gateway: &Queued, location: &str, state: &str) -> Value {
    let what = format!("called back: {state}");
    gateway.call_when(location, &what, |call| call["callback"]["state"] == state)
}

/// A gateway whose function answers with the status in its path, and a receiver.
fn statuses(kind: Kind) -> (Upstream, Queued, Upstream) {
    let upstream = Upstream::start(|exchange| {
        let status = exchange.request.target[1..].parse().unwrap();
        let headers = [
            ("Content-Type", "text/plain"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-Own", "kept"),
            ("X-Function-Status", "999"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
        ];
        exchange.reply(status, &headers, "the answer");
    });
    let gateway = kind.gateway(ALLOWED, &upstream.declared("fig"));
    (upstream, gateway, receiver())
}

fn a_result_is_posted_with_the_answer_and_its_headers(kind: Kind) {
    let (_upstream, gateway, receiver) = statuses(kind);
    let url = format!("{}/back?a=b", receiver.url());
    let headers = [("X-Callback-Url", url.as_str()), ("X-Call-Id", "the-call")];
    let location = gateway.submit_with("fig/201", &headers, "x");
    let call = called_back(&gateway, &location, "delivered");
    assert_eq!(call["state"], "succeeded");
    assert_eq!(call["callback"]["url"], url);
    assert_eq!(call["callback"]["attempts"], 1);
    assert_eq!(call["callback"]["last"]["status"], 204);

    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let post = &requests[0];
    assert_eq!(
        (post.method.as_str(), post.target.as_str()),
        ("POST", "/back?a=b")
    );
    assert_eq!(post.body, b"the answer");
    for (name, values) in [
        ("Content-Type", &["text/plain"][..]),
        ("Set-Cookie", &["a=1", "b=2"]),
        ("X-Own", &["kept"]),
        ("X-Function-Status", &["201"]),
        ("X-Call-Id", &["the-call"]),
        ("X-Function-Name", &["fig.openfaas-fn"]),
        ("Content-Length", &["10"]),
        ("Host", &[&receiver.address().to_string()]),
        ("X-Hop", &[]),
        ("Webhook-Signature", &[]),
    ] {
        assert_eq!(post.headers.all(name), values, "{name}");
    }
    let seconds: f64 = post.header("X-Duration-Seconds").parse().unwrap();
    let took = call["tries"][0]["seconds"].as_f64().unwrap();
    assert!((seconds - took).abs() < 1e-6, "{seconds} {took}");
    assert_eq!(
        post.header("X-Duration-Seconds")
            .split('.')
            .nth(1)
            .map(str::len),
        Some(6)
    );
}

fn a_failed_result_is_posted_as_well(kind: Kind) {
    let (_upstream, gateway, receiver) = statuses(kind);
    let location = submit(&gateway, "fig/404", &receiver);
    let call = called_back(&gateway, &location, "delivered");
    assert_eq!(call["state"], "failed");
    assert_eq!(receiver.last().header("X-Function-Status"), "404");
    assert_eq!(receiver.last().body, b"the answer");
}

fn a_dead_letter_calls_back(kind: Kind) {
    let (upstream, gateway, receiver) = statuses(kind);
    let location = submit(&gateway, "fig/500", &receiver);
    let call = called_back(&gateway, &location, "delivered");
    assert_eq!(call["state"], "dead");
    assert_eq!(upstream.requests().len(), 4);
    let posts = receiver.requests();
    assert_eq!(posts.len(), 1, "nobody is told of tries");
    assert_eq!(posts[0].header("X-Function-Status"), "500");
    assert_eq!(posts[0].body, b"the answer");
}

fn a_function_that_was_not_reached_calls_back_without_a_body(kind: Kind) {
    let receiver = receiver();
    let functions = format!(
        "functions:\n  fig: {{ upstream: [\"http://127.0.0.1:{}\"] }}\n",
        unused_port()
    );
    let gateway = kind.gateway(ALLOWED, &functions);
    let location = submit(&gateway, "fig", &receiver);
    called_back(&gateway, &location, "delivered");
    let post = receiver.last();
    assert_eq!(post.header("X-Function-Status"), "503");
    assert!(post.body.is_empty());
    assert!(post.headers.has("X-Call-Id"));
}

fn a_receiver_that_fails_is_asked_again(kind: Kind) {
    let (upstream, gateway, _) = statuses(kind);
    let receiver = answering(&[500, 503, 200]);
    let location = submit(&gateway, "fig/200", &receiver);
    let call = called_back(&gateway, &location, "delivered");
    assert_eq!(call["callback"]["attempts"], 3);
    let posts = receiver.requests();
    assert_eq!(posts.len(), 3);
    let same = |post: &Recorded| (post.body.clone(), post.header("X-Call-Id").to_owned());
    assert!(posts.iter().all(|post| same(post) == same(&posts[0])));
    assert_eq!(
        upstream.requests().len(),
        1,
        "the function is not called for that"
    );
}

fn a_receiver_that_asks_for_time_gets_it(kind: Kind) {
    let (_upstream, gateway, _) = statuses(kind);
    let first = Mutex::new(true);
    let receiver = Upstream::start(move |exchange| {
        let first = std::mem::take(&mut *first.lock().unwrap());
        let (status, wait) = if first { (429, "3600") } else { (200, "0") };
        exchange.reply(status, &[("Retry-After", wait)], "");
    });
    let location = submit(&gateway, "fig/200", &receiver);
    let call = gateway.call_when(&location, "waiting to call back", |call| {
        call["callback"]["attempts"] == 1
    });
    assert_eq!(call["callback"]["state"], "pending");
    let next: String = serde_json::from_value(call["next_try_at"].clone()).unwrap();
    let next = humantime::parse_rfc3339(&next).unwrap();
    let wait = next.duration_since(SystemTime::now()).unwrap().as_secs();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(receiver.requests().len(), 1);
}

fn a_receiver_that_refuses_is_left_alone(kind: Kind) {
    let (_upstream, gateway, _) = statuses(kind);
    let receiver = answering(&[410]);
    let location = submit(&gateway, "fig/200", &receiver);
    let call = called_back(&gateway, &location, "failed");
    assert_eq!(
        (&call["state"], &call["callback"]["attempts"]),
        (&"succeeded".into(), &1.into())
    );
    assert_eq!(call["callback"]["last"]["status"], 410);
    assert_eq!(receiver.requests().len(), 1);
}

fn a_redirection_is_not_followed(kind: Kind) {
    let (_upstream, gateway, elsewhere) = statuses(kind);
    let target = format!("{}/there", elsewhere.url());
    let receiver =
        Upstream::start(move |exchange| exchange.reply(307, &[("Location", &target)], ""));
    let location = submit(&gateway, "fig/200", &receiver);
    let call = called_back(&gateway, &location, "failed");
    assert_eq!(call["callback"]["last"]["status"], 307);
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(elsewhere.connections(), 0);
}

fn a_receiver_that_is_never_there_is_given_up(kind: Kind) {
    let (_upstream, gateway, _) = statuses(kind);
    let url = format!("http://127.0.0.1:{}/", unused_port());
    let location = gateway.submit_with("fig/200", &[("X-Callback-Url", &url)], "");
    let call = called_back(&gateway, &location, "failed");
    assert_eq!(call["callback"]["attempts"], 4);
    let last = &call["callback"]["last"];
    assert!(
        last["status"].is_null() && last["error"].is_string(),
        "{call}"
    );
    assert_eq!(call["state"], "succeeded");
}

fn this_machine_is_refused_unless_it_is_allowed(kind: Kind) {
    let (upstream, receiver) = (Upstream::echo(), receiver());
    let gateway = kind.gateway("", &upstream.declared("fig"));
    let port = receiver.address().port();
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let location = gateway.submit_with("fig", &[("X-Callback-Url", &url)], "");
        let call = called_back(&gateway, &location, "failed");
        let why = call["callback"]["last"]["error"].as_str().unwrap();
        assert!(why.contains("queue.callbacks.allow"), "{why}");
        assert_eq!(call["state"], "succeeded");
        assert_eq!(
            call["callback"]["attempts"], 1,
            "another try would not help"
        );
    }
    assert_eq!(receiver.connections(), 0);
    gateway.edit_queue(
        "callbacks: { deny_private_networks: false }",
        &upstream.declared("fig"),
    );
    let location = submit(&gateway, "fig", &receiver);
    called_back(&gateway, &location, "delivered");
}

fn a_signed_post_can_be_checked(kind: Kind) {
    let (upstream, receiver) = (Upstream::echo(), receiver());
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        secret.path(),
        format!("whsec_{}\n", STANDARD.encode("a secret key")),
    )
    .unwrap();
    let settings = format!(
        "callbacks: {{ allow: [127.0.0.0/8], secret_file: {:?} }}",
        secret.path()
    );
    let gateway = kind.gateway(&settings, &upstream.declared("fig"));
    let location = submit(&gateway, "fig", &receiver);
    let call = called_back(&gateway, &location, "delivered");
    let post = receiver.last();
    assert_eq!(call["id"], post.header("Webhook-Id"));
    let sent: u64 = post.header("Webhook-Timestamp").parse().unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!((now - 60..=now).contains(&sent), "{sent}");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret key").unwrap();
    mac.update(format!("{}.{sent}.", post.header("Webhook-Id")).as_bytes());
    mac.update(&post.body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(post.header("Webhook-Signature"), format!("v1,{signature}"));
}

fn a_password_in_the_url_is_used_and_never_shown(kind: Kind) {
    let (_upstream, gateway, receiver) = statuses(kind);
    let url = format!("http://me:hush@{}/back", receiver.address());
    let location = gateway.submit_with("fig/200", &[("X-Callback-Url", &url)], "");
    let call = called_back(&gateway, &location, "delivered");
    assert_eq!(
        receiver.last().header("Authorization"),
        crate::harness::basic("me", "hush")
    );
    assert_eq!(
        receiver.last().header("Host"),
        receiver.address().to_string()
    );
    let shown = call["callback"]["url"].as_str().unwrap();
    assert!(shown.contains(&receiver.address().to_string()), "{shown}");
    assert!(!call.to_string().contains("hush"), "{call}");
    assert!(!gateway.stderr().contains("hush") && !gateway.stdout().contains("hush"));
}

fn a_truncated_result_says_so(kind: Kind) {
    let (upstream, receiver) = (Upstream::echo(), receiver());
    let settings = format!("{ALLOWED}, results: {{ max_body: 4 }}");
    let gateway = kind.gateway(&settings, &upstream.declared("fig"));
    let url = receiver.url();
    let location = gateway.submit_with("fig", &[("X-Callback-Url", &url)], "too long");
    called_back(&gateway, &location, "delivered");
    assert_eq!(receiver.last().body, b"too ");
    assert_eq!(receiver.last().header("X-Function-Truncated"), "true");
}

fn slow_receivers_hold_up_no_calls(kind: Kind) {
    let upstream = Upstream::echo();
    let (slow, valve) = Upstream::held();
    let settings = "workers: 2, per_function: 2, callbacks: { allow: [127.0.0.0/8] }";
    let gateway = kind.gateway(settings, &upstream.declared("fig"));
    let locations: Vec<_> = (0..10).map(|_| submit(&gateway, "fig", &slow)).collect();
    for location in &locations {
        let call = gateway.call_in(location, "succeeded");
        assert_eq!(call["callback"]["state"], "pending");
    }
    eventually("receivers are told", || valve.waiting() >= 1);
    gateway.call_in(&gateway.submit("fig", ""), "succeeded");
    valve.open_for(20);
    for location in &locations {
        called_back(&gateway, location, "delivered");
    }
    assert_eq!(slow.requests().len(), 10);
}

fn a_cancelled_call_does_not_call_back(kind: Kind) {
    let upstream = Upstream::start(|exchange| exchange.hang());
    let receiver = receiver();
    let gateway = kind.gateway(ALLOWED, &upstream.declared("fig"));
    let location = submit(&gateway, "fig", &receiver);
    eventually("it runs", || upstream.requests().len() == 1);
    gateway.admin("DELETE", &location, "").assert_status(200);
    let call = called_back(&gateway, &location, "failed");
    assert_eq!(call["state"], "cancelled");
    // One that came later has called back; that one would have, too.
    let quick = Upstream::echo();
    gateway.edit_queue(ALLOWED, &quick.declared("fig"));
    called_back(&gateway, &submit(&gateway, "fig", &receiver), "delivered");
    assert_eq!(receiver.requests().len(), 1);
}

fn a_replayed_call_calls_back_again(kind: Kind) {
    let (_upstream, gateway, receiver) = statuses(kind);
    let location = submit(&gateway, "fig/500", &receiver);
    called_back(&gateway, &location, "delivered");
    let replay = format!("{location}/replay");
    gateway.admin("POST", &replay, "").assert_status(202);
    eventually("it calls back again", || receiver.requests().len() == 2);
    let call = called_back(&gateway, &location, "delivered");
    assert_eq!(
        (&call["state"], &call["replays"]),
        (&"dead".into(), &1.into())
    );
}
