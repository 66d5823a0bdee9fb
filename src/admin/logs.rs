//! `/system/logs`: what functions wrote (wire.md section 11).

use std::sync::Arc;

use axum::extract::State;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use serde_json::json;

use super::api::Operation;
use super::exchange::Answered;
use crate::error::Cause;
use crate::function::LogLine;
use crate::gateway::Gateway;
use crate::provider::{ProviderError, Request};

/// One JSON object in each line.
const LINES: &str = "application/x-ndjson";

/// The operations of `/system/logs`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    let text = || json!({ "type": "string" });
    [Operation::new(
        Method::GET,
        read,
        "readLogs",
        "Logs",
        "Read what a function wrote",
    )
    .about(
        "One JSON object in each line. With `follow` the response goes on with every new line, \
             until the client hangs up or the function is removed.",
    )
    .needs("name", text(), "The function, without its namespace")
    .query(
        "namespace",
        text(),
        "Its namespace; the default one where it is left out",
    )
    .query("instance", text(), "Only lines of this replica")
    .query(
        "tail",
        json!({ "type": "integer" }),
        "Only the last so many of the lines there are",
    )
    .query(
        "follow",
        json!({ "type": "string", "enum": ["false", "0", "true", "1"] }),
        "Whether to go on with the lines to come",
    )
    .query(
        "since",
        json!({ "type": "string", "format": "date-time" }),
        "Only lines written at this time or later",
    )
    .content::<LogLine>(StatusCode::OK, LINES, "The lines, oldest first")
    .refuses(&[
        Cause::BadRequest,
        Cause::NotFound,
        Cause::Unreadable,
        Cause::NotImplemented,
        Cause::ProviderFailed,
        Cause::ProviderTimeout,
    ])]
}

async fn read(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Answered, ProviderError> {
    let mut answer = gateway.provider.logs(request).await?;
    let kind = answer.headers_mut().entry(CONTENT_TYPE);
    kind.or_insert(HeaderValue::from_static(LINES));
    Ok(Answered(answer))
}
