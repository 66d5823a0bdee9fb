//! `/system/history`: what functions did over the last minutes, and one over the last hour.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use serde_json::json;

use super::api::Operation;
use super::exchange::Name;
use super::functions::{NAMESPACE, addressed};
use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;
use crate::history::{FunctionHistory, KEPT_SECONDS, Overview, STEP_SECONDS};
use crate::provider::Request;

const TAG: &str = "History";

/// The operations of `/system/history`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        overview,
        "listHistory",
        TAG,
        "Show how often functions were called in the last five minutes",
    )
    .about("Functions that were not called in that time are left out. A restart forgets it.")
    .json::<Overview>(StatusCode::OK, "Calls per second, for each step")]
}

/// The operations of `/system/history/{name}`.
pub fn one() -> [Operation<Arc<Gateway>>; 1] {
    let seconds = json!({
        "type": "integer", "minimum": STEP_SECONDS, "maximum": KEPT_SECONDS, "default": KEPT_SECONDS,
    });
    [Operation::new(
        Method::GET,
        show,
        "getHistory",
        TAG,
        "Show what a function did in the last hour",
    )
    .about(
        "Columns of equal length, a value for each step, oldest first; `null` where the gateway or the \
         function was not there. A restart forgets it.",
    )
    .query("namespace", json!({ "type": "string" }), NAMESPACE)
    .query("seconds", seconds, "How far to look back")
    .json::<FunctionHistory>(StatusCode::OK, "Rates, times, numbers and use")
    .refuses(&[Cause::BadRequest, Cause::NotFound])]
}

async fn overview(State(gateway): State<Arc<Gateway>>) -> Json<Overview> {
    Json(gateway.history.overview())
}

async fn show(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request,
) -> Result<Json<FunctionHistory>, Refusal> {
    let function = addressed(&gateway.registry.current(), &name, &request)
        .ok_or_else(|| Refusal::not_found(format!("there is no function {name}")))?;
    let seconds = seconds(&request)?;
    Ok(Json(gateway.history.of(&function.name, seconds)))
}

fn seconds(request: &Request) -> Result<u32, Refusal> {
    let Some(text) = request.parameter("seconds") else {
        return Ok(KEPT_SECONDS);
    };
    let number = text.parse().ok();
    number
        .filter(|seconds| (STEP_SECONDS..=KEPT_SECONDS).contains(seconds))
        .ok_or_else(|| {
            Refusal::bad_request(format!(
                "`seconds` has to be a number from {STEP_SECONDS} to {KEPT_SECONDS}"
            ))
        })
}
