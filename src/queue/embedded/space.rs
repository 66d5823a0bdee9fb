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

/// See the module.
#[derive(Debug)]
pub struct Space {
    folder: PathBuf,
    looked: Option<Instant>,
    /// Bytes beyond the reserve, less what was taken since the last look.
    free: u64,
}

impl Space {
    /// The room around a folder.
    pub fn around(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            looked: None,
            free: 0,
        }
    }

    /// Takes room for a new call whose body has so many bytes; says whether there is enough.
    pub fn take(&mut self, body: usize) -> io::Result<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= FRESH) {
            let disk = statvfs(&self.folder)?;
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            let reserve = RESERVE.min(bytes(disk.f_blocks) / SMALL);
            self.free = bytes(disk.f_bavail).saturating_sub(reserve);
            self.looked = Some(Instant::now());
        }
        // Long values take pages of the next power of two.
        let bytes = CALL + 2 * body as u64;
        let enough = self.free >= bytes;
        if enough {
            self.free -= bytes;
        }
        Ok(enough)
    }
}
