//! What outlives the gateway: deployed functions, namespaces and secrets, one file each.
//!
//! ```text
//! STATE/version                       the format, a number
//! STATE/lock                          held while a gateway uses the folder
//! STATE/functions/NAMESPACE/NAME.json
//! STATE/namespaces/NAME.json
//! STATE/secrets/NAMESPACE/NAME        the bytes themselves, mode 0600
//! ```
//!
//! Whatever ends the gateway, at whatever moment: a file is the old one or the new one, and what was
//! answered for is there ([`durable`]). Everything here blocks; it is called from threads that may.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::SECRETS;
use crate::durable;
use crate::function::{Deployment, FunctionName, Namespace};

/// The format this version writes.
const VERSION: u32 = 1;

/// What becomes of a file that cannot be read: it is kept under this ending, for its owner.
const UNREADABLE: &str = "unreadable";

/// A deployed function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// As it was deployed.
    pub deployment: Deployment,
    /// Replicas it shall have now.
    pub replicas: u64,
    /// When it was first deployed (RFC 3339).
    pub created_at: String,
    /// Differs where the values of its secrets do, as they were when it was deployed or updated.
    #[serde(default)]
    pub secrets_version: u64,
}

/// Everything but the secrets, as it was found.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub functions: BTreeMap<FunctionName, Record>,
    pub namespaces: BTreeMap<String, Namespace>,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another gateway uses it.
    #[error(
        "{} is in use by another gateway: end that one, or set another `provider.state_dir`",
        .0.display()
    )]
    InUse(PathBuf),
    /// A later version of the gateway wrote it.
    #[error("{}: format `{format}` is not known to this version, which knows {VERSION}", path.display())]
    Later {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        format: String,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The folder of one gateway's state.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens the folder, makes it where it is missing, and reads what is there. What a killed gateway
    /// left unfinished is removed.
    pub fn open(root: &Path) -> Result<(Self, Stored), StoreError> {
        durable::make_folder(root).map_err(failed(root))?;
        let lock = lock(root)?;
        let store = Self {
            root: root.to_owned(),
            _lock: lock,
        };
        store.check_version()?;
        for part in ["functions", "namespaces", SECRETS] {
            let folder = root.join(part);
            durable::make_folder(&folder).map_err(failed(&folder))?;
            durable::remove_unfinished(&folder).map_err(failed(&folder))?;
        }
        let stored = store.read().map_err(failed(root))?;
        Ok((store, stored))
    }

    /// Writes a function, new or changed.
    pub fn put_function(&self, name: &FunctionName, record: &Record) -> io::Result<()> {
        durable::write(&self.function(name), &serde_json::to_vec_pretty(record)?)
    }

    /// Removes a function.
    pub fn remove_function(&self, name: &FunctionName) -> io::Result<()> {
        durable::remove(&self.function(name))
    }

    /// Writes a namespace, new or changed.
    pub fn put_namespace(&self, namespace: &Namespace) -> io::Result<()> {
        let path = self.namespace(&namespace.name);
        durable::write(&path, &serde_json::to_vec_pretty(namespace)?)
    }

    /// Removes a namespace.
    pub fn remove_namespace(&self, name: &str) -> io::Result<()> {
        durable::remove(&self.namespace(name))
    }

    fn secrets_dir(&self) -> PathBuf {
        self.root.join(SECRETS)
    }

    /// Writes a secret, new or changed.
    pub fn put_secret(&self, namespace: &str, name: &str, value: &[u8]) -> io::Result<()> {
        durable::write(&self.secret(namespace, name), value)
    }

    /// Removes a secret.
    pub fn remove_secret(&self, namespace: &str, name: &str) -> io::Result<()> {
        durable::remove(&self.secret(namespace, name))
    }

    /// A secret's value; `None` if there is none of this name.
    pub fn read_secret(&self, namespace: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.secret(namespace, name)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of a namespace's secrets, sorted.
    pub fn secret_names(&self, namespace: &str) -> io::Result<Vec<String>> {
        let mut names = names(&self.secrets_dir().join(namespace))?;
        names.sort();
        Ok(names)
    }

    fn function(&self, name: &FunctionName) -> PathBuf {
        let folder = self.root.join("functions").join(name.namespace());
        folder.join(format!("{}.json", name.name()))
    }

    fn namespace(&self, name: &str) -> PathBuf {
        self.root.join("namespaces").join(format!("{name}.json"))
    }

    fn secret(&self, namespace: &str, name: &str) -> PathBuf {
        self.secrets_dir().join(namespace).join(name)
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let path = self.root.join("version");
        let failed = failed(&path);
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().parse() == Ok(VERSION) => Ok(()),
            Ok(text) => {
                let format = text.trim().to_owned();
                Err(StoreError::Later { path, format })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = format!("{VERSION}\n");
                durable::write(&path, text.as_bytes()).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn read(&self) -> io::Result<Stored> {
        let mut stored = Stored::default();
        let functions = self.root.join("functions");
        for namespace in names(&functions)? {
            let folder = functions.join(&namespace);
            for (name, record) in documents(&folder)? {
                match FunctionName::new(&name, &namespace) {
                    Ok(name) => {
                        stored.functions.insert(name, record);
                    }
                    Err(error) => tracing::error!(%error, "{}", folder.display()),
                }
            }
        }
        stored.namespaces = documents(&self.root.join("namespaces"))?;
        Ok(stored)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::File {
        path: path.clone(),
        source,
    }
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let failed = failed(&path);
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600);
    let lock = lock.open(&path).map_err(&failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse(root.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The visible names in a folder; none if there is no folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// The JSON documents in a folder by their name. One that cannot be read is set aside and told of:
/// it must neither be lost nor keep the others from running.
fn documents<T: DeserializeOwned>(folder: &Path) -> io::Result<BTreeMap<String, T>> {
    let mut documents = BTreeMap::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        if path.extension() != Some(OsStr::new("json")) {
            continue;
        }
        match serde_json::from_slice(&fs::read(&path)?) {
            Ok(document) => {
                documents.insert(name.trim_end_matches(".json").to_owned(), document);
            }
            Err(error) => {
                let aside = path.with_extension(UNREADABLE);
                fs::rename(&path, &aside)?;
                let (path, aside) = (path.display(), aside.display());
                tracing::error!("{path} cannot be read: {error}; kept as {aside}");
            }
        }
    }
    Ok(documents)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn name(text: &str) -> FunctionName {
        FunctionName::parse(text, "ns").unwrap()
    }

    fn record(image: &str) -> Record {
        Record {
            deployment: Deployment {
                service: "f".to_owned(),
                image: image.to_owned(),
                ..Deployment::default()
            },
            replicas: 2,
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            secrets_version: 7,
        }
    }

    #[test]
    fn what_was_written_is_there_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        let (store, stored) = Store::open(&root).unwrap();
        assert!(stored.functions.is_empty() && stored.namespaces.is_empty());
        store.put_function(&name("f"), &record("one")).unwrap();
        store.put_function(&name("f"), &record("two")).unwrap();
        store.put_function(&name("gone"), &record("one")).unwrap();
        store.remove_function(&name("gone")).unwrap();
        let namespace = Namespace {
            name: "prod".to_owned(),
            ..Namespace::default()
        };
        store.put_namespace(&namespace).unwrap();
        store.put_secret("ns", "key", &[0, 255, 10]).unwrap();
        drop(store);

        let (store, stored) = Store::open(&root).unwrap();
        let expected = BTreeMap::from([(name("f"), record("two"))]);
        assert_eq!(stored.functions, expected);
        assert_eq!(stored.namespaces["prod"], namespace);
        assert_eq!(store.secret_names("ns").unwrap(), ["key"]);
        assert_eq!(
            store.read_secret("ns", "key").unwrap().unwrap(),
            [0, 255, 10]
        );
        assert_eq!(store.read_secret("ns", "other").unwrap(), None);
        assert!(store.secret_names("other").unwrap().is_empty());
    }

    #[test]
    fn nobody_else_may_look() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        let (store, _) = Store::open(&root).unwrap();
        store.put_secret("ns", "key", b"hush").unwrap();
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("secrets/ns/key"), mode("secrets"), mode("secrets/ns")),
            (0o600, 0o700, 0o700)
        );
    }

    #[test]
    fn two_gateways_do_not_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
        drop(first);
        Store::open(dir.path()).unwrap();
    }

    #[test]
    fn a_later_format_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("version"), "2\n").unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("format `2`"), "{error}");
    }

    #[test]
    fn what_was_half_written_goes_and_what_cannot_be_read_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("functions/ns");
        drop(Store::open(dir.path()).unwrap());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(".unfinished-0"), "{").unwrap();
        fs::write(folder.join("bad.json"), "{").unwrap();
        let (store, stored) = Store::open(dir.path()).unwrap();
        assert!(stored.functions.is_empty());
        assert!(!folder.join(".unfinished-0").exists());
        assert_eq!(
            fs::read_to_string(folder.join("bad.unreadable")).unwrap(),
            "{"
        );
        store.put_function(&name("bad"), &record("new")).unwrap();
    }
}
