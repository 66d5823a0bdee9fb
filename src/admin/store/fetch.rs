//! Gets the text of a store, with bounds to time and length.

use std::error::Error;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use std::{fs, iter};

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::StoreSource;
use crate::duration::format_duration;
use crate::outbound::{Tls, USER_AGENT};

/// Longest text, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// What is said of a longer one.
const TOO_LONG: &str = "it is longer than 4 MiB";

/// Gets the text within so much time. The error is in words.
pub async fn fetch(source: &StoreSource, tls: &Tls, limit: Duration) -> Result<Bytes, String> {
    let fetched = async {
        match source {
            StoreSource::Url(url) => get(url, tls).await,
            StoreSource::File(path) => {
                let path = path.clone();
                let read = spawn_blocking(move || read(&path)).await;
                read.map_err(io::Error::other)
                    .flatten()
                    .map_err(|error| error.to_string())
            }
        }
    };
    timeout(limit, fetched)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {}", format_duration(limit))))
}

fn read(path: &Path) -> io::Result<Bytes> {
    // Another kind of file may never end, or never begin.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    let file = fs::File::open(path)?;
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_TEXT {
        return Err(io::Error::other(TOO_LONG));
    }
    Ok(text.into())
}

async fn get(url: &Uri, tls: &Tls) -> Result<Bytes, String> {
    let mut connector = HttpConnector::new();
    if url.scheme_str() != Some("https") {
        return get_through(connector, url).await;
    }
    connector.enforce_http(false);
    let tls = tls.client().await.map_err(|error| error.to_string())?;
    get_through(HttpsConnector::from((connector, tls)), url).await
}

/// The connection is not kept: the next one is an hour away.
async fn get_through<C>(connector: C, url: &Uri) -> Result<Bytes, String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.clone();
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(
        header::ACCEPT,
        header::HeaderValue::from_static("application/json"),
    );
    let answer = client
        .request(request)
        .await
        .map_err(|error| words(&error))?;
    check(&answer)?;
    let body = Limited::new(answer.into_body(), MAX_TEXT).collect().await;
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(TOO_LONG.to_owned()),
        Err(error) => Err(words(&*error)),
    }
}

fn check(answer: &Response<Incoming>) -> Result<(), String> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        // Where to is not said: the address may hold what is secret.
        return Err(
            "it redirects, which is not followed: name the final address in ui.store".to_owned(),
        );
    }
    Err(format!("it answers with status {}", status.as_u16()))
}

/// An error with what caused it.
fn words(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.join(": ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::outbound;

    /// Answers one request with these bytes, and then says no more.
    async fn answering(bytes: Vec<u8>) -> StoreSource {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            // Who has heard enough hangs up.
            let _ = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        });
        StoreSource::Url(url.parse().unwrap())
    }

    async fn fetched(source: &StoreSource, limit: Duration) -> Result<Bytes, String> {
        fetch(source, &Tls::default(), limit).await
    }

    /// A store that speaks TLS with a certificate of its own, and what trusts it.
    async fn secure(answer: &'static [u8]) -> (StoreSource, Tls) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(server));
            // Who does not trust it hangs up.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 1024]).await;
                stream.write_all(answer).await.unwrap();
                stream.flush().await.unwrap();
                std::future::pending::<()>().await;
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = outbound::client(|builder| Ok(builder.with_root_certificates(roots)));
        let url = format!("https://localhost:{port}/");
        (
            StoreSource::Url(url.parse().unwrap()),
            client.unwrap().into(),
        )
    }

    #[tokio::test]
    async fn https_is_spoken_with_who_is_trusted_and_no_one_else() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
        let (source, tls) = secure(answer).await;
        let text = fetch(&source, &tls, Duration::from_secs(10)).await;
        assert_eq!(&text.unwrap()[..], b"[]");
        let (source, _) = secure(answer).await;
        let error = fetch(&source, &tls, Duration::from_secs(10))
            .await
            .unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_store_that_says_nothing_is_given_up() {
        for silent in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"] {
            let source = answering(silent.into()).await;
            let error = fetched(&source, Duration::from_millis(50))
                .await
                .unwrap_err();
            assert_eq!(error, "no answer within 50ms");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_read_to_its_end() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
        let source = answering([head, vec![b' '; MAX_TEXT + 1]].concat()).await;
        let error = fetched(&source, Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(error, TOO_LONG);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.json");
        fs::write(&file, vec![b' '; MAX_TEXT + 1]).unwrap();
        for (path, why) in [
            (&*file, TOO_LONG),
            (folder.path(), "it is not a regular file"),
        ] {
            let source = StoreSource::File(path.to_owned());
            let error = fetched(&source, Duration::from_secs(10)).await.unwrap_err();
            assert_eq!(error, why);
        }
    }

    #[tokio::test]
    async fn a_redirect_is_told_and_not_followed() {
        let moved = "HTTP/1.1 302 Found\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n";
        let source = answering(moved.into()).await;
        let error = fetched(&source, Duration::from_secs(10)).await.unwrap_err();
        assert!(error.contains("redirects"), "{error}");
        assert!(!error.contains("http://b/"), "{error}");
    }
}
