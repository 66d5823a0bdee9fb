//! The caller's side: whole calls in one line, or a connection for byte-exact work.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;
use super::wire::{Framing, Head, Headers, Wire};

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines.
    pub headers: Headers,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Statuses of the interim (1xx) responses before it.
    pub interim: Vec<u16>,
}

impl Response {
    /// The first value of a header; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Asserts that this is the gateway's own error: status, reason in header and body, words for
    /// the caller. Returns the body.
    #[track_caller]
    pub fn assert_error(&self, status: u16, reason: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("X-Gateway-Error"), reason, "{self:?}");
        assert!(
            self.header("Content-Type").starts_with("application/json"),
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(body["reason"], reason, "{body}");
        assert!(
            body["error"].as_str().is_some_and(|text| text.len() > 5),
            "{body}"
        );
        body
    }

    /// Asserts the status; shows the whole response otherwise.
    #[track_caller]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// One connection to a gateway.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub wire: Wire,
    address: SocketAddr,
}

impl Connection {
    /// Connects.
    pub fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        Ok(Self {
            wire: Wire::new(stream)?,
            address,
        })
    }

    /// Connects, or fails the test.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes).expect("sending to the gateway");
    }

    /// Sends a request head with a Host header and a blank line after it.
    #[track_caller]
    pub fn send_head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.send(request_head(self.address, method, path, headers));
    }

    /// Reads a response's head; interim responses are heads too.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        self.wire
            .read_head()
            .expect("reading a response head")
            .expect("a response, not the end of the connection")
    }

    /// Reads a whole response to a request with this method.
    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.wire.read_head()?.ok_or(ErrorKind::UnexpectedEof)?;
            match status(&head)? {
                code @ (100 | 102..=199) => interim.push(code),
                _ => break head,
            }
        };
        let status = status(&head)?;
        let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
        let body = match head.framing() {
            _ if bodiless => Vec::new(),
            Framing::None => self.wire.read_to_end()?,
            framing => self.wire.read_body(framing)?,
        };
        Ok(Response {
            status,
            headers: head.headers,
            body,
            interim,
        })
    }

    /// Reads a whole response, or fails the test.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Response {
        self.try_response(method)
            .unwrap_or_else(|error| panic!("reading a response to {method}: {error}"))
    }

    /// Whether the gateway closes the connection now; anything it still sends is skipped.
    pub fn is_closed(&mut self) -> bool {
        self.wire.read_to_end().is_ok()
    }
}

/// One call on a connection of its own.
pub fn try_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut connection = Connection::try_open(address)?;
    let mut bytes = request_head(address, method, path, headers);
    if !body.is_empty() {
        bytes.truncate(bytes.len() - 2);
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
    }
    bytes.extend_from_slice(body);
    connection.wire.send(bytes)?;
    connection.try_response(method)
}

/// One call on a connection of its own, or the test fails.
#[track_caller]
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    try_request(address, method, path, headers, body)
        .unwrap_or_else(|error| panic!("{method} http://{address}{path}: {error}"))
}

fn request_head(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("Host"))
    {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn status(head: &Head) -> io::Result<u16> {
    head.word(1)
        .parse()
        .map_err(|_| ErrorKind::InvalidData.into())
}

/// The value of an `Authorization` header of scheme Basic (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| {
            bits << 8 | usize::from(*group.get(index).unwrap_or(&0))
        });
        for digit in 0..4 {
            if digit <= group.len() {
                text.push(char::from(ALPHABET[bits >> (18 - 6 * digit) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}
