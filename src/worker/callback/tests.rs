//! Posts to receivers on this machine.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::outbound;
use crate::queue::{CallId, Invocation, State, Then, Try};

/// Long enough for everything that ends by itself.
const LONG: Duration = Duration::from_secs(60);

/// Somebody who takes one request.
struct Receiver {
    address: SocketAddr,
    request: JoinHandle<String>,
}

impl Receiver {
    async fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        let (listener, address) = listening().await;
        let request = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            converse(stream, &answer).await
        });
        Self { address, request }
    }

    fn url(&self) -> String {
        format!("http://{}/back", self.address)
    }

    /// The request line, the headers in lines of their own, and the body.
    async fn request(self) -> String {
        self.request.await.unwrap()
    }
}

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads a request and answers it.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
    let request = read(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    request
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.unwrap().parse() == Ok(body.len()) {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{text}");
    }
}

fn settings() -> Callbacks {
    Callbacks {
        deny_private_networks: true,
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        timeout: LONG,
        secret_file: None,
    }
}

fn record() -> Record {
    let invocation = Invocation {
        function: "echo.fn".parse().unwrap(),
        path: String::new(),
        query: String::new(),
        host: String::new(),
        headers: HeaderMap::new(),
        callback: None,
        body: Bytes::new(),
    };
    let id = CallId::parse("id-1").unwrap();
    let mut record = Record::of(id, Some("call.1".into()), &invocation, 0);
    for took in [7, 61_042_005] {
        let tried = Try {
            at: 0,
            took,
            status: Some(200),
            error: None,
        };
        record.tried(tried, 0, Then::End(State::Succeeded));
    }
    record
}

fn outcome(headers: &[(&'static str, &'static str)], body: &'static str) -> Outcome {
    let header = |(name, value): &(&'static str, &'static str)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    };
    let mut map = HeaderMap::new();
    map.extend(headers.iter().map(header));
    Outcome {
        status: StatusCode::IM_A_TEAPOT,
        headers: map,
        body: Bytes::from_static(body.as_bytes()),
        truncated: false,
    }
}

async fn post(settings: &Callbacks, url: &str) -> Result<Posted, PostError> {
    send(
        &Poster::default(),
        settings,
        None,
        url,
        &outcome(&[], "done"),
    )
    .await
}

async fn send(
    poster: &Poster,
    settings: &Callbacks,
    signer: Option<&Signer>,
    url: &str,
    outcome: &Outcome,
) -> Result<Posted, PostError> {
    let url: Uri = url.parse().unwrap();
    poster
        .post(settings, signer, &url, &record(), outcome)
        .await
}

fn values<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().skip(1);
    let pairs = lines.map(|line| line.split_once(": ").unwrap());
    let named = pairs.filter(|(found, _)| *found == name);
    named.map(|(_, value)| value).collect()
}

#[tokio::test]
async fn the_answer_of_the_function_is_posted_with_what_is_known_of_the_call() {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let address = receiver.address;
    let url = format!("http://us%65r:pa%3Ass@{address}/back?a=b");
    let outcome = outcome(
        &[
            ("content-type", "text/plain"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("x-own", "kept"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "999"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("trailer", "x-own"),
            ("expect", "100-continue"),
            ("host", "forged"),
            ("user-agent", "forged"),
            ("authorization", "forged"),
            ("x-function-status", "200"),
            ("x-function-status", "201"),
            ("x-call-id", "forged"),
            ("x-duration-seconds", "forged"),
            ("x-function-name", "forged"),
            ("x-function-truncated", "true"),
        ],
        "the body",
    );
    let posted = send(&Poster::default(), &settings(), None, &url, &outcome).await;
    assert_eq!(posted.unwrap().status, StatusCode::NO_CONTENT);

    let request = receiver.request().await;
    assert!(
        request.starts_with("POST /back?a=b HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\nthe body"), "{request}");
    let agent = format!("gateway/{}", env!("CARGO_PKG_VERSION"));
    let host = address.to_string();
    for (name, expected) in [
        ("content-type", &["text/plain"][..]),
        ("set-cookie", &["a=1", "b=2"]),
        ("x-own", &["kept"]),
        ("x-function-status", &["418"]),
        ("x-call-id", &["call.1"]),
        ("x-duration-seconds", &["61.042005"]),
        ("x-function-name", &["echo.fn"]),
        ("user-agent", &[&agent]),
        ("host", &[&host]),
        ("content-length", &["8"]),
        ("authorization", &["Basic dXNlcjpwYTpzcw=="]),
        ("connection", &["close"]),
        ("x-hop", &[]),
        ("keep-alive", &[]),
        ("transfer-encoding", &[]),
        ("upgrade", &[]),
        ("te", &[]),
        ("trailer", &[]),
        ("expect", &[]),
        ("x-function-truncated", &[]),
        ("webhook-id", &[]),
        ("webhook-signature", &[]),
    ] {
        assert_eq!(values(&request, name), expected, "{name}");
    }
}

#[tokio::test]
async fn an_empty_answer_and_a_truncated_one_say_so() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let url = receiver.url();
    let outcome = Outcome {
        truncated: true,
        ..outcome(&[], "")
    };
    let posted = send(&Poster::default(), &settings(), None, &url, &outcome).await;
    posted.unwrap();
    let request = receiver.request().await;
    assert_eq!(values(&request, "content-length"), ["0"]);
    assert_eq!(values(&request, "x-function-truncated"), ["true"]);
}

#[tokio::test]
async fn a_signed_post_can_be_checked_by_its_receiver() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "whsec_c2VjcmV0\n").unwrap();
    let signer = Signer::open(secret.path()).unwrap();
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let url = receiver.url();
    let outcome = outcome(&[("webhook-id", "forged")], "done");
    let posted = send(
        &Poster::default(),
        &settings(),
        Some(&signer),
        &url,
        &outcome,
    )
    .await;
    posted.unwrap();

    let request = receiver.request().await;
    assert_eq!(values(&request, "webhook-id"), ["id-1"]);
    let seconds: u64 = values(&request, "webhook-timestamp")[0].parse().unwrap();
    let age = UNIX_EPOCH.elapsed().unwrap().as_secs() - seconds;
    assert!(age <= LONG.as_secs(), "{age}");
    let mut expected = HeaderMap::new();
    let then = UNIX_EPOCH + Duration::from_secs(seconds);
    signer.sign(&mut expected, "id-1", b"done", then);
    let expected = expected["webhook-signature"].to_str().unwrap();
    assert_eq!(values(&request, "webhook-signature"), [expected]);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    for (line, seconds) in [("retry-after: 17\r\n", Some(17)), ("", None)] {
        let answer = format!("HTTP/1.1 503 Busy\r\n{line}content-length: 0\r\n\r\n");
        let receiver = Receiver::answering(answer).await;
        let posted = post(&settings(), &receiver.url()).await.unwrap();
        assert_eq!(posted.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(posted.retry_after, seconds.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_redirection_is_an_answer_and_is_not_followed() {
    let (elsewhere, forbidden) = listening().await;
    let answer = format!("HTTP/1.1 307 Go\r\nlocation: http://{forbidden}/\r\n\r\n");
    let receiver = Receiver::answering(answer).await;
    let posted = post(&settings(), &receiver.url()).await.unwrap();
    assert_eq!(posted.status, StatusCode::TEMPORARY_REDIRECT);
    let first = TcpStream::connect(forbidden).await.unwrap();
    let (_, peer) = elsewhere.accept().await.unwrap();
    assert_eq!(peer, first.local_addr().unwrap(), "nobody came before");
}

#[tokio::test]
async fn no_way_of_writing_an_address_leads_past_the_guard() {
    let (listener, address) = listening().await;
    let port = address.port();
    let poster = trusting(RootCertStore::empty());
    let settings = Callbacks {
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        ..settings()
    };
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "user:password@127.0.0.1",
        "1.1.1.1@127.0.0.1",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let sent = send(&poster, &settings, None, &url, &outcome(&[], "done")).await;
            let error = sent.unwrap_err();
            match scheme {
                "http" => {
                    assert!(matches!(error, PostError::Refused { .. }), "{url}: {error}");
                    assert!(error.is_final(), "{url}");
                    let error = error.to_string();
                    assert!(error.contains("queue.callbacks.allow"), "{error}");
                    assert!(!error.contains("password"), "{error}");
                }
                // TLS knows no odd addresses.
                _ => assert!(
                    matches!(error, PostError::Refused { .. } | PostError::Tls { .. }),
                    "{url}: {error}"
                ),
            }
        }
    }
    let first = TcpStream::connect(address).await.unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, first.local_addr().unwrap(), "nobody came before");
}

#[tokio::test]
async fn a_name_is_refused_by_its_addresses_and_may_be_tried_again() {
    let settings = Callbacks {
        allow: Vec::new(),
        ..settings()
    };
    let error = post(&settings, "http://localhost:1/").await.unwrap_err();
    assert!(matches!(error, PostError::Refused { .. }), "{error}");
    assert!(!error.is_final());
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn the_permitted_addresses_of_a_name_are_tried_in_turn() {
    let everything = Callbacks {
        deny_private_networks: false,
        ..settings()
    };
    for settings in [settings(), everything] {
        // Where `localhost` is ::1 as well, nobody listens there.
        let receiver = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
        let place = format!("localhost:{}", receiver.address.port());
        let posted = post(&settings, &format!("http://{place}/")).await.unwrap();
        assert_eq!(posted.status, StatusCode::OK);
        assert_eq!(values(&receiver.request().await, "host"), [place]);
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_has_until_the_timeout() {
    let (listener, address) = listening().await;
    let settings = Callbacks {
        timeout: Duration::from_millis(50),
        ..settings()
    };
    let begun = Instant::now();
    let error = post(&settings, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert_eq!(error, PostError::Timeout(settings.timeout));
    assert!(!error.is_final());
    assert!((settings.timeout..LONG).contains(&begun.elapsed()));
    // The connection has ended with it.
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_does_not_read_has_until_the_timeout() {
    let (listener, address) = listening().await;
    let settings = Callbacks {
        timeout: Duration::from_millis(200),
        ..settings()
    };
    let url = format!("http://{address}/");
    let outcome = Outcome {
        body: vec![0; 64 << 20].into(),
        ..outcome(&[], "")
    };
    let error = send(&Poster::default(), &settings, None, &url, &outcome).await;
    assert_eq!(error.unwrap_err(), PostError::Timeout(settings.timeout));
    drop(listener);
}

#[tokio::test]
async fn an_answer_counts_from_its_head_on_however_slow_the_rest_is() {
    let answer = "HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\nnever the rest";
    let (listener, address) = listening().await;
    let stays = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, answer).await;
        stream.read_to_end(&mut Vec::new()).await
    });
    let settings = Callbacks {
        timeout: Duration::from_secs(1),
        ..settings()
    };
    let posted = post(&settings, &format!("http://{address}/"))
        .await
        .unwrap();
    assert_eq!(posted.status, StatusCode::ACCEPTED);
    stays.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (listener, address) = listening().await;
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'a'; 64 << 10]).await.is_ok() {}
    });
    let posted = post(&settings(), &format!("http://{address}/"))
        .await
        .unwrap();
    assert_eq!(posted.status, StatusCode::OK);
    endless.await.unwrap();
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    for answer in ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 2", &long] {
        let (listener, address) = listening().await;
        let answer = answer.to_owned();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await;
            // The other side may have had enough.
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        let error = post(&settings(), &format!("http://{address}/"))
            .await
            .unwrap_err();
        assert!(matches!(error, PostError::Broken(_)), "{error}");
        assert!(!error.is_final());
    }
}

#[tokio::test]
async fn nobody_there_and_no_such_name_are_told() {
    let (listener, address) = listening().await;
    drop(listener);
    let error = post(&settings(), &format!("http://u:secret@{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, PostError::Unconnected { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(!error.is_final());
    let error = post(&settings(), "http://name.invalid/").await.unwrap_err();
    assert!(matches!(error, PostError::Unresolved { .. }), "{error}");
    assert!(!error.is_final());
}

#[tokio::test]
async fn other_kinds_of_urls_are_refused_for_good() {
    for url in ["ftp://127.0.0.1/", "/relative", "http://127.0.0.1:0/"] {
        assert!(
            post(&settings(), url).await.unwrap_err().is_final(),
            "{url}"
        );
    }
}

/// A receiver with a certificate of its own for these names, and a poster that trusts it.
async fn secure(names: &[&str]) -> (Receiver, Poster) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let (listener, address) = listening().await;
    let request = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match TlsAcceptor::from(Arc::new(server)).accept(stream).await {
            Ok(stream) => converse(stream, "HTTP/1.1 200 OK\r\n\r\n").await,
            Err(error) => error.to_string(),
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (Receiver { address, request }, trusting(roots))
}

fn trusting(roots: RootCertStore) -> Poster {
    let client = outbound::client(|builder| Ok(builder.with_root_certificates(roots)));
    Poster {
        tls: client.unwrap().into(),
    }
}

async fn post_securely(poster: &Poster, url: &str) -> Result<Posted, PostError> {
    send(poster, &settings(), None, url, &outcome(&[], "done")).await
}

#[tokio::test]
async fn https_reaches_who_has_a_certificate_for_the_name_or_address() {
    let (receiver, poster) = secure(&["localhost"]).await;
    let place = format!("localhost:{}", receiver.address.port());
    let posted = post_securely(&poster, &format!("HTTPS://u:p@{place}/back")).await;
    assert_eq!(posted.unwrap().status, StatusCode::OK);
    let request = receiver.request().await;
    assert_eq!(values(&request, "host"), [place]);
    assert!(request.ends_with("done"), "{request}");

    let (receiver, poster) = secure(&["127.0.0.1"]).await;
    let posted = post_securely(&poster, &format!("https://{}/", receiver.address)).await;
    assert_eq!(posted.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn https_sends_nothing_to_who_is_not_trusted() {
    let (receiver, _) = secure(&["localhost"]).await;
    let (_, other) = secure(&["localhost"]).await;
    let url = format!("https://localhost:{}/", receiver.address.port());
    let error = post_securely(&other, &url).await.unwrap_err();
    assert!(matches!(error, PostError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(!receiver.request().await.contains("POST"));

    let (receiver, poster) = secure(&["example.org"]).await;
    let url = format!("https://{}/", receiver.address);
    let error = post_securely(&poster, &url).await.unwrap_err();
    assert!(matches!(error, PostError::Tls { .. }), "{error}");
    assert!(!error.is_final());
}

#[tokio::test]
async fn https_is_guarded_as_http_is() {
    let (listener, address) = listening().await;
    let poster = trusting(RootCertStore::empty());
    let settings = Callbacks {
        allow: Vec::new(),
        ..settings()
    };
    let url = format!("https://localhost:{}/", address.port());
    let refused = send(&poster, &settings, None, &url, &outcome(&[], "done")).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(error, PostError::Refused { literal: false, .. }),
        "{error}"
    );
    drop(listener);
}

/// The environment is that of the whole process, so this asks another one.
#[test]
fn without_root_certificates_https_says_what_to_do_and_http_works() {
    let asked = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact"])
        .arg("worker::callback::tests::in_an_environment_without_certificates")
        .env("SSL_CERT_FILE", "/nowhere/file")
        .env("SSL_CERT_DIR", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "is run by the one above"]
async fn in_an_environment_without_certificates() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let url = format!("https://{}/", receiver.address);
    let error = post(&settings(), &url).await.unwrap_err();
    assert!(matches!(error, PostError::NoRoots(_)), "{error}");
    assert!(error.to_string().contains("ca-certificates"), "{error}");
    assert!(!error.is_final());
    post(&settings(), &receiver.url()).await.unwrap();
}
