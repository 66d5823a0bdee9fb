//! Room on the disk. A queue that fills it to the last byte could not even note that a call has ended,
//! so new calls are refused before that.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

/// Bytes that stay free for everything but new calls, or a sixteenth of a small disk.
const RESERVE: u64 = 64 << 20;
const SMALL: u64 = 16;
/// How long an answer is good for.
const FRESH: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct Space {
    folder: PathBuf,
    looked: Option<Instant>,
    enough: bool,
}

impl Space {
    /// The room around a folder.
    pub fn around(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            looked: None,
            enough: true,
        }
    }

    /// Whether there is enough for new calls.
    pub fn is_enough(&mut self) -> io::Result<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= FRESH) {
            let disk = statvfs(&self.folder)?;
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            self.enough = bytes(disk.f_bavail) >= RESERVE.min(bytes(disk.f_blocks) / SMALL);
            self.looked = Some(Instant::now());
        }
        Ok(self.enough)
    }
}
