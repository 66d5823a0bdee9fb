//! The metrics port: `/metrics` for Prometheus, `/healthz` for liveness, `/readyz` for readiness.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};

use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;
use crate::metrics::TEXT_FORMAT;

/// The routes of the metrics port (wire.md section 1.3).
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "OK" }))
        .route("/readyz", get(ready))
        .with_state(gateway)
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    match gateway.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => Refusal::new(Cause::Internal, error.to_string()).into_response(),
    }
}

/// 503 from the first moment of a drain on, so that load balancers look elsewhere.
async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.drain.draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response();
    }
    "OK".into_response()
}
