//! The faas-provider API for functions of this machine (wire.md section 9).
//!
//! A change is checked, written to the [`store`](super::store), and only then told to the
//! [`Runner`]; so what was answered with success outlives the gateway. Functions that the
//! configuration file declares are shown and scaled like the others, and changed in the file only.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::{Mutex, watch};

use super::logs::{Entry, LogRing};
use super::plan;
use super::store::{Record, Store, StoreError, Stored};
use super::{Desired, Options, Runner, Status};
use crate::config::{self, Config, Image, Place};
use crate::credentials::Credentials;
use crate::error::{Cause, Refusal};
use crate::function::{
    Deployment, FunctionName, FunctionStatus, LogLine, LogQuery, MAX_REPLICAS, Namespace,
    ProviderInfo, Removal, ScaleRequest, Scaling, Secret, SecretName, Version, check_name,
    check_secret_name,
};
use crate::provider::{Answer, AnswerBody, Provider, ProviderError, Request, Stop, View, answer};

/// Longest wait until the runner has taken note of a change; the change holds all the same.
const NOTICE: Duration = Duration::from_secs(2);

/// What this provider is called.
const NAME: &str = "process";

/// Functions as processes of this machine.
pub struct ProcessProvider {
    runner: Arc<Runner>,
    store: Arc<Store>,
    state: ArcSwap<State>,
    // Held from the check of a change until it is in force: one at a time.
    changing: Mutex<()>,
    // Held to put a state in force, never over an await.
    putting: StdMutex<()>,
    version: Version,
}

/// What there is now: replaced as a whole with every change.
#[derive(Clone)]
struct State {
    settings: Arc<Settings>,
    functions: BTreeMap<FunctionName, Arc<Record>>,
    /// Namespaces made through the API.
    namespaces: BTreeMap<String, Namespace>,
    /// Replicas of declared functions, where somebody scaled them.
    scaled: BTreeMap<FunctionName, u64>,
}

/// What the configuration says.
#[derive(Default)]
struct Settings {
    /// Namespaces of the file, the default one first.
    namespaces: Vec<String>,
    images: Vec<Image>,
    declared: Declared,
}

type Declared = BTreeMap<FunctionName, config::Function>;

impl ProcessProvider {
    /// Opens the state and declares what it and the configuration say. `version` is the gateway's.
    pub fn new(
        options: Options,
        config: &Config,
        version: Version,
    ) -> Result<Arc<Self>, StartError> {
        let (
            store,
            Stored {
                functions,
                namespaces,
            },
        ) = Store::open(&config.state_dir)?;
        let state = State {
            settings: Arc::new(Settings::of(config)),
            functions: functions
                .into_iter()
                .map(|(name, record)| (name, Arc::new(record)))
                .collect(),
            namespaces,
            scaled: BTreeMap::new(),
        };
        let runner = Runner::new(options)?;
        runner.declare(state.desired());
        Ok(Arc::new(Self {
            runner,
            store: Arc::new(store),
            state: ArcSwap::from_pointee(state),
            changing: Mutex::default(),
            putting: StdMutex::default(),
            version,
        }))
    }

    /// Changes the state and puts it in force.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let _putting = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        self.runner.declare(state.desired());
        self.state.store(Arc::new(state));
    }

    /// Does something with the store on a thread that may block.
    async fn stored<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Store) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| {
                tracing::error!(%error, "{what}");
                Refusal::storage(what, &error)
            })
    }

    /// A deployment, checked: with its name, and the process it stands for.
    fn check<T>(
        &self,
        request: &Request<T>,
        deployment: &mut Deployment,
    ) -> Result<FunctionName, Refusal> {
        let state = self.state.load_full();
        let name = state.name(&deployment.service, &deployment.namespace, request)?;
        name.namespace().clone_into(&mut deployment.namespace);
        state.knows(name.namespace())?;
        if state.settings.declared.contains_key(&name) {
            return Err(declared(&name));
        }
        if deployment.image.trim().is_empty() {
            return Err(Refusal::bad_request(
                "image is empty: every function needs one",
            ));
        }
        check_texts(deployment)?;
        plan::process(deployment, &state.settings.images)?;
        for secret in &deployment.secrets {
            check_secret_name(secret).map_err(|error| Refusal::bad_request(error.to_string()))?;
        }
        Ok(name)
    }

    /// What tells the values of a deployment's secrets from other ones. All of them have to exist.
    async fn secrets_version(&self, deployment: &Deployment) -> Result<u64, Refusal> {
        if deployment.secrets.is_empty() {
            return Ok(0);
        }
        let (namespace, names) = (deployment.namespace.clone(), deployment.secrets.clone());
        let read = move |store: &Store| {
            let mut values = DefaultHasher::new();
            for name in names {
                match store.read_secret(&namespace, &name)? {
                    Some(value) => (&name, value).hash(&mut values),
                    None => return Ok(Err(name)),
                }
            }
            Ok(Ok(values.finish()))
        };
        self.stored("reading secrets", read).await?.map_err(|name| {
            Refusal::bad_request(format!(
                "secret `{name}` does not exist in namespace `{}`: create it first (faas-cli: \
                 secret create)",
                deployment.namespace
            ))
        })
    }

    async fn put_function(&self, name: &FunctionName, record: Record) -> Result<(), Refusal> {
        let record = Arc::new(record);
        let (key, written) = (name.clone(), Arc::clone(&record));
        self.stored("writing the function", move |store| {
            store.put_function(&key, &written)
        })
        .await?;
        self.change(|state| {
            state.functions.insert(name.clone(), record);
        });
        Ok(())
    }

    /// Waits until the runner has taken note of a function that is there or gone, so that the next
    /// request finds it so.
    async fn noticed(&self, name: &FunctionName, there: bool) {
        let mut view = self.runner.view();
        let noticed = view.wait_for(|view| view.contains_key(name) == there);
        let _ = tokio::time::timeout(NOTICE, noticed).await;
    }

    /// Everything there is, at one moment.
    fn look(&self) -> Look {
        Look {
            state: self.state.load_full(),
            view: Arc::clone(&self.runner.view().borrow()),
            statuses: self.runner.statuses(),
        }
    }
}

/// Why the provider cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Processes cannot be started.
    #[error("cannot run processes: {0}")]
    Runner(#[from] io::Error),
}

#[async_trait]
impl Provider for ProcessProvider {
    fn view(&self) -> watch::Receiver<View> {
        self.runner.view()
    }

    fn configure(&self, config: &Config, _: Option<Arc<Credentials>>) {
        let settings = Settings::of(config);
        self.change(|state| {
            // A declaration that changed counts again, whatever it had been scaled to.
            let before = &state.settings.declared;
            state.scaled.retain(|name, _| {
                let place = |declared: &Declared| Some(declared.get(name)?.place.clone());
                let new = place(&settings.declared);
                new.is_some() && new == place(before)
            });
            state.settings = Arc::new(settings);
        });
    }

    async fn run(&self, stop: Stop) {
        self.runner.run(stop).await;
    }

    async fn list(&self, request: Request) -> Result<Vec<FunctionStatus>, ProviderError> {
        let look = self.look();
        let namespace = request.parameter("namespace");
        let wanted = |name: &&FunctionName| {
            namespace
                .as_ref()
                .is_none_or(|namespace| name.namespace() == namespace)
        };
        let (declared, deployed) = (&look.state.settings.declared, &look.state.functions);
        let names: BTreeSet<_> = declared
            .keys()
            .chain(deployed.keys())
            .filter(wanted)
            .collect();
        Ok(names
            .into_iter()
            .filter_map(|name| look.describe(name))
            .collect())
    }

    async fn status(&self, name: &str, request: Request) -> Result<FunctionStatus, ProviderError> {
        let look = self.look();
        let name = look.state.asked(name, &request)?;
        let mut status = look.describe(&name).ok_or_else(|| missing(&name))?;
        let wants = request.parameter("usage");
        if wants.is_some_and(|wants| matches!(&*wants, "1" | "true")) {
            status.usage = self.runner.usage(&name).await;
        }
        Ok(status)
    }

    async fn deploy(&self, request: Request<Deployment>) -> Result<Answer, ProviderError> {
        let mut deployment = request.read()?;
        let _changing = self.changing.lock().await;
        let name = self.check(&request, &mut deployment)?;
        if self.state.load().functions.contains_key(&name) {
            let message = format!("function {name} is deployed already: update it with PUT");
            return Err(Refusal::conflict(message).into());
        }
        let record = Record {
            replicas: scaling(&deployment).settle(None),
            created_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            secrets_version: self.secrets_version(&deployment).await?,
            deployment,
        };
        self.put_function(&name, record).await?;
        self.noticed(&name, true).await;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn update(&self, request: Request<Deployment>) -> Result<Answer, ProviderError> {
        let mut deployment = request.read()?;
        let _changing = self.changing.lock().await;
        let state = self.state.load_full();
        let name = state.name(&deployment.service, &deployment.namespace, &request)?;
        if !state.settings.declared.contains_key(&name) && !state.functions.contains_key(&name) {
            return Err(missing(&name).into());
        }
        let name = self.check(&request, &mut deployment)?;
        let before = self.state.load().functions.get(&name).cloned();
        let before = before.ok_or_else(|| missing(&name))?;
        let record = Record {
            replicas: scaling(&deployment).settle(Some(before.replicas)),
            created_at: before.created_at.clone(),
            secrets_version: self.secrets_version(&deployment).await?,
            deployment,
        };
        self.put_function(&name, record).await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn delete(&self, request: Request<Removal>) -> Result<Answer, ProviderError> {
        let removal = request.read()?;
        let _changing = self.changing.lock().await;
        let state = self.state.load_full();
        let name = state.name(&removal.function_name, &removal.namespace, &request)?;
        if state.settings.declared.contains_key(&name) {
            return Err(declared(&name).into());
        }
        if !state.functions.contains_key(&name) {
            return Err(missing(&name).into());
        }
        let key = name.clone();
        self.stored("removing the function", move |store| {
            store.remove_function(&key)
        })
        .await?;
        self.change(|state| {
            state.functions.remove(&name);
        });
        self.noticed(&name, false).await;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn scale(
        &self,
        name: &str,
        request: Request<ScaleRequest>,
    ) -> Result<Answer, ProviderError> {
        let wanted = request.read()?;
        let _changing = self.changing.lock().await;
        let state = self.state.load_full();
        let name = match wanted.namespace.as_str() {
            "" => state.asked(name, &request)?,
            namespace => state.name(name, namespace, &request)?,
        };
        if wanted.replicas > MAX_REPLICAS {
            let message = format!(
                "{} replicas are more than the {MAX_REPLICAS} that one machine runs of a function",
                wanted.replicas
            );
            return Err(Refusal::bad_request(message).into());
        }
        if state.settings.declared.contains_key(&name) {
            self.change(|state| {
                state.scaled.insert(name, wanted.replicas);
            });
        } else {
            let record = state.functions.get(&name).ok_or_else(|| missing(&name))?;
            let mut record = Record::clone(record);
            record.replicas = wanted.replicas;
            self.put_function(&name, record).await?;
        }
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn secrets(&self, request: Request) -> Result<Answer, ProviderError> {
        let state = self.state.load_full();
        let namespace = state.namespace_of("", &request);
        let from = namespace.clone();
        let names = self
            .stored("reading secrets", move |store| store.secret_names(&from))
            .await?;
        let secret = |name| SecretName {
            name,
            namespace: namespace.clone(),
        };
        Ok(json(&names.into_iter().map(secret).collect::<Vec<_>>()))
    }

    async fn create_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError> {
        let secret = request.read()?;
        let _changing = self.changing.lock().await;
        let namespace = self.secret_namespace(&secret.name, &secret.namespace, &request)?;
        if self.has_secret(&namespace, &secret.name).await? {
            let message = format!(
                "secret `{}` exists already: replace it with PUT",
                secret.name
            );
            return Err(Refusal::conflict(message).into());
        }
        self.put_secret(namespace, secret).await?;
        Ok(answer(StatusCode::CREATED))
    }

    async fn update_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError> {
        let secret = request.read()?;
        let _changing = self.changing.lock().await;
        let namespace = self.secret_namespace(&secret.name, &secret.namespace, &request)?;
        if !self.has_secret(&namespace, &secret.name).await? {
            return Err(no_secret(&namespace, &secret.name).into());
        }
        self.put_secret(namespace, secret).await?;
        Ok(answer(StatusCode::OK))
    }

    /// A secret that functions use may be removed: they keep what they were started with, and clients
    /// replace secrets by removing them first.
    async fn delete_secret(&self, request: Request<SecretName>) -> Result<Answer, ProviderError> {
        let secret = request.read()?;
        let _changing = self.changing.lock().await;
        let namespace = self.secret_namespace(&secret.name, &secret.namespace, &request)?;
        if !self.has_secret(&namespace, &secret.name).await? {
            return Err(no_secret(&namespace, &secret.name).into());
        }
        let remove = move |store: &Store| store.remove_secret(&namespace, &secret.name);
        self.stored("removing the secret", remove).await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn namespaces(&self, _: Request) -> Result<Answer, ProviderError> {
        Ok(json(&self.state.load().namespace_names()))
    }

    async fn namespace(&self, name: &str, _: Request) -> Result<Answer, ProviderError> {
        let state = self.state.load();
        state.knows_or(name, Cause::NotFound)?;
        Ok(json(&state.namespace(name)))
    }

    async fn create_namespace(&self, request: Request<Namespace>) -> Result<Answer, ProviderError> {
        let namespace = request.read()?;
        check_name(&namespace.name).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let _changing = self.changing.lock().await;
        if self.state.load().knows(&namespace.name).is_ok() {
            let message = format!("namespace `{}` exists already", namespace.name);
            return Err(Refusal::conflict(message).into());
        }
        self.put_namespace(namespace).await?;
        Ok(answer(StatusCode::CREATED))
    }

    async fn update_namespace(
        &self,
        name: &str,
        request: Request<Namespace>,
    ) -> Result<Answer, ProviderError> {
        let mut namespace = request.read()?;
        let _changing = self.changing.lock().await;
        self.state.load().knows_or(name, Cause::NotFound)?;
        name.clone_into(&mut namespace.name);
        self.put_namespace(namespace).await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn delete_namespace(
        &self,
        name: &str,
        _: Request<Namespace>,
    ) -> Result<Answer, ProviderError> {
        let _changing = self.changing.lock().await;
        let state = self.state.load_full();
        state.knows_or(name, Cause::NotFound)?;
        if state
            .settings
            .namespaces
            .iter()
            .any(|listed| listed == name)
        {
            let message =
                format!("namespace `{name}` is listed in the configuration: remove it there");
            return Err(Refusal::conflict(message).into());
        }
        let from = name.to_owned();
        let secrets = self
            .stored("reading secrets", move |store| store.secret_names(&from))
            .await?;
        let functions = state
            .functions
            .keys()
            .filter(|function| function.namespace() == name)
            .count();
        if functions + secrets.len() > 0 {
            let message = format!(
                "namespace `{name}` is not empty: remove its {functions} functions and {} secrets first",
                secrets.len()
            );
            return Err(Refusal::conflict(message).into());
        }
        let removed = name.to_owned();
        self.stored("removing the namespace", move |store| {
            store.remove_namespace(&removed)
        })
        .await?;
        self.change(|state| {
            state.namespaces.remove(name);
        });
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn logs(&self, request: Request) -> Result<Answer, ProviderError> {
        let query = LogQuery::read(request.parameters())
            .map_err(|error| Refusal::new(Cause::Unreadable, error))?;
        if query.name.is_empty() {
            return Err(Refusal::bad_request("name the function, like ?name=fig").into());
        }
        let name = self
            .state
            .load()
            .name(&query.name, &query.namespace, &request)?;
        let ring = self.runner.logs(&name).ok_or_else(|| missing(&name))?;
        Ok(lines(Lines::new(ring, name, query)))
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        let isolation = serde_json::to_value(self.runner.isolation());
        let other = isolation
            .into_iter()
            .map(|report| ("isolation".to_owned(), report));
        Ok(ProviderInfo {
            other: other.collect(),
            provider: NAME.to_owned(),
            orchestration: NAME.to_owned(),
            version: self.version.clone(),
        })
    }

    async fn health(&self) -> Result<Answer, ProviderError> {
        Ok(with_body("text/plain; charset=utf-8", full("OK")))
    }
}

/// Secrets and namespaces.
impl ProcessProvider {
    fn secret_namespace<T>(
        &self,
        name: &str,
        namespace: &str,
        request: &Request<T>,
    ) -> Result<String, Refusal> {
        check_secret_name(name).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let state = self.state.load();
        let namespace = state.namespace_of(namespace, request);
        state.knows(&namespace)?;
        Ok(namespace)
    }

    async fn has_secret(&self, namespace: &str, name: &str) -> Result<bool, Refusal> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let read = move |store: &Store| store.read_secret(&namespace, &name);
        Ok(self.stored("reading the secret", read).await?.is_some())
    }

    async fn put_secret(&self, namespace: String, secret: Secret) -> Result<(), Refusal> {
        let put = move |store: &Store| store.put_secret(&namespace, &secret.name, secret.bytes());
        self.stored("writing the secret", put).await
    }

    async fn put_namespace(&self, namespace: Namespace) -> Result<(), Refusal> {
        let written = namespace.clone();
        let put = move |store: &Store| store.put_namespace(&written);
        self.stored("writing the namespace", put).await?;
        self.change(|state| {
            state.namespaces.insert(namespace.name.clone(), namespace);
        });
        Ok(())
    }
}

impl Settings {
    fn of(config: &Config) -> Self {
        let config::Provider::Process(process) = &config.provider else {
            // A gateway keeps the kind of provider it was started with.
            return Self::default();
        };
        let declared = config.functions.iter();
        Self {
            namespaces: process.namespaces.clone(),
            images: process.images.clone(),
            declared: declared
                .filter(|(_, function)| matches!(function.place, Place::Process(_)))
                .map(|(name, function)| (name.clone(), function.clone()))
                .collect(),
        }
    }
}

impl State {
    /// Everything that shall run. What the file declares comes first.
    fn desired(&self) -> BTreeMap<FunctionName, Desired> {
        let mut desired: BTreeMap<_, _> = self
            .functions
            .iter()
            .map(|(name, record)| (name.clone(), self.desired_of(record)))
            .collect();
        for (name, function) in &self.settings.declared {
            if let Place::Process(process) = &function.place {
                let mut process = config::Process::clone(process);
                if let Some(replicas) = self.scaled.get(name) {
                    process.replicas = *replicas;
                }
                let concurrency = function.concurrency;
                desired.insert(
                    name.clone(),
                    Desired {
                        process,
                        concurrency,
                        scaling: Scaling::of(&function.labels),
                    },
                );
            }
        }
        desired
    }

    fn desired_of(&self, record: &Record) -> Desired {
        let planned = plan::process(&record.deployment, &self.settings.images);
        // Its image was mapped when it was deployed, and is no longer: without a command it does not
        // start, and its status says why.
        let mut process = planned.unwrap_or_else(|_| plan::nothing());
        process.replicas = record.replicas;
        process.secrets.version = record.secrets_version;
        Desired {
            process,
            concurrency: None,
            scaling: scaling(&record.deployment),
        }
    }

    fn default_namespace(&self) -> &str {
        self.settings.namespaces.first().map_or("", String::as_str)
    }

    fn namespace_names(&self) -> Vec<String> {
        let made = self
            .namespaces
            .keys()
            .filter(|name| !self.settings.namespaces.contains(name));
        self.settings
            .namespaces
            .iter()
            .chain(made)
            .cloned()
            .collect()
    }

    fn namespace(&self, name: &str) -> Namespace {
        let empty = || Namespace {
            name: name.to_owned(),
            ..Namespace::default()
        };
        self.namespaces.get(name).cloned().unwrap_or_else(empty)
    }

    fn knows(&self, namespace: &str) -> Result<(), Refusal> {
        self.knows_or(namespace, Cause::BadRequest)
    }

    fn knows_or(&self, namespace: &str, cause: Cause) -> Result<(), Refusal> {
        let listed = self
            .settings
            .namespaces
            .iter()
            .any(|known| known == namespace);
        if listed || self.namespaces.contains_key(namespace) {
            return Ok(());
        }
        let message = format!("there is no namespace `{namespace}`: create it first");
        Err(Refusal::new(cause, message))
    }

    /// The namespace that body or query name, the default one if neither does.
    fn namespace_of<T>(&self, own: &str, request: &Request<T>) -> String {
        match (own, request.parameter("namespace")) {
            ("", Some(namespace)) => namespace.into_owned(),
            ("", None) => self.default_namespace().to_owned(),
            (own, _) => own.to_owned(),
        }
    }

    /// A name from a body: bare, with a namespace beside it.
    fn name<T>(
        &self,
        name: &str,
        namespace: &str,
        request: &Request<T>,
    ) -> Result<FunctionName, Refusal> {
        FunctionName::new(name, &self.namespace_of(namespace, request))
            .map_err(|error| Refusal::bad_request(error.to_string()))
    }

    /// A name from a path: bare, or `name.namespace`.
    fn asked<T>(&self, name: &str, request: &Request<T>) -> Result<FunctionName, Refusal> {
        FunctionName::parse(name, &self.namespace_of("", request))
            .map_err(|error| Refusal::not_found(format!("there is no function {name}: {error}")))
    }
}

/// State and what runs, at one moment.
struct Look {
    state: Arc<State>,
    view: View,
    statuses: Arc<BTreeMap<FunctionName, Arc<Status>>>,
}

impl Look {
    fn describe(&self, name: &FunctionName) -> Option<FunctionStatus> {
        let seen = self.seen(name);
        match self.state.settings.declared.get(name) {
            Some(function) => self.declared(name, function, seen),
            None => Some(deployed(name, self.state.functions.get(name)?, seen)),
        }
    }

    /// What the runner knows of a function.
    fn seen(&self, name: &FunctionName) -> FunctionStatus {
        let problem = self
            .statuses
            .get(name)
            .and_then(|status| status.problem.as_deref());
        FunctionStatus {
            name: name.name().to_owned(),
            namespace: name.namespace().to_owned(),
            available_replicas: self.view.get(name).map_or(0, |view| view.available),
            problem: problem.map(str::to_owned),
            ..FunctionStatus::default()
        }
    }

    fn declared(
        &self,
        name: &FunctionName,
        function: &config::Function,
        seen: FunctionStatus,
    ) -> Option<FunctionStatus> {
        let Place::Process(process) = &function.place else {
            return None;
        };
        let scaled = self.state.scaled.get(name).copied();
        Some(FunctionStatus {
            env_process: process.command.join(" "),
            replicas: scaled.unwrap_or(process.replicas),
            labels: Some(function.labels.clone()),
            annotations: Some(function.annotations.clone()),
            ..seen
        })
    }
}

fn deployed(name: &FunctionName, record: &Record, seen: FunctionStatus) -> FunctionStatus {
    let deployment = &record.deployment;
    let mut labels = deployment.labels.clone().unwrap_or_default();
    // What selects the function's pods where it runs in Kubernetes; clients look for it.
    labels.insert("faas_function".to_owned(), name.name().to_owned());
    FunctionStatus {
        image: deployment.image.clone(),
        env_process: deployment.env_process.clone(),
        replicas: record.replicas,
        labels: Some(labels),
        annotations: Some(deployment.annotations.clone().unwrap_or_default()),
        env_vars: deployment.env_vars.clone(),
        constraints: deployment.constraints.clone(),
        secrets: deployment.secrets.clone(),
        limits: deployment.limits.clone(),
        requests: deployment.requests.clone(),
        read_only_root_filesystem: deployment.read_only_root_filesystem,
        created_at: Some(record.created_at.clone()),
        ..seen
    }
}

/// What no process can be started with, or no log line should hold.
fn check_texts(deployment: &Deployment) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::bad_request(what));
    if deployment.env_process.contains('\0') || deployment.image.contains(char::is_control) {
        return refuse("image and envProcess cannot hold control characters".to_owned());
    }
    for (name, value) in &deployment.env_vars {
        if name.is_empty() || name.contains(['=', '\0']) {
            return refuse(format!("`{name}` cannot be the name of a variable"));
        }
        if value.contains('\0') {
            return refuse(format!("variable {name} cannot hold a zero byte"));
        }
    }
    Ok(())
}

fn scaling(deployment: &Deployment) -> Scaling {
    deployment
        .labels
        .as_ref()
        .map(Scaling::of)
        .unwrap_or_default()
}

fn declared(name: &FunctionName) -> Refusal {
    Refusal::conflict(format!(
        "function {name} is declared in the configuration file: change it there"
    ))
}

fn missing(name: &FunctionName) -> Refusal {
    Refusal::not_found(format!("there is no function {name}"))
}

fn no_secret(namespace: &str, name: &str) -> Refusal {
    Refusal::not_found(format!(
        "there is no secret `{name}` in namespace `{namespace}`"
    ))
}

fn full(body: impl Into<Bytes>) -> AnswerBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn json(value: &impl Serialize) -> Answer {
    // The types of the API always serialize.
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_body("application/json", full(body))
}

fn with_body(kind: &'static str, body: AnswerBody) -> Answer {
    let mut answer = answer(StatusCode::OK).map(|_| body);
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A function's log on its way to a client.
struct Lines {
    ring: Arc<LogRing>,
    function: FunctionName,
    query: LogQuery,
    /// The first line not sent yet.
    next: u64,
    /// The tail has been cut.
    begun: bool,
}

impl Lines {
    fn new(ring: Arc<LogRing>, function: FunctionName, query: LogQuery) -> Self {
        Self {
            ring,
            function,
            query,
            next: 0,
            begun: false,
        }
    }

    /// The next lines as JSON, one each; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.begun && !(self.query.follow && self.ring.reached(self.next).await) {
                return None;
            }
            let entries = self.ring.entries(self.next);
            self.next = entries.last().map_or(self.next, |last| last.sequence + 1);
            let mut wanted: Vec<_> = entries.iter().filter(|entry| self.wants(entry)).collect();
            if !std::mem::replace(&mut self.begun, true)
                && let Some(tail) = self.query.tail
            {
                wanted.drain(..wanted.len().saturating_sub(tail));
            }
            if !wanted.is_empty() {
                return Some(
                    wanted
                        .into_iter()
                        .flat_map(|entry| self.line(entry))
                        .collect(),
                );
            }
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let instance = &self.query.instance;
        (instance.is_empty() || **instance == *entry.instance)
            && self
                .query
                .since
                .is_none_or(|since| entry.timestamp >= since)
    }

    fn line(&self, entry: &Entry) -> Vec<u8> {
        let line = LogLine {
            name: self.function.name().to_owned(),
            namespace: self.function.namespace().to_owned(),
            instance: entry.instance.to_string(),
            timestamp: humantime::format_rfc3339_nanos(entry.timestamp).to_string(),
            text: entry.text.to_string(),
        };
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn lines(lines: Lines) -> Answer {
    let pieces = stream::unfold(lines, |mut lines| async {
        let piece = lines.next().await?;
        Some((Ok(Frame::data(piece)), lines))
    });
    with_body(
        "application/x-ndjson",
        StreamBody::new(pieces).boxed_unsync(),
    )
}
