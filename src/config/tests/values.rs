//! What the text of one value can be.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};

use super::super::value::{Network, Threads, Value};
use super::super::{LogOutput, Mode, Upstream};

#[test]
fn upstreams_are_http_with_a_host() {
    for (text, host, port, base_path) in [
        ("http://10.0.0.7:9000", "10.0.0.7", 9000, ""),
        ("http://report", "report", 80, ""),
        ("http://report/", "report", 80, ""),
        ("http://report:81/base/", "report", 81, "/base"),
        ("http://[::1]:81", "::1", 81, ""),
    ] {
        let upstream = Upstream::read(text).unwrap();
        assert_eq!(
            (
                upstream.host.as_str(),
                upstream.port,
                upstream.base_path.as_str()
            ),
            (host, port, base_path)
        );
    }
}

#[test]
fn what_is_no_upstream_says_why() {
    for (text, expected) in [
        ("https://a", "needs TLS, which is not supported yet"),
        (
            "a:80",
            "does not begin with `http://`, write it like `http://host:port`",
        ),
        (
            "10.0.0.1",
            "does not begin with `http://`, write it like `http://host:port`",
        ),
        ("", "is not an address, write it like `http://host:port`"),
        (
            "http://a b",
            "is not an address, write it like `http://host:port`",
        ),
        (
            "http://u:p@a",
            "names a user, credentials are not sent to functions",
        ),
        (
            "http://a?x=1",
            "has a query, write only `http://host:port/path`",
        ),
        ("http://a:0", "has a port that is not between 1 and 65535"),
        (
            "http://a:99999",
            "has a port that is not between 1 and 65535",
        ),
    ] {
        assert_eq!(Upstream::read(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn words_suggest_and_bounds_hold() {
    assert_eq!(
        Mode::read("htp").unwrap_err(),
        "is not known, did you mean `http`?"
    );
    assert_eq!(
        Mode::read("fork").unwrap_err(),
        "is not known, known are classic, streaming, http"
    );
    assert_eq!(
        bool::read("yes").unwrap_err(),
        "is not known, known are true, false"
    );
    assert_eq!(Threads::read("auto").unwrap(), Threads(None));
    assert!(Threads::read("0").is_err());
    assert!(NonZeroUsize::read("0").is_err());
    assert!(NonZeroU16::read("0").is_err());
    assert!(NonZeroU16::read("65536").is_err());
    assert_eq!(
        SocketAddr::read(":8080").unwrap_err(),
        "has no address before its port, write `0.0.0.0:8080`"
    );
    assert!(SocketAddr::read("localhost:8080").is_err());
    assert_eq!(
        Network::read("10.0.0.1").unwrap().0.to_string(),
        "10.0.0.1/32"
    );
    assert!(LogOutput::read("stdot").is_err());
}
