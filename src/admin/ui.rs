//! `/ui/`: the portal's files, part of the binary.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::not_found;
use crate::gateway::Gateway;

/// Nothing from elsewhere, nothing inline, no frames around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The files, by their path below `/ui/`, with their type.
const FILES: &[(&str, &str, &[u8])] = &[
    (
        "",
        "text/html; charset=utf-8",
        include_bytes!("../../ui/index.html"),
    ),
    (
        "app.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/app.js"),
    ),
    (
        "api.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/api.js"),
    ),
    (
        "docs.html",
        "text/html; charset=utf-8",
        include_bytes!("../../ui/docs.html"),
    ),
    (
        "docs.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/docs.js"),
    ),
    (
        "style.css",
        "text/css; charset=utf-8",
        include_bytes!("../../ui/style.css"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_bytes!("../../ui/icon.svg"),
    ),
];

/// `GET /ui/`.
pub async fn index(state: State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    file(state, Path(String::new()), headers).await
}

/// `GET /system/docs`: the page about the API is one of the portal's.
pub async fn docs(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.registry.current().config.ui.enabled {
        // Relative, so that it also works behind a path prefix.
        (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, "../ui/docs.html")],
        )
            .into_response()
    } else {
        not_found().await
    }
}

/// `GET /ui/FILE`. Revalidated at every load, so that a new binary shows its own portal.
pub async fn file(
    State(gateway): State<Arc<Gateway>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let enabled = gateway.registry.current().config.ui.enabled;
    let found = FILES.iter().find(|(name, _, _)| *name == path);
    let Some((_, kind, bytes)) = found.filter(|_| enabled) else {
        return not_found().await;
    };
    let tag = format!("\"{}-{}\"", super::info::COMMIT, bytes.len());
    let answer = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag.as_str()),
    ];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, answer).into_response();
    }
    (answer, *bytes).into_response()
}
