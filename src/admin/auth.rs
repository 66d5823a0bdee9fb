//! Who may use the API: basic authentication (wire.md section 8), and no state-changing call that
//! another site makes in the name of a logged-in browser.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};

use super::failure;
use crate::gateway::Gateway;

/// Lets a request pass that carries the credentials.
pub async fn require(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    if admits(&gateway, request.headers()) {
        return next.run(request).await;
    }
    let headers = [
        (header::WWW_AUTHENTICATE, r#"Basic realm="Restricted""#),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (StatusCode::UNAUTHORIZED, headers, "invalid credentials").into_response()
}

/// Refuses what a page of another origin sends: browsers attach basic credentials by themselves.
pub async fn same_origin(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    failure(
        StatusCode::FORBIDDEN,
        "cross_origin",
        "this call comes from a page of another site",
    )
}

/// Whether the headers carry the credentials, or none are asked for.
pub fn admits(gateway: &Gateway, headers: &HeaderMap) -> bool {
    let credentials = gateway.credentials.load();
    credentials
        .as_ref()
        .is_none_or(|own| own.check(headers.get(header::AUTHORIZATION)))
}

/// Whether the request comes from no browser, or from a page of this gateway. What a browser says
/// in `Sec-Fetch-Site` and `Origin` cannot be forged by a page.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_own_origin_and_programs_pass() {
        for (headers, same) in [
            (vec![], true),
            (vec![("host", "a:1"), ("origin", "http://a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://b:1")], false),
            (vec![("host", "a:1"), ("origin", "null")], false),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "cross-site"), ("host", "a")], false),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| {
                    let name = http::HeaderName::from_static(name);
                    (name, HeaderValue::from_static(value))
                })
                .collect();
            assert_eq!(is_same_origin(&map), same, "{headers:?}");
        }
    }
}
