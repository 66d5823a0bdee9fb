//! Posts that their receiver can trust: signed as Standard Webhooks has it (standardwebhooks.com),
//! with HMAC-SHA256 over the call's id, the time and the body.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// In front of a secret that is written in base64.
const ENCODED: &[u8] = b"whsec_";

/// Signs with the secret that it holds.
#[derive(Clone)]
pub struct Signer {
    key: Hmac<Sha256>,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be read.
    #[error("cannot read {}, the secret that callbacks are signed with: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it is no secret.
    #[error("{}, the secret that callbacks are signed with, {why}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// In words.
        why: &'static str,
    },
}

impl Signer {
    /// Takes the secret from a file: base64 after `whsec_`, or else its text as it is. White space
    /// around it does not count.
    pub fn open(path: &Path) -> Result<Self, SignerError> {
        let text = fs::read(path).map_err(|source| SignerError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::of(text.trim_ascii()).map_err(|why| SignerError::Secret {
            path: path.to_owned(),
            why,
        })
    }

    fn of(text: &[u8]) -> Result<Self, &'static str> {
        let secret = match text.strip_prefix(ENCODED) {
            Some(encoded) => STANDARD.decode(encoded).map_err(
                |_| "has no base64 after `whsec_`: copy it again, `=` at its end included",
            )?,
            None => text.to_owned(),
        };
        if secret.is_empty() {
            return Err("is empty: put a secret into it, such as `openssl rand -base64 32` makes");
        }
        let key = Hmac::new_from_slice(&secret).map_err(|_| "is too long")?;
        Ok(Self { key })
    }

    /// Adds the signature of `body`, which is posted for the call `id`, to the headers.
    pub(super) fn sign(&self, headers: &mut HeaderMap, id: &str, body: &[u8], now: SystemTime) {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = self.signature(id, seconds, body);
        for (name, text) in [(ID, id), (SIGNATURE, &signature)] {
            // An id has no byte that a header value could not hold, and base64 has none.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
        headers.insert(TIMESTAMP, HeaderValue::from(seconds));
    }

    fn signature(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let mut mac = self.key.clone();
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn opened(text: &[u8]) -> Result<Signer, SignerError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Signer::open(file.path())
    }

    #[test]
    fn it_signs_as_the_libraries_of_standard_webhooks_do() {
        let signer = opened(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let now = UNIX_EPOCH + Duration::from_millis(1_614_265_330_999);
        let mut headers = HeaderMap::new();
        headers.insert(ID, HeaderValue::from_static("forged"));
        signer.sign(&mut headers, id, br#"{"test": 2432232314}"#, now);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers.get_all(ID).iter().collect::<Vec<_>>(), [id]);
        assert_eq!(headers[TIMESTAMP], "1614265330");
        assert_eq!(headers[SIGNATURE], signature);
    }

    #[test]
    fn a_secret_may_be_any_text_with_white_space_around_it() {
        // Computed with Python's hmac.
        let expected = "v1,uRIcZbjzZR12SKM6m2GWdzYUjs4YhAzYimYb0vkjgXA=";
        for text in [&b"plain secret"[..], b" \r\nplain secret\n\n"] {
            let signer = opened(text).unwrap();
            assert_eq!(
                signer.signature("call-1", 1_614_265_330, b"\xff\x00"),
                expected
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_told_with_its_file() {
        for (text, why) in [
            ("", "empty"),
            (" \n\t", "empty"),
            ("whsec_", "empty"),
            ("whsec_###", "base64"),
        ] {
            let error = opened(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let missing = Path::new("/nowhere/secret");
        let error = Signer::open(missing).unwrap_err().to_string();
        assert!(error.contains("cannot read /nowhere/secret"), "{error}");
    }

    #[test]
    fn its_secret_is_not_shown() {
        let signer = opened(b"plain secret").unwrap();
        assert_eq!(format!("{signer:?}"), "Signer");
    }
}
