//! `/system/functions`, `/system/function/NAME` and `/system/scale-function/NAME`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use serde_json::json;

use super::api::Operation;
use super::exchange::{Answered, Name};
use crate::config::{Config, Place};
use crate::error::Cause;
use crate::function::{Deployment, FunctionName, FunctionStatus, Removal, ScaleRequest};
use crate::functions::{Function, Snapshot};
use crate::gateway::Gateway;
use crate::provider::{ProviderError, Request};

/// Longest wait until a change can be seen by the caller's next call; the change holds all the same.
const CAUGHT_UP: Duration = Duration::from_secs(2);

const TAG: &str = "Functions";
/// What the parameter of that name means.
pub const NAMESPACE: &str = "Namespace; the default one where it is left out";

/// The operations of `/system/functions`.
pub fn all() -> [Operation<Arc<Gateway>>; 4] {
    let text = || json!({ "type": "string" });
    [
        Operation::new(Method::GET, list, "listFunctions", TAG, "List functions")
            .about("Those of every namespace, where none is named.")
            .query("namespace", text(), "Only functions of this namespace")
            .json::<Vec<FunctionStatus>>(StatusCode::OK, "The functions")
            .refuses(&[Cause::ProviderFailed, Cause::ProviderTimeout]),
        Operation::new(
            Method::POST,
            deploy,
            "deployFunction",
            TAG,
            "Deploy a new function",
        )
        .about("It can be called at once; calls wait until it is ready.")
        .query("namespace", text(), NAMESPACE)
        .body::<Deployment>()
        .empty(StatusCode::ACCEPTED, "It is deployed and starts")
        .refuses(&[Cause::Conflict])
        .refuses(CHANGES),
        Operation::new(
            Method::PUT,
            update,
            "updateFunction",
            TAG,
            "Update a function",
        )
        .about(
            "The new revision starts beside the old one, which serves on until the new one is \
                 ready. Where that never happens the old one stays, and the function's status says \
                 why.",
        )
        .query("namespace", text(), NAMESPACE)
        .body::<Deployment>()
        .empty(StatusCode::ACCEPTED, "The update is under way")
        .refuses(&[Cause::NotFound, Cause::Conflict])
        .refuses(CHANGES),
        Operation::new(
            Method::DELETE,
            delete,
            "deleteFunction",
            TAG,
            "Remove a function",
        )
        .about("Calls in flight are finished.")
        .query("namespace", text(), NAMESPACE)
        .body::<Removal>()
        .empty(StatusCode::ACCEPTED, "It is removed")
        .refuses(&[Cause::NotFound, Cause::Conflict])
        .refuses(CHANGES),
    ]
}

/// The operations of `/system/function/{name}`.
pub fn one() -> [Operation<Arc<Gateway>>; 1] {
    [
        Operation::new(Method::GET, status, "getFunction", TAG, "Show a function")
            .query("namespace", json!({ "type": "string" }), NAMESPACE)
            .query(
                "usage",
                json!({ "type": "string", "enum": ["0", "1", "true", "false"] }),
                "Whether to measure what it uses",
            )
            .json::<FunctionStatus>(StatusCode::OK, "The function")
            .refuses(&[
                Cause::NotFound,
                Cause::ProviderFailed,
                Cause::ProviderTimeout,
            ]),
    ]
}

/// The operations of `/system/scale-function/{name}`.
pub fn scaling() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::POST,
        scale,
        "scaleFunction",
        TAG,
        "Set the number of replicas",
    )
    .query("namespace", json!({ "type": "string" }), NAMESPACE)
    .body::<ScaleRequest>()
    .empty(StatusCode::ACCEPTED, "It is on the way to that number")
    .refuses(&[Cause::NotFound])
    .refuses(CHANGES)]
}

/// Why any change may fail.
pub const CHANGES: &[Cause] = &[
    Cause::Internal,
    Cause::ProviderFailed,
    Cause::ProviderTimeout,
    Cause::StorageFull,
];

async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Json<Vec<FunctionStatus>>, ProviderError> {
    let mut functions = gateway.provider.list(request.clone()).await?;
    let snapshot = gateway.registry.current();
    let namespace = request.parameter("namespace");
    let wanted = |name: &FunctionName| {
        namespace
            .as_ref()
            .is_none_or(|namespace| name.namespace() == namespace)
    };
    functions.extend(
        static_functions(&snapshot)
            .filter(|(name, _)| wanted(name))
            .map(describe),
    );
    for function in &mut functions {
        count(&gateway, &snapshot, function);
    }
    functions.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(Json(functions))
}

async fn status(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request,
) -> Result<Json<FunctionStatus>, ProviderError> {
    let snapshot = gateway.registry.current();
    let mut function = match static_function(&snapshot, &name, &request) {
        Some(found) => describe(found),
        None => gateway.provider.status(&name, request).await?,
    };
    count(&gateway, &snapshot, &mut function);
    Ok(Json(function))
}

async fn deploy(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Deployment>,
) -> Result<Answered, ProviderError> {
    let answer = gateway.provider.deploy(request).await?;
    gateway.registry.caught_up(CAUGHT_UP).await;
    Ok(Answered(answer))
}

async fn update(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Deployment>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.update(request).await?))
}

async fn delete(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Removal>,
) -> Result<Answered, ProviderError> {
    let answer = gateway.provider.delete(request).await?;
    gateway.registry.caught_up(CAUGHT_UP).await;
    Ok(Answered(answer))
}

async fn scale(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request<ScaleRequest>,
) -> Result<Answered, ProviderError> {
    let wanted = request.read().map(|wanted| wanted.replicas);
    let function = addressed(&gateway.registry.current(), &name, &request);
    let answer = gateway.provider.scale(&name, request).await?;
    if let (Some(function), Ok(replicas), true) = (function, wanted, answer.status().is_success()) {
        gateway.scaler.asked(&function, replicas);
    }
    Ok(Answered(answer))
}

/// The live function that a path names, with the namespace of the query.
pub fn addressed<T>(
    snapshot: &Snapshot,
    name: &str,
    request: &Request<T>,
) -> Option<Arc<Function>> {
    let name = full_name(snapshot, name, request)?;
    snapshot.function(&name.to_string()).cloned()
}

fn full_name<T>(snapshot: &Snapshot, name: &str, request: &Request<T>) -> Option<FunctionName> {
    let namespace = request.parameter("namespace");
    let namespace = namespace
        .as_deref()
        .unwrap_or(snapshot.config.default_namespace());
    FunctionName::parse(name, namespace).ok()
}

/// Functions at addresses that the file declares: no provider knows of them.
fn static_functions(snapshot: &Snapshot) -> impl Iterator<Item = (&FunctionName, Static<'_>)> {
    let config: &Config = &snapshot.config;
    config
        .functions
        .iter()
        .filter_map(|(name, declared)| match declared.place {
            Place::Upstream(_) => {
                let live = snapshot.function(&name.to_string())?;
                Some((name, Static { declared, live }))
            }
            Place::Process(_) => None,
        })
}

fn static_function<'a>(
    snapshot: &'a Snapshot,
    name: &str,
    request: &Request,
) -> Option<(&'a FunctionName, Static<'a>)> {
    let name = full_name(snapshot, name, request)?;
    static_functions(snapshot).find(|(known, _)| **known == name)
}

struct Static<'a> {
    declared: &'a crate::config::Function,
    live: &'a Function,
}

fn describe((name, function): (&FunctionName, Static<'_>)) -> FunctionStatus {
    let replicas = function.live.replicas.len() as u64;
    let problem = function.live.problem.as_ref();
    FunctionStatus {
        name: name.name().to_owned(),
        namespace: name.namespace().to_owned(),
        replicas,
        available_replicas: replicas,
        labels: Some(function.declared.labels.clone()),
        annotations: Some(function.declared.annotations.clone()),
        problem: problem.map(|problem| problem.why.to_string()),
        ..FunctionStatus::default()
    }
}

/// Calls are counted where they pass, whatever a provider says.
fn count(gateway: &Gateway, snapshot: &Snapshot, status: &mut FunctionStatus) {
    let default_namespace = snapshot.config.default_namespace();
    let namespace = match status.namespace.as_str() {
        "" => default_namespace,
        namespace => namespace,
    };
    let Ok(name) = FunctionName::new(&status.name, namespace) else {
        return;
    };
    let live = snapshot.function(&name.to_string());
    status.invocation_count = match live {
        Some(function) => invocations(gateway, snapshot, function),
        None => gateway.counts.total(&name, default_namespace, 0),
    };
}

/// Calls of a function that have ended, those that other gateways counted included.
pub fn invocations(gateway: &Gateway, snapshot: &Snapshot, function: &Function) -> f64 {
    let own = function.live.metrics.invocations();
    let default_namespace = snapshot.config.default_namespace();
    gateway.counts.total(&function.name, default_namespace, own)
}
