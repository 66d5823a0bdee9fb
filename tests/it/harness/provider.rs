//! A faas-provider played by the test (wire.md section 9).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::upstream::{Exchange, Recorded, Upstream};
use super::{Gateway, eventually};

/// A provider with a list of functions; it ends with its value.
#[derive(Debug)]
pub struct Provider {
    upstream: Upstream,
    played: Arc<Mutex<Played>>,
}

/// What it plays.
#[derive(Debug, Default)]
struct Played {
    functions: Vec<Function>,
    /// Requests to `/system/*` about a function that are still to be answered with 500.
    stumbles: usize,
    /// Whether calls are to wait.
    hold: bool,
}

/// One of its functions.
#[derive(Clone, Debug)]
pub struct Function {
    name: String,
    /// Replicas asked for.
    pub replicas: u64,
    /// Replicas that can be called, from `ready_at` on.
    pub available: u64,
    /// When they can be.
    pub ready_at: Instant,
    /// What starting takes.
    pub start: Duration,
    /// Labels.
    pub labels: Value,
}

impl Function {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            replicas: 1,
            available: 1,
            ready_at: Instant::now(),
            start: Duration::ZERO,
            labels: json!({ "tier": "test" }),
        }
    }

    fn scale(&mut self, replicas: u64) {
        if self.ready() == 0 && replicas > 0 {
            self.ready_at = Instant::now() + self.start;
        }
        (self.replicas, self.available) = (replicas, replicas);
    }

    fn ready(&self) -> u64 {
        let started = Instant::now() >= self.ready_at;
        if started { self.available } else { 0 }
    }

    fn status(&self) -> Value {
        let name = &self.name;
        json!({
            "name": name, "image": format!("example.org/{name}:1"), "invocationCount": 0,
            "replicas": self.replicas, "envProcess": "", "availableReplicas": self.ready(),
            "labels": self.labels, "annotations": null, "namespace": "openfaas-fn",
        })
    }
}

impl Provider {
    /// A provider that has these functions, all in namespace `openfaas-fn` with one replica.
    pub fn with(functions: &[&str]) -> Self {
        let played = Arc::new(Mutex::new(Played {
            functions: functions.iter().map(|name| Function::new(name)).collect(),
            stumbles: 0,
            hold: false,
        }));
        let shared = Arc::clone(&played);
        Self {
            upstream: Upstream::start(move |exchange| answer(exchange, &shared)),
            played,
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

    /// A gateway in front of it which knows the namespace, with more of its configuration.
    pub fn gateway(&self, more: &str) -> Gateway {
        Gateway::with(&format!("{}{more}", self.selected()))
            .env("function_namespace", "openfaas-fn")
            .start()
    }

    /// Deploys one more function, without telling the gateway.
    pub fn deploy(&self, name: &str) {
        self.played().functions.push(Function::new(name));
    }

    /// Removes a function, without telling the gateway.
    pub fn remove(&self, name: &str) {
        self.played()
            .functions
            .retain(|function| function.name != name);
    }

    /// Changes a function behind the gateway's back.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Function)) {
        let mut played = self.played();
        let function = played.functions.iter_mut().find(|f| f.name == name);
        change(function.expect("it has the function"));
    }

    /// Answers the next requests about a function with 500.
    pub fn stumble(&self, times: usize) {
        self.played().stumbles = times;
    }

    /// Holds calls of functions, or lets them go.
    pub fn hold(&self, hold: bool) {
        self.played().hold = hold;
    }

    /// How a function is.
    pub fn function(&self, name: &str) -> Function {
        let played = self.played();
        let function = played.functions.iter().find(|f| f.name == name);
        function.expect("it has the function").clone()
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

    fn played(&self) -> MutexGuard<'_, Played> {
        self.played.lock().unwrap()
    }
}

fn answer(exchange: &mut Exchange, played: &Mutex<Played>) {
    let target = exchange.request.target.clone();
    let path = target.split('?').next().unwrap_or_default();
    let shared = played;
    let mut played = shared.lock().unwrap();
    let about_one = ["/system/function/", "/system/scale-function/"];
    if about_one.iter().any(|about| path.starts_with(about)) && played.stumbles > 0 {
        played.stumbles -= 1;
        return exchange.reply(500, &[], "stumbled");
    }
    let named = path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut functions = played.functions.iter_mut();
    match (exchange.request.method.as_str(), path) {
        ("GET", "/system/functions") => {
            let list: Vec<Value> = functions.map(|function| function.status()).collect();
            reply_json(exchange, 200, &list.into());
        }
        ("GET", "/system/info") => reply_json(exchange, 200, &info()),
        ("GET", "/system/namespaces") => reply_json(exchange, 200, &json!(["openfaas-fn"])),
        ("GET", "/system/secrets") => reply_json(exchange, 200, &json!([{"name": "a-secret"}])),
        ("GET", "/healthz") => exchange.reply(200, &[("X-Healthz-Of", "provider")], "fine"),
        (_, "/system/secrets") => exchange.reply(201, &[], ""),
        (_, path) if path.starts_with("/function/") => {
            let functions = played.functions.clone();
            // Calls may take long, and come many at once.
            drop(played);
            eventually("it may answer", || !shared.lock().unwrap().hold);
            call(exchange, &functions, path);
        }
        ("GET", path) if path.starts_with("/system/function/") => {
            match functions.find(|known| known.name == named) {
                Some(function) => reply_json(exchange, 200, &function.status()),
                None => exchange.reply(404, &[], format!("{named} not found")),
            }
        }
        ("POST", path) if path.starts_with("/system/scale-function/") => {
            let asked: Value = serde_json::from_slice(&exchange.request.body).unwrap_or_default();
            if let Some(function) = functions.find(|known| known.name == named)
                && let Some(replicas) = asked["replicas"].as_u64()
            {
                function.scale(replicas);
            }
            exchange.reply(202, &[("X-Answer-Of", "provider")], "");
        }
        (_, path) if path.starts_with("/system/") => {
            exchange.reply(202, &[("X-Answer-Of", "provider")], "")
        }
        _ => exchange.reply(404, &[], ""),
    }
}

fn call(exchange: &mut Exchange, functions: &[Function], path: &str) {
    let name = path.split('/').nth(2).unwrap_or_default();
    let bare = name.trim_end_matches(".openfaas-fn");
    match functions.iter().find(|known| known.name == bare) {
        Some(function) if function.ready() > 0 => {
            let body = exchange.request.body.clone();
            let target = exchange.request.target.clone();
            exchange.reply(
                200,
                &[("Content-Type", "text/plain"), ("X-Target", &target)],
                body,
            );
        }
        Some(_) => exchange.reply(503, &[], format!("No endpoints for: {name}.")),
        None => exchange.reply(404, &[], format!("Cannot find service: {name}.")),
    }
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
