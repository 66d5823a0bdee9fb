//! The private directory of a running gateway: Unix sockets, secrets of
//! functions, and the ledger of process groups.
//!
//! A lock file tells the living from the dead: the kernel drops the lock with the process, however
//! it ended, so a later gateway knows which directories nobody needs any more.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PREFIX: &str = "gateway-";
/// Hexadecimal digits behind it.
const DIGITS: usize = 8;
const LOCK: &str = "lock";
/// Longest time in which a directory is made.
const MAKING: Duration = Duration::from_secs(60);

/// Longest path of a directory, so that a socket in it stays below the 104 bytes that the shortest
/// `sun_path` of the supported systems has (macOS; Linux has 108).
const MAX_PATH: usize = 80;

/// A directory of our own, mode 0700, removed when dropped.
#[derive(Debug)]
pub(super) struct RuntimeDir {
    path: PathBuf,
    numbers: AtomicU64,
    _lock: File,
}

impl RuntimeDir {
    /// Makes a new directory below `parent`, and removes those that dead gateways left there.
    pub fn create(parent: &Path) -> io::Result<Self> {
        if parent.as_os_str().len() > MAX_PATH - PREFIX.len() - DIGITS {
            let problem = format!("{} is too long a path to hold sockets", parent.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        remove_stale(parent);
        loop {
            let path = parent.join(name(random() as u32));
            let made = make(&path).map_err(|error| {
                let text = format!("creating runtime directory {}: {error}", path.display());
                io::Error::new(error.kind(), text)
            })?;
            if let Some(lock) = made {
                return Ok(Self {
                    path,
                    numbers: AtomicU64::new(0),
                    _lock: lock,
                });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells the processes of this gateway from those of others: the directory's name.
    pub fn mark(&self) -> Arc<str> {
        mark(&self.path)
    }

    /// A path for one more socket, never given out before.
    pub fn socket(&self) -> Arc<Path> {
        self.path.join(format!("{}.sock", self.number())).into()
    }

    /// A path for one more folder with secrets, never given out before.
    pub fn secrets(&self) -> PathBuf {
        self.path.join(format!("{}.secrets", self.number()))
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // The reaper may have been quicker; whatever stays is stale for the next gateway.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The usual place for runtime directories: `XDG_RUNTIME_DIR` where there is one (XDG Base
/// Directory Specification), else the folder for temporary files.
pub(super) fn default_parent() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(path) if path.is_dir() => path,
        _ => std::env::temp_dir(),
    }
}

/// A number nobody can foresee, from the seeds of the standard library's hash maps.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The mark of a directory.
pub(super) fn mark(path: &Path) -> Arc<str> {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into()
}

/// Makes a directory; `None` if another gateway took it for stale before it was locked.
fn make(path: &Path) -> io::Result<Option<File>> {
    DirBuilder::new().mode(0o700).create(path)?;
    let file = path.join(LOCK);
    let lock = File::create_new(&file)?;
    match lock.try_lock() {
        // Whoever removes it holds the lock until it is gone.
        Ok(()) => Ok(file.exists().then_some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn name(number: u32) -> String {
    format!("{PREFIX}{number:0DIGITS$x}")
}

/// Whether a directory has a name that we give. A state folder has a lock file, too, and may be called
/// `gateway-data`: what was not made by us is not for us to remove.
fn is_name(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX.as_bytes());
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(digit))
}

fn remove_stale(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let ours = is_name(entry.file_name().as_encoded_bytes());
        let path = entry.path();
        if ours && let Some(_lock) = stale(&path) {
            tracing::info!(path = %path.display(), "removing what a dead gateway left");
            let _ = fs::remove_dir_all(path);
        } else if ours && is_old(&path) {
            // It was being removed when that was broken off. One that is not empty stays.
            let _ = fs::remove_dir(path);
        }
    }
}

/// Stale is a directory with a lock file that we may open and that nobody holds; then we do. One
/// without a lock file may just be in the making.
fn stale(path: &Path) -> Option<File> {
    let lock = File::options().write(true).open(path.join(LOCK)).ok()?;
    lock.try_lock().is_ok().then_some(lock)
}

/// Whether a directory cannot be in the making any more.
fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= MAKING))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_half_removed_is_removed_and_what_is_in_the_making_stays() {
        let parent = tempfile::tempdir().unwrap();
        let made = |name: &str, age: u64| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            let time = std::time::SystemTime::now() - Duration::from_secs(age);
            File::open(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let (old, new) = (made(&name(1), 61), made(&name(2), 5));
        let others = made("somebodys", 1000);
        let _own = RuntimeDir::create(parent.path()).unwrap();
        assert!(!old.exists());
        assert!(new.exists() && others.exists());
    }

    #[test]
    fn a_state_folder_in_the_same_place_stays_whatever_it_is_called() {
        let parent = tempfile::tempdir().unwrap();
        let names = ["gateway-data", "gateway-1", "gateway-backup-2", "gateway-"];
        for name in names {
            // As a gateway leaves it that has ended.
            drop(make(&parent.path().join(name)).unwrap());
        }
        let _own = RuntimeDir::create(parent.path()).unwrap();
        for name in names {
            assert!(parent.path().join(name).join(LOCK).exists(), "{name}");
        }
    }

    #[test]
    fn gateways_that_start_together_leave_each_other_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..200 {
                        let dir = RuntimeDir::create(parent.path()).unwrap();
                        assert!(dir.path().join(LOCK).exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn it_is_private_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::create(parent.path()).unwrap();
        let path = dir.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_ne!(dir.socket(), dir.socket());
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn what_the_dead_left_is_removed_and_the_living_are_spared() {
        let parent = tempfile::tempdir().unwrap();
        let living = RuntimeDir::create(parent.path()).unwrap();
        let dead = parent.path().join(name(0xdead));
        drop(make(&dead).unwrap());
        let stranger = parent.path().join(name(0xbeef));
        fs::create_dir(&stranger).unwrap();

        let _new = RuntimeDir::create(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.path().exists());
        assert!(stranger.exists());
    }

    #[test]
    fn a_parent_too_long_for_sockets_is_refused() {
        let long = PathBuf::from("/").join("x".repeat(MAX_PATH));
        let error = RuntimeDir::create(&long).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
