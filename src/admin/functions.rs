//! `/system/functions` and `/system/function/NAME`, as far as this version answers them itself.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::failure;
use crate::config::{Config, Place};
use crate::function::{FunctionName, FunctionStatus};
use crate::functions::Function;
use crate::gateway::Gateway;

/// `GET /system/functions[?namespace=NS]`.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let snapshot = gateway.registry.current();
    let namespace = query.get("namespace").filter(|given| !given.is_empty());
    let mut functions: Vec<_> = snapshot
        .functions()
        .filter(|function| namespace.is_none_or(|wanted| function.name.namespace() == wanted))
        .map(|function| describe(function, &snapshot.config))
        .collect();
    functions.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Json(functions).into_response()
}

/// `GET /system/function/NAME[?namespace=NS]`.
pub async fn status(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let snapshot = gateway.registry.current();
    let namespace = query.get("namespace").map_or("", String::as_str);
    let namespace = if namespace.is_empty() {
        snapshot.config.default_namespace()
    } else {
        namespace
    };
    let function = FunctionName::parse(&name, namespace)
        .ok()
        .and_then(|name| snapshot.function(&name.to_string()).cloned());
    match function {
        Some(function) => Json(describe(&function, &snapshot.config)).into_response(),
        None => failure(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("there is no function {name}"),
        ),
    }
}

/// What the OpenFaaS API has and this version does not.
pub async fn later() -> Response {
    failure(
        StatusCode::NOT_IMPLEMENTED,
        "not_implemented",
        "not in this version yet: declare functions in the configuration file",
    )
}

fn describe(function: &Function, config: &Config) -> FunctionStatus {
    let declared = config.functions.get(&function.name);
    let process = declared.and_then(|declared| match &declared.place {
        Place::Process(process) => Some(process),
        Place::Upstream(_) => None,
    });
    let callable = function.replicas.len() as u64;
    // One address stands for all slots of a function that is forked per call.
    let replicas = process.map_or(callable, |process| process.replicas);
    FunctionStatus {
        name: function.name.name().to_owned(),
        namespace: function.name.namespace().to_owned(),
        image: String::new(),
        env_process: process.map_or_else(String::new, |process| process.command.join(" ")),
        invocation_count: function.live.metrics.invocations(),
        replicas,
        available_replicas: match process {
            Some(process) if process.mode != crate::config::Mode::Http && callable > 0 => replicas,
            _ => callable,
        },
        labels: declared.map_or_else(Default::default, |declared| declared.labels.clone()),
        annotations: declared
            .map_or_else(Default::default, |declared| declared.annotations.clone()),
        problem: function
            .problem
            .as_ref()
            .map(|problem| problem.why.to_string()),
    }
}
