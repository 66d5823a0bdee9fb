//! A request's head as `Http_*` variables, for functions that know nothing but their environment
//! (users.md section 5.3).
//!
//! Every name starts with `Http_`, so a caller can set none that means something to the system.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use http::header::{CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use hyper::body::SizeHint;

/// The variables of one request. Where a header is repeated its first value counts; path and query
/// are passed as they came, not decoded.
pub(super) fn variables(head: &Parts, body: &SizeHint) -> Vec<(OsString, OsString)> {
    let length = body
        .exact()
        .map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("Http_Method".into(), head.method.as_str().into()),
        ("Http_Path".into(), head.uri.path().into()),
        ("Http_ContentLength".into(), length.clone().into()),
        ("Http_Content_Length".into(), length.into()),
    ];
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        variables.push(("Http_Query".into(), query.into()));
    }
    for name in head.headers.keys().filter(|name| is_passed(name)) {
        if let Some(value) = head.headers.get(name) {
            let value = OsStr::from_bytes(value.as_bytes()).to_owned();
            variables.push((variable_name(name).into(), value));
        }
    }
    variables
}

/// Headers whose variables are taken by the request itself stay out, and so does `Proxy`: it would
/// become a variable that HTTP clients obey where case is ignored (CVE-2016-5385, "httpoxy").
fn is_passed(name: &HeaderName) -> bool {
    *name != CONTENT_LENGTH && !matches!(name.as_str(), "method" | "path" | "query" | "proxy")
}

/// `x-call-id` becomes `Http_X_Call_Id`: the casing of Go's canonical header names.
fn variable_name(name: &HeaderName) -> String {
    let mut variable = String::with_capacity("Http_".len() + name.as_str().len());
    variable.push_str("Http");
    for word in name.as_str().split('-') {
        let (first, rest) = word.split_at(word.len().min(1));
        variable.push('_');
        variable.push_str(&first.to_ascii_uppercase());
        variable.push_str(rest);
    }
    variable
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use http::{HeaderValue, Request};

    use super::*;

    fn of(request: http::request::Builder, body: &SizeHint) -> BTreeMap<String, OsString> {
        let (head, ()) = request.body(()).unwrap().into_parts();
        variables(&head, body)
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value))
            .collect()
    }

    #[test]
    fn the_head_becomes_variables_with_the_names_of_the_classic_watchdog() {
        let request = Request::post("/a%20b?x=1&y=2")
            .header("host", "example.org")
            .header("x-call-id", "abc")
            .header("content-length", "3")
            .header("accept", "one")
            .header("accept", "two");
        let variables = of(request, &SizeHint::with_exact(3));
        let expected = [
            ("Http_Accept", "one"),
            ("Http_ContentLength", "3"),
            ("Http_Content_Length", "3"),
            ("Http_Host", "example.org"),
            ("Http_Method", "POST"),
            ("Http_Path", "/a%20b"),
            ("Http_Query", "x=1&y=2"),
            ("Http_X_Call_Id", "abc"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(variables, BTreeMap::from(expected));
    }

    #[test]
    fn a_body_of_unknown_length_has_length_minus_one_and_its_transfer_encoding() {
        let request = Request::post("/").header("transfer-encoding", "chunked");
        let variables = of(request, &SizeHint::new());
        assert_eq!(variables["Http_Transfer_Encoding"], "chunked");
        assert_eq!(variables["Http_ContentLength"], "-1");
        assert!(!variables.contains_key("Http_Query"));
    }

    #[test]
    fn values_keep_their_bytes_and_no_name_leaves_the_prefix() {
        let strange = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        let request = Request::get("/")
            .header("x-name", strange)
            .header("path", "/evil")
            .header("query", "evil")
            .header("proxy", "http://evil/");
        let variables = of(request, &SizeHint::with_exact(0));
        assert_eq!(variables["Http_X_Name"].as_bytes(), b"caf\xe9");
        assert!(variables.keys().all(|name| name.starts_with("Http_")));
        assert_eq!(variables["Http_Path"], "/");
        assert!(!variables.contains_key("Http_Query"));
        assert!(!variables.contains_key("Http_Proxy"));
    }
}
