//! Who owns functions: the process provider of this machine, or a remote faas-provider.
//!
//! A [`Provider`] answers the requests of the faas-provider API (wire.md section 9), and publishes
//! what it sees of its functions as a [`View`] on a watch channel, which the table of live functions
//! follows. Requests stay as they were sent until somebody has to read them: a remote provider gets
//! them byte for byte.

pub mod process;
pub mod remote;
mod replica;
mod request;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use tokio::sync::watch;

pub use replica::{Address, Hold, Replica};
pub use request::Request;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Refusal;
use crate::function::{
    Deployment, FunctionName, FunctionStatus, Namespace, ProviderInfo, Removal, RetryLabels,
    ScaleRequest, Scaling, Secret, SecretName,
};

/// Who owns functions. All waits are bounded by the implementation, but for the body of a log that
/// is followed.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its functions as they can be called.
    fn view(&self) -> watch::Receiver<View>;

    /// Puts a new configuration into force.
    fn configure(&self, config: &Config, credentials: Option<Arc<Credentials>>);

    /// Does its background work until `stop`, and ends what it started.
    async fn run(&self, stop: Stop);

    /// Asks for a fresh look at its functions: something changed that it may not know of.
    fn refresh(&self) {}

    /// Whether the view shows every change by itself, as it happens. Where it does not,
    /// [`Provider::observe`] looks.
    fn shows_changes(&self) -> bool;

    /// Looks at one function now; the view shows it afterwards.
    async fn observe(&self, name: &FunctionName) -> Result<(), ProviderError>;

    /// Sets the replicas of a function by the gateway's own decision: at once, and durable soon
    /// after.
    async fn resize(&self, name: &FunctionName, replicas: u64) -> Result<(), ProviderError>;

    /// Whether it could run a deployment as things are now.
    ///
    /// # Errors
    ///
    /// Why it could not, and what to do. Who runs functions elsewhere finds that out when asked to.
    fn runs(&self, deployment: &Deployment) -> Result<(), String> {
        let _ = deployment;
        Ok(())
    }

    /// What each function that it runs has used so far and uses now; `None`: it runs none, and nobody
    /// tells it. Cheap enough to be asked every few seconds, however many functions there are.
    async fn spent(&self) -> Option<HashMap<FunctionName, Spent>> {
        None
    }

    /// `GET /system/functions`; the counts are the provider's own.
    async fn list(&self, request: Request) -> Result<Vec<FunctionStatus>, ProviderError>;
    /// `GET /system/function/NAME`; the count is the provider's own.
    async fn status(&self, name: &str, request: Request) -> Result<FunctionStatus, ProviderError>;
    /// `POST /system/functions`.
    async fn deploy(&self, request: Request<Deployment>) -> Result<Answer, ProviderError>;
    /// `PUT /system/functions`.
    async fn update(&self, request: Request<Deployment>) -> Result<Answer, ProviderError>;
    /// `DELETE /system/functions`.
    async fn delete(&self, request: Request<Removal>) -> Result<Answer, ProviderError>;
    /// `POST /system/scale-function/NAME`.
    async fn scale(
        &self,
        name: &str,
        request: Request<ScaleRequest>,
    ) -> Result<Answer, ProviderError>;

    /// `GET /system/secrets`.
    async fn secrets(&self, request: Request) -> Result<Answer, ProviderError>;
    /// `POST /system/secrets`.
    async fn create_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError>;
    /// `PUT /system/secrets`.
    async fn update_secret(&self, request: Request<Secret>) -> Result<Answer, ProviderError>;
    /// `DELETE /system/secrets`.
    async fn delete_secret(&self, request: Request<SecretName>) -> Result<Answer, ProviderError>;

    /// `GET /system/namespaces`.
    async fn namespaces(&self, request: Request) -> Result<Answer, ProviderError>;
    /// `GET /system/namespace/NAME`.
    async fn namespace(&self, name: &str, request: Request) -> Result<Answer, ProviderError>;
    /// `POST /system/namespace/`.
    async fn create_namespace(&self, request: Request<Namespace>) -> Result<Answer, ProviderError>;
    /// `PUT /system/namespace/NAME`.
    async fn update_namespace(
        &self,
        name: &str,
        request: Request<Namespace>,
    ) -> Result<Answer, ProviderError>;
    /// `DELETE /system/namespace/NAME`.
    async fn delete_namespace(
        &self,
        name: &str,
        request: Request<Namespace>,
    ) -> Result<Answer, ProviderError>;

    /// `GET /system/logs`: lines of JSON, for as long as they are followed.
    async fn logs(&self, request: Request) -> Result<Answer, ProviderError>;
    /// `GET /system/info`.
    async fn info(&self) -> Result<ProviderInfo, ProviderError>;
    /// `GET /healthz`.
    async fn health(&self) -> Result<Answer, ProviderError>;
}

/// What a function's processes have used so far, and use now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Processor time of those that were seen. What a process used between the last look and its end is
    /// not counted: of a function that forks a short process for each call, most.
    pub processor: Duration,
    /// Resident memory, in bytes.
    pub memory: u64,
}

impl Spent {
    /// Processor time used since another moment, in thousandths of a processor.
    pub fn thousandths_since(&self, before: Duration, elapsed: Duration) -> f64 {
        let used = self.processor.saturating_sub(before);
        (used.as_secs_f64() / elapsed.as_secs_f64() * 1000.0).round()
    }
}

/// Resolves when a provider is to end.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is told to the client, whoever said it.
pub type Answer = http::Response<AnswerBody>;

/// The body of an [`Answer`].
pub type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// Why a provider did not do what it was asked.
#[derive(Debug)]
pub enum ProviderError {
    /// It was refused, or nobody could be asked.
    Refused(Refusal),
    /// A remote provider said so itself; its words are passed on as they are.
    Answered(Answer),
}

impl From<Refusal> for ProviderError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Answered(answer) => write!(f, "the provider answered {}", answer.status()),
        }
    }
}

/// An answer without a body.
pub fn answer(status: StatusCode) -> Answer {
    let mut answer = Answer::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// Every function a provider knows, as last seen. What has not changed since the view before is the
/// very same one.
pub type View = Arc<BTreeMap<FunctionName, Arc<FunctionView>>>;

/// Whether two views are of the very same functions.
fn same(a: &View, b: &View) -> bool {
    let mut pairs = a.iter().zip(b.iter());
    a.len() == b.len() && pairs.all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1))
}

/// One function as its provider sees it.
#[derive(Clone, Debug)]
pub struct FunctionView {
    /// Running copies that may be called now; none while the function starts or has failed.
    pub replicas: Vec<Arc<Replica>>,
    /// Copies asked for.
    pub desired: u64,
    /// Copies ready to be called. For a remote provider this is what it reports, as its replicas
    /// are not addressed one by one.
    pub available: u64,
    /// What its labels say of its scaling.
    pub scaling: Scaling,
    /// What its labels say of retries of its queued calls.
    pub retry: RetryLabels,
    /// Replicas that each of `replicas` stands for: more than one where there is a process for each
    /// call, and no address for each replica.
    pub slots: u64,
    /// Whether a new revision of it is about to take the place of the one that serves.
    pub updating: bool,
    /// Why the function cannot be called now, in words for its owner.
    pub problem: Option<Arc<str>>,
}

impl FunctionView {
    /// Whether it says the same to those who call.
    fn alike(&self, other: &Self) -> bool {
        let mut replicas = self.replicas.iter().zip(&other.replicas);
        (self.desired, self.available, self.scaling, self.slots)
            == (other.desired, other.available, other.scaling, other.slots)
            && (self.retry, self.updating, &self.problem)
                == (other.retry, other.updating, &other.problem)
            && self.replicas.len() == other.replicas.len()
            && replicas.all(|(a, b)| Arc::ptr_eq(a, b))
    }
}
