//! What a page of another site can make a browser do: send the password by itself, and send what it
//! likes to a name that suddenly leads to this machine.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, header};

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

/// Whether the request was sent to a name of this machine that no name server has a say in. A page
/// that makes its own name lead here (DNS rebinding) is of the same origin, and its requests need
/// not carry any other mark of a browser.
pub fn is_for_this_machine(head: &Parts) -> bool {
    let host = match head.headers.get(header::HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).ok(),
        // HTTP/2 has it in the target; HTTP/1.0 without it is not spoken by browsers.
        None => match head.uri.authority() {
            Some(authority) => Some(authority.clone()),
            None => return true,
        },
    };
    host.is_some_and(|host| is_loopback(host.host()))
}

/// `localhost` and names below it lead to this machine in every browser (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderValue, Request};

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

    #[test]
    fn only_loopback_names_and_addresses_are_this_machine() {
        for (host, own) in [
            ("localhost", true),
            ("LocalHost.:8080", true),
            ("gateway.localhost:80", true),
            ("127.0.0.1", true),
            ("127.9.9.9:8080", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("", false),
            ("evil.example:8080", false),
            ("notlocalhost", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("0.0.0.0:8080", false),
            ("10.0.0.1", false),
            ("[::2]", false),
        ] {
            let request = Request::get("/").header(header::HOST, host).body(());
            let head = request.unwrap().into_parts().0;
            assert_eq!(is_for_this_machine(&head), own, "{host:?}");
        }
    }

    #[test]
    fn the_target_of_http_2_names_the_host() {
        for (target, own) in [
            ("http://localhost:8080/ui/", true),
            ("http://evil.example/ui/", false),
            ("/ui/", true),
        ] {
            let head = Request::get(target).body(()).unwrap().into_parts().0;
            assert_eq!(is_for_this_machine(&head), own, "{target}");
        }
    }
}
