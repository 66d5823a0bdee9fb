//! How calls and outcomes are stored: parts of known length, one after the other.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What is stored cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is stored cannot be read")]
pub struct Corrupt;

/// Writes a part. None of ours is longer than a body can be, which is far less than 4 GiB.
pub fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
    bytes.extend_from_slice(part);
}

/// Writes how many headers there are, and then each name and value.
pub fn put_headers(bytes: &mut Vec<u8>, headers: &HeaderMap) {
    bytes.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    for (name, value) in headers {
        put(bytes, name.as_str().as_bytes());
        put(bytes, value.as_bytes());
    }
}

/// Reads a part.
pub fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let length = take_number(rest)?;
    let (part, after) = rest.split_at_checked(length).ok_or(Corrupt)?;
    *rest = after;
    Ok(part)
}

/// Reads a part that is a text.
pub fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Corrupt> {
    std::str::from_utf8(take(rest)?).map_err(|_| Corrupt)
}

/// Reads what [`put_headers`] wrote.
pub fn take_headers(rest: &mut &[u8]) -> Result<HeaderMap, Corrupt> {
    let mut headers = HeaderMap::new();
    for _ in 0..take_number(rest)? {
        let name = HeaderName::from_bytes(take(rest)?).map_err(|_| Corrupt)?;
        let value = HeaderValue::from_bytes(take(rest)?).map_err(|_| Corrupt)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn take_number(rest: &mut &[u8]) -> Result<usize, Corrupt> {
    let (number, after) = rest.split_first_chunk().ok_or(Corrupt)?;
    *rest = after;
    Ok(u32::from_be_bytes(*number) as usize)
}
