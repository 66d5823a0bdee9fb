//! What functions wrote: a ring of lines per function, the oldest overwritten first.
//!
//! The ring belongs to the function, not to a process: it survives restarts and new revisions.
//! Every line has a sequence number, so a reader that follows knows what it has seen and what it
//! missed, and a slow reader never holds up a function.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// Lines a ring holds at most.
pub const MAX_LINES: usize = 1000;
/// Text a ring holds at most, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// Longest line, in bytes; a longer one is cut into several.
pub const MAX_LINE: usize = 8 * 1024;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The process's standard output.
    Stdout,
    /// The process's standard error.
    Stderr,
    /// A request body, with `read_debug` (users.md section 5.3).
    Request,
    /// The gateway's own words about the process.
    Watchdog,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts the lines of a function from 0, without gaps.
    pub sequence: u64,
    /// When it was read.
    pub timestamp: SystemTime,
    /// Which copy of the function wrote it.
    pub instance: Arc<str>,
    /// Where it came from.
    pub stream: Stream,
    /// The line without its end; what is not UTF-8 is replaced.
    pub text: Arc<str>,
}

/// The latest lines of one function.
#[derive(Debug)]
pub struct LogRing {
    // A std mutex: it is held for a push or a copy and never over an await.
    lines: Mutex<Lines>,
    end: watch::Sender<End>,
}

#[derive(Debug, Default)]
struct Lines {
    entries: VecDeque<Entry>,
    bytes: usize,
    next: u64,
}

/// Where the ring ends now, for those who follow it.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    next: u64,
    closed: bool,
}

impl LogRing {
    /// An empty ring.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            lines: Mutex::default(),
            end: watch::Sender::new(End::default()),
        })
    }

    /// Appends a line, and drops the oldest ones where it would hold too much.
    pub fn push(&self, instance: &Arc<str>, stream: Stream, text: impl Into<Arc<str>>) {
        let next = self.lines().push(instance, stream, text.into());
        // Two pushes may arrive here in the other order; the end only ever moves on.
        self.end.send_if_modified(|end| {
            let moved = next > end.next;
            end.next = end.next.max(next);
            moved
        });
    }

    /// The lines still held whose sequence is `from` or later, oldest first.
    pub fn entries(&self, from: u64) -> Vec<Entry> {
        let lines = self.lines();
        let first = lines.entries.partition_point(|entry| entry.sequence < from);
        lines.entries.range(first..).cloned().collect()
    }

    /// The newest line, if any.
    pub fn last(&self) -> Option<Entry> {
        self.lines().entries.back().cloned()
    }

    /// Waits until there is a line with this sequence or a later one. `false`: there will be none,
    /// the function is gone. The caller bounds the wait.
    pub async fn reached(&self, sequence: u64) -> bool {
        let mut end = self.end.subscribe();
        match end.wait_for(|end| end.closed || end.next > sequence).await {
            Ok(end) => end.next > sequence,
            Err(_) => false,
        }
    }

    /// Ends everybody who follows: the function is gone.
    pub fn close(&self) {
        self.end.send_modify(|end| end.closed = true);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Returns the sequence of the line that would follow.
    fn push(&mut self, instance: &Arc<str>, stream: Stream, text: Arc<str>) -> u64 {
        self.bytes += text.len();
        self.entries.push_back(Entry {
            sequence: self.next,
            timestamp: SystemTime::now(),
            instance: Arc::clone(instance),
            stream,
            text,
        });
        self.next += 1;
        while self.entries.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let dropped = self.entries.pop_front();
            self.bytes -= dropped.map_or(0, |entry| entry.text.len());
        }
        self.next
    }
}

/// Cuts a stream of bytes into lines and appends them to a ring. What was not ended by a line feed
/// is appended when the writer is dropped.
#[derive(Debug)]
pub struct LineWriter {
    ring: Arc<LogRing>,
    instance: Arc<str>,
    stream: Stream,
    line: Vec<u8>,
}

impl LineWriter {
    /// Lines written here carry this instance and stream.
    pub fn new(ring: Arc<LogRing>, instance: Arc<str>, stream: Stream) -> Self {
        Self {
            ring,
            instance,
            stream,
            line: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, mut bytes: &[u8]) {
        while self.line.len() + bytes.len() > MAX_LINE {
            let (head, rest) = bytes.split_at(MAX_LINE - self.line.len());
            self.line.extend_from_slice(head);
            self.end_line();
            bytes = rest;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = String::from_utf8_lossy(line);
        self.ring.push(&self.instance, self.stream, text.as_ref());
        self.line.clear();
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

/// Appends everything a pipe yields until its end.
pub(super) async fn copy(mut pipe: impl AsyncRead + Unpin, mut lines: LineWriter) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        lines.write(&buffer[..count]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn texts(ring: &LogRing) -> Vec<String> {
        let entries = ring.entries(0);
        entries.iter().map(|entry| entry.text.to_string()).collect()
    }

    fn writer(ring: &Arc<LogRing>) -> LineWriter {
        LineWriter::new(Arc::clone(ring), "a-1".into(), Stream::Stdout)
    }

    #[test]
    fn lines_are_cut_at_line_feeds_however_the_bytes_arrive() {
        let ring = LogRing::new();
        let mut lines = writer(&ring);
        for piece in ["on", "e\r\ntwo\n\nth", "ree"] {
            lines.write(piece.as_bytes());
        }
        assert_eq!(texts(&ring), ["one", "two", ""]);
        drop(lines);
        assert_eq!(texts(&ring), ["one", "two", "", "three"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let ring = LogRing::new();
        writer(&ring).write(&vec![b'x'; 2 * MAX_LINE + 1]);
        let lengths: Vec<_> = texts(&ring).iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, 1]);
    }

    #[test]
    fn the_oldest_lines_go_first_by_count_and_by_bytes() {
        let ring = LogRing::new();
        let instance: Arc<str> = "a-1".into();
        for number in 0..MAX_LINES + 5 {
            ring.push(&instance, Stream::Stdout, number.to_string());
        }
        let entries = ring.entries(0);
        assert_eq!((entries.len(), entries[0].sequence), (MAX_LINES, 5));

        let long = "x".repeat(MAX_LINE);
        for _ in 0..MAX_BYTES / MAX_LINE {
            ring.push(&instance, Stream::Stdout, long.as_str());
        }
        assert_eq!(ring.entries(0).len(), MAX_BYTES / MAX_LINE);
    }

    #[tokio::test]
    async fn who_follows_wakes_with_the_line_and_ends_with_the_function() {
        let ring = LogRing::new();
        let following = tokio::spawn({
            let ring = Arc::clone(&ring);
            async move { (ring.reached(0).await, ring.reached(1).await) }
        });
        ring.push(&"a-1".into(), Stream::Stdout, "hello");
        ring.close();
        let seen = tokio::time::timeout(Duration::from_secs(5), following);
        assert_eq!(seen.await.unwrap().unwrap(), (true, false));
        assert_eq!(&*ring.last().unwrap().text, "hello");
    }
}
