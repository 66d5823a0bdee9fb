//! The two credential files of basic authentication: made at the first start, read again whenever
//! they change, compared in constant time.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use subtle::{Choice, ConstantTimeEq};

use crate::config::BasicAuth;

/// User name written into a generated user file.
const DEFAULT_USER: &str = "admin";

/// Longest user name and longest password, in bytes.
const MAX_LENGTH: usize = 1024;

/// The credentials of the two files.
pub struct Credentials {
    files: BasicAuth,
    cached: Mutex<Option<(Stamp, Arc<Pair>)>>,
    readable: AtomicBool,
}

struct Pair {
    user: Secret,
    password: Secret,
}

/// A text to be compared in a time that tells nothing of it, its length included: the text and its
/// length, filled up with zeros beforehand.
struct Secret {
    text: String,
    padded: Padded,
}

struct Padded {
    bytes: [u8; MAX_LENGTH],
    length: u64,
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
    #[error("{} is longer than {MAX_LENGTH} bytes: put nothing but the {what} into it", path.display())]
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
            readable: AtomicBool::new(true),
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
        Ok(self.current()?.user.text.clone())
    }

    /// Whether an `Authorization` header carries these credentials. Files that are missing or empty
    /// let nobody in.
    pub fn check(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some((user, password)) = authorization.and_then(decode) else {
            return false;
        };
        let pair = self.current();
        let was_readable = self.readable.swap(pair.is_ok(), Ordering::Relaxed);
        let pair = match pair {
            Ok(pair) => pair,
            Err(error) => {
                // Once when it happens, not for every request.
                if was_readable {
                    tracing::error!("nobody can log in: {error}");
                }
                return false;
            }
        };
        // Both are always compared, so that time does not tell which one was wrong.
        let user = pair.user.is(&user);
        let password = pair.password.is(&password);
        (user & password).into()
    }

    /// The `Authorization` header the gateway sends to its provider.
    pub fn header(&self) -> Result<HeaderValue, CredentialsError> {
        let pair = self.current()?;
        let token = STANDARD.encode(format!("{}:{}", pair.user.text, pair.password.text));
        let mut value = HeaderValue::try_from(format!("Basic {token}"))
            // Base64 has no byte that a header value could not hold.
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        Ok(value)
    }

    /// Reads the files if they changed since the last look: two calls of `stat` otherwise.
    fn current(&self) -> Result<Arc<Pair>, CredentialsError> {
        let stamp = [
            stamp(&self.files.user_file)?,
            stamp(&self.files.password_file)?,
        ];
        // A short section without an await; a poisoned lock only means that a reader panicked.
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, pair)) = cached.as_ref()
            && *seen == stamp
        {
            return Ok(Arc::clone(pair));
        }
        let pair = Arc::new(Pair {
            user: read(&self.files.user_file, "user name")?,
            password: read(&self.files.password_file, "password")?,
        });
        *cached = Some((stamp, Arc::clone(&pair)));
        Ok(pair)
    }
}

impl Secret {
    fn is(&self, given: &str) -> Choice {
        // How long this takes depends on what was given, which is known to who gave it.
        Padded::of(given).map_or(Choice::from(0), |given| self.padded.ct_eq(&given))
    }
}

impl Padded {
    /// `None` if the text is too long.
    fn of(text: &str) -> Option<Self> {
        let mut bytes = [0; MAX_LENGTH];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let length = text.len() as u64;
        Some(Self { bytes, length })
    }
}

impl ConstantTimeEq for Padded {
    fn ct_eq(&self, other: &Self) -> Choice {
        // Slices of unequal length would be told apart at once.
        self.bytes.ct_eq(&other.bytes) & self.length.ct_eq(&other.length)
    }
}

/// Whether a request tries a password: no other scheme carries one, and `faas-cli` without a login
/// sends `Bearer` with nothing after it. A service that checks in the gateway's place may look at
/// other headers than the first, and take for a password what [`Credentials::check`] does not, so
/// the schemes alone decide.
pub fn has_password(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    lines.any(|line| {
        let line = line.as_bytes().trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace);
        end.is_some_and(|end| line[..end].eq_ignore_ascii_case(b"basic"))
    })
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

fn read(path: &Path, what: &'static str) -> Result<Secret, CredentialsError> {
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
    let Some(padded) = Padded::of(text) else {
        return Err(CredentialsError::TooLong {
            path: path.to_owned(),
            what,
        });
    };
    let text = text.to_owned();
    Ok(Secret { text, padded })
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
    fn only_the_whole_password_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Credentials::open(&files(dir.path(), false)).unwrap();
        fs::write(credentials.password_file(), "secret").unwrap();
        for (pair, right) in [
            ("admin:secret", true),
            ("admin:secre", false),
            ("admin:secrets", false),
            ("admin:secret\0", false),
            ("admin:", false),
            (":secret", false),
            ("admin\0:secret", false),
            ("bdmin:secret", false),
        ] {
            let header = format!("Basic {}", STANDARD.encode(pair));
            let header = HeaderValue::try_from(header).unwrap();
            assert_eq!(credentials.check(Some(&header)), right, "{pair:?}");
        }
    }

    #[test]
    fn a_password_may_be_long_but_not_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), false);
        let credentials = Credentials::open(&files).unwrap();
        fs::write(credentials.password_file(), "x".repeat(MAX_LENGTH)).unwrap();
        assert!(credentials.check(Some(&credentials.header().unwrap())));
        fs::write(credentials.password_file(), "x".repeat(MAX_LENGTH + 1)).unwrap();
        let error = Credentials::open(&files).err().unwrap();
        assert!(error.to_string().contains("longer than 1024"), "{error}");
    }

    #[test]
    fn only_the_scheme_basic_with_something_after_it_is_a_password() {
        for (lines, expected) in [
            (&[][..], false),
            (&[""], false),
            (&["Bearer "], false),
            (&["Bearer token"], false),
            (&["Basic"], false),
            (&["Basic "], false),
            (&["Basic x"], true),
            (&["bAsIc\tx"], true),
            (&["Bearer ", "Basic x"], true),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(line));
            }
            assert_eq!(has_password(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn named_files_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let error = Credentials::open(&files(dir.path(), true)).err().unwrap();
        assert!(error.to_string().contains("cannot read"), "{error}");
    }
}
