//! What a callback's URL says: who is connected to, and with which credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::PostError;

/// A URL that can be posted to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The URL without credentials.
    pub url: Uri,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Name or address, without the brackets of the latter.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `Authorization` for the credentials of the URL.
    pub authorization: Option<HeaderValue>,
}

impl Target {
    /// Reads a URL.
    pub fn of(url: &Uri) -> Result<Self, PostError> {
        let scheme = url.scheme_str().unwrap_or_default();
        let secure = scheme.eq_ignore_ascii_case("https");
        if !secure && !scheme.eq_ignore_ascii_case("http") {
            return Err(PostError::Scheme);
        }
        let authority = url.authority().ok_or(PostError::Host)?.as_str();
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let place = place.strip_suffix(':').unwrap_or(place);
        let place: Authority = place.parse().map_err(|_| PostError::Host)?;
        let host = place.host();
        let port = match place.as_str().strip_prefix(host) {
            Some("") => Some(if secure { 443 } else { 80 }),
            _ => place.port_u16().filter(|port| *port > 0),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(PostError::Host);
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.ok_or(PostError::Host)?,
            authorization: credentials.map(basic),
            url: plain(secure, place, url.path_and_query())?,
        })
    }

    /// What `Host` says.
    pub fn place(&self) -> &str {
        self.url.authority().map_or("", Authority::as_str)
    }

    /// What the request's first line says.
    pub fn path(&self) -> Uri {
        let path = self.url.path_and_query().cloned();
        // It always has one.
        path.map(Uri::from).unwrap_or_default()
    }

    /// Whether the host is an address and no name. An address of IPv4 may be written in many ways
    /// (`127.1`, `0x7f000001`), but no top-level domain is a number.
    pub fn is_literal(&self) -> bool {
        let last = self.host.trim_end_matches('.').rsplit('.').next();
        let last = last.unwrap_or_default().to_ascii_lowercase();
        let (digits, radix) = match last.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (last.as_str(), 10),
        };
        self.host.contains(':') || digits.chars().all(|digit| digit.is_digit(radix))
    }
}

/// The URL as its connector needs it.
fn plain(secure: bool, place: Authority, path: Option<&PathAndQuery>) -> Result<Uri, PostError> {
    let root = PathAndQuery::from_static("/");
    let url = Uri::builder()
        .scheme(if secure { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(place)
        .path_and_query(path.cloned().unwrap_or(root));
    url.build().map_err(|_| PostError::Host)
}

/// Basic authentication (RFC 7617) with what stands before the `@`.
fn basic(credentials: &str) -> HeaderValue {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let value = format!("Basic {}", STANDARD.encode(plain));
    // Base64 has no byte that a header value could not hold.
    let mut value = HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, PostError> {
        Target::of(&url.parse().unwrap())
    }

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask_for() {
        let cases = [
            ("http://a.b", "a.b", 80, "a.b", "/"),
            ("HTTP://a.b/", "a.b", 80, "a.b", "/"),
            ("https://a.b/c?d=e", "a.b", 443, "a.b", "/c?d=e"),
            ("http://a.b:8080?d", "a.b", 8080, "a.b:8080", "/?d"),
            ("http://a.b:/c", "a.b", 80, "a.b", "/c"),
            ("http://u:p@a.b:81/c@d", "a.b", 81, "a.b:81", "/c@d"),
            ("HtTpS://[::1]:8443", "::1", 8443, "[::1]:8443", "/"),
            ("http://[::1]/", "::1", 80, "[::1]", "/"),
        ];
        for (url, host, port, place, path) in cases {
            let target = target(url).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
            assert_eq!(target.place(), place, "{url}");
            assert_eq!(target.path().to_string(), path, "{url}");
            assert_eq!(target.secure, url.to_lowercase().starts_with("https"));
        }
    }

    #[test]
    fn what_can_never_be_posted_to_is_told() {
        for url in ["ftp://a.b/", "/relative", "a.b:80", "*"] {
            assert_eq!(target(url).unwrap_err(), PostError::Scheme, "{url}");
        }
        for url in [
            "http://a.b:0/",
            "http://a.b:65536/",
            "http://a.b:99999",
            "http://:80/",
        ] {
            assert_eq!(target(url).unwrap_err(), PostError::Host, "{url}");
        }
    }

    #[test]
    fn credentials_of_the_url_become_a_header() {
        let cases = [
            ("http://user:pass@a.b/", "user:pass"),
            ("http://user@a.b/", "user:"),
            ("http://us%40er:p%3Aa%25ss:+@a.b/", "us@er:p:a%ss:+"),
        ];
        for (url, plain) in cases {
            let value = target(url).unwrap().authorization.unwrap();
            let expected = format!("Basic {}", STANDARD.encode(plain));
            assert_eq!(value, expected.as_str(), "{url}");
            assert!(value.is_sensitive());
        }
        assert!(target("http://a.b/").unwrap().authorization.is_none());
    }

    #[test]
    fn addresses_are_known_from_names_however_they_are_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "[::1]",
            "127.0.0.1.",
        ] {
            assert!(
                target(&format!("http://{host}/")).unwrap().is_literal(),
                "{host}"
            );
        }
        for host in [
            "localhost",
            "1.example",
            "0x7f.example.org",
            "10.0.0.1.nip.io",
            "a.0xyz",
        ] {
            assert!(
                !target(&format!("http://{host}/")).unwrap().is_literal(),
                "{host}"
            );
        }
    }
}
