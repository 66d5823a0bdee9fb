//! The JSON of a queued call as the OpenFaaS gateway publishes it (wire.md section 6.1), so that its
//! other producers and consumers can share a stream with us.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde::{Deserialize, Serialize};

use super::Invocation;
use super::codec::Corrupt;
use crate::function::FunctionName;

/// Bytes that a message has beside its body at most, for headers, path and query.
pub const HEAD: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default)]
    header: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    host: String,
    #[serde(default)]
    body: Option<String>,
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query_string: String,
    function: String,
    #[serde(default)]
    callback_url: Option<CallbackUrl>,
}

/// A URL in the parts that Go's `url.URL` has.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CallbackUrl {
    scheme: String,
    opaque: String,
    user: Option<serde_json::Value>,
    host: String,
    path: String,
    raw_path: String,
    force_query: bool,
    raw_query: String,
    fragment: String,
}

/// Writes a message.
pub fn encode(invocation: &Invocation) -> Vec<u8> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &invocation.headers {
        let values = headers.entry(canonical(name)).or_default();
        values.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let message = Message {
        header: Some(headers),
        host: invocation.host.clone(),
        body: Some(STANDARD.encode(&invocation.body)),
        method: "POST".to_owned(),
        path: invocation.path.clone(),
        query_string: invocation.query.clone(),
        function: invocation.function.to_string(),
        callback_url: invocation.callback.as_ref().map(CallbackUrl::of),
    };
    // Texts always serialize; an empty message would be refused by its reader.
    serde_json::to_vec(&message).unwrap_or_default()
}

/// Reads a message of whoever wrote it.
///
/// # Errors
///
/// [`Corrupt`] for everything that is no such message.
pub fn decode(text: &[u8], default_namespace: &str) -> Result<Invocation, Corrupt> {
    let message: Message = serde_json::from_slice(text).map_err(|_| Corrupt)?;
    let mut headers = HeaderMap::new();
    for (name, values) in message.header.unwrap_or_default() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Corrupt)?;
        for value in values {
            let value = HeaderValue::from_str(&value).map_err(|_| Corrupt)?;
            headers.append(name.clone(), value);
        }
    }
    headers.remove(header::HOST);
    let body = STANDARD.decode(message.body.unwrap_or_default());
    let name = message.function.trim_matches('/');
    Ok(Invocation {
        function: FunctionName::parse(name, default_namespace).map_err(|_| Corrupt)?,
        path: message.path,
        query: message.query_string.trim_start_matches('?').to_owned(),
        host: message.host,
        headers,
        callback: message.callback_url.and_then(|url| {
            let uri = url.to_uri();
            if uri.is_none() {
                let (function, host) = (&message.function, &url.host);
                tracing::warn!(
                    function,
                    host,
                    "nothing can be posted to the callback of a queued call"
                );
            }
            uri
        }),
        body: Bytes::from(body.map_err(|_| Corrupt)?),
    })
}

impl CallbackUrl {
    fn of(url: &Uri) -> Self {
        let raw = url.path();
        let path = decoded(raw);
        Self {
            scheme: url.scheme_str().unwrap_or_default().to_owned(),
            host: url.authority().map(ToString::to_string).unwrap_or_default(),
            // Go keeps the raw form only where it is not the usual one.
            raw_path: if encoded(&path) == raw {
                String::new()
            } else {
                raw.to_owned()
            },
            path,
            raw_query: url.query().unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// `None` where nothing could be posted to it.
    fn to_uri(&self) -> Option<Uri> {
        let path = match self.raw_path.as_str() {
            "" => encoded(&self.path),
            raw => raw.to_owned(),
        };
        let query = match self.raw_query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        format!("{}://{}{path}{query}", self.scheme, self.host)
            .parse()
            .ok()
    }
}

/// A header's name as Go writes it: `X-Call-Id`.
fn canonical(name: &HeaderName) -> String {
    let mut start = true;
    let letter = |letter: char| {
        let canonical = if start {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        start = letter == '-';
        canonical
    };
    name.as_str().chars().map(letter).collect()
}

/// A path in its usual form: with percent-encoding where Go's `url.URL` has it.
fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A path with its percent-encoding taken away.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                // Two digits are at most 255.
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::invocation::tests::invocation;
    use super::*;

    #[test]
    fn a_message_has_the_fields_and_names_of_the_wire() {
        let mut invocation = invocation();
        invocation.headers.remove("x-a");
        let message: Value = serde_json::from_slice(&encode(&invocation)).unwrap();
        let expected = json!({
            "Header": { "Content-Type": ["text/plain"] },
            "Host": "example.org",
            "Body": STANDARD.encode(b"\x00body\xff"),
            "Method": "POST",
            "Path": "/a%2Fb",
            "QueryString": "x=1",
            "Function": "echo.fn",
            "CallbackUrl": {
                "Scheme": "http", "Opaque": "", "User": null, "Host": "example.org",
                "Path": "/back", "RawPath": "", "ForceQuery": false, "RawQuery": "a=b",
                "Fragment": "",
            },
        });
        assert_eq!(message, expected);
        assert_eq!(decode(&encode(&invocation), "").unwrap(), invocation);
    }

    #[test]
    fn what_other_producers_leave_out_is_empty() {
        let text = br#"{"Method":"POST","Function":"/echo/","QueryString":"?a=1","Header":null,
            "Annotations":{"a":"b"},"QueueName":"x","CallbackUrl":null}"#;
        let read = decode(text, "fn").unwrap();
        assert_eq!(read.function.to_string(), "echo.fn");
        assert_eq!((read.query.as_str(), read.path.as_str()), ("a=1", ""));
        assert!(read.body.is_empty() && read.callback.is_none());
    }

    #[test]
    fn an_unusual_callback_path_keeps_its_form() {
        let mut invocation = invocation();
        let url = "https://u@h:8/a%2Fb/%C3%BC?x=%20";
        invocation.callback = Some(Uri::from_static(url));
        let read = decode(&encode(&invocation), "").unwrap();
        assert_eq!(read.callback.unwrap().to_string(), url);
    }

    #[test]
    fn a_callback_path_in_its_usual_form_comes_without_it() {
        let text = |path: &str| {
            let url = json!({ "Scheme": "http", "Host": "h", "Path": path, "RawQuery": "q" });
            json!({ "Method": "POST", "Function": "a", "CallbackUrl": url }).to_string()
        };
        for (path, expected) in [
            ("/a b", "/a%20b"),
            ("/a?b%", "/a%3Fb%25"),
            ("/\u{fc}", "/%C3%BC"),
            ("/a:b@c", "/a:b@c"),
        ] {
            let callback = decode(text(path).as_bytes(), "").unwrap().callback.unwrap();
            assert_eq!(callback.to_string(), format!("http://h{expected}?q"));
            let mut invocation = invocation();
            invocation.callback = Some(callback);
            let message: Value = serde_json::from_slice(&encode(&invocation)).unwrap();
            assert_eq!(message["CallbackUrl"]["Path"], path);
            assert_eq!(message["CallbackUrl"]["RawPath"], "");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"Method":"POST","Function":"a b"}"#,
            r#"{"Method":"POST","Function":"a","Body":"*"}"#,
            r#"{"Method":"POST","Function":"a","Header":{"a b":["c"]}}"#,
            r#"{"Method":"POST","Function":"a","CallbackUrl":"http://x"}"#,
        ] {
            assert_eq!(decode(text.as_bytes(), "").unwrap_err(), Corrupt, "{text}");
        }
    }
}
