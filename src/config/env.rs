//! The environment variables of the OpenFaaS gateway (wire.md section 7.1), laid over the file.
//!
//! An empty variable counts as unset, a boolean is on if it is exactly `true`. The process's own
//! environment is read in this module only.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use super::build::Notes;
use super::file::{BasicAuth, File, Jetstream, Origin, Scalar};
use super::value::Value;
use crate::duration::{format_duration, parse_duration};

/// Where Docker puts secrets; the 2019 gateway looks here unless `secret_mount_path` is set.
const SECRETS: &str = "/run/secrets";

/// Connections kept for `max_idle_conns=0`, which the 2019 gateway takes as no limit.
const UNLIMITED_KEEPALIVE: &str = "65536";

/// Variables the 2019 gateway knows and that change nothing here.
pub(super) const WITHOUT_EFFECT: [&str; 10] = [
    "auth_proxy_pass_body",
    "faas_nats_cluster_name",
    "max_idle_conns_per_host",
    "probe_functions",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Variables that are read, the key that each stands for, and what else is to be known of it: for the
/// reference.
pub(super) const VARIABLES: &[(&str, &str, &str)] = &[
    ("read_timeout", "timeouts.read", ""),
    ("write_timeout", "timeouts.write", ""),
    ("upstream_timeout", "timeouts.upstream", ""),
    (
        "max_idle_conns",
        "server.upstream_keepalive",
        "`0`, no limit in 2019, is 65536.",
    ),
    (
        "functions_provider_url",
        "provider.url",
        "Sets `provider.kind: remote`, too.",
    ),
    ("logs_provider_url", "provider.logs_url", ""),
    ("function_namespace", "provider.namespace", ""),
    ("direct_functions", "provider.direct.enabled", ""),
    ("direct_functions_suffix", "provider.direct.suffix", ""),
    ("auth_proxy_url", "admin.auth_proxy_url", ""),
    (
        "basic_auth",
        "admin.basic_auth.enabled",
        "`false` alone opens the API on the loopback address only: elsewhere the file has to say so, too.",
    ),
    (
        "secret_mount_path",
        "admin.basic_auth",
        "Folder with the files `basic-auth-user` and `basic-auth-password`. With `basic_auth=true` it is \
         `/run/secrets` where they are there.",
    ),
    ("scale_from_zero", "scale.from_zero", ""),
    ("faas_prometheus_host", "scale.prometheus.host", ""),
    ("faas_prometheus_port", "scale.prometheus.port", ""),
    (
        "faas_promethus_port",
        "scale.prometheus.port",
        "The same, as an old README spelt it.",
    ),
    (
        "faas_nats_address",
        "queue.jetstream.url",
        "Together with `faas_nats_port`; sets `queue.kind: jetstream`, too.",
    ),
    (
        "faas_nats_port",
        "queue.jetstream.url",
        "Together with `faas_nats_address`.",
    ),
    (
        "faas_nats_channel",
        "queue.jetstream.stream",
        "Where address and port are set.",
    ),
];

/// A set of environment variables. Some hold secrets, so it cannot be shown.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's own. Variables that are not UTF-8 are left out.
    pub fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// The value as it is, even if it is empty.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value, if there is one that is not empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The same for a variable that stands for a key.
    fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(is_described(name), "{name} is missing in the reference");
        self.given(name)
    }

    /// The value on its way into the file.
    fn scalar<T>(&self, name: &'static str) -> Option<Scalar<T>> {
        self.get(name)
            .map(|value| Scalar::new(value, Origin::Variable(name)))
    }

    /// A boolean: exactly `true` is true.
    fn boolean(&self, name: &'static str) -> Option<Scalar<bool>> {
        let on = self.get(name)? == "true";
        Some(Scalar::new(on.to_string(), Origin::Variable(name)))
    }

    /// A duration by the rule of wire.md section 7: whole seconds or a Go duration. A negative one
    /// switches the limit off; what is no duration leaves the default.
    fn duration(&self, name: &'static str, notes: &mut Notes) -> Option<Scalar<Duration>> {
        let origin = Origin::Variable(name);
        let text = self.get(name)?;
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let negative = text.starts_with('-');
        let integer = !unsigned.contains(char::is_alphabetic);
        // A negative duration is no limit, a negative integer is not a duration at all.
        let read =
            parse_duration(unsigned).filter(|value| !(negative && integer) || value.is_zero());
        match read {
            Some(_) if negative => Some(Scalar::new("0s", origin)),
            Some(duration) => Some(Scalar::new(format_duration(duration), origin)),
            None => {
                notes.warn(
                    origin,
                    format!("`{text}` is not a duration, it is left out"),
                );
                None
            }
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let owned = |(name, value): (N, V)| (name.into(), value.into());
        Self(variables.into_iter().map(owned).collect())
    }
}

/// Lays every variable that is set over the file.
pub fn overlay(file: &mut File, environment: &Environment, notes: &mut Notes) {
    timeouts(file, environment, notes);
    server(file, environment, notes);
    provider(file, environment);
    admin(file, environment, notes);
    scale(file, environment);
    queue(file, environment, notes);
    without_effect(environment, notes);
}

fn timeouts(file: &mut File, environment: &Environment, notes: &mut Notes) {
    let timeouts = file.timeouts.get_or_insert_default();
    replace(
        &mut timeouts.read,
        environment.duration("read_timeout", notes),
    );
    replace(
        &mut timeouts.write,
        environment.duration("write_timeout", notes),
    );
    replace(
        &mut timeouts.upstream,
        environment.duration("upstream_timeout", notes),
    );
}

fn server(file: &mut File, environment: &Environment, notes: &mut Notes) {
    let Some(mut connections) = environment.scalar("max_idle_conns") else {
        return;
    };
    if connections.text == "0" {
        notes.warn(
            connections.origin,
            format!("no limit here means {UNLIMITED_KEEPALIVE}"),
        );
        UNLIMITED_KEEPALIVE.clone_into(&mut connections.text);
    }
    file.server.get_or_insert_default().upstream_keepalive = Some(connections);
}

fn provider(file: &mut File, environment: &Environment) {
    let provider = file.provider.get_or_insert_default();
    if let Some(url) = environment.scalar("functions_provider_url") {
        provider.kind = Some(Scalar::new("remote", url.origin));
        provider.url = Some(url);
    }
    replace(
        &mut provider.logs_url,
        environment.scalar("logs_provider_url"),
    );
    replace(
        &mut provider.namespace,
        environment.scalar("function_namespace"),
    );
    if let Some(enabled) = environment.boolean("direct_functions") {
        provider.direct.get_or_insert_default().enabled = Some(enabled);
    }
    if let Some(suffix) = environment.scalar("direct_functions_suffix") {
        provider.direct.get_or_insert_default().suffix = Some(suffix);
    }
}

fn admin(file: &mut File, environment: &Environment, notes: &mut Notes) {
    let admin = file.admin.get_or_insert_default();
    replace(
        &mut admin.auth_proxy_url,
        environment.scalar("auth_proxy_url"),
    );
    // No other word may switch the password off: `basic_auth=True` must not open the gateway.
    let enabled = environment.scalar::<bool>("basic_auth");
    if let Some(enabled) = &enabled
        && let Err(why) = bool::read(&enabled.text)
    {
        notes.refuse(enabled.origin, format!("`{}` {why}", enabled.text));
        return;
    }
    let on = enabled
        .as_ref()
        .is_some_and(|enabled| enabled.text == "true");
    if let Some(enabled) = enabled {
        let written = &mut admin.basic_auth.get_or_insert_default().enabled;
        // What the file says as well stays its word: a variable alone opens no public address.
        if written
            .as_ref()
            .is_none_or(|file| file.text != enabled.text)
        {
            *written = Some(enabled);
        }
    }
    if let Some(folder) = environment.get("secret_mount_path") {
        let origin = Origin::Variable("secret_mount_path");
        credentials(
            admin.basic_auth.get_or_insert_default(),
            Path::new(folder),
            origin,
        );
    } else if on && Path::new(SECRETS).join("basic-auth-password").is_file() {
        let auth = admin.basic_auth.get_or_insert_default();
        if auth.user_file.is_none() && auth.password_file.is_none() {
            credentials(auth, Path::new(SECRETS), Origin::Variable("basic_auth"));
        }
    }
}

/// The two files of wire.md section 8.
fn credentials(auth: &mut BasicAuth, folder: &Path, origin: Origin) {
    let file = |name| Some(Scalar::new(folder.join(name).to_string_lossy(), origin));
    auth.user_file = file("basic-auth-user");
    auth.password_file = file("basic-auth-password");
}

fn scale(file: &mut File, environment: &Environment) {
    if let Some(from_zero) = environment.boolean("scale_from_zero") {
        file.scale.get_or_insert_default().from_zero = Some(from_zero);
    }
    let host = environment.scalar("faas_prometheus_host");
    // The second spelling stands in an old README of the project.
    let port = environment
        .scalar("faas_prometheus_port")
        .or_else(|| environment.scalar("faas_promethus_port"));
    if host.is_some() || port.is_some() {
        let prometheus = file
            .scale
            .get_or_insert_default()
            .prometheus
            .get_or_insert_default();
        replace(&mut prometheus.host, host);
        replace(&mut prometheus.port, port);
    }
}

/// As in 2019 it takes the address and the port to switch NATS on.
fn queue(file: &mut File, environment: &Environment, notes: &mut Notes) {
    let (address, port) = ("faas_nats_address", "faas_nats_port");
    let (host, number) = match (environment.get(address), environment.get(port)) {
        (Some(host), Some(number)) => (host, number),
        (None, None) => return,
        (Some(_), None) => return notes.warn(Origin::Variable(address), without(port)),
        (None, Some(_)) => return notes.warn(Origin::Variable(port), without(address)),
    };
    let origin = Origin::Variable(port);
    if let Err(why) = NonZeroU16::read(number) {
        return notes.refuse(origin, format!("`{number}` {why}"));
    }
    let queue = file.queue.get_or_insert_default();
    queue.kind = Some(Scalar::new("jetstream", origin));
    let channel = environment.scalar("faas_nats_channel");
    let jetstream = queue.jetstream.get_or_insert_with(Jetstream::default);
    jetstream.url = Some(Scalar::new(format!("nats://{host}:{number}"), origin));
    replace(&mut jetstream.stream, channel);
}

fn without(other: &str) -> String {
    format!("has no effect without `{other}`")
}

fn without_effect(environment: &Environment, notes: &mut Notes) {
    let mut set: Vec<&str> = WITHOUT_EFFECT
        .into_iter()
        .filter(|name| environment.get(name).is_some())
        .collect();
    // Its presence alone switches it on, whatever its value.
    if environment.raw("write_request_uri").is_some() {
        set.push("write_request_uri");
    }
    if !set.is_empty() {
        let message = format!(
            "environment variables without effect here: {}",
            set.join(", ")
        );
        notes.warn(Origin::File(0, 0), message);
    }
}

fn is_described(name: &str) -> bool {
    let mut described = VARIABLES.iter().map(|(known, _, _)| *known);
    described.any(|known| known == name) || WITHOUT_EFFECT.contains(&name)
}

/// The later wins, if there is a later one.
fn replace<T>(place: &mut Option<T>, later: Option<T>) {
    if later.is_some() {
        *place = later;
    }
}
