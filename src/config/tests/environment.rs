//! The environment variables of wire.md section 7.1, each of them, valid and invalid.

use serde_json::{Value, json};

use super::super::Provider;
use super::{Flags, REMOTE, config, config_with, read, refusal, shown};

/// Variables, the key they set, and its value.
type Case<'a> = (Vec<(&'a str, &'a str)>, &'a str, Value);

#[test]
fn every_variable_sets_its_key() {
    let nats = [("faas_nats_address", "n"), ("faas_nats_port", "4222")];
    let prometheus = json!({ "host": "p", "port": 1 });
    let table: Vec<Case> = vec![
        (vec![("read_timeout", "5")], "timeouts.read", json!("5s")),
        (vec![("write_timeout", "2m")], "timeouts.write", json!("2m")),
        (
            vec![("upstream_timeout", "250ms")],
            "timeouts.upstream",
            json!("250ms"),
        ),
        (vec![REMOTE], "provider.kind", json!("remote")),
        (vec![REMOTE], "provider.url", json!("http://p:8081/")),
        (vec![REMOTE], "provider.logs_url", json!("http://p:8081/")),
        (vec![REMOTE], "provider.direct", json!({ "enabled": false })),
        (
            vec![REMOTE, ("logs_provider_url", "http://l/x/")],
            "provider.logs_url",
            json!("http://l/x"),
        ),
        (
            vec![REMOTE, ("function_namespace", "fn")],
            "provider.namespace",
            json!("fn"),
        ),
        (
            vec![
                REMOTE,
                ("direct_functions", "true"),
                ("direct_functions_suffix", "fn.local"),
            ],
            "provider.direct",
            json!({ "enabled": true, "suffix": "fn.local" }),
        ),
        (
            vec![REMOTE, ("direct_functions", "1")],
            "provider.direct",
            json!({ "enabled": false }),
        ),
        (
            vec![("function_namespace", "fn")],
            "provider.namespaces",
            json!(["fn"]),
        ),
        (vec![nats[0], nats[1]], "queue.kind", json!("jetstream")),
        (
            vec![nats[0], nats[1]],
            "queue.jetstream.url",
            json!("nats://n:4222"),
        ),
        (
            vec![nats[0], nats[1]],
            "queue.jetstream.stream",
            json!("faas-request"),
        ),
        (
            vec![nats[0], nats[1], ("faas_nats_channel", "c")],
            "queue.jetstream.subject",
            json!("c"),
        ),
        (
            vec![("faas_prometheus_host", "p"), ("faas_prometheus_port", "1")],
            "scale.prometheus",
            prometheus.clone(),
        ),
        (
            vec![("faas_prometheus_host", "p"), ("faas_promethus_port", "1")],
            "scale.prometheus",
            prometheus.clone(),
        ),
        (
            vec![
                ("faas_prometheus_host", "p"),
                ("faas_promethus_port", "2"),
                ("faas_prometheus_port", "1"),
            ],
            "scale.prometheus",
            prometheus,
        ),
        (
            vec![("faas_prometheus_host", "p")],
            "scale.prometheus",
            json!({ "host": "p", "port": 9090 }),
        ),
        (
            vec![("faas_prometheus_port", "1")],
            "scale.prometheus",
            json!({ "host": "prometheus", "port": 1 }),
        ),
        (
            vec![("basic_auth", "true"), ("secret_mount_path", "/s/")],
            "admin.basic_auth",
            json!({
                "enabled": true,
                "user_file": "/s/basic-auth-user",
                "password_file": "/s/basic-auth-password",
            }),
        ),
        (
            vec![("auth_proxy_url", "http://a/validate")],
            "admin.auth_proxy_url",
            json!("http://a/validate"),
        ),
        (
            vec![("scale_from_zero", "true")],
            "scale.from_zero",
            json!(true),
        ),
        (
            vec![("scale_from_zero", "false")],
            "scale.from_zero",
            json!(false),
        ),
        (
            vec![("scale_from_zero", "1")],
            "scale.from_zero",
            json!(false),
        ),
        (
            vec![("max_idle_conns", "5")],
            "server.upstream_keepalive",
            json!(5),
        ),
        (
            vec![("max_idle_conns", "0")],
            "server.upstream_keepalive",
            json!(65536),
        ),
    ];
    for (variables, key, expected) in table {
        assert_eq!(
            shown(&config_with("", &variables), key),
            expected,
            "{variables:?}"
        );
    }
}

#[test]
fn a_provider_url_alone_is_a_drop_in_with_or_without_its_slash() {
    for url in ["http://p:8081/", "http://p:8081"] {
        let config = config_with("", &[("functions_provider_url", url)]);
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(config.server.metrics.to_string(), "0.0.0.0:8082");
        let Provider::Remote(remote) = config.provider else {
            panic!("not remote");
        };
        assert_eq!(remote.url.to_string(), "http://p:8081/");
        assert_eq!((&remote.logs_url, &*remote.namespace), (&remote.url, ""));
        assert_eq!(remote.direct, None);
    }
}

#[test]
fn an_empty_variable_is_unset() {
    let empty: Vec<(&str, &str)> = [
        "read_timeout",
        "functions_provider_url",
        "logs_provider_url",
        "faas_nats_address",
        "faas_nats_port",
        "faas_nats_channel",
        "faas_prometheus_host",
        "faas_prometheus_port",
        "faas_promethus_port",
        "direct_functions",
        "direct_functions_suffix",
        "basic_auth",
        "secret_mount_path",
        "auth_proxy_url",
        "auth_proxy_pass_body",
        "scale_from_zero",
        "max_idle_conns",
        "max_idle_conns_per_host",
        "function_namespace",
        "probe_functions",
        "http_proxy",
    ]
    .map(|name| (name, ""))
    .to_vec();
    let loaded = read("", &empty, &Flags::default()).ok().unwrap();
    assert_eq!(loaded.config, config(""));
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn a_duration_is_whole_seconds_or_a_go_duration_and_else_the_default() {
    for (text, expected) in [
        ("0", "0s"),
        ("5", "5s"),
        ("+5", "5s"),
        ("-0", "0s"),
        ("1m30s", "1m30s"),
        ("250ms", "250ms"),
        ("1.5h", "1h30m"),
        ("+5s", "5s"),
        ("-5s", "0s"),
        ("-1.5h", "0s"),
    ] {
        let loaded = read("", &[("read_timeout", text)], &Flags::default())
            .ok()
            .unwrap();
        assert_eq!(shown(&loaded.config, "timeouts.read"), expected, "{text}");
        assert_eq!(loaded.warnings, [""; 0], "{text}");
    }
    for text in ["-5", "1.5", "5 s", " 5", "x", "1d", "-", "+", "--5s"] {
        let loaded = read("", &[("read_timeout", text)], &Flags::default())
            .ok()
            .unwrap();
        assert_eq!(shown(&loaded.config, "timeouts.read"), "8s", "{text}");
        let warning = format!(
            "environment variable `read_timeout`: `{text}` is not a duration, it is left out"
        );
        assert_eq!(loaded.warnings, [warning]);
    }
}

#[test]
fn an_invalid_value_is_refused_with_the_name_of_its_variable() {
    let url = "does not begin with `http://`, write it like `http://host:port`";
    let port = "is not a port between 1 and 65535";
    for (variables, expected) in [
        (
            vec![("functions_provider_url", "p:8081")],
            format!("functions_provider_url`: `p:8081` {url}"),
        ),
        (
            vec![("functions_provider_url", "https://p")],
            "functions_provider_url`: `https://p` needs TLS, which is not supported yet".to_owned(),
        ),
        (
            vec![REMOTE, ("logs_provider_url", "x")],
            format!("logs_provider_url`: `x` {url}"),
        ),
        (
            vec![("auth_proxy_url", "x")],
            format!("auth_proxy_url`: `x` {url}"),
        ),
        (
            vec![("faas_nats_address", "n"), ("faas_nats_port", "x")],
            format!("faas_nats_port`: `x` {port}"),
        ),
        (
            vec![("faas_prometheus_port", "0")],
            format!("faas_prometheus_port`: `0` {port}"),
        ),
        (
            vec![("faas_promethus_port", "x")],
            format!("faas_promethus_port`: `x` {port}"),
        ),
        (
            vec![("max_idle_conns", "x")],
            "max_idle_conns`: `x` is not a whole number".to_owned(),
        ),
        (
            vec![("basic_auth", "True")],
            "basic_auth`: `True` is not known, did you mean `true`?".to_owned(),
        ),
        (
            vec![("basic_auth", "1")],
            "basic_auth`: `1` is not known, known are true, false".to_owned(),
        ),
        (
            vec![("function_namespace", "a b")],
            "function_namespace`: `a b` may only contain letters, digits, `-` and `_`".to_owned(),
        ),
        (
            vec![
                REMOTE,
                ("function_namespace", "fn"),
                ("direct_functions", "true"),
                ("direct_functions_suffix", "x"),
            ],
            "direct_functions_suffix`: must begin with the namespace `fn` (`provider.namespace`, in \
             the environment `function_namespace`)".to_owned(),
        ),
    ] {
        let line = refusal("", &variables, &Flags::default());
        assert_eq!(
            line,
            format!("environment variable `{expected}"),
            "{variables:?}"
        );
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let none = "g.yaml: environment variables without effect here: ";
    let without = |name: &str, other: &str| {
        vec![format!(
            "environment variable `{name}`: has no effect without `{other}`"
        )]
    };
    let table = [
        (
            vec![("auth_proxy_pass_body", "true")],
            vec![format!("{none}auth_proxy_pass_body")],
        ),
        (
            vec![("write_request_uri", "")],
            vec![format!("{none}write_request_uri")],
        ),
        (
            vec![
                ("http_proxy", "x"),
                ("HTTPS_PROXY", "x"),
                ("no_proxy", "x"),
                ("probe_functions", "false"),
                ("max_idle_conns_per_host", "x"),
                ("faas_nats_cluster_name", "x"),
            ],
            vec![format!(
                "{none}faas_nats_cluster_name, max_idle_conns_per_host, probe_functions, \
                 http_proxy, no_proxy, HTTPS_PROXY"
            )],
        ),
        (
            vec![("faas_nats_address", "n")],
            without("faas_nats_address", "faas_nats_port"),
        ),
        (
            vec![("faas_nats_port", "x")],
            without("faas_nats_port", "faas_nats_address"),
        ),
        (
            vec![("logs_provider_url", "http://l")],
            vec![
                "environment variable `logs_provider_url`: `provider.logs_url` has no effect: \
                 `provider.kind` must be `remote` for it"
                    .to_owned(),
            ],
        ),
        (
            vec![("max_idle_conns", "0")],
            vec!["environment variable `max_idle_conns`: no limit here means 65536".to_owned()],
        ),
    ];
    for (variables, expected) in table {
        let loaded = read("", &variables, &Flags::default()).ok().unwrap();
        assert_eq!(loaded.warnings, expected, "{variables:?}");
    }
}
