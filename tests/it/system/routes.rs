//! `GET /system/routes/match`: what it says is where a call goes.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Upstream};

fn path_of(url: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("url", url)
        .finish();
    format!("/system/routes/match?{query}")
}

#[track_caller]
fn leads(gateway: &Gateway, url: &str) -> Value {
    let reply = gateway.admin("GET", &path_of(url), "").assert_status(200);
    let said = reply.json();
    assert!(said["says"].as_str().is_some_and(|says| says.len() > 5));
    said
}

#[test]
fn a_call_goes_where_it_says() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(&format!(
        "functions:\n  fig: {{ upstream: [\"{0}\"] }}\n  deep: {{ upstream: [\"{0}/base\"] }}\n\
         routes:\n  - {{ host: api.example.org, path: /v1/*, function: fig }}\n  \
         - {{ path: /exact, function: deep }}\n  - {{ host: api.example.org, path: /ui/*, function: fig }}\n",
        upstream.url()
    ));
    for (host, path, kind, rule, function) in [
        ("api.example.org", "/v1/a?x=1", "route", 1, "fig"),
        ("API.example.org:8080", "/v1", "route", 1, "fig"),
        ("other", "/exact", "route", 2, "deep"),
        ("api.example.org", "/ui/", "route", 3, "fig"),
        ("other", "/function/fig", "function", 0, "fig"),
        ("other", "/function/fig?a=b", "function", 0, "fig"),
        ("other", "/function/deep/x/y", "function", 0, "deep"),
        (
            "other",
            "/function/f%69g.openfaas-fn/x%2Fy",
            "function",
            0,
            "fig",
        ),
    ] {
        let url = format!("http://{host}{path}");
        let said = leads(&gateway, &url);
        assert_eq!(said["kind"], kind, "{url} {said}");
        assert_eq!(said["function"], format!("{function}.openfaas-fn"), "{url}");
        assert_eq!(said["exists"], true, "{url}");
        assert_eq!(said["route"]["number"].as_u64().unwrap_or(0), rule, "{url}");
        gateway
            .request("GET", path, &[("Host", host)], "")
            .assert_status(200);
        assert_eq!(said["path"], upstream.last().target, "{url}");
    }
    let said = leads(&gateway, "https://api.example.org/v1/x");
    let rule = json!({ "number": 1, "host": "api.example.org", "path": "/v1/*" });
    assert_eq!(said["route"], rule);
    assert_eq!(said["location"], Value::Null);
}

#[test]
fn what_is_not_there_is_a_404_and_said_to_be() {
    let gateway = Gateway::start("routes: [{ path: /later, function: later }]\n");
    for (path, kind, function) in [
        ("/nowhere", "nothing", Value::Null),
        ("/function/nobody", "function", json!("nobody.openfaas-fn")),
        ("/function/a.b.c", "function", Value::Null),
        ("/later", "route", json!("later.openfaas-fn")),
    ] {
        let said = leads(&gateway, path);
        assert_eq!(said["kind"], kind, "{said}");
        assert_eq!(said["exists"], false, "{said}");
        assert_eq!(said["function"], function, "{said}");
        assert_eq!(gateway.get(path).status, 404, "{path}");
    }
    gateway.deploy("later", json!({}));
    let said = leads(&gateway, "/later?x=1");
    assert_eq!(said["exists"], true, "{said}");
    assert_eq!(said["path"], "/later?x=1", "{said}");
}

#[test]
fn the_gateways_own_paths_are_told_apart() {
    let gateway = Gateway::start("");
    for (path, kind, status) in [
        ("/system/functions", "api", 401),
        ("/ui/", "portal", 401),
        ("/ui", "portal", 401),
        ("/healthz", "health", 200),
        ("/", "root", 301),
        ("/function//fig/../x?y=z", "redirect", 301),
    ] {
        let said = leads(&gateway, path);
        assert_eq!(said["kind"], kind, "{said}");
        let reply = gateway.get(path).assert_status(status);
        if status == 301 {
            assert_eq!(said["location"], reply.header("Location"), "{said}");
        }
    }
    let said = leads(&gateway, "/async-function/fig/x");
    assert_eq!(said["kind"], "async_function", "{said}");
    let gateway = Gateway::start("ui: { enabled: false }\n");
    assert_eq!(leads(&gateway, "/ui/")["kind"], "nothing");
}

#[test]
fn a_remote_provider_may_know_a_function_that_is_not_listed() {
    let provider = Provider::with(&["fig"]);
    let gateway = provider.gateway("");
    let said = leads(&gateway, "/function/unlisted.ns/a?b");
    assert_eq!(said["function"], "unlisted.ns", "{said}");
    assert_eq!(said["exists"], false, "{said}");
    assert_eq!(said["path"], "/a?b", "{said}");
}

#[test]
fn what_is_no_url_is_refused() {
    let gateway = Gateway::start("");
    for url in ["", "example.org/a", "ftp://example.org/", "/a b"] {
        gateway
            .admin("GET", &path_of(url), "")
            .assert_error(400, "bad_request");
    }
    gateway
        .admin("GET", "/system/routes/match", "")
        .assert_error(400, "bad_request");
    gateway.get("/system/routes/match?url=/").assert_status(401);
}
