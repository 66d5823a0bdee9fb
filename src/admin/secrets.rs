//! `/system/secrets`: names are listed, values never leave.

use std::sync::Arc;

use axum::extract::State;
use http::{Method, StatusCode};
use serde_json::json;

use super::api::Operation;
use super::exchange::Answered;
use super::functions::CHANGES;
use crate::error::Cause;
use crate::function::{Secret, SecretName};
use crate::gateway::Gateway;
use crate::provider::{ProviderError, Request};

const TAG: &str = "Secrets";
const NAMESPACE: &str = "Namespace; the default one where it is left out";

/// The operations of `/system/secrets`.
pub fn all() -> [Operation<Arc<Gateway>>; 4] {
    let text = || json!({ "type": "string" });
    [
        Operation::new(
            Method::GET,
            list,
            "listSecrets",
            TAG,
            "List the names of secrets",
        )
        .query("namespace", text(), NAMESPACE)
        .json::<Vec<SecretName>>(StatusCode::OK, "The names")
        .refuses(CHANGES),
        Operation::new(Method::POST, create, "createSecret", TAG, "Create a secret")
            .query("namespace", text(), NAMESPACE)
            .body::<Secret>()
            .empty(StatusCode::CREATED, "It is stored")
            .refuses(&[Cause::Conflict])
            .refuses(CHANGES),
        Operation::new(
            Method::PUT,
            update,
            "updateSecret",
            TAG,
            "Replace a secret's value",
        )
        .about("Functions see the new value once they are updated or started again.")
        .query("namespace", text(), NAMESPACE)
        .body::<Secret>()
        .empty(StatusCode::OK, "The new value is stored")
        .refuses(&[Cause::NotFound])
        .refuses(CHANGES),
        Operation::new(
            Method::DELETE,
            delete,
            "deleteSecret",
            TAG,
            "Remove a secret",
        )
        .query("namespace", text(), NAMESPACE)
        .body::<SecretName>()
        .empty(StatusCode::ACCEPTED, "It is removed")
        .refuses(&[Cause::NotFound])
        .refuses(CHANGES),
    ]
}

async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.secrets(request).await?))
}

async fn create(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Secret>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.create_secret(request).await?))
}

async fn update(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Secret>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.update_secret(request).await?))
}

async fn delete(
    State(gateway): State<Arc<Gateway>>,
    request: Request<SecretName>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.delete_secret(request).await?))
}
