//! Functions as they are shown: what is wanted, and what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::State;
use crate::config::{self, Limits, MASK, Place};
use crate::function::{FunctionName, FunctionStatus, Resources};
use crate::provider::View;
use crate::provider::process::Status;
use crate::provider::process::store::Record;
use crate::quantity::{format_cpu, format_memory};

/// State and what runs, at one moment.
pub(super) struct Look {
    pub state: Arc<State>,
    pub view: View,
    pub statuses: Arc<BTreeMap<FunctionName, Arc<Status>>>,
}

impl Look {
    /// A function as it is shown.
    pub fn describe(&self, name: &FunctionName) -> Option<FunctionStatus> {
        let seen = FunctionStatus {
            replicas: self.state.replicas(name)?,
            ..self.seen(name)
        };
        match self.state.settings.declared.get(name) {
            Some(function) => declared(function, seen),
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
}

fn declared(function: &config::Function, seen: FunctionStatus) -> Option<FunctionStatus> {
    let Place::Process(process) = &function.place else {
        return None;
    };
    Some(FunctionStatus {
        env_process: process.command.join(" "),
        labels: Some(function.labels.clone()),
        annotations: Some(function.annotations.clone()),
        // Their values may come from where nobody shall read them.
        env_vars: process
            .environment
            .keys()
            .map(|name| (name.clone(), MASK.to_owned()))
            .collect(),
        secrets: process.secrets.names.clone(),
        limits: limits(process.limits),
        ..seen
    })
}

fn limits(Limits { memory, cpu }: Limits) -> Option<Resources> {
    let limits = Resources {
        memory: memory.map(format_memory).unwrap_or_default(),
        cpu: cpu.map(format_cpu).unwrap_or_default(),
        ..Resources::default()
    };
    (limits != Resources::default()).then_some(limits)
}

fn deployed(name: &FunctionName, record: &Record, seen: FunctionStatus) -> FunctionStatus {
    let deployment = &record.deployment;
    let mut labels = deployment.labels.clone().unwrap_or_default();
    // What selects the function's pods where it runs in Kubernetes; clients look for it.
    labels.insert("faas_function".to_owned(), name.name().to_owned());
    FunctionStatus {
        image: deployment.image.clone(),
        env_process: deployment.env_process.clone(),
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
