//! The headers the gateway adds on the way to a function and back (wire.md sections 2.1 and 3).

use std::cell::RefCell;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use uuid::Uuid;

use crate::config::is_trusted;

/// Milliseconds that a call waited for a function which had no replica.
pub const COLD_START: &str = "X-Cold-Start";
/// Names the call everywhere: at the client, in the function, in the logs.
pub const CALL_ID: &str = "X-Call-Id";
/// When the gateway took the call, in nanoseconds since 1970.
pub const START_TIME: &str = "X-Start-Time";

/// Concern one connection, named in `Connection` or not.
const HOP_HEADERS: [&str; 3] = ["keep-alive", "proxy-connection", "proxy-authenticate"];

/// The names above for lookups: to take a name apart costs more than to look it up.
static CALL_ID_NAME: HeaderName = HeaderName::from_static("x-call-id");
static START_TIME_NAME: HeaderName = HeaderName::from_static("x-start-time");
/// The addresses a call came through.
static FORWARDED_FOR_NAME: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The host the client asked for.
static FORWARDED_HOST_NAME: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Longest call id taken from a client, in bytes: it goes into logs and function environments.
const MAX_CALL_ID: usize = 256;

/// What names one call.
#[derive(Clone, Debug)]
pub struct CallIdentity {
    /// [`CALL_ID`]: the client's own, or a new random UUID.
    pub id: HeaderValue,
    /// [`START_TIME`].
    pub start_time: HeaderValue,
}

impl CallIdentity {
    /// Takes the client's call id if it sent a usable one.
    pub fn of(request: &HeaderMap, now: SystemTime) -> Self {
        let sent = request
            .get(&CALL_ID_NAME)
            .filter(|id| !id.is_empty() && id.len() <= MAX_CALL_ID);
        Self {
            id: sent.cloned().unwrap_or_else(random_id),
            start_time: nanoseconds(now),
        }
    }
}

/// Works on a request's bare headers. Their names are in lower case from here on, as they come from
/// every HTTP/2 client (RFC 9113, section 8.2.1): Pingora's second map, which keeps the case, would
/// double the price of each header that is added.
pub fn edit(request: &mut RequestHeader, edit: impl FnOnce(&mut HeaderMap)) {
    let blank = http::Request::new(()).into_parts().0;
    let mut parts: Parts = std::mem::replace(request, RequestHeader::from(blank)).into();
    edit(&mut parts.headers);
    *request = RequestHeader::from(parts);
}

/// Puts the call's identity into the request for the function.
pub fn identify(headers: &mut HeaderMap, identity: &CallIdentity) {
    // Two here, three in `forward`: growing once is cheaper than three times.
    headers.reserve(5);
    headers.insert(&CALL_ID_NAME, identity.id.clone());
    headers.insert(&START_TIME_NAME, identity.start_time.clone());
}

/// `Host` becomes the function's; where the call came from goes into `X-Forwarded-*`. What a client
/// says of itself there counts only behind a trusted proxy.
pub fn forward(
    headers: &mut HeaderMap,
    client: Option<IpAddr>,
    trusted: &[IpNet],
    authority: &HeaderValue,
) {
    let trusted = client.is_some_and(|client| is_trusted(trusted, client));
    let host = headers.insert(header::HOST, authority.clone());
    let keep = trusted
        && headers
            .get(&FORWARDED_HOST_NAME)
            .is_some_and(|sent| !sent.is_empty());
    if let (false, Some(host)) = (keep, host.filter(|host| !host.is_empty())) {
        headers.insert(&FORWARDED_HOST_NAME, host);
    }
    if let Some(client) = client {
        let mut value = address_value(client);
        if trusted && let Some(chain) = joined(headers, &value) {
            value = chain;
        }
        headers.insert(&FORWARDED_FOR_NAME, value);
    }
}

/// Takes out what only concerns the connection to the function (RFC 9110, section 7.6.1).
pub fn strip_hop_headers(response: &mut ResponseHeader) {
    let plain = |named: &&HeaderValue| !matches!(named.as_bytes(), b"keep-alive" | b"close");
    if let Some(named) = response
        .headers
        .get(header::CONNECTION)
        .filter(plain)
        .cloned()
    {
        let tokens = named.as_bytes().split(|byte| *byte == b',');
        for token in tokens.map(<[u8]>::trim_ascii) {
            // `Upgrade` belongs to the answer to an upgrade, which is passed on as a whole.
            if !token.eq_ignore_ascii_case(b"upgrade")
                && let Ok(name) = HeaderName::from_bytes(token)
            {
                response.remove_header(&name);
            }
        }
    }
    // Mostly there are none, and to see that costs less than to remove three.
    let is_hop = |name: &HeaderName| HOP_HEADERS.contains(&name.as_str());
    if response.headers.keys().any(is_hop) {
        for name in HOP_HEADERS {
            response.remove_header(name);
        }
    }
}

/// Headers for the client. A function's own `X-Call-Id` or `X-Start-Time` wins.
pub fn finish_response(response: &mut ResponseHeader, identity: &CallIdentity) -> Result<()> {
    if !response.headers.contains_key(&CALL_ID_NAME) {
        response.insert_header(CALL_ID, identity.id.clone())?;
    }
    if !response.headers.contains_key(&START_TIME_NAME) {
        response.insert_header(START_TIME, identity.start_time.clone())?;
    }
    Ok(())
}

/// The chain of addresses so far, however many lines it came in, and one more; `None` without one.
fn joined(headers: &HeaderMap, last: &HeaderValue) -> Option<HeaderValue> {
    let mut chain = Vec::new();
    for part in headers.get_all(&FORWARDED_FOR_NAME) {
        if !part.is_empty() {
            chain.extend_from_slice(part.as_bytes());
            chain.extend_from_slice(b", ");
        }
    }
    if chain.is_empty() {
        return None;
    }
    chain.extend_from_slice(last.as_bytes());
    HeaderValue::from_maybe_shared(chain).ok()
}

fn random_id() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    // Hexadecimal digits and hyphens.
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn nanoseconds(now: SystemTime) -> HeaderValue {
    let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    HeaderValue::from(u64::try_from(nanos.as_nanos()).unwrap_or(u64::MAX))
}

/// An address as a header value. One client, or one load balancer, makes many calls in a row, so
/// the last one is kept per thread.
fn address_value(address: IpAddr) -> HeaderValue {
    thread_local!(static LAST: RefCell<Option<(IpAddr, HeaderValue)>> = const { RefCell::new(None) });
    LAST.with_borrow_mut(|last| match last {
        Some((known, value)) if *known == address => value.clone(),
        _ => {
            let mut text = Vec::with_capacity(39);
            // Writing to a Vec cannot fail.
            let _ = write!(text, "{address}");
            let value = HeaderValue::from_maybe_shared(text)
                .unwrap_or_else(|_| HeaderValue::from_static(""));
            *last = Some((address, value.clone()));
            value
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(lines: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/a?b", None).unwrap();
        for (name, value) in lines {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn forwarded(
        headers: &[(&'static str, &'static str)],
        trusted: &[&str],
    ) -> (String, Option<String>) {
        let mut request = request(headers);
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let client = Some(IpAddr::from([10, 0, 0, 9]));
        let authority = HeaderValue::from_static("10.1.1.1:80");
        edit(&mut request, |headers| {
            forward(headers, client, &trusted, &authority);
        });
        assert_eq!(request.raw_path(), b"/a?b");
        assert_eq!(request.headers.get("host").unwrap(), "10.1.1.1:80");
        let text = |name: &HeaderName| {
            let values: Vec<_> = request.headers.get_all(name).iter().collect();
            assert!(values.len() <= 1, "{name} is there once at most");
            values.first().map(|v| v.to_str().unwrap().to_owned())
        };
        (
            text(&FORWARDED_FOR_NAME).unwrap(),
            text(&FORWARDED_HOST_NAME),
        )
    }

    #[test]
    fn the_client_address_has_no_port_and_the_host_is_kept() {
        let (chain, host) = forwarded(&[("Host", "example.org:8080")], &[]);
        assert_eq!(chain, "10.0.0.9");
        assert_eq!(host.as_deref(), Some("example.org:8080"));
    }

    #[test]
    fn what_a_stranger_says_of_itself_is_replaced() {
        let headers = [
            ("Host", "real"),
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-Host", "fake"),
        ];
        assert_eq!(
            forwarded(&headers, &["192.168.0.0/16"]),
            ("10.0.0.9".to_owned(), Some("real".to_owned()))
        );
    }

    #[test]
    fn a_trusted_proxy_is_appended_and_its_host_believed() {
        let headers = [
            ("Host", "inner"),
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-For", "2.2.2.2"),
            ("X-Forwarded-Host", "outer"),
        ];
        assert_eq!(
            forwarded(&headers, &["10.0.0.0/8"]),
            (
                "1.1.1.1, 2.2.2.2, 10.0.0.9".to_owned(),
                Some("outer".to_owned())
            )
        );
    }

    #[test]
    fn a_call_id_is_kept_or_made() {
        let mut headers = HeaderMap::new();
        let made = CallIdentity::of(&headers, SystemTime::now());
        assert_eq!(made.id.len(), 36);
        assert_eq!(made.start_time.len(), 19);
        headers.insert(CALL_ID, HeaderValue::from_static("mine"));
        assert_eq!(CallIdentity::of(&headers, SystemTime::now()).id, "mine");
        headers.insert(CALL_ID, HeaderValue::from_static(""));
        assert_eq!(CallIdentity::of(&headers, SystemTime::now()).id.len(), 36);
    }

    #[test]
    fn hop_headers_stay_behind() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("Connection", "keep-alive, X-Named"),
            ("X-Named", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
            ("X-Kept", "1"),
        ] {
            response.insert_header(name, value).unwrap();
        }
        strip_hop_headers(&mut response);
        let left: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["connection", "x-kept"]);
    }

    #[test]
    fn a_functions_own_identity_wins() {
        let identity = CallIdentity::of(&HeaderMap::new(), SystemTime::now());
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header(CALL_ID, "own").unwrap();
        finish_response(&mut response, &identity).unwrap();
        assert_eq!(response.headers.get(CALL_ID).unwrap(), "own");
        assert_eq!(response.headers.get(START_TIME), Some(&identity.start_time));
    }
}
