//! `/system/info`, `/system/namespaces` and `/healthz` of the process provider.

use crate::harness::Gateway;

#[test]
fn info_tells_provider_and_version() {
    let gateway = Gateway::start("");
    let info = gateway
        .admin("GET", "/system/info", "")
        .assert_status(200)
        .json();
    let filled = |value: &serde_json::Value| value.as_str().is_some_and(|text| !text.is_empty());
    let provider = &info["provider"];
    assert!(
        filled(&provider["provider"]) && filled(&provider["orchestration"]),
        "{info}"
    );
    for version in [&provider["version"], &info["version"]] {
        assert!(
            filled(&version["release"]) && filled(&version["sha"]),
            "{info}"
        );
    }
    assert!(filled(&info["arch"]), "{info}");
}

#[test]
fn namespaces_are_the_configured_ones() {
    let gateway = Gateway::start("");
    assert_eq!(
        gateway
            .admin("GET", "/system/namespaces", "")
            .assert_status(200)
            .json(),
        serde_json::json!(["openfaas-fn"])
    );
    let gateway =
        Gateway::start("provider: { state_dir: @DIR@/state, namespaces: [openfaas-fn, prod] }\n");
    let namespaces = gateway.admin("GET", "/system/namespaces", "").json();
    assert_eq!(namespaces, serde_json::json!(["openfaas-fn", "prod"]));
}

#[test]
fn health_is_ok() {
    Gateway::start("").get("/healthz").assert_status(200);
}

#[test]
fn unknown_paths_of_the_api_are_a_404_and_wrong_methods_a_405() {
    let gateway = Gateway::start("");
    for path in [
        "/system",
        "/system/",
        "/system/nothing",
        "/system/config/nothing",
    ] {
        assert_eq!(gateway.admin("GET", path, "").status, 404, "{path}");
    }
    for (method, path) in [
        ("DELETE", "/system/info"),
        ("GET", "/system/config/reload"),
        ("POST", "/system/config"),
    ] {
        assert_eq!(
            gateway.admin(method, path, "").status,
            405,
            "{method} {path}"
        );
    }
}
