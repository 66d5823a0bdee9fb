//! A function in HTTP mode: an ordinary web server on the port the gateway gives it in `PORT`.
//! It greets whoever the request's body names, with the word in `GREETING`.
//!
//! ```yaml
//! functions:
//!   hello: { process: target/release/examples/hello, mode: http }
//! ```
//!
//! Any web framework does as well. This one needs none, to show all that is asked of a function:
//! listen on the loopback address, answer HTTP/1.1, and end on TERM, as programs do by default.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Longest body and longest line we take, in bytes.
const MAX_BODY: u64 = 1 << 20;
const MAX_LINE: u64 = 8 << 10;

fn main() -> io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
    let word = std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
    serve(&TcpListener::bind(format!("127.0.0.1:{port}"))?, &word)
}

/// One thread per connection; the gateway keeps connections open and uses them again.
pub fn serve(listener: &TcpListener, word: &str) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        // An error ends one connection only: its client went away or does not speak HTTP.
        let word = word.to_owned();
        thread::spawn(move || converse(&stream, &word));
    }
    Ok(())
}

fn converse(stream: &TcpStream, word: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    let mut output = stream;
    while let Some(body) = read_request(&mut input)? {
        let name = String::from_utf8_lossy(&body);
        let name = if name.is_empty() {
            "world"
        } else {
            name.trim_end()
        };
        let greeting = format!("{word}, {name}!\n");
        let length = greeting.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}");
        output.write_all(format!("{head}\r\n\r\n{greeting}").as_bytes())?;
    }
    Ok(())
}

/// The body of the next request; `None` once the client has closed the connection.
fn read_request(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    if read_line(input)?.is_empty() {
        return Ok(None);
    }
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(input)?.to_ascii_lowercase();
        match line.split_once(':') {
            Some(("content-length", value)) => length = number(value, 10)?,
            Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    if !chunked {
        read_exactly(input, length, &mut body)?;
        return Ok(Some(body));
    }
    // Chunks (RFC 9112, section 7.1): a size, that many bytes, a line end; size 0 is the last.
    loop {
        let size = number(read_line(input)?.split(';').next().unwrap_or(""), 16)?;
        read_exactly(input, size, &mut body)?;
        read_line(input)?;
        if size == 0 {
            return Ok(Some(body));
        }
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(MAX_LINE).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn read_exactly(input: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let room = MAX_BODY.saturating_sub(body.len() as u64);
    if length > room || input.take(length).read_to_end(body)? as u64 != length {
        return Err(invalid("the body is too long or too short"));
    }
    Ok(())
}

fn number(text: &str, radix: u32) -> io::Result<u64> {
    u64::from_str_radix(text.trim(), radix).map_err(|_| invalid("not a length"))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
