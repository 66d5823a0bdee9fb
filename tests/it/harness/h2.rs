//! HTTP/2 with prior knowledge (RFC 9113, section 3.3), as much as one small call needs.

use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::wire::Wire;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection that speaks HTTP/2 from its first byte.
#[derive(Debug)]
pub struct H2Connection {
    wire: Wire,
    next_stream: u32,
}

impl H2Connection {
    /// Connects and sends the preface.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connecting");
        let mut connection = Self {
            wire: Wire::new(stream).unwrap(),
            next_stream: 1,
        };
        connection
            .wire
            .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        connection.send_frame(SETTINGS, 0, 0, &[]);
        connection
    }

    /// Posts a small body; `None` when the connection ends without a response.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.send_frame(HEADERS, END_HEADERS, stream, &request_block(path));
        self.send_frame(DATA, END_STREAM, stream, body);
        let mut status = None;
        let mut received = Vec::new();
        loop {
            let (kind, flags, of, payload) = self.read_frame()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send_frame(SETTINGS, ACK, 0, &[]),
                HEADERS if of == stream && status.is_none() => {
                    status = Some(block_status(&payload)?)
                }
                DATA if of == stream => received.extend(payload),
                _ => {}
            }
            if of == stream && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                return Some((status?, received));
            }
        }
    }

    fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        // A peer that does not speak HTTP/2 may have closed; reading shows it.
        let _ = self.wire.send(frame);
    }

    fn read_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.wire.read_exact(9).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        // Longer than our default SETTINGS allow: these bytes are not HTTP/2.
        if length > 16 * 1024 {
            return None;
        }
        Some((head[3], head[4], stream, self.wire.read_exact(length).ok()?))
    }
}

/// POST, http, and two literals with indexed names (RFC 7541, appendix A).
fn request_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, path), (1, "gateway.test")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// The status, when it is one of the static table's (RFC 7541, appendix A).
fn block_status(block: &[u8]) -> Option<u16> {
    let is_size_update = |byte: &&u8| (0x20..0x40).contains(*byte);
    let first = block.iter().find(|byte| !is_size_update(byte))?;
    let index = usize::from(first.checked_sub(0x88)?);
    [200, 204, 206, 304, 400, 404, 500].get(index).copied()
}
