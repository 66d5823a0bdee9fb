//! What tests do with functions: deploy, scale, ask, and call them again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::Gateway;

impl Gateway {
    /// Deploys a function that runs `cat`.
    #[track_caller]
    pub fn deploy(&self, name: &str, labels: Value) {
        let deployed =
            json!({ "service": name, "image": "i", "envProcess": "cat", "labels": labels });
        self.admin("POST", "/system/functions", deployed.to_string())
            .assert_status(202);
    }

    /// Asks for a number of replicas.
    #[track_caller]
    pub fn scale(&self, name: &str, replicas: u64) {
        let body = json!({ "serviceName": name, "replicas": replicas }).to_string();
        self.admin("POST", &format!("/system/scale-function/{name}"), body)
            .assert_status(202);
    }

    /// A function as it is shown.
    #[track_caller]
    pub fn function(&self, name: &str) -> Value {
        let path = format!("/system/function/{name}");
        self.admin("GET", &path, "").assert_status(200).json()
    }

    /// Replicas that a function is asked to have.
    #[track_caller]
    pub fn replicas(&self, name: &str) -> u64 {
        self.function(name)["replicas"].as_u64().unwrap()
    }

    /// How many replicas a function has, and why.
    #[track_caller]
    pub fn explain(&self, name: &str) -> Value {
        let path = format!("/system/scaling/{name}");
        self.admin("GET", &path, "").assert_status(200).json()
    }

    /// Why a function was scaled, the newest reason first.
    #[track_caller]
    pub fn reasons(&self, name: &str) -> Vec<String> {
        let explained = self.explain(name);
        let decisions = explained["decisions"].as_array().unwrap().iter();
        let reason = |decision: &Value| decision["reason"].as_str().unwrap().to_owned();
        decisions.map(reason).collect()
    }
}

/// Has so many callers call again and again while `during` runs, whose failure ends the load too. Each
/// call is told its caller's number.
pub fn under_load(callers: usize, call: impl Fn(usize) + Sync, during: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let _end = Raised(&over);
        for caller in 0..callers {
            let (call, over) = (&call, &over);
            threads.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    call(caller);
                }
            });
        }
        during();
    });
}

/// A flag that goes up when this goes away, also in a panic.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
