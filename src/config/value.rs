//! What one value of the file can be: how its text is read and how the schema describes it.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use schemars::{Schema, json_schema};

use super::suggest;
use super::{HostPort, Isolation, LogFormat, LogOutput, Mode, StoreSource, Upstream};
use crate::duration::{parse_duration, parse_size};
use crate::function::{Measure, is_load, is_proportion};
use crate::quantity::{parse_cpu, parse_memory};

/// A value that is written as one scalar.
pub trait Value: Sized {
    /// Reads the text. The error continues the sentence that began with the text.
    fn read(text: &str) -> Result<Self, String>;

    /// What an editor may accept here.
    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// The proxy's threads: `auto` is `None`, one per processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub Option<NonZeroUsize>);

/// An `http://` address that requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(pub Uri);

/// A network; a bare address is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

/// `provider.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderWord {
    /// Processes of this machine.
    Process,
    /// A faas-provider over HTTP.
    Remote,
}

/// An amount of memory in bytes, written as Kubernetes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub u64);

/// Thousandths of a processor, written as Kubernetes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu(pub u64);

/// A load that one replica takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load(pub f64);

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proportion(pub f64);

/// `queue.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueWord {
    /// In the state directory.
    Embedded,
    /// On NATS JetStream.
    Jetstream,
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty, write a path".to_owned());
        }
        Ok(Self::from(text))
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        word(text, &[("true", true), ("false", false)])
    }

    fn schema() -> Schema {
        or_variable(json_schema!({ "type": "boolean" }))
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        parse_duration(text)
            .ok_or_else(|| "is not a duration, write it like `30s`, `1m30s` or `250ms`".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^([0-9]+|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))+)$|\$\{",
            "examples": ["30s", "1m30s", "250ms"],
        })
    }
}

impl Value for Size {
    fn read(text: &str) -> Result<Self, String> {
        parse_size(text)
            .map(Self)
            .ok_or_else(|| "is not a size, write it like `10MiB`, `10MB` or in bytes".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^[0-9]+ ?([KMGT]iB|[kKMGT]?B)?$|\$\{",
            "examples": ["1MiB", "64KiB"],
        })
    }
}

/// Whole numbers read alike; they differ in their bounds only.
macro_rules! whole_number {
    ($($type:ty, $least:literal, $sentence:literal;)*) => {$(
        impl Value for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| $sentence.to_owned())
            }

            fn schema() -> Schema {
                or_variable(json_schema!({ "type": "integer", "minimum": $least }))
            }
        }
    )*};
}

whole_number! {
    u16, 100, "is not a status, write 400 to 599";
    NonZeroU16, 1, "is not a port between 1 and 65535";
    u32, 0, "is not a whole number";
    u64, 0, "is not a whole number";
    usize, 0, "is not a whole number";
    NonZeroUsize, 1, "is not a whole number of at least 1";
}

impl Value for Threads {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            number => match number.parse() {
                Ok(number) => Ok(Self(Some(number))),
                Err(_) => Err("is not a number of threads, write `auto` or at least 1".to_owned()),
            },
        }
    }

    fn schema() -> Schema {
        or_variable(json_schema!({
            "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }]
        }))
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        Err(match text.strip_prefix(':') {
            Some(port) => format!("has no address before its port, write `0.0.0.0:{port}`"),
            None => "is not an IP address with a port, write it like `127.0.0.1:8080`".to_owned(),
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["127.0.0.1:8080"] })
    }
}

impl Value for Network {
    fn read(text: &str) -> Result<Self, String> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Self)
            .map_err(|_| "is not a network, write it like `10.0.0.0/8` or `10.0.0.1`".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.0/8", "10.0.0.1"] })
    }
}

impl Value for HttpUrl {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(read_url(text)?))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["http://127.0.0.1:8081"] })
    }
}

impl Value for StoreSource {
    fn read(text: &str) -> Result<Self, String> {
        let advice = "write it like `https://host/functions.json`, or name a file";
        if text.is_empty() {
            return Err(format!("is empty, {advice}"));
        }
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| format!("is not an address, {advice}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(format!("is neither of http nor of https, {advice}"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("names no host, {advice}"));
        }
        check_port(&uri)?;
        if uri
            .authority()
            .is_some_and(|place| place.as_str().contains('@'))
        {
            return Err("names a user, credentials are not sent to a store".to_owned());
        }
        Ok(Self::Url(uri))
    }
}

impl Value for Upstream {
    fn read(text: &str) -> Result<Self, String> {
        let uri = read_url(text)?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("names a user, credentials are not sent to functions".to_owned());
        }
        if uri.query().is_some() {
            return Err("has a query, write only `http://host:port/path`".to_owned());
        }
        let host = uri.host().unwrap_or_default();
        Ok(Self {
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: uri.port_u16().unwrap_or(80),
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["http://10.0.0.7:9000"] })
    }
}

impl Value for Mode {
    fn read(text: &str) -> Result<Self, String> {
        word(text, MODES)
    }

    fn schema() -> Schema {
        words_schema(MODES)
    }
}

impl Value for ProviderWord {
    fn read(text: &str) -> Result<Self, String> {
        word(text, PROVIDERS)
    }

    fn schema() -> Schema {
        words_schema(PROVIDERS)
    }
}

impl Value for Isolation {
    fn read(text: &str) -> Result<Self, String> {
        word(text, ISOLATIONS)
    }

    fn schema() -> Schema {
        words_schema(ISOLATIONS)
    }
}

impl Value for Memory {
    fn read(text: &str) -> Result<Self, String> {
        parse_memory(text).map(Self)
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "examples": ["64Mi"] })
    }
}

impl Value for Cpu {
    fn read(text: &str) -> Result<Self, String> {
        parse_cpu(text).map(Self)
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "examples": ["500m"] })
    }
}

impl Value for Measure {
    fn read(text: &str) -> Result<Self, String> {
        word(text, &Measure::WORDS)
    }

    fn schema() -> Schema {
        words_schema(&Measure::WORDS)
    }
}

impl Value for Load {
    fn read(text: &str) -> Result<Self, String> {
        let load = text.parse().ok().filter(|load| is_load(*load));
        load.map(Self)
            .ok_or_else(|| "is not a number above 0".to_owned())
    }

    fn schema() -> Schema {
        or_variable(json_schema!({ "type": "number", "exclusiveMinimum": 0 }))
    }
}

impl Value for Proportion {
    fn read(text: &str) -> Result<Self, String> {
        let part = text.parse().ok().filter(|part| is_proportion(*part));
        part.map(Self)
            .ok_or_else(|| "is not a part above 0 and up to 1, write it like `0.9`".to_owned())
    }

    fn schema() -> Schema {
        or_variable(json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }))
    }
}

impl Value for QueueWord {
    fn read(text: &str) -> Result<Self, String> {
        word(text, QUEUES)
    }

    fn schema() -> Schema {
        words_schema(QUEUES)
    }
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        word(text, LOG_FORMATS)
    }

    fn schema() -> Schema {
        words_schema(LOG_FORMATS)
    }
}

impl Value for LogOutput {
    /// A file needs a slash in its path: a mistyped `stdout` must not become one.
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            path if path.contains('/') => Ok(Self::File(PathBuf::from(path))),
            _ => Err("is not `stdout`, `stderr` or a path with a `/` in it".to_owned()),
        }
    }
}

const MODES: &[(&str, Mode)] = &[
    ("classic", Mode::Classic),
    ("streaming", Mode::Streaming),
    ("http", Mode::Http),
];

const PROVIDERS: &[(&str, ProviderWord)] = &[
    ("process", ProviderWord::Process),
    ("remote", ProviderWord::Remote),
];

const ISOLATIONS: &[(&str, Isolation)] = &[
    ("none", Isolation::None),
    ("basic", Isolation::Basic),
    ("sandbox", Isolation::Sandbox),
];

const QUEUES: &[(&str, QueueWord)] = &[
    ("embedded", QueueWord::Embedded),
    ("jetstream", QueueWord::Jetstream),
];

const LOG_FORMATS: &[(&str, LogFormat)] = &[
    ("json", LogFormat::Json),
    ("text", LogFormat::Text),
    ("off", LogFormat::Off),
];

impl Mode {
    /// The word for it in the file.
    pub fn as_str(self) -> &'static str {
        word_of(self, MODES)
    }
}

impl Isolation {
    /// The word for it in the file.
    pub fn as_str(self) -> &'static str {
        word_of(self, ISOLATIONS)
    }
}

impl LogFormat {
    /// The word for it in the file.
    pub fn as_str(self) -> &'static str {
        word_of(self, LOG_FORMATS)
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Err(format!("is not known, {}", suggest::hint(text, &known)))
        }
    }
}

fn word_of<T: PartialEq>(value: T, words: &[(&'static str, T)]) -> &'static str {
    words
        .iter()
        .find(|(_, known)| *known == value)
        .map_or("", |(word, _)| word)
}

fn words_schema<T>(words: &[(&str, T)]) -> Schema {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    or_variable(json_schema!({ "enum": words }))
}

/// `schema`, or a text with a `${…}` that becomes such a value.
fn or_variable(schema: Schema) -> Schema {
    json_schema!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] })
}

fn read_url(text: &str) -> Result<Uri, String> {
    let advice = "write it like `http://host:port`";
    let uri: Uri = text
        .parse()
        .map_err(|_| format!("is not an address, {advice}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("needs TLS, which is not supported yet".to_owned()),
        _ => return Err(format!("does not begin with `http://`, {advice}")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(format!("names no host, {advice}"));
    }
    check_port(&uri)?;
    Ok(uri)
}

fn check_port(uri: &Uri) -> Result<(), String> {
    if uri.port_u16() == Some(0) || (uri.port().is_none() && has_port(uri)) {
        return Err("has a port that is not between 1 and 65535".to_owned());
    }
    Ok(())
}

/// Whether something stands where the port should: `http` keeps a bad port in the authority.
fn has_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let after_user = authority.rsplit('@').next().unwrap_or_default();
    after_user
        .rsplit(']')
        .next()
        .unwrap_or_default()
        .contains(':')
}
