//! A call as it is queued: what has to be kept so that it can be made later.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::codec::{Corrupt, put, put_headers, take_headers, take_text};
use crate::function::FunctionName;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Its function.
    pub function: FunctionName,
    /// What follows the function's name in the path: nothing, or from `/` on.
    pub path: String,
    /// The query without its `?`; empty where there is none.
    pub query: String,
    /// The host that the client asked for.
    pub host: String,
    /// The client's headers, `Host` left out.
    pub headers: HeaderMap,
    /// Where its result is to be posted.
    pub callback: Option<Uri>,
    /// Its body.
    pub body: Bytes,
}

/// First byte of a stored invocation: the version of what follows.
const VERSION: u8 = 1;

impl Invocation {
    /// What the embedded queue stores.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let callback = self.callback.as_ref().map(Uri::to_string);
        let mut bytes = Vec::with_capacity(256 + self.body.len());
        bytes.push(VERSION);
        put(&mut bytes, self.function.to_string().as_bytes());
        put(&mut bytes, self.path.as_bytes());
        put(&mut bytes, self.query.as_bytes());
        put(&mut bytes, self.host.as_bytes());
        put(
            &mut bytes,
            callback.as_deref().unwrap_or_default().as_bytes(),
        );
        put_headers(&mut bytes, &self.headers);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads what [`Invocation::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (version, mut rest) = bytes.split_first().ok_or(Corrupt)?;
        if *version != VERSION {
            return Err(Corrupt);
        }
        let rest = &mut rest;
        Ok(Self {
            function: take_text(rest)?.parse().map_err(|_| Corrupt)?,
            path: take_text(rest)?.to_owned(),
            query: take_text(rest)?.to_owned(),
            host: take_text(rest)?.to_owned(),
            callback: match take_text(rest)? {
                "" => None,
                url => Some(url.parse().map_err(|_| Corrupt)?),
            },
            headers: take_headers(rest)?,
            body: Bytes::copy_from_slice(rest),
        })
    }

    /// The first value of a header as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).map(HeaderValue::to_str)?.ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn invocation() -> Invocation {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_bytes(b"\xff2").unwrap());
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        Invocation {
            function: "echo.fn".parse().unwrap(),
            path: "/a%2Fb".to_owned(),
            query: "x=1".to_owned(),
            host: "example.org".to_owned(),
            headers,
            callback: Some(Uri::from_static("http://example.org/back?a=b")),
            body: Bytes::from_static(b"\x00body\xff"),
        }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let invocation = invocation();
        let bytes = invocation.to_bytes();
        assert_eq!(Invocation::from_bytes(&bytes).unwrap(), invocation);
    }

    #[test]
    fn half_of_it_is_an_error_and_no_panic() {
        let bytes = invocation().to_bytes();
        let headers_end = bytes.len() - invocation().body.len();
        for end in 0..headers_end {
            assert!(Invocation::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
    }
}
