//! What the parser lets pass and a gateway must not.

use http::{HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::headers;
use crate::error::Failure;

/// Refuses a request that two programs could read in two ways (RFC 9112, sections 3.2 and 6), and puts
/// what is left into one form.
pub fn check(session: &mut Session) -> Result<(), Failure> {
    let request = session.req_header_mut();
    match request.headers.get(header::HOST) {
        Some(host) if !host.as_bytes().iter().all(is_host_byte) => {
            return Err(Failure::BadRequest("the Host header is not a host"));
        }
        None if request.version == Version::HTTP_11 => {
            return Err(Failure::BadRequest(
                "an HTTP/1.1 request needs a Host header",
            ));
        }
        _ => {}
    }
    let mut encodings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (!encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some())
    {
        return Err(Failure::BadRequest(
            "the only transfer encoding taken is chunked",
        ));
    }
    if !request.raw_path_is_utf8() {
        return Err(Failure::BadRequest("the path is not percent-encoded UTF-8"));
    }
    if request.raw_path().first() != Some(&b'/') {
        to_origin_form(request)?;
    }
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(first), Some(_)) = (lengths.next(), lengths.next()) {
        // Equal ones, or the parser would have refused them: one is enough for the function.
        let first = first.clone();
        request
            .insert_header(header::CONTENT_LENGTH, first)
            .map_err(|_| Failure::Internal)?;
    }
    // Pingora copies the head for the function: without the names' case that is half the work.
    headers::edit(request, |_| {});
    Ok(())
}

/// Turns `GET http://host/path` into `GET /path` for that host, which is what it means (RFC 9112,
/// section 3.2.2). No other form but the path itself is for a gateway.
fn to_origin_form(request: &mut RequestHeader) -> Result<(), Failure> {
    const NO_PATH: Failure = Failure::BadRequest("the request target is not a path");
    let target = request.raw_path();
    let is_http = |scheme: &&[u8]| {
        let start = target.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let schemes = [&b"http://"[..], b"https://"];
    let scheme = schemes
        .iter()
        .find(|scheme| is_http(scheme))
        .ok_or(NO_PATH)?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    let host = HeaderValue::from_bytes(&rest[..end.unwrap_or(rest.len())]).map_err(|_| NO_PATH)?;
    // Pingora keeps the path of such a target apart.
    let path = request
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let path = path.to_owned();
    request.set_raw_path(path.as_bytes()).map_err(|_| NO_PATH)?;
    request
        .insert_header(header::HOST, host)
        .map_err(|_| NO_PATH)
}

/// What a host and port can consist of (RFC 3986, section 3.2.2).
fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte)
}
