//! The configuration as the user wrote it: nothing is checked yet but the names of keys.
//!
//! Every field is optional, every value is still text with the place where it was written. The
//! environment and the flags are laid over this type, and `build` makes a `Config` of it or says
//! what is wrong. The doc comments below are the descriptions in the JSON Schema, which adds to them the
//! default of a key and whether it waits for a restart.

mod scalar;
pub mod stack;
mod yaml;

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

pub use scalar::{Entries, OneOrMany, Origin, Scalar};
pub use yaml::{parse, parse_stack};

use super::value::{
    Cpu, HttpUrl, Load, Memory, Network, Proportion, ProviderWord, QueueWord, Size, Threads,
};
use super::{Isolation, LogFormat, LogOutput, Mode, StoreSource, Upstream};
use crate::function::Measure;

/// Configuration of the gateway. Durations are written `1m30s` or `250ms`, a bare number is
/// seconds; sizes `10MiB`. Any value may hold `${NAME}`, `${NAME:-default}` or `${file:/path}`.
/// Changes take effect at once unless a key says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "gateway configuration")]
pub struct File {
    /// Version of this format; there is one.
    #[schemars(extend("default" = 1))]
    pub version: Option<Scalar<u32>>,
    /// Listeners, threads and limits of the process.
    pub server: Option<Server>,
    /// Limits of a call, for functions that set none of their own. `0` is no limit.
    pub timeouts: Option<Timeouts>,
    /// Who may use `/system/*` and `/ui/*`.
    pub admin: Option<Admin>,
    /// The portal.
    pub ui: Option<Ui>,
    /// Who owns the functions that are not static upstreams.
    pub provider: Option<Provider>,
    /// Waiting for functions, and scaling them.
    pub scale: Option<Scale>,
    /// Asynchronous calls.
    pub queue: Option<Queue>,
    /// Functions by `name` or `name.namespace`, deployed at start and on reload.
    pub functions: Option<Entries<Function>>,
    /// Own domains and paths onto functions; the first rule that fits wins.
    pub routes: Option<Vec<Route>>,
    /// One line per call.
    pub access_log: Option<AccessLog>,
}

/// Listeners, threads and limits of the process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address of functions, API and portal.
    #[schemars(extend("default" = "0.0.0.0:8080"))]
    pub listen: Option<Scalar<SocketAddr>>,
    /// Address of `/metrics`.
    #[schemars(extend("default" = "0.0.0.0:8082"))]
    pub metrics: Option<Scalar<SocketAddr>>,
    /// Threads of the proxy; `auto` is one per processor.
    #[schemars(extend("default" = "auto"))]
    pub threads: Option<Scalar<Threads>>,
    /// Client connections held open at once.
    #[schemars(extend("default" = 20000))]
    pub max_connections: Option<Scalar<NonZeroUsize>>,
    /// Whether clients may speak HTTP/2 without TLS.
    #[schemars(extend("default" = false))]
    pub h2c: Option<Scalar<bool>>,
    /// Idle connections kept open to functions, all together.
    #[schemars(extend("default" = 1024))]
    pub upstream_keepalive: Option<Scalar<usize>>,
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Host` are believed.
    #[schemars(extend("default" = ["127.0.0.0/8", "::1/128"]))]
    pub trusted_proxies: Option<Vec<Scalar<Network>>>,
    /// What SIGTERM does.
    pub drain: Option<Drain>,
}

/// The two steps of a graceful end.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// How long to keep accepting after readiness went off.
    #[schemars(extend("default" = "0s"))]
    pub delay: Option<Scalar<Duration>>,
    /// Longest wait for calls in flight after that.
    #[schemars(extend("default" = "30s"))]
    pub timeout: Option<Scalar<Duration>>,
}

/// Limits of one call. `0` is no limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Receiving the whole request from the client.
    #[schemars(extend("default" = "8s"))]
    pub read: Option<Scalar<Duration>>,
    /// A client that takes nothing of the response for so long is cut off.
    #[schemars(extend("default" = "8s"))]
    pub write: Option<Scalar<Duration>>,
    /// The function's silence: until its response begins, and between two pieces of it.
    #[schemars(extend("default" = "8s"))]
    pub upstream: Option<Scalar<Duration>>,
    /// The same silence for event streams, upgraded connections and keep-alive clients.
    #[schemars(extend("default" = "60s"))]
    pub idle: Option<Scalar<Duration>>,
}

/// Who may use the API and the portal, and where they are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// External check, asked about every request while a password is required: `GET` with the
    /// request's headers, 200 lets it in. It takes the place of the gateway's own check.
    pub auth_proxy_url: Option<Scalar<HttpUrl>>,
    /// An address of their own for `/system/*` and `/ui/*`, where functions can be called as well.
    /// Default: they share `server.listen`.
    pub listen: Option<Scalar<SocketAddr>>,
}

/// User and password. Without files named here they are made in the state directory.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// Whether a password is asked for.
    #[schemars(extend("default" = true))]
    pub enabled: Option<Scalar<bool>>,
    /// File with the user name. Default: `auth/basic-auth-user` in the state directory.
    pub user_file: Option<Scalar<PathBuf>>,
    /// File with the password. Default: `auth/basic-auth-password` in the state directory.
    pub password_file: Option<Scalar<PathBuf>>,
}

/// The portal.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ui {
    /// Whether `/ui/` is served.
    #[schemars(extend("default" = true))]
    pub enabled: Option<Scalar<bool>>,
    /// Where the portal's functions to choose from are listed: an `http(s)` address or a file, in
    /// the format of OpenFaaS' function store. Default: a short list in the program.
    pub store: Option<Scalar<StoreSource>>,
}

/// Who owns functions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// `process` runs functions on this machine, `remote` speaks to a faas-provider; where `url` is
    /// set it is `remote` by itself.
    #[schemars(extend("default" = "process"))]
    pub kind: Option<Scalar<ProviderWord>>,
    /// Where everything durable lies.
    #[schemars(extend("default" = "./data"))]
    pub state_dir: Option<Scalar<PathBuf>>,
    /// process: known namespaces, the first is the default.
    #[schemars(extend("default" = ["openfaas-fn"]))]
    pub namespaces: Option<Vec<Scalar<String>>>,
    /// process: image globs onto local commands, for deployments that name no command; the first
    /// that fits wins, `*` stands for any text.
    pub images: Option<Entries<Image>>,
    /// process: what keeps functions apart: `none`; `basic` gives them their secrets at
    /// `/var/openfaas/secrets`, which no other process sees; `sandbox` also hides other processes
    /// and makes all files read-only but the function's folder and `/tmp`.
    #[schemars(extend("default" = "basic"))]
    pub isolation: Option<Scalar<Isolation>>,
    /// remote: base address of the provider, `http://host:port`.
    pub url: Option<Scalar<HttpUrl>>,
    /// remote: where logs come from. Default: `url`.
    pub logs_url: Option<Scalar<HttpUrl>>,
    /// remote: namespace of bare function names. Default: none.
    pub namespace: Option<Scalar<String>>,
    /// remote: call functions at their own address instead of through the provider.
    pub direct: Option<Direct>,
}

/// How to run an image on this machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Working directory. Default: the gateway's own.
    pub dir: Option<Scalar<PathBuf>>,
    /// How a call reaches the process: `classic`, `streaming` or `http`.
    #[schemars(extend("default" = "classic"))]
    pub mode: Option<Scalar<Mode>>,
    /// The command. Default: the deployment's `envProcess`.
    pub command: Option<Scalar<String>>,
}

/// Calls functions at `http://NAME.SUFFIX:8080` instead of through the provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Direct {
    /// Whether functions are called directly.
    #[schemars(extend("default" = false))]
    pub enabled: Option<Scalar<bool>>,
    /// Appended to the function's name after a dot. Default: empty.
    pub suffix: Option<Scalar<String>>,
}

/// Waiting for functions, and scaling them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Whether a call wakes a function that has no replica.
    #[schemars(extend("default" = true))]
    pub from_zero: Option<Scalar<bool>>,
    /// How a call waits for a function that is not ready.
    pub wait: Option<Wait>,
    /// Replicas by load and by quiet, as the labels or the `scale` of each function say. Without a
    /// type: more than five successful calls per second add replicas, half a minute of quiet takes
    /// them away.
    pub autoscaler: Option<Autoscaler>,
    /// Prometheus that scrapes several gateways: what the others counted is added to the counts of
    /// calls. Default: none.
    pub prometheus: Option<Prometheus>,
}

/// The line in front of a function that is not ready.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// Longest wait of one call.
    #[schemars(extend("default" = "60s"))]
    pub timeout: Option<Scalar<Duration>>,
    /// Calls that may wait for one function at once.
    #[schemars(extend("default" = 1000))]
    pub line: Option<Scalar<usize>>,
}

/// Replicas by load.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Autoscaler {
    /// Whether replicas follow the load.
    #[schemars(extend("default" = true))]
    pub enabled: Option<Scalar<bool>>,
    /// How often it looks.
    #[schemars(extend("default" = "1s"))]
    pub interval: Option<Scalar<Duration>>,
}

/// Prometheus that knows other gateways' counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// Name or address.
    #[schemars(extend("default" = "prometheus"))]
    pub host: Option<Scalar<String>>,
    /// TCP port.
    #[schemars(extend("default" = 9090))]
    pub port: Option<Scalar<NonZeroU16>>,
}

/// Asynchronous calls: `/async-function/NAME` is answered at once and called later.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// `embedded` keeps calls in the state directory, `jetstream` on NATS, where several gateways
    /// share them.
    #[schemars(extend("default" = "embedded"))]
    pub kind: Option<Scalar<QueueWord>>,
    /// Where and how JetStream keeps calls.
    pub jetstream: Option<Jetstream>,
    /// Queued calls that run at once. With 0 this gateway takes calls, and others that share its
    /// stream run them.
    #[schemars(extend("default" = 16))]
    pub workers: Option<Scalar<usize>>,
    /// Queued calls of one function that run at once, so that others have a chance. Default: three
    /// quarters of `workers`.
    pub per_function: Option<Scalar<NonZeroUsize>>,
    /// Longest time one try of a queued call takes; `timeouts.upstream` does not hold for them.
    #[schemars(extend("default" = "1h"))]
    pub timeout: Option<Scalar<Duration>>,
    /// Calls that may wait at once; 429 beyond.
    #[schemars(extend("default" = 1000000))]
    pub max_calls: Option<Scalar<NonZeroUsize>>,
    /// Longest body of a queued call, 413 beyond. JetStream takes what its server takes, too.
    #[schemars(extend("default" = "1MiB"))]
    pub max_body: Option<Scalar<Size>>,
    /// Retries of queued calls.
    pub retry: Option<Retry>,
    /// How long results are kept.
    pub results: Option<Results>,
    /// Calls that were tried in vain: they can be replayed.
    pub dead_letters: Option<DeadLetters>,
    /// How results are posted, and where they may be.
    pub callbacks: Option<Callbacks>,
}

/// Where and how JetStream keeps calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jetstream {
    /// Address of the server, or of several, separated by commas.
    #[schemars(extend("default" = "nats://127.0.0.1:4222"))]
    pub url: Option<Scalar<String>>,
    /// A file with credentials, as `nsc` writes it. Default: none.
    pub credentials: Option<Scalar<PathBuf>>,
    /// Stream name.
    #[schemars(extend("default" = "faas-request"))]
    pub stream: Option<Scalar<String>>,
    /// Subject the calls are published on. Default: the stream's name.
    pub subject: Option<Scalar<String>>,
    /// Copies the stream keeps, 1 to 5.
    #[schemars(extend("default" = 1))]
    pub replicas: Option<Scalar<NonZeroUsize>>,
}

/// Retries of queued calls, or of those of one function.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in all. Label `com.openfaas.retry.attempts`.
    #[schemars(extend("default" = 10))]
    pub attempts: Option<Scalar<u32>>,
    /// Wait before the second try, doubled for each one after it; the real one is a random part of
    /// that. Label `com.openfaas.retry.min_wait`.
    #[schemars(extend("default" = "1s"))]
    pub min_wait: Option<Scalar<Duration>>,
    /// Longest wait between two tries. Label `com.openfaas.retry.max_wait`.
    #[schemars(extend("default" = "2m"))]
    pub max_wait: Option<Scalar<Duration>>,
    /// Statuses that are tried again. Label `com.openfaas.retry.codes`.
    #[schemars(extend("default" = [408, 429, 500, 502, 503, 504]))]
    pub codes: Option<Vec<Scalar<u16>>>,
}

/// Results of queued calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// How long a result can be asked for.
    #[schemars(extend("default" = "24h"))]
    pub keep: Option<Scalar<Duration>>,
    /// Longest body that is stored and posted; what is longer is cut.
    #[schemars(extend("default" = "1MiB"))]
    pub max_body: Option<Scalar<Size>>,
}

/// Calls that were tried in vain.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// How long they are kept.
    #[schemars(extend("default" = "168h"))]
    pub keep: Option<Scalar<Duration>>,
}

/// How results are posted, and where they may be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Callbacks {
    /// Refuse loopback, private and link-local addresses.
    #[schemars(extend("default" = true))]
    pub deny_private_networks: Option<Scalar<bool>>,
    /// Networks that are allowed all the same. Default: none.
    pub allow: Option<Vec<Scalar<Network>>>,
    /// Longest time one post takes.
    #[schemars(extend("default" = "10s"))]
    pub timeout: Option<Scalar<Duration>>,
    /// A file with the secret that posts are signed with, as Standard Webhooks has it. Default: none.
    pub secret_file: Option<Scalar<PathBuf>>,
}

/// A function: either `process` or `upstream` says where it lives.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Program and arguments, split at white space without a shell; or a list, taken as it is.
    pub process: Option<OneOrMany<String>>,
    /// Addresses somebody else runs it at, `http://host:port`.
    pub upstream: Option<OneOrMany<Upstream>>,
    /// Limits of its calls. `0` is no limit.
    pub timeouts: Option<FunctionTimeouts>,
    /// Calls one replica may have in flight; more wait in line. Default: no limit.
    pub concurrency: Option<Scalar<NonZeroUsize>>,
    /// Retries of its queued calls. What is left out is taken from its labels, and then from
    /// `queue.retry`.
    pub retry: Option<Retry>,
    /// process: how many replicas it has when. What is left out is taken from its labels.
    pub scale: Option<FunctionScale>,
    /// Labels, as a deployment through the API would set them.
    pub labels: Option<Entries<Scalar<String>>>,
    /// Annotations, as a deployment through the API would set them.
    pub annotations: Option<Entries<Scalar<String>>>,
    /// process: `classic` starts one process per call, `streaming` sends its output on as it comes,
    /// `http` keeps a server running.
    #[schemars(extend("default" = "classic"))]
    pub mode: Option<Scalar<Mode>>,
    /// process: working directory. Default: the gateway's own.
    pub dir: Option<Scalar<PathBuf>>,
    /// process: its whole environment beside `PATH` and `GATEWAY_INSTANCE`, by which the gateway finds
    /// its processes again; values are never shown.
    pub environment: Option<Entries<Scalar<String>>>,
    /// process: copies asked for. Default: `scale.min`, which is 1.
    pub replicas: Option<Scalar<u64>>,
    /// process: names of secrets of its namespace that it may read.
    pub secrets: Option<Vec<Scalar<String>>>,
    /// process: what each of its replicas may use; where the gateway has no control group, each of
    /// its processes.
    pub limits: Option<Limits>,
    /// process: calls at once, 429 beyond. Default: no limit.
    pub max_inflight: Option<Scalar<NonZeroUsize>>,
    /// process: content type of replies. Default: the request's.
    pub content_type: Option<Scalar<String>>,
    /// process: whether request headers become `Http_*` variables.
    #[schemars(extend("default" = true))]
    pub cgi_headers: Option<Scalar<bool>>,
    /// process: whether stderr joins the reply, else it goes to the log.
    #[schemars(extend("default" = true))]
    pub combine_output: Option<Scalar<bool>>,
    /// process: whether request bodies go to the log.
    #[schemars(extend("default" = false))]
    pub read_debug: Option<Scalar<bool>>,
    /// process: whether replies go to the log.
    #[schemars(extend("default" = false))]
    pub write_debug: Option<Scalar<bool>>,
    /// process, mode http: path that answers 2xx once it is ready.
    /// Default: ready when it accepts connections.
    pub ready_path: Option<Scalar<String>>,
}

/// How many replicas a function has when; each key is a label's counterpart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionScale {
    /// Replicas at least while it is awake; 0 deploys it asleep. Label `com.openfaas.scale.min`.
    #[schemars(extend("default" = 1))]
    pub min: Option<Scalar<u64>>,
    /// Replicas at most. Label `com.openfaas.scale.max`.
    #[schemars(extend("default" = 20))]
    pub max: Option<Scalar<u64>>,
    /// Without a `type`: what more than five successful calls per second add, in hundredths of
    /// `max`; 0 adds nothing. Label `com.openfaas.scale.factor`.
    #[schemars(extend("default" = 20))]
    pub factor: Option<Scalar<u64>>,
    /// What its load is measured by: `rps` calls per second, `capacity` calls that would be in flight
    /// if none had to wait, `queue` calls in line or queued. Label `com.openfaas.scale.type`. Default:
    /// none, the rule of `factor`.
    #[serde(rename = "type")]
    pub measure: Option<Scalar<Measure>>,
    /// Load that one replica takes. Label `com.openfaas.scale.target`.
    #[schemars(extend("default" = 50))]
    pub target: Option<Scalar<Load>>,
    /// The part of `target` that is aimed at, above 0 and up to 1. Label
    /// `com.openfaas.scale.target-proportion`.
    #[schemars(extend("default" = 0.9))]
    pub target_proportion: Option<Scalar<Proportion>>,
    /// Replicas are taken away when they were not needed for so long, at most `5m`. Label
    /// `com.openfaas.scale.down.window`.
    #[schemars(extend("default" = "1m"))]
    pub down_window: Option<Scalar<Duration>>,
    /// Whether it is put to sleep when nobody calls it. Label `com.openfaas.scale.zero`.
    #[schemars(extend("default" = false))]
    pub zero: Option<Scalar<bool>>,
    /// Time without calls after which it is. Label `com.openfaas.scale.zero-duration`.
    #[schemars(extend("default" = "15m"))]
    pub zero_duration: Option<Scalar<Duration>>,
}

/// What each replica of a function may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of its own, such as `64Mi`. Default: no limit.
    pub memory: Option<Scalar<Memory>>,
    /// Processors, such as `500m`; enforced where the gateway has a control group. Default: no limit.
    pub cpu: Option<Scalar<Cpu>>,
}

/// Limits of one function's calls and of its processes. `0` is no limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionTimeouts {
    /// Receiving the whole request from the client. Default: `timeouts.read`.
    pub read: Option<Scalar<Duration>>,
    /// A client that takes nothing for so long is cut off. Default: `timeouts.write`.
    pub write: Option<Scalar<Duration>>,
    /// The function's silence. Default: `timeouts.upstream`.
    pub upstream: Option<Scalar<Duration>>,
    /// Silence of event streams and upgraded connections. Default: `timeouts.idle`.
    pub idle: Option<Scalar<Duration>>,
    /// process: a forked process that runs longer is killed; `0` is no limit.
    #[schemars(extend("default" = "0s"))]
    pub exec: Option<Scalar<Duration>>,
    /// process, mode http: longest start until ready.
    #[schemars(extend("default" = "30s"))]
    pub start: Option<Scalar<Duration>>,
    /// process: wait between TERM and KILL.
    #[schemars(extend("default" = "10s"))]
    pub stop: Option<Scalar<Duration>>,
}

/// A rule that leads a host and path to a function.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Host without a port, such as `api.example.org`. Default: any.
    pub host: Option<Scalar<String>>,
    /// This path only, or with `/*` at its end everything below it, too.
    #[schemars(extend("default" = "/*"))]
    pub path: Option<Scalar<String>>,
    /// Function it leads to, `name` or `name.namespace`. Required.
    #[schemars(required)]
    pub function: Option<Scalar<String>>,
}

/// One line per call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// `json`, `text` or `off`.
    #[schemars(extend("default" = "json"))]
    pub format: Option<Scalar<LogFormat>>,
    /// `stdout`, `stderr` or a file's path.
    #[schemars(extend("default" = "stdout"))]
    pub output: Option<Scalar<LogOutput>>,
}
