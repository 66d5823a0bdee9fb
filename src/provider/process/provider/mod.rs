//! The faas-provider API for functions of this machine (wire.md section 9).
//!
//! A change is checked, written to the [`store`](super::store), and only then told to the
//! [`Runner`]; so what was answered with success outlives the gateway. Functions that the
//! configuration file declares are shown and scaled like the others, and changed in the file only.

mod answers;
mod changes;
mod log_lines;
mod look;
mod state;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::StatusCode;
use tokio::sync::{Mutex, watch};

use super::child::{self, ResolveError};
use super::plan;
use super::store::{Record, Store, StoreError, Stored};
use super::{Options, Runner};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::{Cause, Refusal};
use crate::function::{
    Deployment, FunctionName, FunctionStatus, LogQuery, MAX_REPLICAS, Namespace, ProviderInfo,
    Removal, ScaleRequest, Secret, SecretName, Version, check_name,
};
use crate::provider::{Answer, Provider, ProviderError, Request, Spent, Stop, View, answer};
use answers::{declared, full, json, missing, no_secret, with_body};
use changes::Ground;
use log_lines::{Lines, lines};
use look::Look;
use state::{Declared, Settings, State, scaling};

/// What this provider is called.
const NAME: &str = "process";

/// Functions as processes of this machine.
pub struct ProcessProvider {
    ground: Arc<Ground>,
    // Held from the check of a change until it is in force: one at a time.
    changing: Arc<Mutex<()>>,
    version: Version,
}

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
        let mut state = State {
            settings: Arc::new(Settings::of(config)),
            functions: functions
                .into_iter()
                .map(|(name, record)| (name, Arc::new(record)))
                .collect(),
            namespaces,
            scaled: BTreeMap::new(),
            desired: BTreeMap::new(),
        };
        state.settle();
        let runner = Runner::new(options)?;
        runner.declare(state.desired.clone());
        runner.foretell();
        Ok(Arc::new(Self {
            ground: Arc::new(Ground::new(runner, store, state)),
            changing: Arc::default(),
            version,
        }))
    }

    fn state(&self) -> Arc<State> {
        self.ground.state.load_full()
    }

    /// Everything there is, at one moment.
    fn look(&self) -> Look {
        Look {
            state: self.state(),
            view: Arc::clone(&self.ground.runner.view().borrow()),
            statuses: self.ground.runner.statuses(),
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
        self.ground.runner.view()
    }

    fn runs(&self, deployment: &Deployment) -> Result<(), String> {
        let images = &self.state().settings.images;
        let process = plan::process(deployment, images).map_err(|refusal| refusal.to_string())?;
        child::find(&process)
            .map(drop)
            .map_err(|error| match error {
                ResolveError::NotInPath(program) => format!(
                    "the program `{program}` is not on this machine: install it, or map image `{}` \
                 in provider.images of the configuration",
                    deployment.image
                ),
                other => other.to_string(),
            })
    }

    fn configure(&self, config: &Config, _: Option<Arc<Credentials>>) {
        let settings = Settings::of(config);
        self.ground.change(|state| {
            // A declaration that changed counts again, whatever it had been scaled to.
            let before = &state.settings.declared;
            state.scaled.retain(|name, _| {
                let place = |declared: &Declared| Some(declared.get(name)?.place.clone());
                match place(&settings.declared) {
                    None => !before.contains_key(name),
                    new => new == place(before),
                }
            });
            state.settings = Arc::new(settings);
        });
    }

    async fn run(&self, stop: Stop) {
        let keeping = async {
            loop {
                self.ground.unwritten.notified().await;
                self.write_scaled().await;
            }
        };
        tokio::select! {
            () = self.ground.runner.run(stop) => {}
            () = keeping => {}
        }
        self.write_scaled().await;
    }

    fn shows_changes(&self) -> bool {
        true
    }

    async fn observe(&self, _: &FunctionName) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn resize(&self, name: &FunctionName, replicas: u64) -> Result<(), ProviderError> {
        if self.state().replicas(name).is_none() {
            return Err(missing(name).into());
        }
        let replicas = replicas.min(MAX_REPLICAS);
        self.ground.put(|state| state.scale(name, replicas));
        self.ground.unwritten.notify_one();
        Ok(())
    }

    async fn spent(&self) -> Option<HashMap<FunctionName, Spent>> {
        Some(self.ground.runner.spent().await)
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
            // A function that was declared this very moment uses nothing yet.
            let usage = self.ground.runner.usage(&name).await;
            status.usage = Some(usage.unwrap_or_default());
        }
        Ok(status)
    }

    async fn deploy(&self, request: Request<Deployment>) -> Result<Answer, ProviderError> {
        let mut deployment = request.read()?;
        let changing = self.changing().await;
        let name = self.check(&request, &mut deployment)?;
        let state = self.state();
        if state.functions.contains_key(&name) {
            let message = format!("function {name} is deployed already: update it with PUT");
            return Err(Refusal::conflict(message).into());
        }
        let record = Record {
            replicas: scaling(&deployment).settle(None),
            created_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            secrets_version: self.secrets_version(&deployment).await?,
            deployment,
        };
        self.put_function(changing, &state, &name, record).await?;
        self.noticed(&name, true).await;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn update(&self, request: Request<Deployment>) -> Result<Answer, ProviderError> {
        let mut deployment = request.read()?;
        let changing = self.changing().await;
        let state = self.state();
        let name = state.name(&deployment.service, &deployment.namespace, &request)?;
        if !state.settings.declared.contains_key(&name) && !state.functions.contains_key(&name) {
            return Err(missing(&name).into());
        }
        let name = self.check(&request, &mut deployment)?;
        let before = state.functions.get(&name);
        let before = before.ok_or_else(|| missing(&name))?;
        let record = Record {
            replicas: scaling(&deployment).settle(state.replicas(&name)),
            created_at: before.created_at.clone(),
            secrets_version: self.secrets_version(&deployment).await?,
            deployment,
        };
        self.put_function(changing, &state, &name, record).await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn delete(&self, request: Request<Removal>) -> Result<Answer, ProviderError> {
        let removal = request.read()?;
        let changing = self.changing().await;
        let state = self.state();
        let name = state.name(&removal.function_name, &removal.namespace, &request)?;
        if state.settings.declared.contains_key(&name) {
            return Err(declared(&name).into());
        }
        if !state.functions.contains_key(&name) {
            return Err(missing(&name).into());
        }
        let (key, removed) = (name.clone(), name.clone());
        let write = move |store: &Store| store.remove_function(&key);
        let change = move |state: &mut State| {
            state.functions.remove(&removed);
            state.scaled.remove(&removed);
        };
        self.commit(changing, "removing the function", write, change)
            .await?;
        self.noticed(&name, false).await;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn scale(
        &self,
        name: &str,
        request: Request<ScaleRequest>,
    ) -> Result<Answer, ProviderError> {
        let wanted = request.read()?;
        let changing = self.changing().await;
        let state = self.state();
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
            self.ground.put(|state| state.scale(&name, wanted.replicas));
        } else {
            let record = state.functions.get(&name).ok_or_else(|| missing(&name))?;
            let mut record = Record::clone(record);
            record.replicas = wanted.replicas;
            self.put_function(changing, &state, &name, record).await?;
        }
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn secrets(&self, request: Request) -> Result<Answer, ProviderError> {
        let state = self.state();
        let namespace = state.namespace_of("", &request);
        let from = namespace.clone();
        let names = self
            .read("reading secrets", move |store| store.secret_names(&from))
            .await?;
        let secret = |name| SecretName {
            name,
            namespace: namespace.clone(),
        };
        Ok(json(&names.into_iter().map(secret).collect::<Vec<_>>()))
    }

    async fn create_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError> {
        let secret = request.read()?;
        let changing = self.changing().await;
        let namespace = self.secret_namespace(&secret.name, &secret.namespace, &request)?;
        if self.has_secret(&namespace, &secret.name).await? {
            let message = format!(
                "secret `{}` exists already: replace it with PUT",
                secret.name
            );
            return Err(Refusal::conflict(message).into());
        }
        self.put_secret(changing, namespace, secret).await?;
        Ok(answer(StatusCode::CREATED))
    }

    async fn update_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError> {
        let secret = request.read()?;
        let changing = self.changing().await;
        let namespace = self.secret_namespace(&secret.name, &secret.namespace, &request)?;
        if !self.has_secret(&namespace, &secret.name).await? {
            return Err(no_secret(&namespace, &secret.name).into());
        }
        self.put_secret(changing, namespace, secret).await?;
        Ok(answer(StatusCode::OK))
    }

    /// A secret that functions use may be removed: they keep what they were started with, and clients
    /// replace secrets by removing them first.
    async fn delete_secret(&self, request: Request<SecretName>) -> Result<Answer, ProviderError> {
        let secret = request.read()?;
        let changing = self.changing().await;
        let namespace = self.secret_namespace(&secret.name, &secret.namespace, &request)?;
        if !self.has_secret(&namespace, &secret.name).await? {
            return Err(no_secret(&namespace, &secret.name).into());
        }
        let remove = move |store: &Store| store.remove_secret(&namespace, &secret.name);
        self.commit(changing, "removing the secret", remove, |_| ())
            .await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn namespaces(&self, _: Request) -> Result<Answer, ProviderError> {
        Ok(json(&self.state().namespace_names()))
    }

    async fn namespace(&self, name: &str, _: Request) -> Result<Answer, ProviderError> {
        let state = self.state();
        state.knows_or(name, Cause::NotFound)?;
        Ok(json(&state.namespace(name)))
    }

    async fn create_namespace(&self, request: Request<Namespace>) -> Result<Answer, ProviderError> {
        let namespace = request.read()?;
        check_name(&namespace.name).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let changing = self.changing().await;
        if self.state().knows(&namespace.name).is_ok() {
            let message = format!("namespace `{}` exists already", namespace.name);
            return Err(Refusal::conflict(message).into());
        }
        self.put_namespace(changing, namespace).await?;
        Ok(answer(StatusCode::CREATED))
    }

    async fn update_namespace(
        &self,
        name: &str,
        request: Request<Namespace>,
    ) -> Result<Answer, ProviderError> {
        let mut namespace = request.read()?;
        let changing = self.changing().await;
        self.state().knows_or(name, Cause::NotFound)?;
        name.clone_into(&mut namespace.name);
        self.put_namespace(changing, namespace).await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn delete_namespace(
        &self,
        name: &str,
        _: Request<Namespace>,
    ) -> Result<Answer, ProviderError> {
        let changing = self.changing().await;
        let state = self.state();
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
            .read("reading secrets", move |store| store.secret_names(&from))
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
        let (key, removed) = (name.to_owned(), name.to_owned());
        let write = move |store: &Store| store.remove_namespace(&key);
        let change = move |state: &mut State| {
            state.namespaces.remove(&removed);
        };
        self.commit(changing, "removing the namespace", write, change)
            .await?;
        Ok(answer(StatusCode::ACCEPTED))
    }

    async fn logs(&self, request: Request) -> Result<Answer, ProviderError> {
        let query = LogQuery::read(request.parameters())
            .map_err(|error| Refusal::new(Cause::Unreadable, error))?;
        if query.name.is_empty() {
            return Err(Refusal::bad_request("name the function, like ?name=fig").into());
        }
        let name = self.state().name(&query.name, &query.namespace, &request)?;
        let ring = self
            .ground
            .runner
            .logs(&name)
            .await
            .ok_or_else(|| missing(&name))?;
        Ok(lines(Lines::new(ring, name, query)))
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        let isolation = serde_json::to_value(self.ground.runner.isolation());
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
