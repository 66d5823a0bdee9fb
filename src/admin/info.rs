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
use crate::function::{ProviderInfo, Version};
use crate::gateway::Gateway;
use crate::provider::ProviderError;

/// This version, as `Cargo.toml` has it.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, or `unknown`.
pub const COMMIT: &str = env!("GATEWAY_COMMIT");

/// Who owns the functions, and what this gateway is.
#[derive(Serialize, JsonSchema)]
struct Info {
    /// The provider, as it tells of itself.
    provider: ProviderInfo,
    /// The gateway's version.
    version: Version,
    /// The architecture it was built for.
    arch: &'static str,
}

/// The operations of `/system/info`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        info,
        "getInfo",
        "System",
        "Show provider and version",
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

/// This gateway's version.
pub fn version() -> Version {
    Version {
        release: RELEASE.to_owned(),
        sha: COMMIT.to_owned(),
        commit_message: None,
    }
}

async fn info(State(gateway): State<Arc<Gateway>>) -> Result<Json<Info>, ProviderError> {
    Ok(Json(Info {
        provider: gateway.provider.info().await?,
        version: version(),
        arch: std::env::consts::ARCH,
    }))
}

async fn healthz(State(gateway): State<Arc<Gateway>>) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.health().await?))
}
