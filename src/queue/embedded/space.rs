//! Room on the disk. A queue that fills it to the last byte could not even note that a call has ended,
//! so new calls are refused before that.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

/// Bytes that stay free for everything but new calls, or a sixteenth of a small disk.
const RESERVE: u64 = 64 << 20;
const SMALL: u64 = 16;
/// Bytes that a call takes beside its body.
const CALL: u64 = 16 << 10;
/// How long a look is good for.
const FRESH: Duration = Duration::from_millis(100);
/// How many times as long as the file took to measure it is left alone before the next time.
const REST: u32 = 10;

/// See the module.
#[derive(Debug)]
pub struct Space {
    folder: PathBuf,
    looked: Option<Instant>,
    /// Bytes beyond the reserve, less what was taken since the last look.
    free: u64,
    /// Whether half of the reserve is there: the file may grow a little though it has room inside.
    reserved: bool,
    /// Bytes of the file that hold nothing, less what was taken since they were counted. The file
    /// seldom gets shorter, so on a full disk this is the room that calls make by ending.
    inside: u64,
    /// Whether the disk had no room for a call since the file was measured last.
    short: bool,
    /// When the file may be measured again.
    next: Option<Instant>,
}

impl Space {
    /// The room around a folder.
    pub fn around(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            looked: None,
            free: 0,
            reserved: false,
            inside: 0,
            short: false,
            next: None,
        }
    }

    /// Whether the disk had no room for a call lately.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Counts what is free inside the file, which takes as long as the file is large, where that is
    /// worth knowing.
    pub fn measure<E>(&mut self, count: impl FnOnce() -> Result<u64, E>) -> Result<(), E> {
        let begun = Instant::now();
        if self.short && self.next.is_none_or(|next| next <= begun) {
            self.inside = count()?;
            self.short = false;
            self.next = Some(Instant::now() + begun.elapsed() * REST);
        }
        Ok(())
    }

    /// Takes room for a new call whose body has so many bytes; says whether there is enough.
    pub fn take(&mut self, body: usize) -> io::Result<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= FRESH) {
            let disk = statvfs(&self.folder)?;
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            let reserve = RESERVE.min(bytes(disk.f_blocks) / SMALL);
            self.free = bytes(disk.f_bavail).saturating_sub(reserve);
            self.reserved = bytes(disk.f_bavail) >= reserve / 2;
            self.looked = Some(Instant::now());
        }
        // Long values take pages of the next power of two.
        let bytes = CALL + 2 * body as u64;
        let beyond = self.free >= bytes;
        self.short |= !beyond;
        let enough = beyond || (self.reserved && self.inside >= bytes);
        if enough {
            // Where the call will be stored is not known: it counts as taken from both.
            self.free = self.free.saturating_sub(bytes);
            self.inside = self.inside.saturating_sub(bytes);
        }
        Ok(enough)
    }
}
