//! `/system/functions` and `/system/function/{name}` of the process provider, read only so far
//! (wire.md sections 1.4 and 9, users.md section 4.3).

use serde_json::{Value, json};

use crate::harness::{Gateway, eventually};

const FUNCTIONS: &str = "functions:\n  echo: { process: \"cat\", labels: { tier: test }, annotations: { note: a } }\n  env: { process: \"env\", replicas: 3 }\n";

#[track_caller]
fn list(gateway: &Gateway, query: &str) -> Vec<Value> {
    let response = gateway
        .admin("GET", &format!("/system/functions{query}"), "")
        .assert_status(200);
    assert!(
        response
            .header("Content-Type")
            .starts_with("application/json"),
        "{response:?}"
    );
    response.json().as_array().expect("an array").clone()
}

#[track_caller]
fn named(list: &[Value], name: &str) -> Value {
    let found = list.iter().find(|entry| entry["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} in {list:?}"))
        .clone()
}

#[test]
fn declared_functions_are_listed() {
    let gateway = Gateway::start(FUNCTIONS);
    let list = list(&gateway, "");
    assert_eq!(list.len(), 2);
    let echo = named(&list, "echo");
    assert_eq!(
        (&echo["namespace"], &echo["envProcess"]),
        (&"openfaas-fn".into(), &"cat".into()),
        "{echo}"
    );
    assert_eq!(
        (&echo["labels"]["tier"], &echo["annotations"]["note"]),
        (&"test".into(), &"a".into()),
        "{echo}"
    );
    assert_eq!(named(&list, "env")["replicas"], 3);
}

#[test]
fn of_a_declared_function_all_is_shown_but_the_values_of_its_environment() {
    let gateway = Gateway::start(
        "functions:\n  fig:\n    process: cat\n    environment: { TOKEN: hidden }\n    \
         secrets: [key]\n    limits: { memory: 64Mi, cpu: 500m }\n",
    );
    let fig = gateway.function("fig");
    assert_eq!(fig["envVars"], json!({ "TOKEN": "****" }), "{fig}");
    assert_eq!(fig["secrets"], json!(["key"]), "{fig}");
    let limits = json!({ "memory": "64Mi", "cpu": "500m" });
    assert_eq!(fig["limits"], limits, "{fig}");
}

#[test]
fn counts_are_the_calls_made() {
    let gateway = Gateway::start(FUNCTIONS);
    for _ in 0..4 {
        gateway.post("/function/echo", "hi").assert_status(200);
    }
    eventually("four calls are counted", || {
        named(&list(&gateway, ""), "echo")["invocationCount"].as_f64() == Some(4.0)
    });
    let unused = named(&list(&gateway, ""), "env");
    assert!(
        matches!(unused["invocationCount"].as_f64(), None | Some(0.0)),
        "{unused}"
    );
}

#[test]
fn one_function_is_shown_with_both_maps() {
    let gateway = Gateway::start(FUNCTIONS);
    eventually("echo is available", || {
        let echo = gateway
            .admin("GET", "/system/function/echo?namespace=&usage=1", "")
            .assert_status(200)
            .json();
        echo["availableReplicas"] == 1
    });
    for path in [
        "/system/function/env",
        "/system/function/env?namespace=openfaas-fn",
    ] {
        let env = gateway.admin("GET", path, "").assert_status(200).json();
        assert_eq!(
            (&env["name"], &env["replicas"]),
            (&"env".into(), &3.into()),
            "{env}"
        );
        // The public certifier dereferences both (users.md section 4.3).
        assert!(
            env["labels"].is_object() && env["annotations"].is_object(),
            "{env}"
        );
    }
}

#[test]
fn an_unknown_function_is_a_404() {
    let gateway = Gateway::start(FUNCTIONS);
    for path in [
        "/system/function/nobody",
        "/system/function/echo?namespace=other",
        "/system/functions/",
    ] {
        assert_eq!(gateway.admin("GET", path, "").status, 404, "{path}");
    }
}

#[test]
fn the_list_can_be_of_one_namespace() {
    let gateway = Gateway::start(
        "provider: { state_dir: @DIR@/state, namespaces: [openfaas-fn, prod] }\n\
         functions:\n  echo: { process: \"cat\" }\n  cat.prod: { process: \"cat\" }\n",
    );
    let names = |query: &str| -> Vec<String> {
        let mut names: Vec<_> = list(&gateway, query)
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("?namespace=prod"), ["cat"]);
    assert_eq!(names("?namespace=openfaas-fn"), ["echo"]);
    assert_eq!(names("?namespace=other"), [""; 0]);
}

#[test]
fn an_empty_list_is_an_array() {
    let gateway = Gateway::start("");
    assert_eq!(
        gateway
            .admin("GET", "/system/functions", "")
            .assert_status(200)
            .text(),
        "[]"
    );
}
