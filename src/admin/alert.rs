//! `POST /system/alert`: what Alertmanager sends (wire.md section 5.2).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::Operation;
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::provider::{ProviderError, Request};

/// What of Alertmanager's message is read; the rest of it is ignored.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct Message {
    /// The alerts.
    #[serde(default)]
    alerts: Vec<Alert>,
}

/// One alert.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Alert {
    /// `firing`, or anything else when it is over.
    #[serde(default)]
    status: String,
    #[serde(default)]
    labels: Labels,
}

/// Its labels, as far as they are read.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
struct Labels {
    /// The function, `name` or `name.namespace`. An alert without one is passed over.
    #[serde(default)]
    function_name: String,
}

/// The operations of `/system/alert`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::POST,
        alert,
        "alert",
        "Scaling",
        "Scale by alerts",
    )
    .about(
        "The webhook of Alertmanager. An alert that fires adds `factor` hundredths of the function's \
         maximum, one that is over brings its minimum back. What could not be done is told line by \
         line; the status is 500 only where nothing could be done and another try may help.",
    )
    .takes::<Message>()
    .content::<String>(StatusCode::OK, "text/plain", "What could not be done, one line each")
    .content::<String>(StatusCode::BAD_REQUEST, "text/plain", "It is no message of Alertmanager")
    .content::<String>(
        StatusCode::INTERNAL_SERVER_ERROR,
        "text/plain",
        "Nothing could be done; why, one line each",
    )]
}

async fn alert(State(gateway): State<Arc<Gateway>>, request: Request<Message>) -> Response {
    let Some(message) = read(&request) else {
        let words = "Unable to parse alert, bad format.";
        return text(StatusCode::BAD_REQUEST, words.to_owned());
    };
    let (mut done, mut failures) = (false, Vec::new());
    for alert in &message.alerts {
        let name = &alert.labels.function_name;
        if name.is_empty() {
            continue;
        }
        match gateway.scaler.alert(name, alert.status == "firing").await {
            Ok(()) => done = true,
            Err(error) => failures.push(error),
        }
    }
    // Alertmanager sends the whole message again after a 500, which helps nobody who is gone.
    let again = !done && !failures.iter().all(is_missing);
    let status = if again {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    let lines = failures.iter().enumerate();
    let lines = lines.map(|(index, error)| format!("[{index}] {error}\n"));
    text(status, lines.collect())
}

/// The message; a list in its place is none, though it could be read as one.
fn read(request: &Request<Message>) -> Option<Message> {
    let object: Map<String, Value> = serde_json::from_slice(request.body()).ok()?;
    serde_json::from_value(Value::Object(object)).ok()
}

fn is_missing(error: &ProviderError) -> bool {
    match error {
        ProviderError::Refused(refusal) => refusal.cause == Cause::NotFound,
        ProviderError::Answered(answer) => answer.status() == StatusCode::NOT_FOUND,
    }
}

fn text(status: StatusCode, words: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, Body::from(words)).into_response()
}
