//! What the process provider knows: settings of the configuration, and what came through the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{self, Config, Image, Place};
use crate::error::{Cause, Refusal};
use crate::function::{Deployment, FunctionName, Namespace, RetryLabels, Scaling};
use crate::provider::Request;
use crate::provider::process::store::Record;
use crate::provider::process::{Desired, plan};

/// What there is now: replaced as a whole with every change.
#[derive(Clone)]
pub(super) struct State {
    pub settings: Arc<Settings>,
    pub functions: BTreeMap<FunctionName, Arc<Record>>,
    /// Namespaces made through the API.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Replicas of functions where they differ from what the file or the record says: somebody
    /// scaled a declared function, or the record is still to be written.
    pub scaled: BTreeMap<FunctionName, u64>,
    /// Everything that shall run, by all of the above.
    pub desired: BTreeMap<FunctionName, Arc<Desired>>,
}

/// What the configuration says.
#[derive(Default)]
pub(super) struct Settings {
    /// Namespaces of the file, the default one first.
    pub namespaces: Vec<String>,
    pub images: Vec<Image>,
    pub declared: Declared,
}

pub(super) type Declared = BTreeMap<FunctionName, config::Function>;

impl Settings {
    pub fn of(config: &Config) -> Self {
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
    /// Works out what shall run. What the file declares comes first.
    pub fn settle(&mut self) {
        let mut desired: BTreeMap<_, _> = self
            .functions
            .iter()
            .map(|(name, record)| (name.clone(), self.desired_of(name, record)))
            .collect();
        for (name, function) in &self.settings.declared {
            if let Place::Process(process) = &function.place {
                let mut process = config::Process::clone(process);
                if let Some(replicas) = self.replicas(name) {
                    process.replicas = replicas;
                }
                let of = Desired {
                    process,
                    scaling: function.scaling,
                    retry: function.retry,
                };
                desired.insert(name.clone(), of);
            }
        }
        let before = std::mem::take(&mut self.desired);
        let kept = |(name, desired): (FunctionName, Desired)| {
            let same = before.get(&name).filter(|before| ***before == desired);
            let desired = same.map_or_else(|| Arc::new(desired), Arc::clone);
            (name, desired)
        };
        self.desired = desired.into_iter().map(kept).collect();
    }

    /// Sets the replicas of one function; the rest stays as it is.
    pub fn scale(&mut self, name: &FunctionName, replicas: u64) {
        self.scaled.insert(name.clone(), replicas);
        if let Some(desired) = self.desired.get_mut(name) {
            Arc::make_mut(desired).process.replicas = replicas;
        }
    }

    /// Replicas of a function that the API knows: as somebody decided last, written or not.
    pub fn replicas(&self, name: &FunctionName) -> Option<u64> {
        let scaled = self.scaled.get(name).copied();
        let declared = self.settings.declared.get(name);
        match declared.map(|function| &function.place) {
            Some(Place::Process(process)) => Some(scaled.unwrap_or(process.replicas)),
            Some(Place::Upstream(_)) => None,
            None => Some(scaled.unwrap_or(self.functions.get(name)?.replicas)),
        }
    }

    /// Functions of the store whose number of replicas is another one than in the store.
    pub fn unwritten(&self) -> Vec<FunctionName> {
        let scaled = self.scaled.keys();
        scaled
            .filter(|name| !self.settings.declared.contains_key(name))
            .cloned()
            .collect()
    }

    fn desired_of(&self, name: &FunctionName, record: &Record) -> Desired {
        let planned = plan::process(&record.deployment, &self.settings.images);
        // Its image was mapped when it was deployed, and is no longer: without a command it does not
        // start, and its status says why.
        let mut process = planned.unwrap_or_else(|_| plan::nothing());
        process.replicas = self.replicas(name).unwrap_or(record.replicas);
        process.secrets.version = record.secrets_version;
        Desired {
            process,
            scaling: scaling(&record.deployment),
            retry: retry(&record.deployment),
        }
    }

    pub fn default_namespace(&self) -> &str {
        self.settings.namespaces.first().map_or("", String::as_str)
    }

    pub fn namespace_names(&self) -> Vec<String> {
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

    pub fn namespace(&self, name: &str) -> Namespace {
        let empty = || Namespace {
            name: name.to_owned(),
            ..Namespace::default()
        };
        self.namespaces.get(name).cloned().unwrap_or_else(empty)
    }

    pub fn knows(&self, namespace: &str) -> Result<(), Refusal> {
        self.knows_or(namespace, Cause::BadRequest)
    }

    pub fn knows_or(&self, namespace: &str, cause: Cause) -> Result<(), Refusal> {
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
    pub fn namespace_of<T>(&self, own: &str, request: &Request<T>) -> String {
        match (own, request.parameter("namespace")) {
            ("", Some(namespace)) => namespace.into_owned(),
            ("", None) => self.default_namespace().to_owned(),
            (own, _) => own.to_owned(),
        }
    }

    /// A name from a body: bare, with a namespace beside it.
    pub fn name<T>(
        &self,
        name: &str,
        namespace: &str,
        request: &Request<T>,
    ) -> Result<FunctionName, Refusal> {
        FunctionName::new(name, &self.namespace_of(namespace, request))
            .map_err(|error| Refusal::bad_request(error.to_string()))
    }

    /// A name from a path: bare, or `name.namespace`.
    pub fn asked<T>(&self, name: &str, request: &Request<T>) -> Result<FunctionName, Refusal> {
        FunctionName::parse(name, &self.namespace_of("", request))
            .map_err(|error| Refusal::not_found(format!("there is no function {name}: {error}")))
    }
}

/// What the labels of a deployment say of its scaling.
pub(super) fn scaling(deployment: &Deployment) -> Scaling {
    deployment
        .labels
        .as_ref()
        .map(Scaling::of)
        .unwrap_or_default()
}

/// What the labels and annotations of a deployment say of its queued calls.
fn retry(deployment: &Deployment) -> RetryLabels {
    let none = BTreeMap::new();
    let labels = deployment.labels.as_ref().unwrap_or(&none);
    let annotations = deployment.annotations.as_ref().unwrap_or(&none);
    RetryLabels::of(labels, annotations)
}
