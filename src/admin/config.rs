//! `/system/config`: what the gateway runs with, and reading it again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::failure;
use crate::config::masked;
use crate::gateway::{ConfigStatus, Gateway};

/// The running configuration, secrets masked, and how it stands.
#[derive(Serialize)]
struct Shown {
    config: Value,
    #[serde(flatten)]
    status: ConfigStatus,
}

/// `GET /system/config`.
pub async fn show(State(gateway): State<Arc<Gateway>>) -> Response {
    let snapshot = gateway.registry.current();
    Json(Shown {
        config: masked(&snapshot.config),
        status: ConfigStatus::clone(&gateway.config_status()),
    })
    .into_response()
}

/// `POST /system/config/reload`: 200 with what changed, or 422 with what is wrong.
pub async fn reload(State(gateway): State<Arc<Gateway>>) -> Response {
    match gateway.reload("api").await {
        Ok(reloaded) => Json(reloaded).into_response(),
        Err(error) => failure(StatusCode::UNPROCESSABLE_ENTITY, "bad_config", &error),
    }
}
