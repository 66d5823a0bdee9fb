//! The history as it is told: one column for each number, one value for each step, oldest first.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Serialize;

use super::STEP_SECONDS;
use super::steps::{Step, Steps};
use super::track::{NONE, Pages, Track};
use crate::function::FunctionName;
use crate::metrics::latency;

/// What all functions were called in the last five minutes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Overview {
    /// Seconds in each step.
    step_seconds: u32,
    /// End of the newest step (RFC 3339).
    until: String,
    /// Those that were called at all.
    functions: Vec<Sparkline>,
}

/// How often a function was called.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sparkline {
    /// Name and namespace.
    pub id: String,
    /// Calls that ended, for each step, oldest first; 0 where the gateway was not there.
    calls_per_second: Vec<f32>,
}

/// What a function did, a value for each step, oldest first; `null` where the gateway or the function
/// was not there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FunctionHistory {
    /// Name and namespace.
    id: String,
    /// Seconds in each step.
    step_seconds: u32,
    /// End of the newest step (RFC 3339).
    until: String,
    /// Calls that ended.
    calls_per_second: Vec<Option<f32>>,
    /// Calls that ended with a status of 500 or more.
    errors_per_second: Vec<Option<f32>>,
    /// Seconds that half of the calls took at most, without their wait; `null` where none ended.
    p50: Vec<Option<f64>>,
    /// The same of 95 in 100 calls.
    p95: Vec<Option<f64>>,
    /// The same of 99 in 100 calls.
    p99: Vec<Option<f64>>,
    /// Calls in flight.
    in_flight: Vec<Option<u32>>,
    /// Calls in line.
    waiting: Vec<Option<u32>>,
    /// Asynchronous calls that wait for their first try.
    queued: Vec<Option<u32>>,
    /// Replicas asked for.
    replicas: Vec<Option<u16>>,
    /// Replicas that could be called.
    available: Vec<Option<u16>>,
    /// Calls that waited for a function without a replica, in the step.
    cold_starts: Vec<Option<u16>>,
    /// Processor time, in thousandths of a processor; what a process used shortly before its end is not
    /// counted. `null` where somebody else runs the function.
    cpu: Vec<Option<u32>>,
    /// Resident memory in bytes; `null` where somebody else runs the function.
    memory: Vec<Option<u64>>,
}

impl Overview {
    /// An overview until the end of a step.
    pub(super) fn new(newest: Step, functions: Vec<Sparkline>) -> Self {
        Self {
            step_seconds: STEP_SECONDS,
            until: time(newest),
            functions,
        }
    }
}

impl Sparkline {
    /// That of a function; `None`: it was not called.
    pub(super) fn of(
        name: &FunctionName,
        track: &Track,
        range: &RangeInclusive<u32>,
        seen: &Steps,
    ) -> Option<Self> {
        let calls = track.column(range, seen, |sample| sample.calls_per_second);
        calls.iter().any(|calls| *calls > 0.0).then(|| Self {
            id: name.to_string(),
            calls_per_second: calls,
        })
    }
}

impl FunctionHistory {
    /// What a function did in these steps.
    pub(super) fn of(
        name: &FunctionName,
        track: &Track,
        range: &RangeInclusive<u32>,
        newest: Step,
        seen: &Steps,
    ) -> Self {
        let percentile = |which: usize| {
            track.column(range, seen, |sample| {
                let bucket = sample.percentiles[which];
                (bucket != NONE).then(|| latency::seconds(bucket))
            })
        };
        Self {
            id: name.to_string(),
            step_seconds: STEP_SECONDS,
            until: time(newest),
            calls_per_second: track.column(range, seen, |sample| Some(sample.calls_per_second)),
            errors_per_second: track.column(range, seen, |sample| Some(sample.errors_per_second)),
            p50: percentile(0),
            p95: percentile(1),
            p99: percentile(2),
            in_flight: track.column(range, seen, |sample| Some(sample.in_flight)),
            waiting: track.column(range, seen, |sample| Some(sample.waiting)),
            queued: track.column(range, seen, |sample| Some(sample.queued)),
            replicas: track.column(range, seen, |sample| Some(sample.replicas)),
            available: track.column(range, seen, |sample| Some(sample.available)),
            cold_starts: track.column(range, seen, |sample| Some(sample.cold_starts)),
            cpu: track.column(range, seen, |sample| sample.cpu),
            memory: track.column(range, seen, |sample| sample.memory.map(Pages::bytes)),
        }
    }
}

fn time(newest: Step) -> String {
    humantime::format_rfc3339_seconds(newest.end()).to_string()
}
