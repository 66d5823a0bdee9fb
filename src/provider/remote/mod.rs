//! A faas-provider at the other end of HTTP (wire.md section 9).
//!
//! Requests of the management API are forwarded with the gateway's credentials, and its words are
//! passed on untouched. Its list of functions is polled (wire.md section 4.2); while it is down the
//! last good view stays, so that functions which are called at their own address go on.

mod seen;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::seen::{Listed, Seen};
use super::{Answer, Provider, ProviderError, Request, Stop, View};
use crate::config::{self, Config, RemoteProvider};
use crate::credentials::Credentials;
use crate::error::{Cause, Refusal};
use crate::function::{
    Deployment, FunctionName, FunctionStatus, Namespace, ProviderInfo, Removal, ScaleRequest,
    Secret, SecretName,
};
use crate::metrics::Metrics;

/// Time between two looks at the provider.
const INTERVAL: Duration = Duration::from_secs(5);
/// Shortest time between two looks, however often somebody asks for one.
const MIN_INTERVAL: Duration = Duration::from_millis(250);
/// Longest wait for one answer to the poller.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer where `timeouts.upstream` sets no limit.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer taken from the provider, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Headers that concern one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
];

/// What the provider is asked for, and by whom.
pub struct Remote {
    settings: ArcSwap<Settings>,
    credentials: ArcSwapOption<Credentials>,
    client: Client<HttpConnector, Full<Bytes>>,
    seen: Seen,
    stale: Notify,
    metrics: Arc<Metrics>,
}

struct Settings {
    remote: RemoteProvider,
    /// Longest wait for an answer.
    timeout: Duration,
}

/// Why the provider could not be asked.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or it broke.
    #[error("{0}")]
    Transport(String),
    /// An answer with another status than 200.
    #[error("status {0}")]
    Status(StatusCode),
    /// An answer that is not what the API promises.
    #[error("unexpected answer: {0}")]
    Parse(#[from] serde_json::Error),
}

impl Remote {
    /// The provider that the configuration names. Needs no runtime until it is run.
    pub fn new(
        remote: RemoteProvider,
        config: &Config,
        credentials: Option<Arc<Credentials>>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings: ArcSwap::from_pointee(Settings::new(remote, config)),
            credentials: ArcSwapOption::new(credentials),
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(HttpConnector::new()),
            seen: Seen::default(),
            stale: Notify::new(),
            metrics,
        })
    }

    /// Polls the provider for as long as the gateway lives.
    async fn poll(&self) {
        let mut up = true;
        loop {
            let begun = Instant::now();
            let next = begun + INTERVAL;
            match self.listed().await {
                Ok(functions) => {
                    self.metrics.provider.up.set(1);
                    up = true;
                    let namespace = &self.settings.load().remote.namespace;
                    self.seen.list(begun, functions, namespace);
                }
                Err(error) => {
                    self.metrics.provider.up.set(0);
                    // Once when it goes, not every five seconds.
                    if std::mem::replace(&mut up, false) {
                        let url = self.settings.load().remote.url.to_string();
                        tracing::warn!(url, %error, "provider does not answer; keeping its last list");
                    }
                }
            }
            sleep(MIN_INTERVAL).await;
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.stale.notified() => {}
            }
        }
    }

    /// Lists every namespace, or the default one where the provider knows no namespaces.
    async fn listed(&self) -> Result<Vec<Listed>, RemoteError> {
        let namespaces: Vec<String> = match self.get("/system/namespaces").await {
            Ok(Some(namespaces)) => namespaces,
            Ok(None) => Vec::new(),
            Err(RemoteError::Status(StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED)) => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        if namespaces.is_empty() {
            let settings = self.settings.load_full();
            let path = match settings.remote.namespace.as_str() {
                "" => "/system/functions".to_owned(),
                namespace => format!("/system/functions?namespace={namespace}"),
            };
            return Ok(self.get(&path).await?.unwrap_or_default());
        }
        let mut functions = Vec::new();
        for namespace in namespaces {
            let path = format!("/system/functions?namespace={namespace}");
            let listed: Option<Vec<Listed>> = self.get(&path).await?;
            functions.extend(listed.unwrap_or_default());
        }
        Ok(functions)
    }

    /// One JSON document for the poller; `None` for an empty body or `null`.
    async fn get<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
    ) -> Result<Option<T>, RemoteError> {
        let url = self.settings.load().remote.url.clone();
        let (head, body) = self
            .whole(&url, Method::GET, path, Bytes::new(), POLL_TIMEOUT)
            .await?
            .into_parts();
        match head.status {
            StatusCode::OK if body.is_empty() => Ok(None),
            StatusCode::OK => Ok(serde_json::from_slice(&body)?),
            status => Err(RemoteError::Status(status)),
        }
    }

    /// Forwards a request and returns the provider's answer, whatever it is.
    async fn forward<T: Sync>(
        &self,
        method: Method,
        path: &str,
        request: &Request<T>,
    ) -> Result<Answer, ProviderError> {
        let answer = self.forward_whole(method, path, request).await?;
        Ok(answer.map(|body| {
            let body = Full::new(body).map_err(|never| match never {});
            body.boxed_unsync()
        }))
    }

    /// The same for a request that changes something: the poller looks again at once.
    async fn change<T: Sync>(
        &self,
        method: Method,
        path: &str,
        request: &Request<T>,
    ) -> Result<Answer, ProviderError> {
        let answer = self.forward(method, path, request).await?;
        if answer.status().is_success() {
            self.refresh();
        }
        Ok(answer)
    }

    /// A JSON document, or the provider's own words where it has none.
    async fn read<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        request: &Request,
    ) -> Result<T, ProviderError> {
        let answer = self.forward_whole(Method::GET, path, request).await?;
        if answer.status() != StatusCode::OK {
            return Err(ProviderError::Answered(answer.map(|body| {
                let body = Full::new(body).map_err(|never| match never {});
                body.boxed_unsync()
            })));
        }
        serde_json::from_slice(answer.body()).map_err(|error| {
            let message = format!("unable to parse the provider's answer: {error}");
            Refusal::new(Cause::ProviderFailed, message).into()
        })
    }

    async fn forward_whole<T: Sync>(
        &self,
        method: Method,
        path: &str,
        request: &Request<T>,
    ) -> Result<http::Response<Bytes>, ProviderError> {
        let settings = self.settings.load_full();
        let target = target(path, request);
        let body = request.body().clone();
        let asked = self.whole(
            &settings.remote.url,
            method,
            &target,
            body,
            settings.timeout,
        );
        Ok(asked.await.map_err(Refusal::from)?)
    }

    /// A request whose answer is read to its end, all within `limit`.
    async fn whole(
        &self,
        base: &Uri,
        method: Method,
        target: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<http::Response<Bytes>, RemoteError> {
        let asked_with = method.clone();
        let exchange = async {
            let (head, body) = self.send(base, method, target, body).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| RemoteError::Transport(error.to_string()))?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        };
        let begun = Instant::now();
        let late = Err(RemoteError::Timeout(limit));
        let answer = timeout(limit, exchange).await.unwrap_or(late);
        let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        let (metrics, path) = (&self.metrics.provider, template(target));
        metrics.asked(asked_with.as_str(), path, status, begun.elapsed());
        answer
    }

    /// Sends a request and returns the head of the answer. The caller bounds the wait.
    async fn send(
        &self,
        base: &Uri,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, RemoteError> {
        let transport = |error: &dyn std::fmt::Display| RemoteError::Transport(error.to_string());
        let uri = format!("{}{target}", base.to_string().trim_end_matches('/'))
            .parse::<Uri>()
            .map_err(|error| transport(&error))?;
        let mut request = http::Request::new(Full::new(body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if !body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        if let Some(value) = self.authorization() {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let sent = self.client.request(request).await;
        let mut response = sent.map_err(|error| RemoteError::Transport(causes(&error)))?;
        strip(response.headers_mut());
        Ok(response)
    }

    /// The gateway's credentials, as the provider has the same ones (wire.md section 8).
    fn authorization(&self) -> Option<HeaderValue> {
        self.credentials.load().as_ref()?.header().ok()
    }
}

#[async_trait]
impl Provider for Remote {
    fn view(&self) -> watch::Receiver<View> {
        self.seen.subscribe()
    }

    fn configure(&self, config: &Config, credentials: Option<Arc<Credentials>>) {
        // A gateway keeps the kind of provider it was started with.
        if let config::Provider::Remote(remote) = &config.provider {
            let settings = Settings::new(remote.clone(), config);
            self.settings.store(Arc::new(settings));
        }
        self.credentials.store(credentials);
        self.refresh();
    }

    async fn run(&self, stop: Stop) {
        tokio::select! {
            () = self.poll() => {}
            () = stop => {}
        }
    }

    fn refresh(&self) {
        self.stale.notify_one();
    }

    fn shows_changes(&self) -> bool {
        false
    }

    async fn observe(&self, name: &FunctionName) -> Result<(), ProviderError> {
        let path = format!("/system/function/{}", name.name());
        let path = target(&path, &Request::<()>::about(name));
        match self.get::<Listed>(&path).await {
            Ok(Some(listed)) => {
                self.seen.one(name, Some(&listed));
                Ok(())
            }
            Err(RemoteError::Status(StatusCode::NOT_FOUND)) => {
                self.seen.one(name, None);
                Ok(())
            }
            Ok(None) => {
                let message = "the provider's answer about a function is empty";
                Err(Refusal::new(Cause::ProviderFailed, message).into())
            }
            Err(error) => Err(Refusal::from(error).into()),
        }
    }

    async fn resize(&self, name: &FunctionName, replicas: u64) -> Result<(), ProviderError> {
        let request = ScaleRequest {
            service_name: name.name().to_owned(),
            namespace: name.namespace().to_owned(),
            replicas,
        };
        let body = Request::of(&request).body().clone();
        let path = format!("/system/scale-function/{}", name.name());
        let path = target(&path, &Request::<()>::about(name));
        let url = self.settings.load().remote.url.clone();
        let answer = self
            .whole(&url, Method::POST, &path, body, POLL_TIMEOUT)
            .await
            .map_err(Refusal::from)?;
        match answer.status() {
            StatusCode::OK | StatusCode::ACCEPTED => {
                self.seen.resized(name, replicas);
                Ok(())
            }
            status => {
                let words = String::from_utf8_lossy(answer.body());
                let words = words.trim().chars().take(200).collect::<String>();
                let message = format!("the provider answered {status} to scaling {name}: {words}");
                let cause = match status {
                    StatusCode::NOT_FOUND => Cause::NotFound,
                    _ => Cause::ProviderFailed,
                };
                Err(Refusal::new(cause, message).into())
            }
        }
    }

    async fn list(&self, request: Request) -> Result<Vec<FunctionStatus>, ProviderError> {
        let listed: Option<_> = self.read("/system/functions", &request).await?;
        Ok(listed.unwrap_or_default())
    }

    async fn status(&self, name: &str, request: Request) -> Result<FunctionStatus, ProviderError> {
        self.read(&format!("/system/function/{name}"), &request)
            .await
    }

    async fn deploy(&self, request: Request<Deployment>) -> Result<Answer, ProviderError> {
        self.change(Method::POST, "/system/functions", &request)
            .await
    }

    async fn update(&self, request: Request<Deployment>) -> Result<Answer, ProviderError> {
        self.change(Method::PUT, "/system/functions", &request)
            .await
    }

    async fn delete(&self, request: Request<Removal>) -> Result<Answer, ProviderError> {
        self.change(Method::DELETE, "/system/functions", &request)
            .await
    }

    async fn scale(
        &self,
        name: &str,
        request: Request<ScaleRequest>,
    ) -> Result<Answer, ProviderError> {
        let path = format!("/system/scale-function/{name}");
        // Somebody else decides, of whatever function this names.
        self.seen.forget_resized();
        self.change(Method::POST, &path, &request).await
    }

    async fn secrets(&self, request: Request) -> Result<Answer, ProviderError> {
        self.forward(Method::GET, "/system/secrets", &request).await
    }

    async fn create_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError> {
        self.forward(Method::POST, "/system/secrets", &request)
            .await
    }

    async fn update_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError> {
        self.forward(Method::PUT, "/system/secrets", &request).await
    }

    async fn delete_secret(&self, request: Request<SecretName>) -> Result<Answer, ProviderError> {
        self.forward(Method::DELETE, "/system/secrets", &request)
            .await
    }

    async fn namespaces(&self, request: Request) -> Result<Answer, ProviderError> {
        self.forward(Method::GET, "/system/namespaces", &request)
            .await
    }

    async fn namespace(&self, name: &str, request: Request) -> Result<Answer, ProviderError> {
        self.forward(Method::GET, &namespace(name), &request).await
    }

    async fn create_namespace(&self, request: Request<Namespace>) -> Result<Answer, ProviderError> {
        self.change(Method::POST, &namespace(""), &request).await
    }

    async fn update_namespace(
        &self,
        name: &str,
        request: Request<Namespace>,
    ) -> Result<Answer, ProviderError> {
        self.change(Method::PUT, &namespace(name), &request).await
    }

    async fn delete_namespace(
        &self,
        name: &str,
        request: Request<Namespace>,
    ) -> Result<Answer, ProviderError> {
        self.change(Method::DELETE, &namespace(name), &request)
            .await
    }

    /// A provider without logs answers 404 or 501; both mean the same to a client (wire.md section
    /// 11).
    async fn logs(&self, request: Request) -> Result<Answer, ProviderError> {
        let settings = self.settings.load_full();
        let target = target("/system/logs", &request);
        let asked = self.send(
            &settings.remote.logs_url,
            Method::GET,
            &target,
            Bytes::new(),
        );
        let answer = timeout(settings.timeout, asked)
            .await
            .unwrap_or(Err(RemoteError::Timeout(settings.timeout)))
            .map_err(Refusal::from)?;
        if matches!(
            answer.status(),
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED
        ) {
            let message = "the provider has no logs of functions";
            return Err(Refusal::new(Cause::NotImplemented, message).into());
        }
        Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }

    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        self.read("/system/info", &Request::default()).await
    }

    async fn health(&self) -> Result<Answer, ProviderError> {
        self.forward(Method::GET, "/healthz", &Request::<()>::default())
            .await
    }
}

impl Settings {
    fn new(remote: RemoteProvider, config: &Config) -> Self {
        let timeout = config.timeouts.upstream;
        Self {
            remote,
            timeout: if timeout.is_zero() { TIMEOUT } else { timeout },
        }
    }
}

impl From<RemoteError> for Refusal {
    fn from(error: RemoteError) -> Self {
        let cause = match error {
            RemoteError::Timeout(_) => Cause::ProviderTimeout,
            _ => Cause::ProviderFailed,
        };
        Self::new(cause, format!("the provider does not answer: {error}"))
    }
}

fn target<T>(path: &str, request: &Request<T>) -> String {
    match request.query() {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// What metrics call the path of a request: without its query, and without a name.
fn template(target: &str) -> &str {
    const NAMED: [(&str, &str); 3] = [
        ("/system/function/", "/system/function/{name}"),
        ("/system/scale-function/", "/system/scale-function/{name}"),
        ("/system/namespace/", "/system/namespace/{name}"),
    ];
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let named = NAMED.iter().find(|(begin, _)| path.starts_with(begin));
    named.map_or(path, |(_, template)| template)
}

fn namespace(name: &str) -> String {
    format!("/system/namespace/{name}")
}

/// Takes out what concerns the connection to the provider only; the body gets a length of its own.
fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
}

/// An error with what lies behind it: the outermost one of a client only says that it failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
