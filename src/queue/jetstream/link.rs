//! The connection to the servers: made in the background, made again for ever, and every question
//! that goes over it is bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::connection::State;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::RawMessage;
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, StatusCode, Subject};
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::super::{Millis, QueueError, now};
use super::lock;
use super::streams::Streams;
use crate::config::{self, shown_servers};

/// Longest wait for one answer.
pub const ANSWER: Duration = Duration::from_secs(2);
/// Longest wait for a connection that is being made.
pub const SOON: Duration = Duration::from_millis(500);
/// Wait before something that failed is tried again.
pub const AGAIN: Duration = Duration::from_millis(250);
/// Time after which a server that says nothing is asked whether it is there.
const PING: Duration = Duration::from_secs(5);
/// Longest wait between two tries to connect.
const MAX_RECONNECT: Duration = Duration::from_secs(1);
/// What a server takes at most before one has said what it takes.
const DEFAULT_PAYLOAD: usize = 1 << 20;

/// See the module.
pub struct Link {
    settings: config::Jetstream,
    nats: OnceLock<Nats>,
    /// Why nothing can be asked; `None` once the streams are there.
    trouble: Mutex<Option<String>>,
    events: Arc<Events>,
    /// The number of the connection that is ready.
    ready: watch::Sender<u64>,
}

/// A connection with its questions.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    context: Context,
}

/// Why a question got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody answered.
    #[error("{0}")]
    NoAnswer(String),
    /// There is no such stream or consumer.
    #[error("the stream is not there")]
    NoStream,
    /// It is longer than a message may be.
    #[error("it is longer than the server takes: {0}")]
    TooLong(String),
    /// The server's own words.
    #[error("{0}")]
    Said(#[from] jetstream::Error),
    /// An answer that is none.
    #[error("unexpected answer: {0}")]
    Strange(String),
}

#[derive(Deserialize)]
struct Stored {
    message: RawMessage,
}

#[derive(Default)]
struct Events {
    happened: Notify,
    connections: AtomicU64,
    /// When there was a new connection last, in milliseconds since 1970.
    connected: AtomicU64,
    /// The last thing that went wrong.
    last: Mutex<Option<String>>,
}

impl Link {
    /// Nothing is connected before [`Link::keep`] is polled.
    pub fn new(settings: config::Jetstream) -> Self {
        let trouble = format!("{} has not answered yet", shown_servers(&settings.url));
        Self {
            settings,
            nats: OnceLock::new(),
            trouble: Mutex::new(Some(trouble)),
            events: Arc::default(),
            ready: watch::Sender::new(0),
        }
    }

    /// The connection, if it is there and the streams are.
    pub fn nats(&self) -> Result<&Nats, QueueError> {
        match (self.problem(), self.nats.get()) {
            (None, Some(nats)) => Ok(nats),
            (problem, _) => Err(QueueError::Unavailable(problem.unwrap_or_default())),
        }
    }

    /// The same, waiting a moment for it: a gateway that has just started connects, and a server that is
    /// started again is back.
    pub async fn soon(&self) -> Result<&Nats, QueueError> {
        let mut ready = self.readiness();
        let there = async { while self.nats().is_err() && ready.changed().await.is_ok() {} };
        let _ = timeout(SOON, there).await;
        self.nats()
    }

    /// Why nothing can be asked.
    pub fn problem(&self) -> Option<String> {
        if let Some(trouble) = lock(&self.trouble).clone() {
            return Some(trouble);
        }
        let connected = self.nats.get().is_some_and(Nats::is_connected);
        (!connected).then(|| self.silence())
    }

    /// When there was a new connection last.
    pub fn connected(&self) -> Millis {
        self.events.connected.load(Ordering::Relaxed)
    }

    /// Tells of connections that have become ready.
    pub fn readiness(&self) -> watch::Receiver<u64> {
        self.ready.subscribe()
    }

    /// Has the streams looked at again.
    pub fn look_again(&self) {
        self.events.happened.notify_one();
    }

    /// Longest message that a server takes.
    pub fn max_payload(&self) -> usize {
        let info = self
            .nats
            .get()
            .and_then(|nats| nats.client.try_server_info());
        info.map_or(DEFAULT_PAYLOAD, |info| info.max_payload)
    }

    /// Connects, and has the streams made whenever there is a new connection or somebody asks for
    /// it, for as long as it is polled.
    pub async fn keep(&self, streams: &Streams, queue: &ArcSwap<config::Queue>) {
        let nats = self.connect().await;
        loop {
            let made = if nats.is_connected() {
                streams.make(nats, &queue.load_full()).await
            } else {
                Err(self.silence())
            };
            let is_made = made.is_ok();
            self.note(made.err());
            if is_made {
                self.ready.send_if_modified(|ready| {
                    let connection = self.events.connections.load(Ordering::Relaxed);
                    std::mem::replace(ready, connection) != connection
                });
                self.events.happened.notified().await;
            } else {
                let _ = timeout(AGAIN, self.events.happened.notified()).await;
            }
        }
    }

    /// Ends the connection once what was said has been sent.
    pub async fn close(&self) {
        self.note(Some("the queue is closed".to_owned()));
        if let Some(nats) = self.nats.get() {
            let ended = async {
                let _ = nats.client.flush().await;
                let _ = nats.client.drain().await;
            };
            let _ = timeout(ANSWER / 4, ended).await;
        }
    }

    async fn connect(&self) -> &Nats {
        loop {
            if let Some(nats) = self.nats.get() {
                return nats;
            }
            match self.client().await {
                Ok(client) => {
                    let context = jetstream::new(client.clone());
                    let _ = self.nats.set(Nats { client, context });
                }
                Err(error) => {
                    self.note(Some(error));
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn client(&self) -> Result<Client, String> {
        let events = Arc::clone(&self.events);
        let mut options = ConnectOptions::new()
            .name("gateway")
            .retry_on_initial_connect()
            .ping_interval(PING)
            .connection_timeout(ANSWER)
            .request_timeout(Some(ANSWER))
            .reconnect_delay_callback(|tries| {
                let wait = Duration::from_millis(25).saturating_mul(tries as u32);
                wait.min(MAX_RECONNECT)
            })
            .event_callback(move |event| {
                events.note(&event);
                std::future::ready(())
            });
        if let Some(path) = &self.settings.credentials {
            let read = options.credentials_file(path).await;
            let refused = |error| format!("cannot use {}: {error}", path.display());
            options = read.map_err(refused)?;
        }
        let urls: Vec<&str> = self.settings.url.split(',').map(str::trim).collect();
        let connected = options.connect(urls).await;
        connected.map_err(|error| format!("{}: {error}", shown_servers(&self.settings.url)))
    }

    /// Notes what is wrong, and that nothing is any more; both are logged once.
    fn note(&self, trouble: Option<String>) {
        let before = std::mem::replace(&mut *lock(&self.trouble), trouble.clone());
        match (before, trouble) {
            (None, None) => {}
            (Some(_), None) => {
                tracing::info!(url = shown_servers(&self.settings.url), "queue is ready")
            }
            (Some(before), Some(trouble)) if before == trouble => {}
            (_, Some(trouble)) => tracing::warn!(problem = trouble, "queue cannot take calls"),
        }
    }

    fn silence(&self) -> String {
        let url = shown_servers(&self.settings.url);
        match lock(&self.events.last).clone() {
            Some(last) => format!("{url} does not answer: {last}"),
            None => format!("{url} does not answer"),
        }
    }
}

impl Events {
    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.connections.fetch_add(1, Ordering::Relaxed);
                self.connected.store(now(), Ordering::Relaxed);
                *lock(&self.last) = None;
            }
            Event::Disconnected | Event::Closed => {}
            other => *lock(&self.last) = Some(other.to_string()),
        }
        self.happened.notify_one();
    }
}

impl Nats {
    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The client itself, for subscriptions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A message of a consumer, with what its subject to answer to says.
    pub fn delivered(&self, message: Message) -> jetstream::Message {
        let context = self.context.clone();
        jetstream::Message { message, context }
    }

    /// Asks the API of JetStream.
    pub async fn api<T: DeserializeOwned>(
        &self,
        question: &str,
        content: &impl Serialize,
    ) -> Result<T, Refusal> {
        let strange = |error: serde_json::Error| Refusal::Strange(error.to_string());
        let content = match serde_json::to_vec(content).map_err(strange)? {
            // Some questions may have no content at all.
            nothing if nothing == b"null" => Bytes::new(),
            content => content.into(),
        };
        let request = Request::new().payload(content);
        let answer = self.request(format!("$JS.API.{question}"), request).await?;
        read(&answer)
    }

    /// Publishes a message into a stream; it is stored once this returns.
    pub async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        content: Bytes,
    ) -> Result<PublishAck, Refusal> {
        let request = Request::new().headers(headers).payload(content);
        read(&self.request(subject, request).await?)
    }

    /// Removes a message from a stream; says whether it was there.
    pub async fn remove(&self, stream: &str, sequence: u64) -> Result<bool, Refusal> {
        // What was stored need not be overwritten on the disk, which takes long.
        let content = json!({ "seq": sequence, "no_erase": true });
        let question = format!("STREAM.MSG.DELETE.{stream}");
        match self.api::<IgnoredAny>(&question, &content).await {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is_absence() => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// The newest message of a subject.
    pub async fn newest(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StreamMessage>, Refusal> {
        self.ask_leader(stream, &json!({ "last_by_subj": subject }))
            .await
    }

    /// The same, as any of the servers has it.
    pub async fn newest_anywhere(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StreamMessage>, Refusal> {
        let question = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
        let answer = self.request(question, Request::new()).await?;
        stored(answer)
    }

    /// The oldest message of a subject, of those that are not older than some other.
    pub async fn next(
        &self,
        stream: &str,
        sequence: u64,
        subject: &str,
    ) -> Result<Option<StreamMessage>, Refusal> {
        let content = json!({ "seq": sequence, "next_by_subj": subject });
        self.ask_leader(stream, &content).await
    }

    /// The message with a number.
    pub async fn message(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, Refusal> {
        self.ask_leader(stream, &json!({ "seq": sequence })).await
    }

    /// A message as the stream's leader has it: what is got directly may be stale.
    async fn ask_leader(
        &self,
        stream: &str,
        wanted: &impl Serialize,
    ) -> Result<Option<StreamMessage>, Refusal> {
        let question = format!("STREAM.MSG.GET.{stream}");
        let found = match self.api::<Stored>(&question, wanted).await {
            Ok(Stored { message }) => message,
            Err(Refusal::Said(error)) if is_gone(&error) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let message = StreamMessage::try_from(found);
        let strange = |error: async_nats::Error| Refusal::Strange(error.to_string());
        message.map(Some).map_err(strange)
    }

    /// Says something that is answered by nobody.
    pub async fn say(&self, subject: Subject, content: Bytes) {
        // Without a connection nobody is told; what was not acknowledged is handed out again.
        if self.is_connected() {
            let _ = timeout(ANSWER, self.client.publish(subject, content)).await;
        }
    }

    /// Acknowledges a message, and waits until the server has noted it.
    pub async fn acknowledge(&self, reply: Subject) -> Result<(), Refusal> {
        let request = Request::new().payload(Bytes::from_static(b"+ACK"));
        self.request(reply.to_string(), request).await.map(drop)
    }

    async fn request(&self, subject: String, request: Request) -> Result<Message, Refusal> {
        // The line to the connection may be full, which the client's own timeout leaves out.
        let answer = timeout(ANSWER, self.client.send_request(subject, request)).await;
        let answer = answer
            .map_err(|_| Refusal::NoAnswer(format!("no answer within {} s", ANSWER.as_secs())))?;
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Refusal::NoStream,
            RequestErrorKind::MaxPayloadExceeded => Refusal::TooLong(error.to_string()),
            _ => Refusal::NoAnswer(error.to_string()),
        })
    }
}

impl Refusal {
    /// Whether somebody else was first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Said(error) if [
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE,
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT,
        ].contains(&error.error_code()))
    }

    /// Whether it is longer than a message may be.
    pub fn is_too_long(&self) -> bool {
        match self {
            Self::TooLong(_) => true,
            Self::Said(error) => error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM,
            _ => false,
        }
    }

    /// Whether there is no such stream, consumer or message.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::NoStream => true,
            // A message that is not there has an error code of its own in newer servers only.
            Self::Said(error) => error.code() == 404 || is_gone(error),
            _ => false,
        }
    }
}

impl From<Refusal> for QueueError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NoAnswer(_) | Refusal::NoStream => Self::Unavailable(text),
            Refusal::Said(error) if is_full(&error) => Self::NoSpace(text),
            // What a server cannot do for the moment.
            Refusal::Said(error) if error.code() == 503 => Self::Unavailable(text),
            Refusal::Said(_) | Refusal::TooLong(_) | Refusal::Strange(_) => Self::Failed(text),
        }
    }
}

fn is_full(error: &jetstream::Error) -> bool {
    [
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
        // The disk is full, or the stream has a limit of its own.
        ErrorCode::STREAM_STORE_FAILED,
    ]
    .contains(&error.error_code())
}

fn is_gone(error: &jetstream::Error) -> bool {
    error.error_code() == ErrorCode::SEQUENCE_NOT_FOUND
        || error.to_string().contains("no message found")
}

fn read<T: DeserializeOwned>(answer: &Message) -> Result<T, Refusal> {
    match serde_json::from_slice(&answer.payload) {
        Ok(Response::Ok(answer)) => Ok(answer),
        Ok(Response::Err { error }) => Err(error.into()),
        Err(error) => Err(Refusal::Strange(error.to_string())),
    }
}

fn stored(answer: Message) -> Result<Option<StreamMessage>, Refusal> {
    match answer.status {
        Some(StatusCode::NOT_FOUND) => Ok(None),
        Some(status) => Err(Refusal::Strange(format!("status {status}"))),
        None => StreamMessage::try_from(answer)
            .map(Some)
            .map_err(|error| Refusal::Strange(error.to_string())),
    }
}
