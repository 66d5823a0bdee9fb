//! `POST /system/stack`: what a `stack.yml` would deploy.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use tokio::task::spawn_blocking;

use super::api::Operation;
use crate::config::stack::{self, Stack};
use crate::error::{Cause, Refusal};
use crate::gateway::Gateway;
use crate::provider::Request;

/// The operations of `/system/stack`.
pub fn all() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::POST,
        read,
        "readStack",
        "Functions",
        "Read a stack.yml of faas-cli",
    )
    .about(
        "Nothing is deployed: the answer holds what would be posted to `/system/functions`. \
         Variables get the defaults that the file gives them.",
    )
    .text("text/yaml")
    .json::<Stack>(StatusCode::OK, "Its functions, and what is odd about them")
    .refuses(&[Cause::Internal])]
}

async fn read(
    State(gateway): State<Arc<Gateway>>,
    request: Request<String>,
) -> Result<Json<Stack>, Refusal> {
    let text = String::from_utf8(request.body().to_vec());
    let text = text.map_err(|_| Refusal::bad_request("the body is no text in UTF-8"))?;
    // A long one takes a while, and programs are looked for on the disk.
    let read = spawn_blocking(move || {
        let mut stack = stack::read(&text).map_err(Refusal::bad_request)?;
        for planned in &mut stack.functions {
            let runs = gateway.provider.runs(&planned.deployment);
            planned.warnings.extend(runs.err());
        }
        Ok(stack)
    });
    let stack = read.await;
    stack
        .map_err(|error| Refusal::new(Cause::Internal, error.to_string()))?
        .map(Json)
}
