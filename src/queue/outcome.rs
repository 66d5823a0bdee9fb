//! What a function answered to a queued call.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::codec::{Corrupt, put_headers, take_headers};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, those left out that concern the connection.
    pub headers: HeaderMap,
    /// Its body, as much of it as is kept.
    pub body: Bytes,
    /// Whether the body went on.
    pub truncated: bool,
}

/// First byte of a stored outcome: the version of what follows.
const VERSION: u8 = 1;

impl Outcome {
    /// An outcome that nobody but the gateway made: the function could not be called (wire.md section
    /// 6.3).
    pub fn unreached() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            truncated: false,
        }
    }

    /// What is stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.status.as_u16().to_be_bytes());
        bytes.push(u8::from(self.truncated));
        put_headers(&mut bytes, &self.headers);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads what [`Outcome::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        let &[VERSION, high, low, truncated, ref rest @ ..] = bytes else {
            return Err(Corrupt);
        };
        let rest = &mut &*rest;
        Ok(Self {
            status: StatusCode::from_u16(u16::from_be_bytes([high, low])).map_err(|_| Corrupt)?,
            truncated: truncated != 0,
            headers: take_headers(rest)?,
            body: Bytes::copy_from_slice(rest),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        let outcome = Outcome {
            status: StatusCode::IM_A_TEAPOT,
            headers,
            body: Bytes::from_static(b"\xffbody"),
            truncated: true,
        };
        let bytes = outcome.to_bytes();
        assert_eq!(Outcome::from_bytes(&bytes).unwrap(), outcome);
        assert!(Outcome::from_bytes(&bytes[..20]).is_err());
        assert!(Outcome::from_bytes(b"").is_err());
    }
}
