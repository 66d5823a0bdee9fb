//! One line per call, written by a thread of its own: the hot path only hands over what it knows.
//!
//! The line of records has a length; when the disk cannot keep up, records are dropped and counted
//! rather than calls held up.

use std::fmt::{self, Write as _};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Uri};
use prometheus::IntCounter;
use serde::Serialize;

use crate::config::{LogFormat, LogOutput};
use crate::functions::Function;

/// Records in line before new ones are dropped.
const LINE: usize = 8192;
/// How long the writer gathers records before it writes: under load it is then never woken by a
/// call, and a line shows up soon enough for people.
const GATHER: Duration = Duration::from_millis(10);

/// What is known of a call when it has ended.
pub struct Record {
    /// How the line shall look.
    pub format: LogFormat,
    /// When the call arrived.
    pub time: SystemTime,
    /// The client: the other end of the connection, or whom trusted proxies name.
    pub client: Option<IpAddr>,
    /// The call's id.
    pub call_id: Option<HeaderValue>,
    /// Method.
    pub method: Method,
    /// Path and query as they came.
    pub uri: Uri,
    /// The function, if the path led to one.
    pub function: Option<Arc<Function>>,
    /// Status sent, or 499 when the client left first.
    pub status: u16,
    /// Body bytes from the client.
    pub bytes_in: usize,
    /// Body bytes to the client.
    pub bytes_out: usize,
    /// From the request's head to the response's end.
    pub duration: Duration,
    /// Thereof in line for the function.
    pub waited: Duration,
    /// Tries beyond the first.
    pub retries: u32,
    /// Why the gateway answered itself or the call broke off.
    pub reason: Option<&'static str>,
}

/// Where records are handed over.
#[derive(Clone)]
pub struct AccessLog {
    records: SyncSender<Message>,
    dropped: IntCounter,
}

/// The thread that writes.
pub struct Writer {
    records: SyncSender<Message>,
    thread: thread::JoinHandle<()>,
}

/// A record, or the end.
type Message = Option<Record>;

/// Where lines go.
enum Sink {
    Stdout,
    Stderr,
    File(PathBuf, File),
}

impl AccessLog {
    /// Opens the output and starts the writer.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the thread not started.
    pub fn start(output: &LogOutput, dropped: IntCounter) -> io::Result<(Self, Writer)> {
        let sink = match output {
            LogOutput::Stdout => Sink::Stdout,
            LogOutput::Stderr => Sink::Stderr,
            LogOutput::File(path) => {
                let file = open(path).map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("cannot open access log {}: {error}", path.display()),
                    )
                })?;
                Sink::File(path.clone(), file)
            }
        };
        let (records, receiver) = sync_channel(LINE);
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&receiver, sink))?;
        let writer = Writer {
            records: records.clone(),
            thread,
        };
        Ok((Self { records, dropped }, writer))
    }

    /// Hands a record over without waiting.
    pub fn log(&self, record: Record) {
        if self.records.try_send(Some(record)).is_err() {
            self.dropped.inc();
        }
    }
}

impl Writer {
    /// Waits until everything handed over so far is written. Records that come later are lost.
    pub fn finish(self) {
        // A writer that has gone has nothing left to write.
        let _ = self.records.send(None);
        let _ = self.thread.join();
    }
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout()
                .write_all(lines)
                .and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(lines),
            Self::File(path, file) => {
                if is_elsewhere(path, file) {
                    // Better into the old one than nowhere.
                    *file = open(path).or_else(|_| file.try_clone())?;
                }
                file.write_all(lines)
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Whether somebody has moved an open file away, as those do who rotate logs.
fn is_elsewhere(path: &Path, file: &File) -> bool {
    let place = |meta: Metadata| (meta.dev(), meta.ino());
    fs::metadata(path).map(place).ok() != file.metadata().map(place).ok()
}

fn write(records: &Receiver<Message>, mut sink: Sink) {
    let mut lines = Vec::with_capacity(64 * 1024);
    let mut ended = false;
    while !ended && let Ok(first) = records.recv() {
        if first.is_some() {
            thread::sleep(GATHER);
        }
        for message in std::iter::once(first).chain(records.try_iter().take(LINE)) {
            match message {
                Some(record) => append(&mut lines, &record),
                None => ended = true,
            }
        }
        // Nobody can be told that the log's disk is full; the next lines try again.
        let _ = sink.write(&lines);
        lines.clear();
    }
}

fn append(lines: &mut Vec<u8>, record: &Record) {
    match record.format {
        LogFormat::Json => append_json(lines, record),
        LogFormat::Text => append_text(lines, record),
        LogFormat::Off => {}
    }
}

fn append_json(lines: &mut Vec<u8>, record: &Record) {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        call_id: Option<&'a str>,
        client: Option<IpAddr>,
        method: &'a str,
        path: &'a str,
        function: Option<&'a str>,
        status: u16,
        bytes_in: usize,
        bytes_out: usize,
        duration_ms: f64,
        waited_ms: f64,
        retries: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let line = Line {
        time: timestamp(record),
        call_id: call_id(record),
        client: record.client,
        method: record.method.as_str(),
        path: path(record),
        function: function(record),
        status: record.status,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        duration_ms: millis(record.duration),
        waited_ms: millis(record.waited),
        retries: record.retries,
        reason: record.reason,
    };
    // Writing to a Vec cannot fail, and every field serializes.
    let _ = serde_json::to_writer(&mut *lines, &line);
    lines.push(b'\n');
}

fn append_text(lines: &mut Vec<u8>, record: &Record) {
    let mut line = String::with_capacity(256);
    // Writing to a String cannot fail. Paths hold no white space, so words stay words.
    let _ = write!(
        line,
        "{} {} {} status={} function={} call_id={} bytes_in={} bytes_out={} duration_ms={} waited_ms={} retries={}",
        timestamp(record),
        record.method,
        path(record),
        record.status,
        function(record).unwrap_or("-"),
        Word(call_id(record).unwrap_or("-")),
        record.bytes_in,
        record.bytes_out,
        millis(record.duration),
        millis(record.waited),
        record.retries,
    );
    if let Some(client) = record.client {
        let _ = write!(line, " client={client}");
    }
    if let Some(reason) = record.reason {
        let _ = write!(line, " reason={reason}");
    }
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
}

/// A word that a caller chose: in quotes where it could pass for something else.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        if self.0.bytes().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

fn timestamp(record: &Record) -> String {
    humantime::format_rfc3339_millis(record.time).to_string()
}

fn call_id(record: &Record) -> Option<&str> {
    record.call_id.as_ref()?.to_str().ok()
}

fn path(record: &Record) -> &str {
    record
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
}

fn function(record: &Record) -> Option<&str> {
    let function = record.function.as_ref()?;
    Some(function.live.metrics.label())
}

/// Milliseconds with three digits after the point.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(format: LogFormat) -> Record {
        Record {
            format,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            client: Some(IpAddr::from([127, 0, 0, 1])),
            call_id: Some(HeaderValue::from_static("id-1")),
            method: Method::POST,
            uri: Uri::from_static("/function/echo?q=%221%22"),
            function: None,
            status: 504,
            bytes_in: 2,
            bytes_out: 0,
            duration: Duration::from_micros(1_234),
            waited: Duration::ZERO,
            retries: 1,
            reason: Some("upstream_timeout"),
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_every_field() {
        let mut lines = Vec::new();
        append(&mut lines, &record(LogFormat::Json));
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["time"], "1970-01-01T00:00:01.500Z");
        assert_eq!(line["call_id"], "id-1");
        assert_eq!(line["path"], "/function/echo?q=%221%22");
        assert_eq!(line["duration_ms"], 1.234);
        assert_eq!(line["reason"], "upstream_timeout");
    }

    #[test]
    fn a_text_line_reads_alone() {
        let mut lines = Vec::new();
        append(&mut lines, &record(LogFormat::Text));
        let text = String::from_utf8(lines).unwrap();
        assert!(text.starts_with("1970-01-01T00:00:01.500Z POST /function/echo"));
        assert!(text.ends_with("client=127.0.0.1 reason=upstream_timeout\n"));
    }

    #[test]
    fn every_record_handed_over_is_written_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let dropped = IntCounter::new("d", "d").unwrap();
        let (log, writer) =
            AccessLog::start(&LogOutput::File(path.clone()), dropped.clone()).unwrap();
        for _ in 0..100 {
            log.log(record(LogFormat::Json));
        }
        drop(log);
        writer.finish();
        let written = std::fs::read_to_string(path).unwrap().lines().count() as u64;
        assert_eq!(written + dropped.get(), 100);
        assert!(written > 0);
    }
}
