//! `/system/info`, `/system/namespaces` and `/healthz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::failure;
use crate::config::Provider;
use crate::gateway::{Gateway, Owner};

/// This version, as `Cargo.toml` has it.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, or `unknown`.
pub const COMMIT: &str = env!("GATEWAY_COMMIT");

/// `GET /system/info`: who owns the functions, and what this gateway is.
pub async fn info(State(gateway): State<Arc<Gateway>>) -> Response {
    let provider = match &gateway.provider {
        Owner::Process(_) => json!({
            "provider": "process",
            "orchestration": "process",
            "version": { "release": RELEASE, "sha": COMMIT },
        }),
        Owner::Remote(remote) => match remote.info().await {
            Ok(info) => info.unwrap_or(Value::Null),
            Err(error) => {
                let error = format!("the provider does not answer: {error}");
                return failure(StatusCode::BAD_GATEWAY, "upstream_failed", &error);
            }
        },
    };
    Json(json!({
        "provider": provider,
        "version": { "release": RELEASE, "sha": COMMIT },
        "arch": std::env::consts::ARCH,
    }))
    .into_response()
}

/// `GET /system/namespaces`.
pub async fn namespaces(State(gateway): State<Arc<Gateway>>) -> Json<Vec<String>> {
    let snapshot = gateway.registry.current();
    Json(match &snapshot.config.provider {
        Provider::Process(process) => process.namespaces.clone(),
        Provider::Remote(_) => Vec::new(),
    })
}

/// `GET /healthz`.
pub async fn healthz() -> &'static str {
    "OK"
}
