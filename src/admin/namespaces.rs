//! `/system/namespaces` and `/system/namespace/NAME`.

use std::sync::Arc;

use axum::extract::State;
use http::{Method, StatusCode};

use super::api::Operation;
use super::exchange::{Answered, Name};
use super::functions::CHANGES;
use crate::error::Cause;
use crate::function::Namespace;
use crate::gateway::Gateway;
use crate::provider::{ProviderError, Request};

const TAG: &str = "Namespaces";

/// The operations of `/system/namespaces`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [
        Operation::new(Method::GET, list, "listNamespaces", TAG, "List namespaces")
            .about("The default one is the first.")
            .json::<Vec<String>>(StatusCode::OK, "Their names")
            .refuses(&[Cause::ProviderFailed, Cause::ProviderTimeout]),
    ]
}

/// The operations of `/system/namespace/`.
pub fn new() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::POST,
        create,
        "createNamespace",
        TAG,
        "Create a namespace",
    )
    .about("The name is in the body.")
    .body::<Namespace>()
    .empty(StatusCode::CREATED, "It exists")
    .refuses(&[Cause::Conflict])
    .refuses(CHANGES)]
}

/// The operations of `/system/namespace/{name}`.
pub fn one() -> [Operation<Arc<Gateway>>; 3] {
    [
        Operation::new(Method::GET, get, "getNamespace", TAG, "Show a namespace")
            .json::<Namespace>(StatusCode::OK, "The namespace")
            .refuses(&[
                Cause::NotFound,
                Cause::ProviderFailed,
                Cause::ProviderTimeout,
            ]),
        Operation::new(
            Method::PUT,
            update,
            "updateNamespace",
            TAG,
            "Replace a namespace's labels and annotations",
        )
        .body::<Namespace>()
        .empty(StatusCode::ACCEPTED, "They are replaced")
        .refuses(&[Cause::NotFound])
        .refuses(CHANGES),
        Operation::new(
            Method::DELETE,
            delete,
            "deleteNamespace",
            TAG,
            "Remove a namespace",
        )
        .about("It has to be empty, and must not be one of the configuration file.")
        .empty(StatusCode::ACCEPTED, "It is removed")
        .refuses(&[Cause::NotFound, Cause::Conflict])
        .refuses(CHANGES),
    ]
}

async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.namespaces(request).await?))
}

async fn get(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.namespace(&name, request).await?))
}

async fn create(
    State(gateway): State<Arc<Gateway>>,
    request: Request<Namespace>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(gateway.provider.create_namespace(request).await?))
}

async fn update(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request<Namespace>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(
        gateway.provider.update_namespace(&name, request).await?,
    ))
}

async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request<Namespace>,
) -> Result<Answered, ProviderError> {
    Ok(Answered(
        gateway.provider.delete_namespace(&name, request).await?,
    ))
}
