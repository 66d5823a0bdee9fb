//! What a browser may be made to do by a page of another site: nothing that changes anything.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, header};

use super::text;
use crate::error::{Cause, Refusal};

/// Refuses what a page of another origin sends: browsers attach basic credentials by themselves.
pub async fn same_origin(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    let message = "this call comes from a page of another site";
    Refusal::new(Cause::CrossOrigin, message).into_response()
}

/// Without a password the loopback address is all that protects the API. A page whose name has been
/// made to lead there (DNS rebinding) is of the same origin then; its name gives it away.
pub fn check_host(headers: &HeaderMap, listen: SocketAddr) -> Result<(), Refusal> {
    if !listen.ip().is_loopback() {
        return Ok(());
    }
    match text(headers, header::HOST) {
        Some(host) if !is_local(host) => {
            let message = format!(
                "without a password the API is only called by a local name such as localhost, not \
                 as `{host}`"
            );
            Err(Refusal::new(Cause::CrossOrigin, message))
        }
        _ => Ok(()),
    }
}

/// Whether the request comes from no browser, or from a page of this gateway. What a browser says
/// in `Sec-Fetch-Site` and `Origin` cannot be forged by a page.
fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    match (text(headers, header::ORIGIN), text(headers, header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

/// `localhost` (RFC 6761, section 6.3) or an address, as only a name can be made to lead elsewhere.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_the_own_origin_and_programs_pass() {
        for (given, same) in [
            (&[][..], true),
            (&[("host", "a:1"), ("origin", "http://a:1")], true),
            (&[("host", "a:1"), ("origin", "http://b:1")], false),
            (&[("host", "a:1"), ("origin", "null")], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "cross-site"), ("host", "a")], false),
        ] {
            assert_eq!(is_same_origin(&headers(given)), same, "{given:?}");
        }
    }

    #[test]
    fn without_a_password_a_foreign_name_is_refused_on_the_loopback_address() {
        let loopback = "127.0.0.1:8080".parse().unwrap();
        let public = "0.0.0.0:8080".parse().unwrap();
        for (host, good) in [
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("gateway.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
        ] {
            let given = headers(&[("host", host)]);
            assert_eq!(check_host(&given, loopback).is_ok(), good, "{host}");
            check_host(&given, public).unwrap();
        }
        check_host(&HeaderMap::new(), loopback).unwrap();
    }
}
