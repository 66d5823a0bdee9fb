//! The two credential files of basic authentication: made at the first start, read again whenever
//! they change, compared in constant time.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use subtle::{Choice, ConstantTimeEq};

use crate::config::BasicAuth;

/// User name written into a generated user file.
const DEFAULT_USER: &str = "admin";

/// Longest user name or password, in bytes.
const MAX_LENGTH: usize = 1024;

/// The credentials of the two files.
pub struct Credentials {
    files: BasicAuth,
    cached: Mutex<Option<(Stamp, Pair)>>,
}

#[derive(Clone)]
struct Pair {
    user: String,
    password: String,
}

/// What tells one version of the files from another.
type Stamp = [(u64, i64, i64, u64); 2];

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has nothing in it.
    #[error("{} is empty: put the {what} into it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// `user name` or `password`.
        what: &'static str,
    },
    /// A file has too much in it.
    #[error("{}: the {what} is longer than {MAX_LENGTH} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// `user name` or `password`.
        what: &'static str,
    },
}

impl Credentials {
    /// Opens the files. Those the user named must exist; the others are made, with a random password
    /// that only the gateway's user can read.
    pub fn open(files: &BasicAuth) -> Result<Self, CredentialsError> {
        if !files.named {
            create(&files.user_file, DEFAULT_USER)?;
            create(&files.password_file, &random_password())?;
        }
        let credentials = Self {
            files: files.clone(),
            cached: Mutex::new(None),
        };
        credentials.current()?;
        Ok(credentials)
    }

    /// The file that holds the password.
    pub fn password_file(&self) -> &Path {
        &self.files.password_file
    }

    /// The user name, for the start message.
    pub fn user(&self) -> Result<String, CredentialsError> {
        Ok(self.current()?.user)
    }

    /// Whether an `Authorization` header carries these credentials. Files that are missing or empty
    /// let nobody in.
    pub fn check(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some((user, password)) = authorization.and_then(decode) else {
            return false;
        };
        let Ok(pair) = self.current() else {
            return false;
        };
        // Both are always compared, so that time does not tell which one was wrong.
        (same(&pair.user, &user) & same(&pair.password, &password)).into()
    }

    /// The `Authorization` header the gateway sends to its provider.
    pub fn header(&self) -> Result<HeaderValue, CredentialsError> {
        let pair = self.current()?;
        let token = STANDARD.encode(format!("{}:{}", pair.user, pair.password));
        let mut value = HeaderValue::try_from(format!("Basic {token}"))
            // Base64 has no byte that a header value could not hold.
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        Ok(value)
    }

    /// Reads the files if they changed since the last look: two calls of `stat` otherwise.
    fn current(&self) -> Result<Pair, CredentialsError> {
        let stamp = [
            stamp(&self.files.user_file)?,
            stamp(&self.files.password_file)?,
        ];
        // A short section without an await; a poisoned lock only means that a reader panicked.
        let mut cached = self
            .cached
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((seen, pair)) = cached.as_ref()
            && *seen == stamp
        {
            return Ok(pair.clone());
        }
        let pair = Pair {
            user: read(&self.files.user_file, "user name")?,
            password: read(&self.files.password_file, "password")?,
        };
        *cached = Some((stamp, pair.clone()));
        Ok(pair)
    }
}

/// Whether a header carries a user name and a password, right or wrong: a guess, if they are wrong.
pub fn names_a_user(authorization: &HeaderValue) -> bool {
    decode(authorization).is_some()
}

/// Compares in a time that depends on neither text, lengths included: both are laid into the same
/// room first. What does not fit there is no user name or password of ours.
fn same(own: &str, given: &str) -> Choice {
    let room = |text: &str| {
        let mut room = [0; MAX_LENGTH];
        let length = text.len().min(MAX_LENGTH);
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        room
    };
    room(own).ct_eq(&room(given)) & own.len().ct_eq(&given.len())
}

/// `Basic base64(user:password)` (RFC 7617, section 2); the scheme is case-insensitive.
fn decode(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(token.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn random_password() -> String {
    // 122 random bits from the operating system's generator.
    uuid::Uuid::new_v4().simple().to_string()
}

fn create(path: &Path, text: &str) -> Result<(), CredentialsError> {
    let failed = |source| CredentialsError::File {
        verb: "write",
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    writeln!(file, "{text}").map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn stamp(path: &Path) -> Result<(u64, i64, i64, u64), CredentialsError> {
    let meta = fs::metadata(path).map_err(|source| CredentialsError::File {
        verb: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

fn read(path: &Path, what: &'static str) -> Result<String, CredentialsError> {
    let text = fs::read_to_string(path).map_err(|source| CredentialsError::File {
        verb: "read",
        path: path.to_owned(),
        source,
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(CredentialsError::Empty {
            path: path.to_owned(),
            what,
        });
    }
    if text.len() > MAX_LENGTH {
        return Err(CredentialsError::TooLong {
            path: path.to_owned(),
            what,
        });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn files(dir: &Path, named: bool) -> BasicAuth {
        BasicAuth {
            user_file: dir.join("auth/user"),
            password_file: dir.join("auth/password"),
            named,
        }
    }

    #[test]
    fn a_generated_password_opens_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = Credentials::open(&files(dir.path(), false)).unwrap();
        let header = first.header().unwrap();
        assert!(first.check(Some(&header)));
        let mode = fs::metadata(first.password_file()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Credentials::open(&files(dir.path(), false)).unwrap();
        assert!(second.check(Some(&header)));
    }

    #[test]
    fn wrong_missing_and_malformed_credentials_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Credentials::open(&files(dir.path(), false)).unwrap();
        assert!(!credentials.check(None));
        for header in [
            "",
            "Basic",
            "Basic !!",
            "Basic YWRtaW46eA==",
            "Bearer ",
            "Basic YWRtaW4=",
        ] {
            let header = HeaderValue::from_static(header);
            assert!(!credentials.check(Some(&header)), "{header:?}");
        }
    }

    #[test]
    fn a_rotated_password_counts_at_once_and_an_empty_file_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Credentials::open(&files(dir.path(), false)).unwrap();
        let old = credentials.header().unwrap();
        fs::write(credentials.password_file(), "new one\n").unwrap();
        assert!(!credentials.check(Some(&old)));
        assert!(credentials.check(Some(&credentials.header().unwrap())));
        fs::write(credentials.password_file(), "\n").unwrap();
        assert!(!credentials.check(Some(&HeaderValue::from_static("Basic YWRtaW46"))));
    }

    #[test]
    fn named_files_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let error = Credentials::open(&files(dir.path(), true)).err().unwrap();
        assert!(error.to_string().contains("cannot read"), "{error}");
    }
}
