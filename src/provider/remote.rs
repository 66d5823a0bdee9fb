//! A faas-provider at the other end of HTTP: its list of functions, polled (wire.md section 4.2).
//!
//! Calls and management requests are forwarded by the proxy; what is here only keeps the gateway's
//! view of the provider fresh. While the provider is down the last good view stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{FunctionView, View};
use crate::config::RemoteProvider;
use crate::credentials::Credentials;
use crate::function::FunctionName;
use crate::metrics::Metrics;

/// Time between two looks at the provider.
const INTERVAL: Duration = Duration::from_secs(5);
/// Shortest time between two looks, however often somebody asks for one.
const MIN_INTERVAL: Duration = Duration::from_millis(250);
/// Longest wait for one answer of the provider.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest list taken from the provider, in bytes.
const MAX_LIST: usize = 64 << 20;

/// What the provider is asked for, and by whom.
pub struct Remote {
    config: ArcSwap<RemoteProvider>,
    credentials: ArcSwapOption<Credentials>,
    client: Client<HttpConnector, Empty<Bytes>>,
    view: watch::Sender<View>,
    stale: Notify,
}

/// Why the provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No answer in time.
    #[error("no answer within {}s", TIMEOUT.as_secs())]
    Timeout,
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

/// The fields of a function that the gateway reads (wire.md section 9).
#[derive(Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    replicas: u64,
    #[serde(default, rename = "availableReplicas")]
    available: u64,
}

impl Remote {
    /// A poller of the provider at `config.url`. Needs no runtime until it is run.
    pub fn new(config: RemoteProvider, credentials: Option<Arc<Credentials>>) -> Arc<Self> {
        Arc::new(Self {
            config: ArcSwap::from_pointee(config),
            credentials: ArcSwapOption::new(credentials),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            view: watch::channel(View::default()).0,
            stale: Notify::new(),
        })
    }

    /// Asks another provider, or with other credentials, from now on.
    pub fn configure(&self, config: RemoteProvider, credentials: Option<Arc<Credentials>>) {
        self.config.store(Arc::new(config));
        self.credentials.store(credentials);
        self.refresh();
    }

    /// The provider's own `/system/info`; `None` if it answers nothing.
    pub async fn info(&self) -> Result<Option<serde_json::Value>, RemoteError> {
        self.get("/system/info").await
    }

    /// The last good view.
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Asks for a look at the provider soon: something was deployed or deleted.
    pub fn refresh(&self) {
        self.stale.notify_one();
    }

    /// Polls the provider for as long as the gateway lives.
    pub async fn run(&self, metrics: &Metrics) {
        let mut up = true;
        loop {
            let next = Instant::now() + INTERVAL;
            match self.list().await {
                Ok(functions) => {
                    metrics.provider_up.set(1);
                    up = true;
                    self.publish(functions);
                }
                Err(error) => {
                    metrics.provider_up.set(0);
                    // Once when it goes, not every five seconds.
                    if std::mem::replace(&mut up, false) {
                        let url = self.config.load().url.to_string();
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

    fn publish(&self, functions: Vec<Listed>) {
        let mut view = BTreeMap::new();
        let config = self.config.load();
        for listed in functions {
            let namespace = if listed.namespace.is_empty() {
                config.namespace.as_str()
            } else {
                listed.namespace.as_str()
            };
            let Ok(name) = FunctionName::new(&listed.name, namespace) else {
                tracing::warn!(
                    name = listed.name,
                    "provider lists a function with a bad name"
                );
                continue;
            };
            view.insert(
                name,
                FunctionView {
                    replicas: Vec::new(),
                    desired: listed.replicas,
                    available: listed.available,
                    concurrency: None,
                    problem: None,
                },
            );
        }
        self.view.send_if_modified(|seen| {
            let modified = !same(seen, &view);
            *seen = Arc::new(view);
            modified
        });
    }

    /// Lists every namespace, or the default one where the provider knows no namespaces.
    async fn list(&self) -> Result<Vec<Listed>, RemoteError> {
        let namespaces: Vec<String> = match self.get("/system/namespaces").await {
            Ok(Some(namespaces)) => namespaces,
            Ok(None) => Vec::new(),
            Err(RemoteError::Status(StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED)) => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        if namespaces.is_empty() {
            let config = self.config.load_full();
            let path = if config.namespace.is_empty() {
                "/system/functions".to_owned()
            } else {
                format!("/system/functions?namespace={}", config.namespace)
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

    /// One JSON document; `None` for an empty body or `null`.
    async fn get<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
    ) -> Result<Option<T>, RemoteError> {
        let body = timeout(TIMEOUT, self.fetch(path))
            .await
            .map_err(|_| RemoteError::Timeout)??;
        if body.is_empty() {
            return Ok(None);
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn fetch(&self, path: &str) -> Result<Bytes, RemoteError> {
        let transport = |error: &dyn std::fmt::Display| RemoteError::Transport(error.to_string());
        let base = self.config.load().url.to_string();
        let uri = format!("{}{path}", base.trim_end_matches('/'))
            .parse::<Uri>()
            .map_err(|error| transport(&error))?;
        let mut request = Request::get(uri)
            .body(Empty::new())
            .map_err(|error| transport(&error))?;
        if let Some(value) = self.authorization() {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| transport(&error))?;
        if response.status() != StatusCode::OK {
            return Err(RemoteError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_LIST).collect().await;
        Ok(body.map_err(|error| transport(&error))?.to_bytes())
    }

    /// The gateway's credentials, as the provider has the same ones (wire.md section 8).
    fn authorization(&self) -> Option<HeaderValue> {
        self.credentials.load().as_ref()?.header().ok()
    }
}

fn same(
    a: &BTreeMap<FunctionName, FunctionView>,
    b: &BTreeMap<FunctionName, FunctionView>,
) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a_name, a), (b_name, b))| {
            a_name == b_name && a.desired == b.desired && a.available == b.available
        })
}
