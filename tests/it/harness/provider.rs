//! A faas-provider played by the test (wire.md section 9).

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::upstream::{Exchange, Recorded, Upstream};

/// A provider with a list of functions; it ends with its value.
#[derive(Debug)]
pub struct Provider {
    upstream: Upstream,
    functions: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// A provider that has these functions, all in namespace `openfaas-fn` with one replica.
    pub fn with(functions: &[&str]) -> Self {
        let functions: Vec<String> = functions.iter().map(|name| (*name).to_owned()).collect();
        let functions = Arc::new(Mutex::new(functions));
        let known = Arc::clone(&functions);
        Self {
            upstream: Upstream::start(move |exchange| {
                answer(exchange, &known.lock().unwrap().clone())
            }),
            functions,
        }
    }

    /// Its base address, without a trailing slash.
    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// The `provider:` section that selects it.
    pub fn selected(&self) -> String {
        format!(
            "provider: {{ kind: remote, url: \"{}/\", state_dir: @DIR@/state }}\n",
            self.url()
        )
    }

    /// Deploys one more function, without telling the gateway.
    pub fn deploy(&self, name: &str) {
        self.functions.lock().unwrap().push(name.to_owned());
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.upstream.requests()
    }

    /// Requests so far whose target begins so.
    pub fn asked(&self, prefix: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.target.starts_with(prefix));
        requests
    }
}

fn answer(exchange: &mut Exchange, functions: &[String]) {
    let target = exchange.request.target.clone();
    let path = target.split('?').next().unwrap_or_default();
    match (exchange.request.method.as_str(), path) {
        ("GET", "/system/functions") => {
            let list: Vec<Value> = functions.iter().map(|name| status(name)).collect();
            reply_json(exchange, 200, &list.into());
        }
        ("GET", "/system/info") => reply_json(exchange, 200, &info()),
        ("GET", "/system/namespaces") => reply_json(exchange, 200, &json!(["openfaas-fn"])),
        ("GET", "/system/secrets") => reply_json(exchange, 200, &json!([{"name": "a-secret"}])),
        ("GET", "/healthz") => exchange.reply(200, &[("X-Healthz-Of", "provider")], "fine"),
        (_, "/system/secrets") => exchange.reply(201, &[], ""),
        (_, path) if path.starts_with("/function/") => call(exchange, functions, path),
        ("GET", path) if path.starts_with("/system/function/") => {
            let name = path.trim_start_matches("/system/function/");
            match functions.iter().find(|known| *known == name) {
                Some(name) => reply_json(exchange, 200, &status(name)),
                None => exchange.reply(404, &[], format!("{name} not found")),
            }
        }
        (_, path) if path.starts_with("/system/") => {
            exchange.reply(202, &[("X-Answer-Of", "provider")], "")
        }
        _ => exchange.reply(404, &[], ""),
    }
}

fn call(exchange: &mut Exchange, functions: &[String], path: &str) {
    let name = path.split('/').nth(2).unwrap_or_default();
    let bare = name.trim_end_matches(".openfaas-fn");
    if functions.iter().any(|known| known == bare) {
        let body = exchange.request.body.clone();
        let target = exchange.request.target.clone();
        exchange.reply(
            200,
            &[("Content-Type", "text/plain"), ("X-Target", &target)],
            body,
        );
    } else {
        exchange.reply(404, &[], format!("Cannot find service: {name}."));
    }
}

fn status(name: &str) -> Value {
    json!({
        "name": name, "image": format!("example.org/{name}:1"), "invocationCount": 0, "replicas": 1,
        "envProcess": "", "availableReplicas": 1, "labels": {"tier": "test"}, "annotations": null,
        "namespace": "openfaas-fn",
    })
}

fn info() -> Value {
    json!({
        "provider": "played", "orchestration": "tests",
        "version": {"sha": "0123456789abcdef0123456789abcdef01234567", "release": "1.2.3"},
    })
}

fn reply_json(exchange: &mut Exchange, status: u16, body: &Value) {
    exchange.reply(
        status,
        &[("Content-Type", "application/json")],
        body.to_string(),
    );
}
