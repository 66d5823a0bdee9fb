//! The configuration as the program uses it: checked, complete, and without a trace of YAML.
//!
//! What the user wrote is `file::File`; the environment and the flags are laid over it, and
//! [`Config`] is built from the whole or not at all, by [`load()`].
//! Units: durations are [`Duration`], sizes are bytes.

mod build;
pub mod diff;
pub mod env;
mod file;
mod interpolate;
mod load;
mod masked;
mod problem;
pub mod reference;
pub mod schema;
pub mod stack;
mod suggest;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod value;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use load::{Error, Flags, Loaded, Sources, load, metrics_address};
pub use masked::{MASK, masked, shown_servers, shown_store, without_users};

use crate::function::{Codes, FunctionName, RetryLabels, Scaling};

/// Everything the gateway was told, valid. Its `Debug` shows what [`masked()`] shows.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Listeners, threads and limits. Changes take effect after a restart, except where noted.
    pub server: Server,
    /// Where everything durable lies. Restart to change.
    pub state_dir: PathBuf,
    /// Limits of a call, for functions that set none of their own.
    pub timeouts: Timeouts,
    /// Who may use `/system/*` and `/ui/*`.
    pub admin: Admin,
    /// The portal.
    pub ui: Ui,
    /// Who owns the functions that are not static upstreams.
    pub provider: Provider,
    /// Waiting for a function, and its scaling.
    pub scale: Scale,
    /// Asynchronous calls.
    pub queue: Queue,
    /// Functions declared in the file.
    pub functions: BTreeMap<FunctionName, Function>,
    /// Own domains and paths onto functions; the first that fits wins.
    pub routes: Vec<Route>,
    /// One line per call.
    pub access_log: AccessLog,
    /// Dotted keys whose value came from a `${file:}`; they are never shown.
    pub from_files: BTreeSet<String>,
}

impl Config {
    /// The namespace of a bare function name; empty when none is known (remote provider without
    /// `function_namespace`).
    pub fn default_namespace(&self) -> &str {
        self.provider.default_namespace()
    }

    /// Whether only this machine reaches the API and the portal.
    pub fn api_is_local(&self) -> bool {
        is_loopback(self.admin.listen.unwrap_or(self.server.listen))
    }
}

/// Whether what a client says of whom it speaks for is believed. An IPv4 client is one at an IPv6
/// listener, too.
pub fn is_trusted(proxies: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    proxies.iter().any(|network| network.contains(&client))
}

/// Whether only this machine reaches an address.
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A function's name as a key of the file: bare in the default namespace.
pub fn function_key(name: &FunctionName, default_namespace: &str) -> String {
    if name.namespace() == default_namespace {
        name.name().to_owned()
    } else {
        name.to_string()
    }
}

/// Listeners, threads and limits of the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Address of functions, API and portal. Restart to change.
    pub listen: SocketAddr,
    /// Address of `/metrics` and `/healthz` (liveness and readiness). Restart to change.
    pub metrics: SocketAddr,
    /// Threads of the proxy; `None` is one per processor. Restart to change.
    pub threads: Option<NonZeroUsize>,
    /// Client connections held open at once; one more is refused. Restart to change.
    pub max_connections: NonZeroUsize,
    /// Whether clients may speak HTTP/2 without TLS (prior knowledge). Restart to change.
    pub h2c: bool,
    /// Idle connections kept open to functions, all together. Restart to change.
    pub upstream_keepalive: usize,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Host` are believed and appended to.
    pub trusted_proxies: Vec<IpNet>,
    /// What SIGTERM does.
    pub drain: Drain,
}

/// The two steps of a graceful end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long to keep accepting after readiness went off, so that load balancers notice.
    pub delay: Duration,
    /// Longest wait for calls in flight after that.
    pub timeout: Duration,
}

/// Limits of one call. Zero means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Receiving the whole request from the client.
    pub read: Duration,
    /// A client that takes nothing of the response for so long is cut off.
    pub write: Duration,
    /// The function's silence: until its response begins, and between two pieces of it.
    pub upstream: Duration,
    /// The same silence for event streams and upgraded connections, and for keep-alive clients
    /// between two calls.
    pub idle: Duration,
}

/// Who may use the API and the portal, and where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// `None`: open to everybody.
    pub basic_auth: Option<BasicAuth>,
    /// An external check, asked for every protected request (wire.md section 8).
    pub auth_proxy_url: Option<http::Uri>,
    /// An address of their own for `/system/*` and `/ui/*`, at which functions can be called as well.
    /// Restart to change.
    pub listen: Option<SocketAddr>,
}

/// The two credential files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// Holds the user name; white space around it is ignored.
    pub user_file: PathBuf,
    /// Holds the password; white space around it is ignored.
    pub password_file: PathBuf,
    /// Whether both were named by the user. Then they must exist; otherwise they are made.
    pub named: bool,
}

/// The portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ui {
    /// Whether `/ui/` is served.
    pub enabled: bool,
    /// Where the function store comes from; `None`: from this program.
    pub store: Option<StoreSource>,
}

/// Where a function store comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSource {
    /// An address of http or https.
    Url(http::Uri),
    /// A file of this machine.
    File(PathBuf),
}

/// As it is written.
impl fmt::Display for StoreSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Who owns functions. Restart to change the kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    /// Local processes of this machine.
    Process(ProcessProvider),
    /// A faas-provider spoken to over HTTP.
    Remote(RemoteProvider),
}

impl Provider {
    /// See [`Config::default_namespace()`].
    pub fn default_namespace(&self) -> &str {
        match self {
            Self::Process(process) => process.namespaces.first().map_or("", String::as_str),
            Self::Remote(remote) => &remote.namespace,
        }
    }
}

/// Functions as processes of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessProvider {
    /// Known namespaces, the first is the default.
    pub namespaces: Vec<String>,
    /// Image globs onto local commands, first match wins, in the order of the file.
    pub images: Vec<Image>,
    /// What keeps functions apart from the machine and from each other. Restart to change.
    pub isolation: Isolation,
}

/// How far processes of functions are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A process group, a clean environment, no new privileges.
    None,
    /// The same, and secrets at their usual place in a mount namespace of their own.
    #[default]
    Basic,
    /// The same, and their own view of processes and files: read-only but for the function's folder
    /// and `/tmp`.
    Sandbox,
}

/// How to run an image here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Glob over the image's name; `*` matches anything.
    pub pattern: String,
    /// Working directory.
    pub dir: Option<PathBuf>,
    /// How a call reaches the process.
    pub mode: Mode,
    /// The command; `None`: the deployment's `envProcess` is needed.
    pub command: Option<String>,
}

/// A provider at the other end of HTTP.
#[derive(Clone, PartialEq)]
pub struct RemoteProvider {
    /// Base address, `http://host:port` plus an optional path, without a trailing slash.
    pub url: http::Uri,
    /// Where logs come from; the same as `url` unless told otherwise.
    pub logs_url: http::Uri,
    /// Namespace of bare names (`function_namespace`); empty when unset.
    pub namespace: String,
    /// Call functions at their own address instead of through the provider.
    pub direct: Option<Direct>,
}

/// `direct_functions` (wire.md section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Appended to the function's name after a dot, when not empty.
    pub suffix: String,
}

/// Waiting for functions, and scaling them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Whether a call wakes a function that has no replica.
    pub from_zero: bool,
    /// How a call waits for a function that is not ready.
    pub wait: Wait,
    /// The autoscaler's interval; `None` switches it off.
    pub autoscaler: Option<Duration>,
    /// Where other gateways' counts come from.
    pub prometheus: Option<HostPort>,
}

/// The line in front of a function that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Longest wait of one call.
    pub timeout: Duration,
    /// Calls that may wait for one function at once.
    pub line: usize,
}

/// A host name and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Asynchronous calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Where queued calls are kept. Restart to change.
    pub kind: QueueKind,
    /// Queued calls that run at once; with 0 this gateway only takes them.
    pub workers: usize,
    /// Queued calls of one function that run at once.
    pub per_function: usize,
    /// Longest time that one try takes.
    pub timeout: Duration,
    /// Calls that may wait at once.
    pub max_calls: usize,
    /// Longest body of a call, in bytes.
    pub max_body: usize,
    /// Retries of queued calls, for functions that set none of their own.
    pub retry: Retry,
    /// How long results are kept.
    pub results: Results,
    /// How long calls are kept that were tried in vain.
    pub dead_letters: Duration,
    /// How results are posted, and where they may be.
    pub callbacks: Callbacks,
}

/// Where queued calls are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueKind {
    /// In the state directory.
    Embedded,
    /// On NATS JetStream.
    Jetstream(Jetstream),
}

/// A stream of NATS JetStream.
#[derive(Clone, Debug, PartialEq)]
pub struct Jetstream {
    /// `nats://host:port`, several separated by commas.
    pub url: String,
    /// A file with credentials, as `nsc` writes it.
    pub credentials: Option<PathBuf>,
    /// Stream name.
    pub stream: String,
    /// Subject the calls are published on.
    pub subject: String,
    /// Copies the stream keeps.
    pub replicas: usize,
}

/// Retries of queued calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// Wait before the second try.
    pub min_wait: Duration,
    /// Longest wait between two tries.
    pub max_wait: Duration,
    /// Statuses that are tried again.
    pub codes: Codes,
}

impl Retry {
    /// With what a function has of its own.
    pub fn with(self, own: RetryLabels) -> Self {
        let min_wait = own.min_wait.unwrap_or(self.min_wait);
        Self {
            attempts: own.attempts.unwrap_or(self.attempts),
            min_wait,
            max_wait: own.max_wait.unwrap_or(self.max_wait).max(min_wait),
            codes: own.codes.unwrap_or(self.codes),
        }
    }
}

/// Results of queued calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    /// How long a result can be asked for.
    pub keep: Duration,
    /// Longest stored body, in bytes.
    pub max_body: usize,
}

/// How results are posted, and where they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callbacks {
    /// Refuse loopback, private and link-local addresses.
    pub deny_private_networks: bool,
    /// Exceptions from that.
    pub allow: Vec<IpNet>,
    /// Longest time that one post takes.
    pub timeout: Duration,
    /// A file with the secret that posts are signed with; `None`: they are not.
    pub secret_file: Option<PathBuf>,
}

/// A function declared in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Where it lives.
    pub place: Place,
    /// Limits of its calls.
    pub timeouts: Timeouts,
    /// How many replicas it has when, and what each takes.
    pub scaling: Scaling,
    /// What its queued calls have of their own.
    pub retry: RetryLabels,
    /// Labels, as `faas-cli` would deploy them.
    pub labels: BTreeMap<String, String>,
    /// Annotations, as `faas-cli` would deploy them.
    pub annotations: BTreeMap<String, String>,
}

/// Where a declared function lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// At addresses that somebody else runs.
    Upstream(Vec<Upstream>),
    /// In a process of this machine.
    Process(Box<Process>),
}

/// One static address: `http://host:port/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Put in front of every path, without a trailing slash; mostly empty.
    pub base_path: String,
}

/// How a call reaches a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One process per call: body on stdin, reply on stdout when it ends.
    #[default]
    Classic,
    /// One process per call, stdout is sent on as it comes.
    Streaming,
    /// A long-lived process that serves HTTP on the port it is given.
    Http,
}

/// A function's process.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// Program and arguments, split on white space as the classic watchdog does, no shell.
    pub command: Vec<String>,
    /// How a call reaches it.
    pub mode: Mode,
    /// Working directory; the gateway's own when unset.
    pub dir: Option<PathBuf>,
    /// Its whole environment, beside `PATH`, the reaper's mark and what the call adds.
    pub environment: BTreeMap<String, String>,
    /// Copies asked for: processes in HTTP mode, otherwise a count of slots.
    pub replicas: u64,
    /// What it may read of the namespace's secrets.
    pub secrets: Secrets,
    /// What each copy may use at most.
    pub limits: Limits,
    /// What the watchdog around it does.
    pub watchdog: Watchdog,
}

/// Shows everything but the values of the environment, which hold secrets.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("command", &self.command)
            .field("mode", &self.mode)
            .field("dir", &self.dir)
            .field("environment", &self.environment.keys())
            .field("replicas", &self.replicas)
            .field("secrets", &self.secrets)
            .field("limits", &self.limits)
            .field("watchdog", &self.watchdog)
            .finish()
    }
}

/// Secrets of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Their names.
    pub names: Vec<String>,
    /// Differs where their values do, so that a function which is updated gets the new ones.
    pub version: u64,
}

/// What a copy of a function may use; where there are no control groups, each of its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of its own.
    pub memory: Option<u64>,
    /// Thousandths of a processor; enforced where the gateway has a control group of its own.
    pub cpu: Option<u64>,
}

/// The knobs of the classic watchdog (users.md section 5.3), and the readiness probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// A forked process that runs longer is killed with its whole group; zero is no limit.
    pub exec_timeout: Duration,
    /// Calls at once, 429 beyond; `None` is no limit.
    pub max_inflight: Option<NonZeroUsize>,
    /// Content type of replies; `None` follows the request's.
    pub content_type: Option<String>,
    /// Whether request headers become `Http_*` variables.
    pub cgi_headers: bool,
    /// Whether stderr joins the reply (classic mode); else it goes to the log.
    pub combine_output: bool,
    /// Whether request bodies go to the log.
    pub read_debug: bool,
    /// Whether replies go to the log.
    pub write_debug: bool,
    /// HTTP mode: path that answers 2xx once the process is ready; `None`: it accepts connections.
    pub ready_path: Option<String>,
    /// HTTP mode: longest start until ready.
    pub start_timeout: Duration,
    /// Wait between TERM and KILL.
    pub stop_timeout: Duration,
}

/// A host and path rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Exact host, in lower case, without a port; `None` fits every host.
    pub host: Option<String>,
    /// Path it fits.
    pub path: PathPattern,
    /// Function it leads to.
    pub function: FunctionName,
}

/// The path side of a [`Route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This path only.
    Exact(String),
    /// This path and everything below it; the function sees the whole path. Written `/v1/*`, kept
    /// without its slash at the end: `/v1`, and nothing at all for `/*`.
    Prefix(String),
}

impl PathPattern {
    /// Whether it fits a path.
    pub fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// As it is written.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Prefix(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

/// One line per call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// How a line looks.
    pub format: LogFormat,
    /// Where lines go. Restart to change.
    pub output: LogOutput,
}

/// How an access line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// `key=value` words.
    Text,
    /// No lines at all.
    Off,
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}
