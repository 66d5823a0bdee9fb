//! `/system/async`: what became of asynchronous calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State as Shared};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::api::Operation;
use crate::config::without_users;
use crate::error::{Cause, Refusal};
use crate::function::FunctionName;
use crate::gateway::Gateway;
use crate::provider::Request;
use crate::queue::{
    self, CallId, CallbackState, ChangeError, Depth, Found, Millis, Outcome, QueueError, Record,
    State, Wanted,
};

const TAG: &str = "Asynchronous calls";
/// Calls that are listed where no limit is named, and at most.
const LIMIT: (usize, usize) = (100, 1000);

/// An asynchronous call.
#[derive(Serialize, JsonSchema)]
struct Call {
    /// What it is asked about by.
    id: String,
    /// Its `X-Call-Id`; the same as `id`, unless the caller chose one that others have, too.
    call_id: String,
    /// Its function, with the namespace.
    function: String,
    /// `queued`, `running`, `retrying`, `succeeded`, `failed` (the function answered with an error that
    /// is not tried again), `dead` (tried in vain as often as it was to be) or `cancelled`.
    state: &'static str,
    /// When it was accepted (RFC 3339).
    submitted_at: String,
    /// When its state became final.
    ended_at: Option<String>,
    /// When the next try of the function or of the callback is due.
    next_try_at: Option<String>,
    /// When it will be forgotten.
    expires_at: Option<String>,
    /// Tries of the function, since it was submitted or replayed.
    attempts: u32,
    /// How often it was replayed.
    replays: u32,
    /// The last tries of the function, the oldest first.
    tries: Vec<Try>,
    /// The post of its result.
    callback: Option<Callback>,
}

/// One try of a function or of a callback.
#[derive(Serialize, JsonSchema)]
struct Try {
    /// When it began.
    at: String,
    /// How long it took, in seconds.
    seconds: f64,
    /// The status that came back.
    status: Option<u16>,
    /// What went wrong, where none came back.
    error: Option<String>,
}

/// The post of a result.
#[derive(Serialize, JsonSchema)]
struct Callback {
    /// Where to.
    url: String,
    /// `pending`, `delivered` or `failed`.
    state: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// The last try.
    last: Option<Try>,
}

/// A call with its result.
#[derive(Serialize, JsonSchema)]
struct CallWithResult {
    #[serde(flatten)]
    call: Call,
    /// What the function answered last; `null` while it is not known.
    result: Option<CallResult>,
}

/// What a function answered.
#[derive(Serialize, JsonSchema)]
struct CallResult {
    /// Its status.
    status: u16,
    /// Its headers, as pairs of name and value.
    headers: Vec<(String, String)>,
    /// Its body, where that is text.
    body: Option<String>,
    /// Its body in base64, where it is no text.
    body_base64: Option<String>,
    /// Whether only the first part of the body was kept (`queue.results.max_body`).
    truncated: bool,
}

/// What waits and runs, and the newest calls.
#[derive(Serialize, JsonSchema)]
struct Calls {
    /// The queue.
    queue: Queue,
    /// The calls that were asked for, the newest first.
    calls: Vec<Call>,
}

/// The queue.
#[derive(Serialize, JsonSchema)]
struct Queue {
    /// `embedded`, or the name of the stream.
    name: String,
    /// Why it takes no calls now.
    problem: Option<String>,
    /// What waits and runs, by function.
    functions: Vec<Waiting>,
}

/// What waits and runs of one function.
#[derive(Serialize, JsonSchema)]
struct Waiting {
    /// The function, with its namespace.
    function: String,
    /// Calls that wait for their first try.
    queued: usize,
    /// Calls that wait for another try.
    retrying: usize,
    /// Calls that run.
    running: usize,
    /// Callbacks that have not arrived.
    callbacks: usize,
    /// When the oldest of its calls was accepted.
    oldest_at: Option<String>,
}

/// The operations of `/system/async`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    let states: Vec<&str> = State::WORDS.into_iter().map(|(word, _)| word).collect();
    [Operation::new(
        Method::GET,
        list,
        "listCalls",
        TAG,
        "List asynchronous calls",
    )
    .about("What waits and runs, and the newest calls of some kind.")
    .query(
        "function",
        json!({ "type": "string" }),
        "Only calls of this function, `name` or `name.namespace`",
    )
    .query(
        "state",
        json!({ "type": "string", "enum": states }),
        "Only calls in this state",
    )
    .query(
        "limit",
        json!({ "type": "integer", "minimum": 1, "maximum": LIMIT.1, "default": LIMIT.0 }),
        "So many calls at most",
    )
    .json::<Calls>(StatusCode::OK, "The calls, the newest first")
    .refuses(&[Cause::BadRequest])
    .refuses(QUEUE)]
}

/// The operations of `/system/async/{id}`.
pub fn one() -> [Operation<Arc<Gateway>>; 2] {
    [
        Operation::new(
            Method::GET,
            show,
            "getCall",
            TAG,
            "Show an asynchronous call",
        )
        .about("Its state, its tries, and what its function answered.")
        .json::<CallWithResult>(StatusCode::OK, "The call")
        .refuses(&[Cause::NotFound])
        .refuses(QUEUE),
        Operation::new(
            Method::DELETE,
            cancel,
            "cancelCall",
            TAG,
            "Cancel an asynchronous call",
        )
        .about("One that runs is broken off; a dead letter is thrown away.")
        .json::<Call>(StatusCode::OK, "The call, cancelled")
        .refuses(&[Cause::NotFound, Cause::Conflict])
        .refuses(QUEUE),
    ]
}

/// The operations of `/system/async/{id}/replay`.
pub fn replaying() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::POST,
        replay,
        "replayCall",
        TAG,
        "Replay a dead letter",
    )
    .about("It is queued again as it was submitted, with all its tries.")
    .json::<Call>(StatusCode::ACCEPTED, "The call, queued again")
    .refuses(&[Cause::NotFound, Cause::Conflict])
    .refuses(QUEUE)]
}

/// Why the queue may not answer.
const QUEUE: &[Cause] = &[Cause::Internal, Cause::QueueUnavailable, Cause::StorageFull];

async fn list(
    Shared(gateway): Shared<Arc<Gateway>>,
    request: Request,
) -> Result<Json<Calls>, Refusal> {
    let wanted = wanted(&gateway, &request)?;
    let calls = gateway.queue.list(&wanted).await?;
    Ok(Json(Calls {
        queue: Queue {
            name: gateway.queue.name().to_owned(),
            problem: gateway.queue.problem(),
            functions: gateway.queue.depths().into_iter().map(waiting).collect(),
        },
        calls: calls.into_iter().map(Call::of).collect(),
    }))
}

fn wanted(gateway: &Gateway, request: &Request) -> Result<Wanted, Refusal> {
    let snapshot = gateway.registry.current();
    let namespace = snapshot.config.default_namespace();
    let function = request.parameter("function");
    let function = function.map(|name| FunctionName::parse(&name, namespace));
    let state = request.parameter("state").map(|word| {
        let words = State::WORDS.map(|(word, _)| word).join(", ");
        let unknown = || format!("`{word}` is no state; states are {words}");
        State::of(&word).ok_or_else(|| Refusal::bad_request(unknown()))
    });
    let limit = request.parameter("limit").map(|limit| {
        let limit = limit
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT.1).contains(limit));
        let why = format!("`limit` has to be a number from 1 to {}", LIMIT.1);
        limit.ok_or_else(|| Refusal::bad_request(why))
    });
    Ok(Wanted {
        function: function
            .transpose()
            .map_err(|error| Refusal::bad_request(error.to_string()))?,
        state: state.transpose()?,
        limit: limit.transpose()?.unwrap_or(LIMIT.0),
    })
}

async fn show(
    Shared(gateway): Shared<Arc<Gateway>>,
    Id(id): Id,
) -> Result<Json<CallWithResult>, Refusal> {
    let found = gateway.queue.find(&id).await?;
    let Found { record, outcome } = found.ok_or(ChangeError::NotFound)?;
    Ok(Json(CallWithResult {
        call: Call::of(record),
        result: outcome.map(CallResult::of),
    }))
}

async fn cancel(Shared(gateway): Shared<Arc<Gateway>>, Id(id): Id) -> Result<Json<Call>, Refusal> {
    Ok(Json(Call::of(gateway.queue.cancel(&id).await?)))
}

async fn replay(
    Shared(gateway): Shared<Arc<Gateway>>,
    Id(id): Id,
) -> Result<(StatusCode, Json<Call>), Refusal> {
    let record = gateway.queue.replay(&id).await?;
    Ok((StatusCode::ACCEPTED, Json(Call::of(record))))
}

/// A call's id in the path; what cannot be one names no call.
struct Id(CallId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(id)| CallId::parse(&id));
        id.map(Self).ok_or_else(|| ChangeError::NotFound.into())
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        let cause = match &error {
            QueueError::NoSpace(_) => Cause::StorageFull,
            QueueError::Failed(_) => Cause::Internal,
            _ => Cause::QueueUnavailable,
        };
        Self::new(cause, error.to_string())
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound => Self::not_found(error.to_string()),
            ChangeError::State(state) => Self::conflict(format!("the call is {}", state.as_str())),
            ChangeError::Queue(error) => error.into(),
        }
    }
}

impl Call {
    fn of(record: Record) -> Self {
        Self {
            call_id: record.call_id().to_owned(),
            id: record.id.to_string(),
            function: record.function.to_string(),
            state: record.state.as_str(),
            submitted_at: time(record.submitted),
            ended_at: record.ended.map(time),
            next_try_at: record.next.map(time),
            expires_at: record.expires.map(time),
            attempts: record.attempts,
            replays: record.replays,
            tries: record.tries.into_iter().map(Try::of).collect(),
            callback: record.callback.map(Callback::of),
        }
    }
}

impl Try {
    fn of(tried: queue::Try) -> Self {
        Self {
            at: time(tried.at),
            seconds: tried.took as f64 / 1e6,
            status: tried.status,
            error: tried.error,
        }
    }
}

impl Callback {
    fn of(callback: queue::Callback) -> Self {
        Self {
            url: without_users(&callback.url),
            state: match callback.state {
                CallbackState::Pending => "pending",
                CallbackState::Delivered => "delivered",
                CallbackState::Failed => "failed",
            },
            attempts: callback.attempts,
            last: callback.last.map(Try::of),
        }
    }
}

impl CallResult {
    fn of(outcome: Outcome) -> Self {
        let headers = outcome.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), value.into_owned())
        });
        let headers = headers.collect();
        let (body, body_base64) = match String::from_utf8(outcome.body.into()) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(STANDARD.encode(bytes.as_bytes()))),
        };
        Self {
            status: outcome.status.as_u16(),
            headers,
            body,
            body_base64,
            truncated: outcome.truncated,
        }
    }
}

fn waiting(depth: Depth) -> Waiting {
    Waiting {
        function: depth.function.to_string(),
        queued: depth.queued,
        retrying: depth.retrying,
        running: depth.running,
        callbacks: depth.callbacks,
        oldest_at: depth.oldest.map(time),
    }
}

fn time(millis: Millis) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis);
    humantime::format_rfc3339_millis(time).to_string()
}
