//! The file that keeps the counts over restarts.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;

/// The format this version writes.
const VERSION: u32 = 1;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    version: u32,
    /// Names this gateway.
    pub id: String,
    /// Calls by `function_name`.
    pub calls: BTreeMap<String, u64>,
}

/// Why counts cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CountsError {
    /// A later version of the gateway wrote them.
    #[error("{}: format {version} is not known to this version, which knows {VERSION}", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Where they are kept.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    _lock: File,
}

impl Kept {
    /// Nothing yet, of a gateway that has just got its name.
    pub fn new() -> Self {
        Self {
            version: VERSION,
            id: uuid::Uuid::new_v4().to_string(),
            calls: BTreeMap::new(),
        }
    }
}

impl Store {
    /// The file in a state folder; `None` if another gateway uses it.
    pub fn open(state_dir: &Path) -> Result<Option<Self>, CountsError> {
        let path = state_dir.join("counters.json");
        let failed = |source| CountsError::File {
            path: path.clone(),
            source,
        };
        durable::make_folder(state_dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = lock.open(state_dir.join("counters.lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// What was kept; `None` if nothing was, or if it cannot be read: then it is set aside, for
    /// counts are no reason not to start.
    pub fn read(&self) -> Result<Option<Kept>, CountsError> {
        #[derive(Deserialize)]
        struct Format {
            version: u32,
        }
        let path = &self.path;
        let failed = |source| CountsError::File {
            path: path.clone(),
            source,
        };
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed)?,
        };
        if let Ok(Format { version }) = serde_json::from_slice(&text)
            && version > VERSION
        {
            let path = path.clone();
            return Err(CountsError::Later { path, version });
        }
        match serde_json::from_slice(&text) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) => {
                let aside = path.with_extension("unreadable");
                std::fs::rename(path, &aside).map_err(failed)?;
                let (path, aside) = (path.display(), aside.display());
                tracing::error!(
                    "{path} cannot be read: {error}; kept as {aside}, counting from zero"
                );
                Ok(None)
            }
        }
    }

    /// Keeps these counts in place of the last.
    pub fn write(&self, kept: &Kept) -> io::Result<()> {
        durable::write(&self.path, &serde_json::to_vec(kept)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap().unwrap();
        assert_eq!(store.read().unwrap(), None);
        let mut kept = Kept::new();
        kept.calls.insert("echo.openfaas-fn".to_owned(), 7);
        store.write(&kept).unwrap();
        assert!(Store::open(dir.path()).unwrap().is_none(), "it is in use");
        drop(store);
        let store = Store::open(dir.path()).unwrap().unwrap();
        assert_eq!(store.read().unwrap(), Some(kept));
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_a_later_format_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap().unwrap();
        std::fs::write(&store.path, "{\"version\":1,").unwrap();
        assert_eq!(store.read().unwrap(), None);
        assert!(dir.path().join("counters.unreadable").exists());
        std::fs::write(&store.path, "{\"version\":2}").unwrap();
        let error = store.read().unwrap_err();
        assert!(
            matches!(error, CountsError::Later { version: 2, .. }),
            "{error}"
        );
    }
}
