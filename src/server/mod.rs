//! The only place that assembles: listeners, services, and the way to a graceful end.
//!
//! Nothing is bound before the configuration is known to be good, and everything that can fail at
//! start fails before the first service runs.

mod end;
mod listeners;
mod notify;
mod runtimes;
mod services;
mod signals;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pingora::apps::HttpServerOptions;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::listening::Service as ListeningService;
use tokio::sync::{Mutex, watch};

use crate::access_log::AccessLog;
use crate::admin;
use crate::config::env::Environment;
use crate::config::{self, Config, Loaded, QueueKind, Sources};
use crate::counts::{Counts, CountsError};
use crate::credentials::{Credentials, CredentialsError};
use crate::functions::{Inputs, Registry};
use crate::gateway::{self, Gateway, Parts};
use crate::history::History;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::provider::process::{self, Options, ProcessProvider};
use crate::provider::remote::Remote;
use crate::proxy::Proxy;
use crate::proxy::guard::Guard;
use crate::queue::{Embedded, Jetstream, Queue};
use crate::release;
use crate::scale::{Autoscaler, Scaler, Waker, Waking};
use crate::signature::SignerError;
use crate::worker::Worker;
use end::End;
use listeners::Listeners;
use notify::Manager;
use runtimes::Runtimes;
use services::{Background, ProxyService, Task, http};
use signals::Signals;

/// Tries of Pingora's own retry loop; the proxy's hooks decide long before.
const MAX_TRIES: usize = 8;
/// Client connections at the API's own address, beside those of `server.max_connections`.
const ADMIN_CONNECTIONS: usize = 1024;

/// What goes to the log unless `RUST_LOG` says otherwise. Pingora logs every client that hangs up;
/// what concerns the user we say ourselves, as with NATS.
pub const LOG: &str =
    "info,async_nats=error,pingora=error,pingora_core=error,pingora_proxy=error,pingora_pool=error";

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Gateway,
    /// To make queued calls, and nothing else.
    Worker,
}

/// Why the gateway did not start. Each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not good.
    #[error("{0}")]
    Config(#[from] config::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The key it comes from.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The credential files cannot be used.
    #[error("{0}; to run without a password set `basic_auth: {{enabled: false}}` under `admin`")]
    Credentials(#[from] CredentialsError),
    /// The secret of callbacks cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A worker has no part in a queue that only its own gateway can reach.
    #[error("a worker shares its queue with gateways: set `kind: jetstream` under `queue`")]
    NothingToShare,
    /// The queue cannot work.
    #[error("cannot start the queue: {0}")]
    Queue(#[source] io::Error),
    /// Functions cannot run here.
    #[error("cannot start the process provider: {0}")]
    Provider(#[from] process::StartError),
    /// The access log cannot be written.
    #[error("{0}")]
    AccessLog(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(#[source] io::Error),
    /// Counts cannot be kept.
    #[error("cannot keep counts of calls: {0}")]
    Counts(#[from] CountsError),
    /// Metrics cannot be registered.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the gateway, or a part of it, until a signal ends it.
pub fn run(sources: Sources, role: Role) -> Result<(), StartError> {
    let signals = Signals::catch().map_err(StartError::Signals)?;
    let loaded = config::load(&sources)?;
    let config = loaded.config.clone();
    if role == Role::Worker && config.queue.kind == QueueKind::Embedded {
        return Err(StartError::NothingToShare);
    }
    let listeners = Listeners::bind(&config, role)?;
    allow_open_files(&config, role);
    let manager = Manager::new(&sources.environment, &listeners);
    let (gateway, tasks) = build(sources, loaded)?;
    let (log, log_writer) = AccessLog::start(
        &config.access_log.output,
        gateway.metrics.access_log_dropped.clone(),
    )
    .map_err(StartError::AccessLog)?;
    announce(&gateway, &listeners);
    serve(&config, gateway, listeners, log, tasks, signals, manager);
    log_writer.finish();
    Ok(())
}

/// What runs in the background, each to be given to a service of its own.
struct Tasks {
    registry: Task,
    provider: Task,
    counts: Task,
    scale: Task,
    history: Task,
    queue: Task,
    watcher: Option<Task>,
    stop_provider: watch::Sender<bool>,
    provider_ended: watch::Receiver<bool>,
}

fn build(sources: Sources, loaded: Loaded) -> Result<(Arc<Gateway>, Tasks), StartError> {
    let config = &loaded.config;
    let metrics = Arc::new(Metrics::new()?);
    metrics.set_build(release::RELEASE, release::COMMIT);
    let credentials = match &config.admin.basic_auth {
        Some(files) => Some(Arc::new(Credentials::open(files)?)),
        None => None,
    };
    let environment = &sources.environment;
    let provider = provider(config, environment, credentials.clone(), &metrics)?;
    let counts = Counts::open(&config.state_dir, Arc::clone(&metrics))?;
    let (registry, writer) = Registry::new(Inputs {
        config: Arc::new(config.clone()),
        provider: provider.view(),
        metrics: Arc::clone(&metrics),
    });
    let queue = queue(config)?;
    let signer = gateway::signer(&config.queue)?;
    let (waker, waking) = Waker::new();
    let scaler = Scaler::new(
        Arc::clone(&provider),
        Arc::clone(&registry),
        Arc::clone(&metrics),
    );
    let history = History::new(
        Arc::clone(&registry),
        Arc::clone(&provider),
        Arc::clone(&scaler),
    );
    let followed = loaded.file.clone().map(|file| (file, loaded.text.clone()));
    let gateway = Gateway::new(Parts {
        registry,
        metrics,
        provider,
        waker,
        scaler,
        history,
        counts,
        queue,
        signer,
        credentials,
        sources,
        loaded,
    });
    let (stop_provider, stop) = watch::channel(false);
    let (ended, provider_ended) = watch::channel(false);
    let tasks = Tasks {
        registry: Box::pin(writer.run()),
        provider: Box::pin(run_provider(Arc::clone(&gateway), stop, ended)),
        counts: Box::pin(keep_counts(Arc::clone(&gateway))),
        scale: Box::pin(scale(Arc::clone(&gateway), waking)),
        history: Box::pin(look_back(Arc::clone(&gateway))),
        queue: Box::pin(work(Arc::clone(&gateway))),
        watcher: followed.map(|(file, text)| {
            let changes = config::watch::watch(file, Some(text));
            Box::pin(follow_file(Arc::clone(&gateway), changes)) as Task
        }),
        stop_provider,
        provider_ended,
    };
    Ok((gateway, tasks))
}

/// As many as this process may have; says so where these are too few for the calls that the configuration
/// allows. A worker serves none.
fn allow_open_files(config: &Config, role: Role) {
    #[cfg(target_os = "linux")]
    {
        let connections = config.server.max_connections.get();
        match process::open_files::raise() {
            Ok(limit) if role == Role::Worker || limit >= connections as u64 => {}
            Ok(limit) => tracing::warn!(
                limit,
                connections,
                "fewer files may be open than server.max_connections: raise the hard limit (LimitNOFILE= of a \
                 unit, ulimit -Hn of a shell), or calls fail before that number is reached"
            ),
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (config, role);
}

fn provider(
    config: &Config,
    environment: &Environment,
    credentials: Option<Arc<Credentials>>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Provider>, StartError> {
    match &config.provider {
        config::Provider::Process(process) => {
            let options = Options::standard(process.isolation, &config.state_dir);
            let mut options = options.map_err(process::StartError::from)?;
            // Where systemd puts copies of files that only the gateway may read (systemd.exec(5)).
            let credentials = environment.given("CREDENTIALS_DIRECTORY");
            options.hidden.extend(credentials.map(PathBuf::from));
            metrics.provider.up.set(1);
            Ok(ProcessProvider::new(options, config, release::version())?)
        }
        config::Provider::Remote(remote) => {
            let metrics = Arc::clone(metrics);
            Ok(Remote::new(remote.clone(), config, credentials, metrics))
        }
    }
}

fn queue(config: &Config) -> Result<Arc<dyn Queue>, StartError> {
    match &config.queue.kind {
        QueueKind::Embedded => Embedded::open(&config.state_dir, &config.queue)
            .map(|queue| queue as Arc<dyn Queue>)
            .map_err(StartError::Queue),
        QueueKind::Jetstream(at) => {
            let namespace = config.default_namespace();
            Ok(Jetstream::new(at, &config.queue, namespace))
        }
    }
}

async fn run_provider(
    gateway: Arc<Gateway>,
    mut stop: watch::Receiver<bool>,
    ended: watch::Sender<bool>,
) {
    let stopped = async move {
        // A sender that has gone means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    gateway.provider.run(Box::pin(stopped)).await;
    ended.send_replace(true);
}

async fn keep_counts(gateway: Arc<Gateway>) {
    let prometheus = || gateway.registry.current().config.scale.prometheus.clone();
    Arc::clone(&gateway.counts).run(prometheus).await;
}

async fn scale(gateway: Arc<Gateway>, waking: Waking) {
    let scaler = &gateway.scaler;
    let autoscaler = Autoscaler::new(Arc::clone(scaler));
    tokio::join!(waking.run(Arc::clone(scaler)), autoscaler.run());
}

async fn look_back(gateway: Arc<Gateway>) {
    gateway.history.run().await;
}

async fn work(gateway: Arc<Gateway>) {
    let worker = Worker::new(Arc::clone(&gateway));
    tokio::join!(gateway.queue.run(), worker.run());
}

async fn follow_file(gateway: Arc<Gateway>, mut changes: config::watch::Changes) {
    loop {
        changes.changed().await;
        // What is wrong is logged and shown by `GET /system/config`.
        let _ = gateway.reload("file").await;
    }
}

/// Says where everything is and what to do first.
fn announce(gateway: &Gateway, listeners: &Listeners) {
    let snapshot = gateway.registry.current();
    let config = &snapshot.config;
    let line = |label: &str, value: &str| eprintln!("  {label:<8} {value}");
    eprintln!("gateway {}", release::RELEASE);
    if let Some(api) = listeners.api() {
        line("API", &format!("http://{api}"));
        if config.ui.enabled {
            line("UI", &format!("http://{api}/ui/"));
        }
    }
    let metrics = listeners.metrics.address;
    line("metrics", &format!("http://{metrics}/metrics"));
    match &config.provider {
        config::Provider::Process(_) => line("provider", "processes of this machine"),
        config::Provider::Remote(remote) => line("provider", &remote.url.to_string()),
    }
    line("state", &config.state_dir.display().to_string());
    match &config.queue.kind {
        QueueKind::Embedded => line("queue", "in the state directory"),
        QueueKind::Jetstream(at) => line("queue", &format!("{} on JetStream", at.stream)),
    }
    match gateway.credentials.load().as_ref() {
        _ if listeners.api().is_none() => {}
        Some(_) if config.admin.auth_proxy_url.is_some() => {
            line("login", "checked by the service at admin.auth_proxy_url");
        }
        Some(own) => {
            let user = own.user().unwrap_or_default();
            let file = own.password_file().display();
            line("login", &format!("{user}, password in {file}"));
        }
        None => line("login", "open to everybody (admin.basic_auth is off)"),
    }
    let status = gateway.config_status();
    line(
        "config",
        status.file.as_deref().unwrap_or("built-in defaults"),
    );
    if let (Some(name), Some(proxy)) = (config.functions.keys().next(), &listeners.proxy) {
        let (name, proxy) = (name.name(), proxy.address);
        line("try", &format!("curl -d hi http://{proxy}/function/{name}"));
    }
    for warning in &status.warnings {
        tracing::warn!("configuration: {warning}");
    }
}

/// Hands everything to Pingora and returns when the end has come.
fn serve(
    config: &Config,
    gateway: Arc<Gateway>,
    listeners: Listeners,
    log: AccessLog,
    tasks: Tasks,
    signals: Signals,
    manager: Manager,
) {
    let threads = config.server.threads.map_or_else(processors, usize::from);
    let mut server = Server::new_with_opt_and_conf(None, server_conf(config, threads));
    server.bootstrap();

    let runtimes = Runtimes::default();
    let background = |name, threads, task| Background::new(runtimes.expect(name), threads, task);
    let answers = listeners.api().is_some();
    let functions = Proxy::new(Arc::clone(&gateway), log);
    let mut options = HttpServerOptions::default();
    options.h2c = config.server.h2c;
    let apart = listeners.admin.is_some();
    let all = functions.with_admin(admin::router(Arc::clone(&gateway)), apart);
    let (stop_accepting, accepting) = watch::channel(false);
    // Where the API has an address of its own, functions can be called there as well: the portal, and
    // who has one address for everything, do.
    let (public, own) = match listeners.admin {
        Some(bound) => (functions, Some(("admin", bound, all, 1, ADMIN_CONNECTIONS))),
        None => (all, None),
    };
    let most = config.server.max_connections.into();
    let public = listeners
        .proxy
        .map(|bound| ("proxy", bound, public, threads, most));
    for (name, bound, proxy, threads, most) in public.into_iter().chain(own) {
        let inner = pingora_proxy::http_proxy(&server.configuration, proxy);
        let connections = gateway.metrics.connections.of(name, most);
        let shared = Arc::clone(&gateway);
        let guard = Guard::new(inner, shared, options.clone(), most, connections);
        server.add_service(ProxyService {
            place: runtimes.expect(name),
            bound: Some(bound),
            inner: ListeningService::new(name.to_owned(), guard),
            stop: accepting.clone(),
            threads,
        });
    }
    let telemetry = admin::telemetry(Arc::clone(&gateway));
    server.add_service(background("metrics", 1, http(listeners.metrics, telemetry)));
    server.add_service(background("functions", 1, tasks.registry));
    // Forking is done here, apart from the proxy's threads.
    server.add_service(background("provider", threads, tasks.provider));
    server.add_service(background("counts", 1, tasks.counts));
    server.add_service(background("scale", 1, tasks.scale));
    if answers {
        server.add_service(background("history", 1, tasks.history));
    }
    server.add_service(background("queue", threads, tasks.queue));
    if let Some(watcher) = tasks.watcher {
        server.add_service(background("config", 1, watcher));
    }
    if let Some(told) = manager.follow(Arc::clone(&gateway), runtimes.clone()) {
        server.add_service(background("notify", 1, told));
    }
    server.run(RunArgs {
        shutdown_signal: Box::new(End {
            gateway,
            manager,
            signals: Mutex::new(signals),
            stop_accepting,
            stop_provider: tasks.stop_provider,
            provider_ended: tasks.provider_ended,
        }),
    });
}

fn server_conf(config: &Config, threads: usize) -> ServerConf {
    let default = ServerConf::default();
    let alone = threads == 1;
    ServerConf {
        threads,
        listener_tasks_per_fd: threads,
        // Pingora multiplies this by the threads.
        upstream_keepalive_pool_size: config.server.upstream_keepalive.div_ceil(threads),
        max_retries: MAX_TRIES,
        // Alone, a thread has nobody to steal from and nobody to share Tokio's timers with.
        work_stealing: !alone,
        fast_timeout_to_tokio_threshold_seconds: if alone {
            Some(0)
        } else {
            default.fast_timeout_to_tokio_threshold_seconds
        },
        ..default
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Denies new privileges to every process from here on. To be called before threads start.
pub fn harden() -> Result<(), StartError> {
    process::harden().map_err(|error| process::StartError::from(error).into())
}
