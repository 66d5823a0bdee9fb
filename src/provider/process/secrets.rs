//! The secrets of one copy of a function, as they were when it started: a folder of its own that goes
//! with it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::Secrets;

/// A folder with secrets, removed when dropped.
#[derive(Debug)]
pub(super) struct SecretDir {
    path: PathBuf,
}

impl SecretDir {
    /// Copies secrets from their namespace's folder to a new one; `None` if there are none to copy.
    /// The error is in words for the function's owner.
    pub fn fill(path: PathBuf, from: &Path, secrets: &Secrets) -> Result<Option<Self>, String> {
        if secrets.names.is_empty() {
            return Ok(None);
        }
        let failed = |error: io::Error| format!("cannot prepare secrets: {error}");
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let dir = Self { path };
        for name in &secrets.names {
            let value = fs::read(from.join(name)).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    let namespace = from.file_name().unwrap_or_default().display();
                    format!(
                        "secret `{name}` does not exist in namespace `{namespace}`: create it \
                         (faas-cli: secret create)"
                    )
                }
                _ => failed(error),
            })?;
            dir.write(name, &value).map_err(failed)?;
        }
        Ok(Some(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o400);
        file.open(self.path.join(name))?.write_all(value)
    }
}

impl Drop for SecretDir {
    fn drop(&mut self) {
        // What stays goes with the runtime directory.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secrets(names: &[&str]) -> Secrets {
        Secrets {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            version: 0,
        }
    }

    #[test]
    fn only_what_was_asked_for_is_copied_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("ns");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("key"), [0, 255]).unwrap();
        fs::write(from.join("other"), "x").unwrap();
        let to = dir.path().join("copy");
        let copied = SecretDir::fill(to.clone(), &from, &secrets(&["key"]))
            .unwrap()
            .unwrap();
        assert_eq!(fs::read(copied.path().join("key")).unwrap(), [0, 255]);
        assert!(!to.join("other").exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("key"))), (0o700, 0o400));
        drop(copied);
        assert!(!to.exists());
    }

    #[test]
    fn a_missing_secret_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("copy");
        let error = SecretDir::fill(to.clone(), &dir.path().join("ns"), &secrets(&["key"]));
        let error = error.unwrap_err();
        assert!(error.contains("`key`") && error.contains("`ns`"), "{error}");
        assert!(!to.exists());
        assert!(
            SecretDir::fill(to, dir.path(), &secrets(&[]))
                .unwrap()
                .is_none()
        );
    }
}
