//! `/ui/`: the portal's files. A release carries them in the binary; a debug build reads them from
//! the source tree, so that they can be written without building.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, OnceLock};

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::not_found;
use crate::gateway::Gateway;

/// Nothing from elsewhere, nothing inline, no frames around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is served, by the end of a file's name: all of it gets smaller by packing. Everything else in the
/// folder, as notes and type declarations, is for people who work on it.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
];

#[derive(RustEmbed)]
#[folder = "ui"]
struct Files;

/// A file's content, packed, and the hash of what was packed.
type Packed = ([u8; 32], Bytes);

/// The packed files, each made when it is first asked for.
static PACKED: LazyLock<HashMap<Cow<'static, str>, OnceLock<Packed>>> =
    LazyLock::new(|| Files::iter().map(|name| (name, OnceLock::new())).collect());

/// `GET /ui`: relative, so that it also works behind a path prefix.
pub async fn slash(State(gateway): State<Arc<Gateway>>) -> Response {
    redirect(&gateway, "ui/").await
}

/// `GET /ui/`.
pub async fn index(state: State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    file(state, Path("index.html".to_owned()), headers).await
}

/// `GET /system/docs`: the page about the API is one of the portal's.
pub async fn docs(State(gateway): State<Arc<Gateway>>) -> Response {
    redirect(&gateway, "../ui/docs.html").await
}

/// `GET /ui/FILE`. Revalidated at every load, so that a new binary shows its own portal.
pub async fn file(
    State(gateway): State<Arc<Gateway>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    match find(&path) {
        Some((file, kind)) if is_enabled(&gateway) => answer(&path, file, kind, &headers),
        _ => not_found().await,
    }
}

async fn redirect(gateway: &Gateway, location: &'static str) -> Response {
    if is_enabled(gateway) {
        let location = [(header::LOCATION, location)];
        (StatusCode::TEMPORARY_REDIRECT, location).into_response()
    } else {
        not_found().await
    }
}

fn is_enabled(gateway: &Gateway) -> bool {
    gateway.registry.current().config.ui.enabled
}

fn find(path: &str) -> Option<(EmbeddedFile, &'static str)> {
    let (_, end) = path.rsplit_once('.')?;
    let (_, kind) = TYPES.iter().find(|(known, _)| *known == end)?;
    Some((Files::get(path)?, kind))
}

fn answer(path: &str, file: EmbeddedFile, kind: &'static str, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    // Weak, as it stands for the packed form too.
    let tag = format!("W/\"{}\"", hex(&hash[..8]));
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "Accept-Encoding"),
        (header::ETAG, tag.as_str()),
    ];
    if lists(headers, &header::IF_NONE_MATCH, |known| known == tag) {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    if lists(headers, &header::ACCEPT_ENCODING, is_gzip)
        && let Some(packed) = packed(path, hash, &file.data)
    {
        let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return (fixed, encoding, packed).into_response();
    }
    let plain = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    (fixed, plain).into_response()
}

/// Whether one of the values of a header, which are separated by commas, is wanted.
fn lists(headers: &HeaderMap, name: &http::HeaderName, is_wanted: impl Fn(&str) -> bool) -> bool {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|value| is_wanted(value.trim()))
}

/// Whether a value of `Accept-Encoding` allows gzip: its weight, if there is one, is not zero.
fn is_gzip(value: &str) -> bool {
    let (name, weight) = value.split_once(';').unwrap_or((value, "q=1"));
    let weight = weight.trim().trim_start_matches(['q', 'Q', '=']);
    name.trim().eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|weight: f32| weight > 0.0)
}

/// The packed form that is kept; made anew where the file on the disk has changed since.
fn packed(path: &str, hash: [u8; 32], data: &[u8]) -> Option<Bytes> {
    let Some(place) = PACKED.get(path) else {
        return pack(data).ok();
    };
    if let Some((of, bytes)) = place.get()
        && *of == hash
    {
        return Some(bytes.clone());
    }
    let bytes = pack(data).ok()?;
    // Another request may have been quicker; both have made the same.
    let _ = place.set((hash, bytes.clone()));
    Some(bytes)
}

fn pack(data: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data)?;
    Ok(encoder.finish()?.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_allowed() {
        for (value, allowed) in [
            ("gzip", true),
            ("GZIP", true),
            ("gzip;q=0.5", true),
            ("gzip; q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("gzip;q=", false),
            ("br", false),
            ("x-gzip-more", false),
        ] {
            assert_eq!(is_gzip(value), allowed, "{value}");
        }
    }

    #[test]
    fn only_files_for_browsers_are_found() {
        assert!(find("index.html").is_some());
        for path in [
            "",
            "README.md",
            "nothing.js",
            "../Cargo.toml",
            "../src/main.js",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn every_file_of_the_portal_is_served_or_left_out_on_purpose() {
        for path in Files::iter() {
            let ends = [".md", ".d.ts", "vendor/refresh"];
            let notes = ends.iter().any(|end| path.ends_with(end));
            assert_eq!(find(&path).is_some(), !notes, "{path}");
        }
    }
}
