//! The management API and the portal: one route table, one file per resource.
//!
//! The proxy calls this router in-process, on its own port or at an address of the API's. Routes and
//! their description come from the same place (`api`); what they ask of functions goes to the
//! provider, whichever it is.

mod alert;
mod api;
mod auth;
mod calls;
mod client;
mod config;
mod events;
mod exchange;
mod functions;
mod history;
mod info;
mod logs;
mod namespaces;
mod routes;
mod scaling;
mod secrets;
mod stack;
mod store;
mod telemetry;
mod ui;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};

use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;

pub use axum::Router;
pub use client::{Client, caller, serve};
pub use exchange::MAX_BODY;
pub use telemetry::router as telemetry;

use api::Api;
use auth::Door;

/// Where the portal begins.
const PORTAL: &str = "/ui/";

/// Every route of the API and the portal (wire.md section 1.3).
pub fn router(gateway: Arc<Gateway>) -> Router {
    let (protected, open, document) = api().finish();
    let document: Arc<str> = document.to_string().into();
    let protected = protected
        .route(
            "/system/openapi.json",
            get(|| async move { openapi(&document) }),
        )
        .route("/system/docs", get(ui::docs))
        .route("/ui", get(ui::slash))
        .route(PORTAL, get(ui::index))
        .route("/ui/{*file}", get(ui::file))
        .layer(middleware::from_fn(auth::same_origin))
        .layer(middleware::from_fn_with_state(
            Arc::new(Door::new(Arc::clone(&gateway))),
            auth::require,
        ));
    Router::new()
        .merge(protected)
        .merge(open)
        .route("/", get(portal))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), count))
        .with_state(gateway)
}

/// All that is described.
fn api() -> Api<Arc<Gateway>> {
    Api::new()
        .route("/system/functions", functions::all())
        .route("/system/function/{name}", functions::one())
        .route("/system/scale-function/{name}", functions::scaling())
        .route("/system/scaling/{name}", scaling::one())
        .route("/system/history", history::all())
        .route("/system/history/{name}", history::one())
        .route("/system/events", events::all())
        .route("/system/alert", alert::all())
        .route("/system/routes/match", routes::all())
        .route("/system/stack", stack::all())
        .route("/system/store", store::all(Arc::default()))
        .route("/system/async", calls::all())
        .route("/system/async/{id}", calls::one())
        .route("/system/async/{id}/replay", calls::replaying())
        .route("/system/secrets", secrets::all())
        .route("/system/namespaces", namespaces::all())
        .route("/system/namespace/", namespaces::new())
        .route("/system/namespace/{name}", namespaces::one())
        .route("/system/logs", logs::all())
        .route("/system/info", info::all())
        .route("/system/config", config::all())
        .route("/system/config/reload", config::reloading())
        .route("/healthz", info::health())
}

fn openapi(document: &str) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        document.to_owned(),
    )
        .into_response()
}

/// `GET /`: 301 to the portal (wire.md section 1.3).
async fn portal() -> Response {
    let link = Html(format!("<a href=\"{PORTAL}\">Moved Permanently</a>.\n\n"));
    (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, PORTAL)],
        link,
    )
        .into_response()
}

async fn not_found() -> Response {
    Refusal::not_found("there is nothing at this path").into_response()
}

async fn method_not_allowed() -> Refusal {
    Refusal::new(
        Cause::MethodNotAllowed,
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
        && !path.starts_with("/ui")
    {
        let seconds = started.elapsed().as_secs_f64();
        let status = response.status().as_u16();
        gateway
            .metrics
            .api_request(method.as_str(), path, status, seconds);
    }
    response
}
