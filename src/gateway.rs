//! The handle everybody shares: live functions, provider, metrics, and the state of configuration
//! and drain. It is made once at start; what can change lies behind atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Mutex, Notify, watch};

use crate::config::diff::{Change, Effect, diff};
use crate::config::{self, Config, Loaded, Sources};
use crate::counts::Counts;
use crate::credentials::{Credentials, CredentialsError};
use crate::function::FunctionName;
use crate::functions::{Function, Registry, Snapshot};
use crate::history::History;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::queue::Queue;
use crate::scale::{Scaler, Waker};
use crate::signature::{Signer, SignerError};

/// Longest wait for the address of a function where `timeouts.upstream` sets no limit.
const ADOPTION: Duration = Duration::from_secs(10);

/// See the module.
pub struct Gateway {
    /// The live functions.
    pub registry: Arc<Registry>,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Who owns the functions that are not static upstreams.
    pub provider: Arc<dyn Provider>,
    /// Wakes functions that are called while they have no replica.
    pub waker: Waker,
    /// Changes the number of replicas, and says why.
    pub scaler: Arc<Scaler>,
    /// What functions did over the last hour.
    pub history: Arc<History>,
    /// How often functions were called.
    pub counts: Arc<Counts>,
    /// Asynchronous calls.
    pub queue: Arc<dyn Queue>,
    /// What callbacks are signed with; `None`: they are not.
    pub signer: ArcSwapOption<Signer>,
    /// What the API asks for; `None`: it is open.
    pub credentials: ArcSwapOption<Credentials>,
    /// The way to a graceful end.
    pub drain: Drain,
    /// When it was started (RFC 3339).
    pub started_at: String,
    status: watch::Sender<Arc<ConfigStatus>>,
    reloader: Mutex<Reloader>,
}

/// How the configuration stands, as `GET /system/config` shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigStatus {
    /// Counts the configurations that took effect, from 1.
    pub generation: u64,
    /// Names the running configuration; equal configurations have equal hashes.
    pub hash: String,
    /// The file it was read from.
    pub file: Option<String>,
    /// When it took effect (RFC 3339).
    pub loaded_at: String,
    /// Why the last reload changed nothing; `null` after a good one.
    pub last_error: Option<String>,
    /// Keys whose new values wait for a restart.
    pub pending_restart: Vec<String>,
    /// Things worth knowing about the file that are no errors.
    pub warnings: Vec<String>,
}

struct Reloader {
    sources: Sources,
    /// What the process was started with: some keys keep these values until the next start.
    started: Config,
    running: Config,
}

/// A reload that took effect.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reloaded {
    /// Its generation; the old one if nothing had changed.
    pub generation: u64,
    /// One line per change.
    pub changes: Vec<String>,
}

/// What a gateway is made of.
pub struct Parts {
    /// The live functions.
    pub registry: Arc<Registry>,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Who owns functions.
    pub provider: Arc<dyn Provider>,
    /// Wakes functions that are called while they have no replica.
    pub waker: Waker,
    /// Changes the number of replicas, and says why.
    pub scaler: Arc<Scaler>,
    /// What functions did over the last hour.
    pub history: Arc<History>,
    /// How often functions were called.
    pub counts: Arc<Counts>,
    /// Asynchronous calls.
    pub queue: Arc<dyn Queue>,
    /// What callbacks are signed with.
    pub signer: Option<Arc<Signer>>,
    /// What the API asks for.
    pub credentials: Option<Arc<Credentials>>,
    /// Where the configuration comes from.
    pub sources: Sources,
    /// The first configuration.
    pub loaded: Loaded,
}

impl Gateway {
    /// Puts the parts together; the first configuration counts as loaded now.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Loaded {
            config,
            hash,
            file,
            warnings,
            ..
        } = parts.loaded;
        // From now on a file that is gone is an error, and no return to the built-in defaults.
        let mut sources = parts.sources;
        sources.file = file.clone().or(sources.file);
        let status = ConfigStatus {
            generation: 1,
            hash,
            file: file.map(|file| file.display().to_string()),
            loaded_at: now(),
            last_error: None,
            pending_restart: Vec::new(),
            warnings,
        };
        let gateway = Arc::new(Self {
            registry: parts.registry,
            metrics: parts.metrics,
            provider: parts.provider,
            waker: parts.waker,
            scaler: parts.scaler,
            history: parts.history,
            counts: parts.counts,
            queue: parts.queue,
            signer: ArcSwapOption::new(parts.signer),
            credentials: ArcSwapOption::new(parts.credentials),
            drain: Drain::default(),
            started_at: status.loaded_at.clone(),
            status: watch::Sender::new(Arc::new(status)),
            reloader: Mutex::new(Reloader {
                sources,
                started: config.clone(),
                running: config,
            }),
        });
        gateway.note_success(1);
        gateway
    }

    /// The function of a name that somebody must have listed, or that has an address: for a call that is
    /// made later nobody hears from who owns it that it is not there.
    pub async fn find(&self, snapshot: &Snapshot, name: &FunctionName) -> Option<Arc<Function>> {
        let key = name.to_string();
        if let Some(function) = snapshot.function(&key) {
            return Some(Arc::clone(function));
        }
        let fallback = snapshot.fallback.as_ref()?;
        if snapshot.direct() {
            let called = config::function_key(name, snapshot.config.default_namespace());
            let bound = match fallback.timeouts.upstream {
                Duration::ZERO => ADOPTION,
                limit => limit,
            };
            return self.registry.adopt(&called, bound).await;
        }
        // It may have been deployed past this gateway a moment ago. Who is not there, or cannot be
        // asked, is not there.
        let _ = self.scaler.look(name).await;
        self.registry.current().function(&key).cloned()
    }

    /// How the configuration stands.
    pub fn config_status(&self) -> Arc<ConfigStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// Changes with each reload, a failed one, too.
    pub fn config_changes(&self) -> watch::Receiver<Arc<ConfigStatus>> {
        self.status.subscribe()
    }

    /// Reads the configuration again and puts it into effect as a whole, or changes nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with it, one problem per line.
    pub async fn reload(&self, cause: &str) -> Result<Reloaded, String> {
        let mut reloader = self.reloader.lock().await;
        match self.try_reload(&mut reloader).await {
            Ok((reloaded, status)) => {
                for change in &reloaded.changes {
                    tracing::info!(cause, "configuration: {change}");
                }
                self.note_success(status.generation);
                self.status.send_replace(Arc::new(status));
                Ok(reloaded)
            }
            Err(error) => {
                tracing::error!(cause, "configuration not changed: {error}");
                self.metrics.config.last_reload_successful.set(0);
                let mut status = ConfigStatus::clone(&self.config_status());
                status.last_error = Some(error.clone());
                self.status.send_replace(Arc::new(status));
                Err(error)
            }
        }
    }

    async fn try_reload(
        &self,
        reloader: &mut Reloader,
    ) -> Result<(Reloaded, ConfigStatus), String> {
        let sources = reloader.sources.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&sources))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        if let Some(file) = loaded
            .file
            .as_ref()
            .filter(|_| loaded.text.trim().is_empty())
        {
            // It means the defaults, and more often that somebody is just writing it.
            return Err(format!(
                "{}: the file is empty; for the defaults write `version: 1`",
                file.display()
            ));
        }
        let changes = diff(&reloader.running, &loaded.config);
        let waiting = restart_keys(&reloader.started, &loaded.config);
        let mut status = ConfigStatus::clone(&self.config_status());
        status.last_error = None;
        status.warnings = loaded.warnings;
        status.pending_restart = waiting;
        status.hash = loaded.hash;
        if !changes.is_empty() {
            let effective = effective(&reloader.started, loaded.config.clone());
            self.apply(&effective)
                .await
                .map_err(|error| error.to_string())?;
            status.generation = self
                .registry
                .configure(Arc::new(effective))
                .await
                .ok_or("the gateway is ending")?;
            status.loaded_at = now();
            reloader.running = loaded.config;
        }
        let reloaded = Reloaded {
            generation: status.generation,
            changes: changes.iter().map(Change::to_string).collect(),
        };
        Ok((reloaded, status))
    }

    /// Hands the configuration to those who keep a part of it, before functions are switched.
    async fn apply(&self, config: &Config) -> Result<(), SecretError> {
        let credentials = match &config.admin.basic_auth {
            Some(files) => Some(Arc::new(Credentials::open(files)?)),
            None => None,
        };
        let signer = signer(&config.queue)?;
        self.provider.configure(config, credentials.clone());
        self.credentials.store(credentials);
        self.queue.configure(&config.queue);
        self.signer.store(signer);
        Ok(())
    }

    fn note_success(&self, generation: u64) {
        let metrics = &self.metrics.config;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        metrics.last_reload_successful.set(1);
        metrics
            .last_reload_success
            .set(since_epoch.unwrap_or_default().as_secs_f64());
        metrics
            .generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
    }
}

/// What callbacks are signed with.
pub fn signer(config: &config::Queue) -> Result<Option<Arc<Signer>>, SignerError> {
    let file = config.callbacks.secret_file.as_ref();
    file.map(|file| Signer::open(file).map(Arc::new))
        .transpose()
}

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
enum SecretError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// The new configuration, with the started one's values where only a restart can change them.
fn effective(started: &Config, new: Config) -> Config {
    let same_kind = matches!(
        (&started.provider, &new.provider),
        (config::Provider::Process(_), config::Provider::Process(_))
            | (config::Provider::Remote(_), config::Provider::Remote(_))
    );
    Config {
        provider: if same_kind {
            new.provider
        } else {
            started.provider.clone()
        },
        queue: config::Queue {
            kind: started.queue.kind.clone(),
            ..new.queue
        },
        ..new
    }
}

fn restart_keys(started: &Config, new: &Config) -> Vec<String> {
    let changes = diff(started, new);
    changes
        .into_iter()
        .filter(|change| change.effect == Effect::Restart)
        .map(|change| change.key)
        .collect()
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// Calls in flight, and whether new ones are still welcome.
#[derive(Default)]
pub struct Drain {
    draining: AtomicBool,
    begun: Notify,
    calls: AtomicUsize,
    idle: Notify,
}

impl Drain {
    /// Whether the end has begun: readiness is off, connections are closed after their call.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins the end.
    pub fn begin(&self) {
        self.draining.store(true, Ordering::Release);
        self.begun.notify_waiters();
    }

    /// Waits until the end begins: for streams that would never end by themselves.
    pub async fn begun(&self) {
        let begun = self.begun.notified();
        tokio::pin!(begun);
        begun.as_mut().enable();
        if !self.draining.load(Ordering::Acquire) {
            begun.await;
        }
    }

    /// A call has begun.
    pub fn enter(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
    }

    /// A call has ended.
    pub fn leave(&self) {
        if self.calls.fetch_sub(1, Ordering::AcqRel) == 1 && self.draining() {
            self.idle.notify_waiters();
        }
    }

    /// Calls in flight.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }

    /// Waits until no call is in flight. The caller bounds the wait.
    pub async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.calls() == 0 {
                return;
            }
            idle.await;
        }
    }
}
