//! `/system/openapi.json`: what can be checked of it here; `make test-api` sends requests by it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Gateway;

#[track_caller]
fn document() -> Value {
    let gateway = Gateway::start("");
    let reply = gateway
        .admin("GET", "/system/openapi.json", "")
        .assert_status(200);
    assert_eq!(reply.header("Content-Type"), "application/json");
    reply.json()
}

/// Every operation with its path and method.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &'_ Value)| {
        let methods = item.as_object().unwrap().keys();
        methods
            .map(|method| (path.clone(), method.clone()))
            .collect::<Vec<_>>()
    };
    let all = paths.iter().flat_map(of);
    all.map(|(path, method)| {
        let operation = &document["paths"][&path][&method];
        (path, method, operation)
    })
    .collect()
}

#[test]
fn it_is_behind_the_password_and_of_version_3_1() {
    Gateway::start("")
        .get("/system/openapi.json")
        .assert_status(401);
    assert_eq!(document()["openapi"], "3.1.0");
}

#[test]
fn it_has_every_operation_of_the_openfaas_api() {
    let document = document();
    let known: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| format!("{} {path}", method.to_uppercase()))
        .collect();
    for expected in [
        "GET /system/functions",
        "POST /system/functions",
        "PUT /system/functions",
        "DELETE /system/functions",
        "GET /system/function/{name}",
        "POST /system/scale-function/{name}",
        "GET /system/secrets",
        "POST /system/secrets",
        "PUT /system/secrets",
        "DELETE /system/secrets",
        "GET /system/namespaces",
        "POST /system/namespace/",
        "GET /system/namespace/{name}",
        "PUT /system/namespace/{name}",
        "DELETE /system/namespace/{name}",
        "GET /system/logs",
        "GET /system/info",
        "GET /healthz",
    ] {
        assert!(known.contains(expected), "{expected} in {known:?}");
    }
}

#[test]
fn operations_have_names_of_their_own_words_and_a_status() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|text| text.len() > 5),
            "{name}"
        );
        let chapter = &operation["tags"][0];
        let chapters = document["tags"].as_array().unwrap();
        assert!(
            chapters.iter().any(|known| known["name"] == *chapter),
            "{chapter}"
        );
        let statuses = operation["responses"].as_object().unwrap();
        assert!(
            statuses.keys().any(|status| status.starts_with('2')),
            "{method} {path}"
        );
        for (status, response) in statuses {
            let words = response["description"].as_str();
            assert!(words.is_some_and(|text| text.len() > 2), "{name} {status}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn follow(document: &Value, value: &Value, seen: &mut usize) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    *seen += 1;
                }
                fields
                    .values()
                    .for_each(|value| follow(document, value, seen));
            }
            Value::Array(items) => items.iter().for_each(|item| follow(document, item, seen)),
            _ => {}
        }
    }
    let document = document();
    let mut seen = 0;
    follow(&document, &document, &mut seen);
    assert!(seen > 50, "{seen}");
}

#[test]
fn a_page_shows_it_to_people() {
    let gateway = Gateway::start("");
    gateway.get("/system/docs").assert_status(401);
    let reply = gateway.admin("GET", "/system/docs", "").assert_status(307);
    assert_eq!(reply.header("Location"), "../ui/docs.html");
    for file in ["docs.html", "docs.js"] {
        let reply = gateway
            .admin("GET", &format!("/ui/{file}"), "")
            .assert_status(200);
        assert!(!reply.text().contains("//cdn"), "{file}");
    }
    let gateway = Gateway::start("ui: { enabled: false }\n");
    gateway.admin("GET", "/system/docs", "").assert_status(404);
}
