//! `GET /system/scaling/NAME`: how many replicas a function has, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::api::Operation;
use super::exchange::Name;
use super::functions::{NAMESPACE, addressed};
use crate::duration::format_duration;
use crate::error::{Cause, Refusal};
use crate::function::{Measure, Scaling};
use crate::functions::Function;
use crate::gateway::Gateway;
use crate::provider::Request;
use crate::scale::{Decision, Numbers};

/// How many replicas a function has, and why.
#[derive(Serialize, JsonSchema)]
pub struct Explanation {
    /// The function.
    name: String,
    /// Its namespace.
    namespace: String,
    /// What it does now; rates are those of the last look.
    now: Numbers,
    /// What decides.
    rule: Rule,
    /// The last 50 decisions, the newest first; a restart forgets them.
    decisions: Vec<Decision>,
}

/// What decides the number of replicas.
#[derive(Serialize, JsonSchema)]
struct Rule {
    /// `classic`, `rps`, `capacity` or `queue`; `none`: nobody scales it, as nobody here runs it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the rule does, in a sentence.
    says: String,
    /// Replicas at least, while it is awake.
    min: u64,
    /// Replicas at most.
    max: u64,
    /// Hundredths of `max` that one step of the classic rule or of an alert adds.
    factor: u64,
    /// Load that each replica shall have.
    target: Option<f64>,
    /// The part of it that is aimed at.
    target_proportion: Option<f64>,
    /// Replicas are taken away when they were not needed for so long.
    down_window: Option<String>,
    /// It is put to sleep after so long without calls; `null`: never.
    zero_duration: Option<String>,
    /// Calls one replica may have in flight; `null`: as many as come.
    concurrency: Option<usize>,
}

/// The operations of `/system/scaling/{name}`.
pub fn one() -> [Operation<Arc<Gateway>>; 1] {
    [Operation::new(
        Method::GET,
        explain,
        "explainScaling",
        "Scaling",
        "Show how many replicas a function has, and why",
    )
    .query("namespace", json!({ "type": "string" }), NAMESPACE)
    .json::<Explanation>(StatusCode::OK, "Its numbers, its rule and what was decided")
    .refuses(&[Cause::NotFound])]
}

async fn explain(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    request: Request,
) -> Result<Json<Explanation>, Refusal> {
    let snapshot = gateway.registry.current();
    let function = addressed(&snapshot, &name, &request)
        .ok_or_else(|| Refusal::not_found(format!("there is no function {name}")))?;
    let follows = snapshot.config.scale.autoscaler.is_some();
    Ok(Json(Explanation {
        name: function.name.name().to_owned(),
        namespace: function.name.namespace().to_owned(),
        now: gateway.scaler.numbers(&function),
        rule: Rule::of(&function, follows),
        decisions: gateway.scaler.journal().decisions(&function.name),
    }))
}

impl Rule {
    fn of(function: &Function, follows: bool) -> Self {
        let scaling = function.scaling;
        let target = scaling.target;
        let kind = match (function.desired, target) {
            (None, _) => "none",
            (Some(_), Some(target)) => target.measure.as_str(),
            (Some(_), None) => "classic",
        };
        Self {
            kind,
            says: says(function, follows),
            min: scaling.min,
            max: scaling.max,
            factor: scaling.factor,
            target: target.map(|target| target.load),
            target_proportion: target.map(|target| target.proportion),
            down_window: target.map(|target| format_duration(target.window)),
            zero_duration: scaling.zero.map(format_duration),
            concurrency: scaling.concurrency.map(usize::from),
        }
    }
}

fn says(function: &Function, follows: bool) -> String {
    if function.desired.is_none() {
        return "it runs at addresses that somebody else looks after".to_owned();
    }
    let scaling = function.scaling;
    let load = if follows {
        by_load(scaling)
    } else {
        "scale.autoscaler is off: only alerts and requests to the API change the number".to_owned()
    };
    match scaling.zero {
        Some(after) => format!(
            "{load}; asleep after {} without calls",
            format_duration(after)
        ),
        None => load,
    }
}

fn by_load(scaling: Scaling) -> String {
    let Some(target) = scaling.target else {
        return format!(
            "more than 5 successful calls per second for 5s add {} % of {} replicas, 30s of less \
             bring {} back",
            scaling.factor,
            scaling.max,
            scaling.awake()
        );
    };
    let what = match target.measure {
        Measure::Rps => "calls per second",
        Measure::Capacity => "calls in flight",
        Measure::Queue => "calls in line or queued",
    };
    format!(
        "one replica for each {} {what} ({} times {}), fewer after {} in which they were not needed",
        target.load * target.proportion,
        target.load,
        target.proportion,
        format_duration(target.window)
    )
}
