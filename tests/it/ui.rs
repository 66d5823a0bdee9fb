//! `/ui/`: the portal's files.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::harness::{Gateway, Response, basic};

fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    let (user, password) = gateway.credentials();
    let authorization = basic(&user, &password);
    let mut all = vec![("Authorization", authorization.as_str())];
    all.extend_from_slice(headers);
    gateway.request("GET", path, &all, "")
}

#[test]
fn every_file_comes_with_its_type_and_what_a_browser_may_do_with_it() {
    let gateway = Gateway::start("");
    for (path, kind) in [
        ("/ui/", "text/html; charset=utf-8"),
        ("/ui/index.html", "text/html; charset=utf-8"),
        ("/ui/app.js", "text/javascript; charset=utf-8"),
        ("/ui/style.css", "text/css; charset=utf-8"),
        ("/ui/icon.svg", "image/svg+xml"),
    ] {
        let reply = ask(&gateway, path, &[]).assert_status(200);
        assert_eq!(reply.header("Content-Type"), kind, "{path}");
        assert_eq!(reply.header("X-Content-Type-Options"), "nosniff", "{path}");
        assert_eq!(reply.header("Cache-Control"), "no-cache", "{path}");
        assert_eq!(reply.header("Vary"), "Accept-Encoding", "{path}");
        let policy = reply.header("Content-Security-Policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!reply.body.is_empty(), "{path}");
    }
    for path in ["/ui/nothing.js", "/ui/app", "/ui/%2e%2e%2fCargo.toml"] {
        ask(&gateway, path, &[]).assert_error(404, "not_found");
    }
}

#[test]
fn what_a_browser_has_already_is_not_sent_again() {
    let gateway = Gateway::start("");
    let first = ask(&gateway, "/ui/app.js", &[]).assert_status(200);
    let tag = first.header("ETag");
    let other = ask(&gateway, "/ui/style.css", &[]);
    assert_ne!(tag, other.header("ETag"), "each file has a tag of its own");
    for known in [tag.to_owned(), format!("\"old\", {tag}")] {
        let again = ask(&gateway, "/ui/app.js", &[("If-None-Match", &known)]).assert_status(304);
        assert_eq!(again.header("ETag"), tag);
        assert!(again.body.is_empty());
    }
    ask(&gateway, "/ui/app.js", &[("If-None-Match", "\"old\"")]).assert_status(200);
}

#[test]
fn a_file_is_packed_for_who_can_unpack_it() {
    let gateway = Gateway::start("");
    let plain = ask(&gateway, "/ui/app.js", &[("Accept-Encoding", "br")]).assert_status(200);
    assert!(!plain.headers.has("Content-Encoding"), "{plain:?}");
    for _ in 0..2 {
        let accept = [("Accept-Encoding", "br, gzip;q=0.8")];
        let packed = ask(&gateway, "/ui/app.js", &accept).assert_status(200);
        assert_eq!(packed.header("Content-Encoding"), "gzip");
        assert_eq!(packed.header("ETag"), plain.header("ETag"));
        assert!(packed.body.len() < plain.body.len());
        let mut unpacked = Vec::new();
        let mut reader = GzDecoder::new(&*packed.body);
        reader.read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
    }
}

#[test]
fn the_path_without_its_slash_leads_to_the_portal_behind_a_prefix_too() {
    let gateway = Gateway::start("");
    let reply = ask(&gateway, "/ui", &[]).assert_status(307);
    assert_eq!(reply.header("Location"), "ui/");
    gateway.get("/ui").assert_status(401);
}

#[test]
fn a_portal_that_is_switched_off_is_not_there() {
    let gateway = Gateway::start("ui: { enabled: false }\n");
    for path in ["/ui", "/ui/", "/ui/app.js"] {
        ask(&gateway, path, &[]).assert_error(404, "not_found");
    }
    gateway.edit_and_wait("ui: { enabled: true }\n");
    ask(&gateway, "/ui/", &[]).assert_status(200);
}
