//! A faas-provider behind the gateway: the drop-in (wire.md sections 1.4, 2.1 and 8).

use crate::harness::{Gateway, Provider, basic, eventually};

#[test]
fn calls_go_to_the_provider_with_their_whole_path() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    for (path, target) in [
        ("/function/fig", "/function/fig"),
        ("/function/fig/", "/function/fig/"),
        ("/function/fig/a%20b?x=%zz", "/function/fig/a%20b?x=%zz"),
        ("/function/fig.openfaas-fn/a", "/function/fig.openfaas-fn/a"),
    ] {
        let response = gateway.post(path, "body").assert_status(200);
        assert_eq!(
            (response.header("X-Target"), response.text().as_str()),
            (target, "body")
        );
    }
}

#[test]
fn the_address_may_end_in_a_slash_or_not() {
    let provider = Provider::with(&["fig"]);
    for url in [provider.url(), format!("{}/", provider.url())] {
        let gateway = Gateway::with("").env("functions_provider_url", url).start();
        assert_eq!(
            gateway
                .get("/function/fig/a")
                .assert_status(200)
                .header("X-Target"),
            "/function/fig/a"
        );
        gateway
            .admin("GET", "/system/functions", "")
            .assert_status(200);
    }
    let doubled = provider.asked("//");
    assert!(doubled.is_empty(), "{doubled:?}");
}

#[test]
fn a_function_deployed_behind_our_back_can_be_called_at_once() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    gateway.get("/function/fig").assert_status(200);
    provider.deploy("new");
    assert_eq!(
        gateway
            .post("/function/new", "hi")
            .assert_status(200)
            .text(),
        "hi"
    );
}

#[test]
fn an_unknown_function_is_a_404() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    assert_eq!(gateway.get("/function/nobody").status, 404);
}

#[test]
fn the_callers_credentials_reach_the_function_and_ours_do_not() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    gateway.get("/function/fig").assert_status(200);
    let sent = [("Authorization", "Bearer theirs")];
    gateway
        .request("GET", "/function/fig/with", &sent, "")
        .assert_status(200);
    let seen = provider.asked("/function/");
    assert!(!seen[0].headers.has("Authorization"));
    assert_eq!(seen[1].headers.all("Authorization"), ["Bearer theirs"]);
}

#[test]
fn the_api_is_forwarded_with_the_gateways_credentials() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    let (user, password) = gateway.credentials();
    let ours = basic(&user, &password);
    for (method, path, status) in [
        ("POST", "/system/functions", 202),
        ("PUT", "/system/functions", 202),
        ("DELETE", "/system/functions", 202),
        ("GET", "/system/function/fig", 200),
        ("GET", "/system/function/nobody", 404),
        ("POST", "/system/scale-function/fig", 202),
        ("GET", "/system/secrets", 200),
        ("POST", "/system/secrets", 201),
        ("GET", "/system/namespaces", 200),
    ] {
        let query = format!("{path}?namespace=openfaas-fn&x=%zz");
        let body = if method == "GET" {
            ""
        } else {
            "{\"service\": \"fig\"}"
        };
        let response = gateway.admin(method, &query, body);
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        let asked = provider.asked(&query);
        let seen = asked
            .last()
            .unwrap_or_else(|| panic!("{method} {path} did not reach the provider"));
        assert_eq!(
            (seen.method.as_str(), seen.body.as_slice()),
            (method, body.as_bytes())
        );
        assert_eq!(
            seen.headers.all("Authorization"),
            [ours.as_str()],
            "{method} {path}"
        );
    }
}

#[test]
fn what_the_caller_may_not_do_does_not_reach_the_provider() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    gateway.post("/system/functions", "{}").assert_status(401);
    let posts = provider
        .asked("/system/")
        .into_iter()
        .filter(|request| request.method == "POST");
    assert_eq!(posts.count(), 0);
}

#[test]
fn info_tells_of_both() {
    let provider = Provider::with(&[]);
    let gateway = Gateway::start(&provider.selected());
    let info = gateway
        .admin("GET", "/system/info", "")
        .assert_status(200)
        .json();
    assert_eq!(info["provider"]["provider"], "played");
    assert_eq!(info["provider"]["orchestration"], "tests");
    assert_eq!(info["provider"]["version"]["release"], "1.2.3");
    assert!(
        info["version"]["release"]
            .as_str()
            .is_some_and(|release| !release.is_empty()),
        "{info}"
    );
}

#[test]
fn health_is_the_providers() {
    let provider = Provider::with(&[]);
    let gateway = Gateway::start(&provider.selected());
    let response = gateway.get("/healthz").assert_status(200);
    assert_eq!(
        (response.header("X-Healthz-Of"), response.text().as_str()),
        ("provider", "fine")
    );
}

#[test]
fn a_provider_that_is_away_is_a_502_and_may_come_back() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::with("")
        .env("functions_provider_url", format!("http://{address}/"))
        .start();
    gateway
        .get("/function/fig")
        .assert_error(502, "connect_failed");
    assert!(gateway.admin("GET", "/system/function/fig", "").status >= 500);

    let listener = std::net::TcpListener::bind(address).unwrap();
    let _upstream =
        crate::harness::Upstream::on(listener, |exchange| exchange.reply(200, &[], "back"));
    eventually("calls work again", || {
        gateway.get("/function/fig").status == 200
    });
}

#[test]
fn replicas_are_polled_for_the_metrics() {
    let provider = Provider::with(&["fig"]);
    let gateway = Gateway::start(&provider.selected());
    eventually("the replica count of fig is known", || {
        gateway.metric(
            "gateway_service_count",
            &[("function_name", "fig.openfaas-fn")],
        ) == Some(1.0)
    });
}

#[test]
fn what_the_provider_says_is_passed_on_untouched_whatever_it_is() {
    let upstream = crate::harness::Upstream::start(|exchange| {
        let status = exchange.request.header("X-None").parse().unwrap_or(418);
        let own = [
            ("Content-Type", "text/x-own; charset=utf-8"),
            ("X-Own", "header"),
        ];
        exchange.reply(status, &own, "own words\n");
    });
    let gateway = Gateway::with("")
        .env("functions_provider_url", upstream.url())
        .start();
    for (method, path) in [
        ("GET", "/system/functions"),
        ("POST", "/system/functions"),
        ("PUT", "/system/functions"),
        ("DELETE", "/system/functions"),
        ("GET", "/system/function/fig"),
        ("POST", "/system/scale-function/fig"),
        ("GET", "/system/secrets"),
        ("POST", "/system/secrets"),
        ("PUT", "/system/secrets"),
        ("DELETE", "/system/secrets"),
        ("GET", "/system/namespaces"),
        ("POST", "/system/namespace/"),
        ("GET", "/system/namespace/dev"),
        ("PUT", "/system/namespace/dev"),
        ("DELETE", "/system/namespace/dev"),
        ("GET", "/system/logs?name=fig"),
        ("GET", "/healthz"),
    ] {
        let reply = gateway.admin(method, path, if method == "GET" { "" } else { "no json" });
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (418, "own words\n"),
            "{method} {path}"
        );
        assert_eq!(reply.header("X-Own"), "header", "{method} {path}");
        assert_eq!(reply.header("Content-Type"), "text/x-own; charset=utf-8");
    }
}

#[test]
fn a_provider_that_does_not_answer_is_told_of() {
    let silent =
        crate::harness::Upstream::start(|_| std::thread::sleep(crate::harness::PATIENCE * 3));
    let gateway = Gateway::with("timeouts: { upstream: 300ms }\n")
        .env("functions_provider_url", silent.url())
        .start();
    for path in [
        "/system/function/fig",
        "/system/functions",
        "/system/logs?name=fig",
        "/system/info",
    ] {
        gateway
            .admin("GET", path, "")
            .assert_error(504, "provider_timeout");
    }
    let gateway = Gateway::with("")
        .env(
            "functions_provider_url",
            format!("http://127.0.0.1:{}", crate::harness::unused_port()),
        )
        .start();
    for path in [
        "/system/function/fig",
        "/system/functions",
        "/system/logs?name=fig",
        "/healthz",
    ] {
        gateway
            .admin("GET", path, "")
            .assert_error(502, "provider_failed");
    }
}

#[test]
fn lists_keep_what_the_gateway_does_not_know_and_get_its_own_counts() {
    let upstream = crate::harness::Upstream::start(|exchange| {
        let list =
            r#"[{"name":"fig","namespace":"openfaas-fn","invocationCount":99,"x-new":{"a":[1]}}]"#;
        let path = exchange.request.target.clone();
        match path.split('?').next() {
            Some("/system/functions") => exchange.reply(200, &[], list),
            Some("/system/namespaces") => exchange.reply(200, &[], r#"["openfaas-fn"]"#),
            _ => exchange.reply(200, &[], "called"),
        }
    });
    let gateway = Gateway::with("")
        .env("functions_provider_url", upstream.url())
        .env("function_namespace", "openfaas-fn")
        .start();
    eventually("fig is known by its name", || {
        gateway.get("/function/fig").assert_status(200);
        let labels = [("function_name", "fig.openfaas-fn")];
        gateway
            .metric("gateway_function_invocation_total", &labels)
            .is_some_and(|n| n >= 2.0)
    });
    let list = gateway
        .admin("GET", "/system/functions", "")
        .assert_status(200)
        .json();
    assert_eq!(list[0]["x-new"], serde_json::json!({ "a": [1] }));
    let count = list[0]["invocationCount"].as_f64().unwrap();
    assert!((2.0..90.0).contains(&count), "{count}");
}

#[test]
fn logs_are_streamed_as_they_come() {
    let (more, wanted) = std::sync::mpsc::channel::<()>();
    let wanted = std::sync::Mutex::new(wanted);
    let upstream = crate::harness::Upstream::start(move |exchange| {
        if exchange.request.target.starts_with("/system/logs") {
            exchange.begin(200, &[("Content-Type", "application/x-ndjson")]);
            exchange.chunk("{\"text\":\"one\"}\n");
            wanted.lock().unwrap().recv().unwrap();
            exchange.chunk("{\"text\":\"two\"}\n");
            exchange.end();
        } else {
            exchange.reply(200, &[], "[]");
        }
    });
    let gateway = Gateway::with("timeouts: { write: 300ms, upstream: 300ms, idle: 300ms }\n")
        .env("functions_provider_url", upstream.url())
        .start();
    let (user, password) = gateway.credentials();
    let mut connection = gateway.connect();
    let authorization = basic(&user, &password);
    connection.send_head(
        "GET",
        "/system/logs?name=fig&follow=true",
        &[("Authorization", &authorization)],
    );
    assert_eq!(connection.head().word(1), "200");
    assert_eq!(
        connection.wire.read_chunk().unwrap().unwrap(),
        b"{\"text\":\"one\"}\n"
    );
    // Longer than every limit of a call.
    std::thread::sleep(std::time::Duration::from_millis(700));
    more.send(()).unwrap();
    assert_eq!(
        connection.wire.read_chunk().unwrap().unwrap(),
        b"{\"text\":\"two\"}\n"
    );
    assert_eq!(connection.wire.read_chunk().unwrap(), None);
}
