//! How a change comes into force: checked, written to the store, and then told to the runner.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedMutexGuard};

use super::super::Runner;
use super::super::plan;
use super::super::store::{Record, Store};
use super::ProcessProvider;
use super::answers::declared;
use super::state::State;
use crate::error::Refusal;
use crate::function::{Deployment, FunctionName, Namespace, Secret, check_secret_name};
use crate::provider::Request;

/// Longest wait until the runner has taken note of a change; the change holds all the same.
const NOTICE: Duration = Duration::from_secs(2);

/// What a change works on.
pub(super) struct Ground {
    pub(super) runner: Arc<Runner>,
    pub(super) store: Store,
    pub(super) state: ArcSwap<State>,
    // Held to put a state in force, never over an await or a write.
    putting: StdMutex<()>,
    /// Told when a number of replicas is in force and not in the store.
    pub(super) unwritten: Notify,
}

/// The right to change something, until it is in force.
pub(super) type Changing = OwnedMutexGuard<()>;

/// Functions.
impl ProcessProvider {
    /// Waits for the right to change something.
    pub(super) async fn changing(&self) -> Changing {
        Arc::clone(&self.changing).lock_owned().await
    }

    /// Writes a change and puts it in force. Once begun it goes on to its end, even if nobody waits
    /// for it any more: disk and memory never disagree.
    pub(super) async fn commit(
        &self,
        changing: Changing,
        what: &'static str,
        write: impl FnOnce(&Store) -> io::Result<()> + Send + 'static,
        change: impl FnOnce(&mut State) + Send + 'static,
    ) -> Result<(), Refusal> {
        let ground = Arc::clone(&self.ground);
        let work = move || {
            write(&ground.store)?;
            ground.change(change);
            drop(changing);
            Ok(())
        };
        blocking(what, work).await
    }

    /// Reads from the store.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        read: impl FnOnce(&Store) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let ground = Arc::clone(&self.ground);
        blocking(what, move || read(&ground.store)).await
    }

    /// A deployment, checked: with its name, and the process it stands for.
    pub(super) fn check<T>(
        &self,
        request: &Request<T>,
        deployment: &mut Deployment,
    ) -> Result<FunctionName, Refusal> {
        let state = self.state();
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
        plan::process(deployment, &state.settings.images)?;
        for secret in &deployment.secrets {
            check_secret_name(secret).map_err(|error| Refusal::bad_request(error.to_string()))?;
        }
        Ok(name)
    }

    /// What tells the values of a deployment's secrets from other ones. All of them have to exist.
    pub(super) async fn secrets_version(&self, deployment: &Deployment) -> Result<u64, Refusal> {
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
        self.read("reading secrets", read).await?.map_err(|name| {
            Refusal::bad_request(format!(
                "secret `{name}` does not exist in namespace `{}`: create it first (faas-cli: \
                 secret create)",
                deployment.namespace
            ))
        })
    }

    /// Writes a function whose number of replicas follows from what was `known` of it.
    pub(super) async fn put_function(
        &self,
        changing: Changing,
        known: &State,
        name: &FunctionName,
        record: Record,
    ) -> Result<(), Refusal> {
        let record = Arc::new(record);
        let (key, written) = (name.clone(), Arc::clone(&record));
        let write = move |store: &Store| store.put_function(&key, &written);
        let key = name.clone();
        let before = known.scaled.get(name).copied();
        let change = move |state: &mut State| {
            // It may have been scaled since then; that holds, and is written next.
            if state.scaled.get(&key).copied() == before {
                state.scaled.remove(&key);
            }
            state.functions.insert(key, record);
        };
        let done = self.commit(changing, "writing the function", write, change);
        done.await?;
        self.ground.unwritten.notify_one();
        Ok(())
    }

    /// Writes the numbers of replicas that are in force and not in the store.
    pub(super) async fn write_scaled(&self) {
        let names = self.state().unwritten();
        for name in names {
            let changing = self.changing().await;
            let state = self.state();
            // It may have been removed, or changed by its owner, meanwhile.
            let (Some(record), Some(replicas)) =
                (state.functions.get(&name), state.scaled.get(&name).copied())
            else {
                continue;
            };
            let mut record = Record::clone(record);
            record.replicas = replicas;
            // A failure is logged; the number is in force all the same, and written with the next.
            let _ = self.put_function(changing, &state, &name, record).await;
        }
    }

    /// Waits until the runner has taken note of a function that is there or gone, so that the next
    /// request finds it so.
    pub(super) async fn noticed(&self, name: &FunctionName, there: bool) {
        let mut view = self.ground.runner.view();
        let noticed = view.wait_for(|view| view.contains_key(name) == there);
        let _ = tokio::time::timeout(NOTICE, noticed).await;
    }
}

/// Secrets and namespaces.
impl ProcessProvider {
    /// The namespace of a secret, which has to exist.
    pub(super) fn secret_namespace<T>(
        &self,
        name: &str,
        namespace: &str,
        request: &Request<T>,
    ) -> Result<String, Refusal> {
        check_secret_name(name).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let state = self.state();
        let namespace = state.namespace_of(namespace, request);
        state.knows(&namespace)?;
        Ok(namespace)
    }

    pub(super) async fn has_secret(&self, namespace: &str, name: &str) -> Result<bool, Refusal> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let read = move |store: &Store| store.read_secret(&namespace, &name);
        Ok(self.read("reading the secret", read).await?.is_some())
    }

    pub(super) async fn put_secret(
        &self,
        changing: Changing,
        namespace: String,
        secret: Secret,
    ) -> Result<(), Refusal> {
        let write = move |store: &Store| store.put_secret(&namespace, &secret.name, secret.bytes());
        self.commit(changing, "writing the secret", write, |_| ())
            .await
    }

    pub(super) async fn put_namespace(
        &self,
        changing: Changing,
        namespace: Namespace,
    ) -> Result<(), Refusal> {
        let written = namespace.clone();
        let write = move |store: &Store| store.put_namespace(&written);
        let change = move |state: &mut State| {
            state.namespaces.insert(namespace.name.clone(), namespace);
        };
        self.commit(changing, "writing the namespace", write, change)
            .await
    }
}

impl Ground {
    pub(super) fn new(runner: Arc<Runner>, store: Store, state: State) -> Self {
        Self {
            runner,
            store,
            state: ArcSwap::from_pointee(state),
            putting: StdMutex::default(),
            unwritten: Notify::new(),
        }
    }

    /// Changes the state and puts it in force.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        self.put(|state| {
            change(state);
            state.settle();
        });
    }

    /// The same for a change that leaves `desired` right.
    pub(super) fn put(&self, change: impl FnOnce(&mut State)) {
        let _putting = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        self.runner.declare(state.desired.clone());
        self.state.store(Arc::new(state));
    }
}

/// Does something on a thread that may block.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| {
            tracing::error!(%error, "{what}");
            Refusal::storage(what, &error)
        })
}
