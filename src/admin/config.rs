//! `/system/config`: what the gateway runs with, and reading it again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::api::Operation;
use crate::config::masked;
use crate::error::{Cause, Refusal};
use crate::gateway::{ConfigStatus, Gateway, Reloaded};

const TAG: &str = "Configuration";

/// The running configuration, secrets masked, and how it stands.
#[derive(Serialize, JsonSchema)]
struct Shown {
    /// In the shape and the words of the file.
    config: Value,
    #[serde(flatten)]
    status: ConfigStatus,
}

/// The operations of `/system/config`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        show,
        "getConfig",
        TAG,
        "Show the configuration in force",
    )
    .json::<Shown>(
        StatusCode::OK,
        "The configuration, secrets masked, and how it stands",
    )]
}

/// The operations of `/system/config/reload`.
pub fn reloading() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::POST,
        reload,
        "reloadConfig",
        TAG,
        "Read the configuration again",
    )
    .json::<Reloaded>(StatusCode::OK, "It is in force, with these changes")
    .refuses(&[Cause::BadConfig])]
}

async fn show(State(gateway): State<Arc<Gateway>>) -> Json<Shown> {
    let snapshot = gateway.registry.current();
    Json(Shown {
        config: masked(&snapshot.config),
        status: ConfigStatus::clone(&gateway.config_status()),
    })
}

async fn reload(State(gateway): State<Arc<Gateway>>) -> Result<Json<Reloaded>, Refusal> {
    let reloaded = gateway.reload("api").await;
    reloaded
        .map(Json)
        .map_err(|error| Refusal::new(Cause::BadConfig, error))
}
