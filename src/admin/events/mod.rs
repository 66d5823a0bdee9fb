//! `GET /system/events`: what changes, as it changes, in server-sent events (HTML standard,
//! section 9.2).
//!
//! One broadcaster looks for all listeners. It is there while somebody listens: the first listener
//! makes it, and it ends with the last.

mod broadcaster;
mod rows;
mod status;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use http::{HeaderName, Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::api::Operation;
use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;
use broadcaster::{Broadcasters, Listener};

/// Listeners at once.
const LISTENERS: usize = 64;
/// Time after which a listener shall come back who has lost us.
const RETRY: Duration = Duration::from_secs(2);
/// Asks nginx to pass each piece on at once.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// The data of an event, by its name: `functions` or `status`.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Event")]
enum Data<'a> {
    /// Functions that have changed.
    Functions(rows::Functions<'a>),
    /// How the gateway is.
    Status(&'a status::Status),
}

/// The operations of `/system/events`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    let broadcasters = Arc::new(Broadcasters::default());
    let places = Arc::new(Semaphore::new(LISTENERS));
    let listen = move |State(gateway): State<Arc<Gateway>>| {
        listen(gateway, Arc::clone(&broadcasters), Arc::clone(&places))
    };
    [Operation::new(
        Method::GET,
        listen,
        "listenToEvents",
        "System",
        "Be told what changes",
    )
    .about(
        "Server-sent events that go on until either side hangs up. At first, and to a listener who has \
         fallen behind, `functions` tells of every function; then, once a second at most, of those \
         that have changed. `status` tells how the gateway is, at first and when that has changed. \
         Where nothing changes for five seconds there is a `beat`, without data.",
    )
    .content::<Data<'_>>(StatusCode::OK, "text/event-stream", "Events, their data in JSON")
    .refuses(&[Cause::TooManyListeners, Cause::Internal])]
}

async fn listen(
    gateway: Arc<Gateway>,
    broadcasters: Arc<Broadcasters>,
    places: Arc<Semaphore>,
) -> Result<Response, Refusal> {
    let place = places.try_acquire_owned().map_err(|_| {
        let why = format!("{LISTENERS} listen already; ask GET /system/functions now and then");
        Refusal::new(Cause::TooManyListeners, why)
    })?;
    let of = Arc::clone(&gateway);
    let joined = spawn_blocking(move || broadcasters.join(&of)).await;
    let listener = joined.map_err(|error| Refusal::new(Cause::Internal, error.to_string()))?;
    let stream = Sse::new(events(gateway, listener, place));
    Ok(([UNBUFFERED], stream).into_response())
}

/// What a listener is told, until the gateway drains.
fn events(
    gateway: Arc<Gateway>,
    listener: Listener,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let first = Event::default().retry(RETRY);
    let told = stream::unfold(
        (gateway, listener, place),
        async |(gateway, mut listener, place)| {
            let event = tokio::select! {
                event = listener.next() => event,
                () = gateway.drain.begun() => return None,
            };
            Some((Ok(event?), (gateway, listener, place)))
        },
    );
    stream::StreamExt::chain(stream::iter([Ok(first)]), told)
}
