//! HTTP/1.1 byte by byte (RFC 9112), for both ends: nothing is corrected, nothing is hidden.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// Header lines in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Whether a header is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a list-valued header contains `token`.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(token))
    }
}

/// A start line and its headers.
#[derive(Clone, Debug)]
pub struct Head {
    /// Request or status line, without the line end.
    pub start: String,
    /// Header lines.
    pub headers: Headers,
}

impl Head {
    /// The n-th word of the start line; empty when there is none.
    pub fn word(&self, index: usize) -> &str {
        self.start.splitn(3, ' ').nth(index).unwrap_or_default()
    }

    /// How the body is delimited by its headers (RFC 9112, section 6.3).
    pub fn framing(&self) -> Framing {
        if self.headers.has_token("Transfer-Encoding", "chunked") {
            return Framing::Chunked;
        }
        match self.headers.get("Content-Length") {
            Some(length) => Framing::Length(length.parse().expect("a Content-Length is a number")),
            None => Framing::None,
        }
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither Content-Length nor chunks.
    None,
    /// Content-Length, in bytes.
    Length(usize),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// A socket and what was read from it but not yet used.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Takes a connected socket; no read or write waits longer than [`PATIENCE`].
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends one chunk of a chunked body.
    pub fn send_chunk(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk)
    }

    /// Ends a chunked body.
    pub fn send_last_chunk(&mut self) -> io::Result<()> {
        self.send("0\r\n\r\n")
    }

    /// Reads a head; `None` when the other side closed instead.
    pub fn read_head(&mut self) -> io::Result<Option<Head>> {
        let Some(start) = self.read_line()? else {
            return Ok(None);
        };
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Some(Head {
            start,
            headers: Headers(headers),
        }))
    }

    /// Reads a whole body; without any framing there is none.
    pub fn read_body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(length) => self.read_exact(length),
            Framing::Chunked => {
                let mut body = Vec::new();
                while let Some(chunk) = self.read_chunk()? {
                    body.extend(chunk);
                }
                Ok(body)
            }
        }
    }

    /// Reads the next chunk of a chunked body; `None` at its end. Trailers are skipped.
    pub fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.read_line()?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| ErrorKind::InvalidData)?;
        if size == 0 {
            while !self
                .read_line()?
                .ok_or(ErrorKind::UnexpectedEof)?
                .is_empty()
            {}
            return Ok(None);
        }
        let chunk = self.read_exact(size)?;
        self.read_exact(2)?;
        Ok(Some(chunk))
    }

    /// Reads chunks until at least `expected` bytes are there.
    pub fn read_chunks(&mut self, expected: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while body.len() < expected {
            body.extend(self.read_chunk()?.ok_or(ErrorKind::UnexpectedEof)?);
        }
        Ok(body)
    }

    /// Reads exactly so many bytes.
    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads whatever comes until the other side closes; a reset counts as closing.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if is_gone(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Whether nothing arrives within `wait`, although the connection is open.
    pub fn is_silent(&mut self, wait: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(wait))
            .expect("a timeout above zero");
        let result = self.fill();
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        matches!(result, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Ends the sending side, or both.
    pub fn shutdown(&mut self, how: Shutdown) {
        // The other side may have been quicker.
        let _ = self.stream.shutdown(how);
    }

    /// A second handle on the same socket.
    pub fn stream(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    fn read_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").unwrap_or(&line[..end]);
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
            if self.fill()? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read)
    }
}

/// Whether an error means that the other side is no longer there.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::UnexpectedEof
    )
}
