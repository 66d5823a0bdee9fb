//! `/system/info` and `/healthz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::api::Operation;
use super::exchange::Answered;
use crate::error::Cause;
use crate::function::ProviderInfo;
use crate::gateway::Gateway;
use crate::provider::ProviderError;
use crate::release::Program;

/// Who owns the functions, and what this gateway is.
#[derive(Serialize, JsonSchema)]
struct Info {
    /// The provider, as it tells of itself.
    provider: ProviderInfo,
    /// What this gateway is.
    #[serde(flatten)]
    program: Program,
}

/// The operations of `/system/info`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        info,
        "getInfo",
        "System",
        "Show provider, version and build",
    )
    .json::<Info>(StatusCode::OK, "Both")
    .refuses(&[Cause::ProviderFailed, Cause::ProviderTimeout])]
}

/// The operations of `/healthz`.
pub fn health() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        healthz,
        "getHealth",
        "System",
        "Tell whether the provider is well",
    )
    .open()
    .content::<String>(StatusCode::OK, "text/plain", "It is")
    .refuses(&[Cause::ProviderFailed, Cause::ProviderTimeout])]
}

async fn info(State(gateway): State<Arc<Gateway>>) -> Result<Json<Info>, ProviderError> {
    Ok(Json(Info {
        provider: gateway.provider.info().await?,
        program: Program::this(),
    }))
}

async fn healthz(State(gateway): State<Arc<Gateway>>) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.health().await?))
}
