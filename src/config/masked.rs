//! The effective configuration as a tree, in the shape and the words of the file.

use std::collections::BTreeMap;
use std::fmt;

use http::Uri;
use serde_json::{Map, Value, json};

use super::{
    Admin, Config, Function, LogOutput, Place, Process, Provider, Queue, QueueKind, RemoteProvider,
    Scale, Server, Timeouts, Upstream, function_key,
};
use crate::duration::{format_duration, format_size};
use crate::function::Scaling;
use crate::quantity::{format_cpu, format_memory};

/// What stands for a secret.
pub const MASK: &str = "****";

/// The effective configuration with every secret as `****`: values of functions' environments,
/// users and passwords in addresses, and whatever came from a `${file:}`.
pub fn masked(config: &Config) -> Value {
    let mut tree = plain(config);
    mask(&mut tree, &mut String::new(), config);
    tree
}

/// Where the function store comes from, as it may be shown.
pub fn shown_store(config: &Config) -> Option<String> {
    let source = config.ui.store.as_ref()?;
    let secret = config.from_files.contains("ui.store");
    Some(if secret {
        MASK.to_owned()
    } else {
        source.to_string()
    })
}

/// The same with its secrets, to be compared and never shown.
pub(super) fn plain(config: &Config) -> Value {
    json!({
        "version": 1,
        "server": server(&config.server),
        "timeouts": timeouts(&config.timeouts),
        "admin": admin(&config.admin),
        "ui": {
            "enabled": config.ui.enabled,
            "store": config.ui.store.as_ref().map(ToString::to_string),
        },
        "provider": provider(config),
        "scale": scale(&config.scale),
        "queue": queue(&config.queue),
        "functions": functions(config),
        "routes": routes(config),
        "access_log": {
            "format": config.access_log.format.as_str(),
            "output": match &config.access_log.output {
                LogOutput::Stdout => "stdout".to_owned(),
                LogOutput::Stderr => "stderr".to_owned(),
                LogOutput::File(path) => path.display().to_string(),
            },
        },
    })
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config {}", masked(self))
    }
}

/// Shows everything but users and passwords in the addresses.
impl fmt::Debug for RemoteProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteProvider")
            .field("url", &without_users(&self.url.to_string()))
            .field("logs_url", &without_users(&self.logs_url.to_string()))
            .field("namespace", &self.namespace)
            .field("direct", &self.direct)
            .finish()
    }
}

/// Walks the tree with the dotted key of each place.
fn mask(value: &mut Value, key: &mut String, config: &Config) {
    if config.from_files.contains(key.as_str()) {
        *value = json!(MASK);
        return;
    }
    match value {
        Value::Object(children) => {
            let secret = key.starts_with("functions.") && key.ends_with(".environment");
            for (name, child) in children {
                if secret {
                    *child = json!(MASK);
                } else {
                    below(child, key, name, config);
                }
            }
        }
        Value::Array(children) => {
            for (index, child) in children.iter_mut().enumerate() {
                below(child, key, &index.to_string(), config);
            }
        }
        Value::String(text) => *text = without_users(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn below(child: &mut Value, key: &mut String, name: &str, config: &Config) {
    let length = key.len();
    if length > 0 {
        key.push('.');
    }
    key.push_str(name);
    mask(child, key, config);
    key.truncate(length);
}

/// The text with every `http://user:password@host` in it keeping its host only (RFC 3986, section
/// 3.2.1).
pub fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://").map(|at| at + 3) {
        let ends = |c: char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace();
        let end = rest[start..]
            .find(ends)
            .map_or(rest.len(), |length| start + length);
        shown.push_str(&rest[..start]);
        match rest[start..end].rfind('@') {
            Some(at) => {
                shown.push_str(MASK);
                shown.push_str(&rest[start + at..end]);
            }
            None => shown.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    shown.push_str(rest);
    shown
}

fn server(server: &Server) -> Value {
    json!({
        "listen": server.listen.to_string(),
        "metrics": server.metrics.to_string(),
        "threads": match server.threads {
            Some(threads) => json!(threads),
            None => json!("auto"),
        },
        "max_connections": server.max_connections,
        "h2c": server.h2c,
        "upstream_keepalive": server.upstream_keepalive,
        "trusted_proxies": strings(&server.trusted_proxies),
        "drain": {
            "delay": format_duration(server.drain.delay),
            "timeout": format_duration(server.drain.timeout),
        },
    })
}

fn timeouts(timeouts: &Timeouts) -> Value {
    json!({
        "read": format_duration(timeouts.read),
        "write": format_duration(timeouts.write),
        "upstream": format_duration(timeouts.upstream),
        "idle": format_duration(timeouts.idle),
    })
}

fn admin(admin: &Admin) -> Value {
    json!({
        "basic_auth": match &admin.basic_auth {
            Some(auth) => json!({
                "enabled": true,
                "user_file": auth.user_file,
                "password_file": auth.password_file,
            }),
            None => json!({ "enabled": false }),
        },
        "auth_proxy_url": admin.auth_proxy_url.as_ref().map(Uri::to_string),
        "listen": admin.listen.map(|address| address.to_string()),
    })
}

fn provider(config: &Config) -> Value {
    let state_dir = &config.state_dir;
    match &config.provider {
        Provider::Process(process) => {
            let image = |image: &super::Image| {
                let settings = json!({
                    "dir": image.dir,
                    "mode": image.mode.as_str(),
                    "command": image.command,
                });
                (image.pattern.clone(), settings)
            };
            json!({
                "kind": "process",
                "state_dir": state_dir,
                "namespaces": process.namespaces,
                "isolation": process.isolation.as_str(),
                "images": process.images.iter().map(image).collect::<Map<_, _>>(),
            })
        }
        Provider::Remote(remote) => json!({
            "kind": "remote",
            "state_dir": state_dir,
            "url": remote.url.to_string(),
            "logs_url": remote.logs_url.to_string(),
            "namespace": remote.namespace,
            "direct": match &remote.direct {
                Some(direct) => json!({ "enabled": true, "suffix": direct.suffix }),
                None => json!({ "enabled": false }),
            },
        }),
    }
}

fn scale(scale: &Scale) -> Value {
    json!({
        "from_zero": scale.from_zero,
        "wait": { "timeout": format_duration(scale.wait.timeout), "line": scale.wait.line },
        "autoscaler": match scale.autoscaler {
            Some(every) => json!({ "enabled": true, "interval": format_duration(every) }),
            None => json!({ "enabled": false }),
        },
        "prometheus": scale.prometheus.as_ref().map(|at| json!({ "host": at.host, "port": at.port })),
    })
}

fn queue(queue: &Queue) -> Value {
    let (kind, jetstream) = match &queue.kind {
        QueueKind::Embedded => ("embedded", Value::Null),
        QueueKind::Jetstream(at) => (
            "jetstream",
            json!({
                "url": shown_servers(&at.url),
                "credentials": at.credentials,
                "stream": at.stream,
                "subject": at.subject,
                "replicas": at.replicas,
            }),
        ),
    };
    json!({
        "kind": kind,
        "jetstream": jetstream,
        "workers": queue.workers,
        "per_function": queue.per_function,
        "timeout": format_duration(queue.timeout),
        "max_calls": queue.max_calls,
        "max_body": format_size(queue.max_body as u64),
        "retry": {
            "attempts": queue.retry.attempts,
            "min_wait": format_duration(queue.retry.min_wait),
            "max_wait": format_duration(queue.retry.max_wait),
            "codes": queue.retry.codes.iter().collect::<Vec<_>>(),
        },
        "results": {
            "keep": format_duration(queue.results.keep),
            "max_body": format_size(queue.results.max_body as u64),
        },
        "dead_letters": { "keep": format_duration(queue.dead_letters) },
        "callbacks": {
            "deny_private_networks": queue.callbacks.deny_private_networks,
            "allow": strings(&queue.callbacks.allow),
            "timeout": format_duration(queue.callbacks.timeout),
            "secret_file": queue.callbacks.secret_file,
        },
    })
}

/// A list of NATS servers without users and passwords. They are masked one by one: together they would
/// look like one with a long password.
pub fn shown_servers(list: &str) -> String {
    servers(list)
        .map(without_users)
        .collect::<Vec<_>>()
        .join(",")
}

/// The servers of a list, each with its scheme.
fn servers(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = [",nats://", ",tls://"].map(|start| rest.find(start));
        let (server, after) = match ends.into_iter().flatten().min() {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, ""),
        };
        rest = after;
        Some(server)
    })
}

fn functions(config: &Config) -> Value {
    let default_namespace = config.default_namespace();
    let functions: BTreeMap<String, Value> = config
        .functions
        .iter()
        .map(|(name, function_)| (function_key(name, default_namespace), function(function_)))
        .collect();
    json!(functions)
}

fn function(function: &Function) -> Value {
    let mut tree = match &function.place {
        Place::Upstream(upstreams) => json!({ "upstream": strings(upstreams) }),
        Place::Process(process_) => process(process_),
    };
    tree["concurrency"] = json!(function.scaling.concurrency);
    if let Place::Process(_) = &function.place {
        tree["scale"] = scaling(&function.scaling);
    }
    let retry = function.retry;
    tree["retry"] = json!({
        "attempts": retry.attempts,
        "min_wait": retry.min_wait.map(format_duration),
        "max_wait": retry.max_wait.map(format_duration),
        "codes": retry.codes.map(|codes| codes.iter().collect::<Vec<_>>()),
    });
    tree["labels"] = json!(function.labels);
    tree["annotations"] = json!(function.annotations);
    let mut limits = timeouts(&function.timeouts);
    if let Place::Process(process) = &function.place {
        limits["exec"] = json!(format_duration(process.watchdog.exec_timeout));
        limits["start"] = json!(format_duration(process.watchdog.start_timeout));
        limits["stop"] = json!(format_duration(process.watchdog.stop_timeout));
    }
    tree["timeouts"] = limits;
    tree
}

fn scaling(scaling: &Scaling) -> Value {
    let target = scaling.target;
    json!({
        "min": scaling.min,
        "max": scaling.max,
        "factor": scaling.factor,
        "type": target.map(|target| target.measure.as_str()),
        "target": target.map(|target| target.load),
        "target_proportion": target.map(|target| target.proportion),
        "down_window": target.map(|target| format_duration(target.window)),
        "zero": scaling.zero.is_some(),
        "zero_duration": scaling.zero.map(format_duration),
    })
}

fn process(process: &Process) -> Value {
    let watchdog = &process.watchdog;
    json!({
        "process": process.command,
        "mode": process.mode.as_str(),
        "dir": process.dir,
        "environment": process.environment,
        "replicas": process.replicas,
        "secrets": process.secrets.names,
        "limits": { "memory": process.limits.memory.map(format_memory), "cpu": process.limits.cpu.map(format_cpu) },
        "max_inflight": watchdog.max_inflight,
        "content_type": watchdog.content_type,
        "cgi_headers": watchdog.cgi_headers,
        "combine_output": watchdog.combine_output,
        "read_debug": watchdog.read_debug,
        "write_debug": watchdog.write_debug,
        "ready_path": watchdog.ready_path,
    })
}

fn routes(config: &Config) -> Vec<Value> {
    let route = |route: &super::Route| {
        json!({
            "host": route.host,
            "path": route.path.to_string(),
            "function": function_key(&route.function, config.default_namespace()),
        })
    };
    config.routes.iter().map(route).collect()
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}

/// As it is written in the file.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            base_path,
        } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}{base_path}")
        } else {
            write!(f, "http://{host}:{port}{base_path}")
        }
    }
}
