//! From a request's path to where it leads. Works on the path as it came: nothing is decoded that a
//! function will see.

use std::borrow::Cow;

use crate::function::is_name_byte;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// `/function/NAME` and what follows the name, byte for byte: empty, or from `/` on.
    Function {
        /// The name as called, with its namespace if one was given.
        name: Cow<'a, str>,
        /// Where in the path the rest begins.
        rest: usize,
    },
    /// `/async-function/NAME` and what follows the name, in the same way.
    AsyncFunction {
        /// The name as called.
        name: Cow<'a, str>,
        /// Where in the path the rest begins.
        rest: usize,
    },
    /// The management API.
    System,
    /// The portal.
    Ui,
    /// `/healthz`.
    Health,
    /// `/`.
    Root,
    /// Nothing is there.
    Nowhere,
}

/// Parses a path without its query (wire.md section 1.2).
pub fn parse(path: &str) -> Destination<'_> {
    if let Some(rest) = path.strip_prefix("/function/") {
        return function(rest, "/function/".len());
    }
    if let Some(rest) = path.strip_prefix("/async-function/") {
        return match function(rest, "/async-function/".len()) {
            Destination::Function { name, rest } => Destination::AsyncFunction { name, rest },
            other => other,
        };
    }
    match path {
        "/" => Destination::Root,
        "/healthz" => Destination::Health,
        _ if path.starts_with("/system/") => Destination::System,
        "/ui" => Destination::Ui,
        _ if path.starts_with("/ui/") => Destination::Ui,
        _ => Destination::Nowhere,
    }
}

/// Whether a path is the gateway's own, as far as no rule with a host says otherwise.
pub fn is_own(path: &str) -> bool {
    !matches!(parse(path), Destination::Nowhere | Destination::Root)
}

fn function(after_prefix: &str, prefix: usize) -> Destination<'_> {
    let end = after_prefix.find('/').unwrap_or(after_prefix.len());
    let segment = &after_prefix[..end];
    let rest = prefix + end;
    if is_name(segment) {
        let name = Cow::Borrowed(segment);
        return Destination::Function { name, rest };
    }
    // A name may arrive percent-encoded, as matching is done on the decoded path.
    match decode(segment) {
        Some(name) if is_name(&name) => Destination::Function {
            name: Cow::Owned(name),
            rest,
        },
        _ => Destination::Nowhere,
    }
}

fn is_name(segment: &str) -> bool {
    !segment.is_empty()
        && segment
            .bytes()
            .all(|byte| is_name_byte(byte) || byte == b'.')
}

fn decode(segment: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

/// The path to redirect to, if this one has empty, `.` or `..` segments (wire.md section 1.2).
/// Dots are seen through percent-encoding, slashes are not: `%2F` belongs to a segment.
pub fn cleaned(path: &str) -> Option<String> {
    if !needs_cleaning(path) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match dots(segment) {
            Some(1) => {}
            Some(2) => {
                kept.pop();
            }
            _ if segment.is_empty() => {}
            _ => kept.push(segment),
        }
    }
    let mut clean = String::with_capacity(path.len());
    for segment in &kept {
        clean.push('/');
        clean.push_str(segment);
    }
    if clean.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    Some(clean)
}

/// One pass over the bytes, as every request pays for it.
fn needs_cleaning(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut after_slash = false;
    for (index, byte) in bytes.iter().enumerate() {
        if after_slash {
            match byte {
                b'/' => return true,
                b'.' | b'%' => {
                    let segment = path[index..].split('/').next().unwrap_or_default();
                    if dots(segment).is_some() {
                        return true;
                    }
                }
                _ => {}
            }
        }
        after_slash = *byte == b'/';
    }
    bytes.first() != Some(&b'/')
}

/// 1 for `.`, 2 for `..`, percent-encoded or not.
fn dots(segment: &str) -> Option<usize> {
    if !segment.starts_with(['.', '%']) || segment.len() > 6 {
        return None;
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => Some(1),
        ".." => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(path: &str) -> Option<(String, &str)> {
        match parse(path) {
            Destination::Function { name, rest } => Some((name.into_owned(), &path[rest..])),
            _ => None,
        }
    }

    #[test]
    fn a_function_path_is_name_and_rest() {
        for (path, name, rest) in [
            ("/function/fig", "fig", ""),
            ("/function/fig/", "fig", "/"),
            ("/function/fig/a%20b/%2F", "fig", "/a%20b/%2F"),
            ("/function/fig.prod/x", "fig.prod", "/x"),
            ("/function/f%69g/x", "fig", "/x"),
            ("/function/.openfaas-fn", ".openfaas-fn", ""),
        ] {
            assert_eq!(function_of(path), Some((name.to_owned(), rest)), "{path}");
        }
    }

    #[test]
    fn a_name_with_other_characters_leads_nowhere() {
        for path in [
            "/function/",
            "/function/a b",
            "/function/a%20b",
            "/function/%00",
            "/function/%",
            "/function/%zz",
            "/function/%c3%a4",
            "/function/a%2fb",
            "/function",
        ] {
            assert_eq!(parse(path), Destination::Nowhere, "{path}");
        }
    }

    #[test]
    fn the_other_routes_have_fixed_paths() {
        assert_eq!(parse("/"), Destination::Root);
        assert_eq!(parse("/healthz"), Destination::Health);
        assert_eq!(parse("/system/functions"), Destination::System);
        assert_eq!(parse("/ui/"), Destination::Ui);
        assert_eq!(parse("/ui"), Destination::Ui);
        assert_eq!(
            parse("/async-function/f%69g/x"),
            Destination::AsyncFunction {
                name: "fig".into(),
                rest: "/async-function/f%69g".len(),
            }
        );
        for path in ["/uix", "/system", "/metrics", "/healthz/", "/functions"] {
            assert_eq!(parse(path), Destination::Nowhere, "{path}");
        }
    }

    #[test]
    fn unclean_paths_are_cleaned_as_the_2019_router_did() {
        for (path, clean) in [
            ("/function//fig", "/function/fig"),
            ("/function/fig/..", "/function"),
            ("/function/fig/./x/", "/function/fig/x/"),
            ("/function/../system/functions", "/system/functions"),
            ("/function/%2e%2E/system", "/system"),
            ("/..", "/"),
            ("//", "/"),
        ] {
            assert_eq!(cleaned(path).as_deref(), Some(clean), "{path}");
        }
        for path in [
            "/",
            "/function/fig/",
            "/function/.openfaas-fn",
            "/function/a..b/...",
            "/a/%2F%2F",
        ] {
            assert_eq!(cleaned(path), None, "{path}");
        }
    }
}
