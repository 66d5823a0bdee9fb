//! The management API and the portal: one route table, one file per resource.
//!
//! The proxy calls this router in-process. With a remote provider the routes of the OpenFaaS API
//! never get here: [`forwarded`] names them, and the proxy sends them on.

mod auth;
mod config;
mod functions;
mod info;
mod telemetry;
mod ui;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use http::{HeaderMap, Method, StatusCode, header};

use crate::error::{REASON_HEADER, error_body};
use crate::gateway::Gateway;

pub use axum::{Router, serve};
pub use info::{COMMIT, RELEASE};
pub use telemetry::router as telemetry;

/// Who sent a request; in the `ConnectInfo` extension.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub Option<IpAddr>);

/// Every route of the API and the portal (wire.md section 1.3).
pub fn router(gateway: Arc<Gateway>) -> Router {
    let protected = Router::new()
        .route(
            "/system/functions",
            get(functions::list).fallback(functions::later),
        )
        .route("/system/function/{name}", get(functions::status))
        .route("/system/info", get(info::info))
        .route("/system/namespaces", get(info::namespaces))
        .route("/system/config", get(config::show))
        .route("/system/config/reload", post(config::reload))
        .route("/system/scale-function/{name}", post(functions::later))
        .route("/system/secrets", any(functions::later))
        .route("/system/logs", get(functions::later))
        .route("/system/alert", post(functions::later))
        .route("/system/namespace/{*namespace}", any(functions::later))
        .route("/ui/", get(ui::index))
        .route("/ui/{*file}", get(ui::file))
        .layer(middleware::from_fn(auth::same_origin))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&gateway),
            auth::require,
        ));
    Router::new()
        .merge(protected)
        .route("/healthz", get(info::healthz))
        .route("/", get(portal))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), count))
        .with_state(gateway)
}

/// The template of a route that a remote provider serves, if this is one.
pub fn forwarded(method: &Method, path: &str) -> Option<&'static str> {
    const CRUD: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::DELETE];
    const ROUTES: &[(&str, &[Method])] = &[
        ("/system/functions", CRUD),
        ("/system/function/", &[Method::GET]),
        ("/system/scale-function/", &[Method::POST]),
        ("/system/secrets", CRUD),
        ("/system/logs", &[Method::GET]),
        ("/system/namespaces", &[Method::GET]),
        ("/system/namespace/", CRUD),
        ("/healthz", &[Method::GET]),
    ];
    let fits = |route: &str| match route.strip_suffix('/') {
        // The name after it may be empty only for a namespace that is being made.
        Some(_) => path.strip_prefix(route).is_some_and(|name| {
            !name.contains('/') && (!name.is_empty() || route.ends_with("ce/"))
        }),
        None => path == route,
    };
    let (route, methods) = ROUTES.iter().find(|(route, _)| fits(route))?;
    methods.contains(method).then_some(*route)
}

/// Whether a request that is to be forwarded may be.
pub fn admitted(gateway: &Gateway, headers: &HeaderMap, path: &str) -> bool {
    path == "/healthz" || (auth::is_same_origin(headers) && auth::admits(gateway, headers))
}

/// An error of the API in the shape all errors of the gateway have.
fn failure(status: StatusCode, reason: &'static str, error: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json"),
        (REASON_HEADER, reason),
    ];
    (status, headers, error_body(error, reason, None, None)).into_response()
}

/// `GET /`: 301 to the portal (wire.md section 1.3).
async fn portal() -> Response {
    let link = Html("<a href=\"/ui/\">Moved Permanently</a>.\n\n");
    (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, "/ui/")],
        link,
    )
        .into_response()
}

async fn not_found() -> Response {
    failure(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
}

async fn method_not_allowed() -> Response {
    failure(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not take this method",
    )
}

/// Counts every request by its route's template: a name in a label would grow without bound.
async fn count(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    // The portal's files are no API, and what led nowhere has no template.
    if let Some(path) = path.as_ref().map(MatchedPath::as_str)
        && !path.starts_with("/ui/")
    {
        let seconds = started.elapsed().as_secs_f64();
        let status = response.status().as_u16();
        gateway
            .metrics
            .api_request(method.as_str(), path, status, seconds);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_remote_provider_serves_is_forwarded() {
        for (method, path, template) in [
            (Method::GET, "/system/functions", Some("/system/functions")),
            (Method::PATCH, "/system/functions", None),
            (
                Method::GET,
                "/system/function/fig",
                Some("/system/function/"),
            ),
            (Method::GET, "/system/function/", None),
            (Method::GET, "/system/function/a/b", None),
            (
                Method::POST,
                "/system/namespace/",
                Some("/system/namespace/"),
            ),
            (Method::GET, "/system/info", None),
            (Method::GET, "/system/config", None),
            (Method::GET, "/healthz", Some("/healthz")),
        ] {
            assert_eq!(forwarded(&method, path), template, "{method} {path}");
        }
    }
}
