//! `direct_functions`: calls go to the function's own address (wire.md section 2.4).

use std::net::{Ipv4Addr, TcpListener};

use crate::harness::{Gateway, Provider, Upstream, eventually};

/// The port of wire.md section 2.4; it cannot be chosen, so the address is: somewhere in
/// 127.0.0.0/8, from the process id and `lane`. `None` where something listens on every address.
fn function_address(lane: u8) -> Option<(Ipv4Addr, TcpListener)> {
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 100 + lane, high.max(1), low.max(1));
    let listener = TcpListener::bind((address, 8080)).ok()?;
    Some((address, listener))
}

fn direct(provider: &Provider, suffix: &str, namespace: &str) -> Gateway {
    Gateway::with(&format!(
        "server: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }}\n{}",
        provider.selected()
    ))
    .env("direct_functions", "true")
    .env("direct_functions_suffix", suffix)
    .env("function_namespace", namespace)
    .start()
}

#[test]
fn a_name_and_the_suffix_make_the_host() {
    let Some((address, listener)) = function_address(0) else {
        eprintln!("skipped: port 8080 is taken on every address");
        return;
    };
    let function = Upstream::on(listener, |exchange| exchange.reply(200, &[], "direct"));
    let [first, rest @ ..] = address.octets();
    let name = first.to_string();
    let provider = Provider::with(&[&name]);
    let gateway = direct(
        &provider,
        &format!("{}.{}.{}", rest[0], rest[1], rest[2]),
        "",
    );
    let response = gateway
        .get(&format!("/function/{name}/a?x=1"))
        .assert_status(200);
    assert_eq!(response.text(), "direct");
    let seen = function.last();
    assert_eq!(
        (seen.target.as_str(), seen.header("Host")),
        ("/a?x=1", format!("{address}:8080").as_str())
    );
    assert!(provider.asked("/function/").is_empty());
}

#[test]
fn a_namespace_in_the_name_replaces_the_one_in_the_suffix() {
    let Some((address, listener)) = function_address(1) else {
        eprintln!("skipped: port 8080 is taken on every address");
        return;
    };
    let _function = Upstream::on(listener, |exchange| exchange.reply(200, &[], "direct"));
    let octets = address.octets();
    let provider = Provider::with(&[&octets[0].to_string()]);
    // `fig.prod` with suffix `ns.svc` and namespace `ns` is `fig.prod.svc`; here in numbers.
    let gateway = direct(&provider, &format!("ns.{}.{}", octets[2], octets[3]), "ns");
    let response = gateway.get(&format!("/function/{}.{}", octets[0], octets[1]));
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "direct"),
        "{response:?}"
    );
}

#[test]
fn a_host_that_does_not_exist_is_a_502_and_not_the_providers_business() {
    let provider = Provider::with(&["fig"]);
    let gateway = direct(&provider, "invalid", "");
    gateway
        .get("/function/fig")
        .assert_error(502, "connect_failed");
    assert!(provider.asked("/function/").is_empty());
    // The API stays with the provider.
    assert_eq!(
        gateway
            .admin("GET", "/system/function/fig", "")
            .assert_status(200)
            .json()["name"],
        "fig"
    );
}

#[test]
fn a_suffix_must_begin_with_the_namespace() {
    let exit = Gateway::with("")
        .env("functions_provider_url", "http://127.0.0.1:1/")
        .env("direct_functions", "true")
        .env("direct_functions_suffix", "svc.cluster.local")
        .env("function_namespace", "openfaas-fn")
        .run();
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("function_namespace"), "{exit:?}");
}

#[test]
fn while_the_provider_is_away_warm_functions_go_on() {
    let Some((address, listener)) = function_address(2) else {
        eprintln!("skipped: port 8080 is taken on every address");
        return;
    };
    let _function = Upstream::on(listener, |exchange| exchange.reply(200, &[], "direct"));
    let [first, rest @ ..] = address.octets();
    let name = first.to_string();
    let provider = Provider::with(&[&name]);
    let suffix = format!("{}.{}.{}", rest[0], rest[1], rest[2]);
    let gateway = direct(&provider, &suffix, "");
    eventually("the provider was asked", || {
        gateway.metric("gateway_provider_up", &[]) == Some(1.0)
    });
    let path = format!("/function/{name}");
    gateway.get(&path).assert_status(200);
    drop(provider);
    eventually("it is noticed that the provider is away", || {
        gateway.metric("gateway_provider_up", &[]) == Some(0.0)
    });
    for _ in 0..5 {
        assert_eq!(gateway.get(&path).assert_status(200).text(), "direct");
    }
    gateway
        .admin("GET", "/system/functions", "")
        .assert_error(502, "provider_failed");
}
