//! The functions as a table whose rows are compared from look to look.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::functions::invocations;
use crate::function::whole;
use crate::functions::{Function, Noted, Snapshot};
use crate::gateway::Gateway;

/// Functions that have changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FunctionsEvent")]
pub struct Functions<'a> {
    /// Whether these are all there are.
    full: bool,
    /// Functions that are new or have changed.
    functions: Vec<&'a Row>,
    /// Functions that are gone, by their `id`.
    removed: Vec<Arc<str>>,
}

/// A function, and what it does.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "FunctionRow")]
pub struct Row {
    /// Name and namespace.
    id: Arc<str>,
    /// Its name.
    name: Arc<str>,
    /// Its namespace.
    namespace: String,
    /// Replicas asked for; `null`: nobody scales it.
    replicas: Option<u64>,
    /// Replicas that can be called.
    available: u64,
    /// Calls that have ended, as `GET /system/functions` counts them.
    #[serde(serialize_with = "whole")]
    invocations: f64,
    /// Calls begun per second, over the last ten seconds.
    calls_per_second: f64,
    /// Calls in flight.
    in_flight: u64,
    /// Calls in line.
    waiting: u64,
    /// Asynchronous calls that wait for their first try.
    queued: u64,
    /// Whether the configuration file declares it: then it is changed there, and not by the API.
    declared: bool,
    /// Whether a new revision starts that will take the place of the one that serves.
    updating: bool,
    /// Why it cannot be called, or why its new revision does not take over.
    problem: Option<Arc<str>>,
    /// The last call that failed; a restart forgets it.
    last_error: Option<LastError>,
}

/// A call that failed.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct LastError {
    /// When (RFC 3339).
    at: String,
    /// Its status, 500 or more.
    status: u16,
    /// Why the gateway failed it; `null`: the function itself answered so.
    reason: Option<&'static str>,
    /// Its `X-Call-Id`.
    call_id: Option<Box<str>>,
}

/// The functions as they were seen last.
#[derive(Default)]
pub struct Table {
    rows: HashMap<Arc<str>, Row>,
}

impl Table {
    /// Looks again; `None`: nothing has changed.
    pub fn look(&mut self, gateway: &Gateway) -> Option<Functions<'_>> {
        let snapshot = gateway.registry.current();
        let mut changed = Vec::new();
        for function in snapshot.functions() {
            let row = Row::of(gateway, &snapshot, function);
            if self.rows.get(&function.key) != Some(&row) {
                self.rows.insert(Arc::clone(&function.key), row);
                changed.push(Arc::clone(&function.key));
            }
        }
        let gone = |key: &Arc<str>| snapshot.function(key).is_none();
        let removed: Vec<_> = self.rows.keys().filter(|key| gone(key)).cloned().collect();
        for key in &removed {
            self.rows.remove(key);
        }
        let some = !changed.is_empty() || !removed.is_empty();
        some.then(|| Functions {
            full: false,
            functions: sorted(changed.iter().filter_map(|key| self.rows.get(key))),
            removed,
        })
    }

    /// All of them.
    pub fn all(&self) -> Functions<'_> {
        Functions {
            full: true,
            functions: sorted(self.rows.values()),
            removed: Vec::new(),
        }
    }
}

fn sorted<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a Row> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

impl Row {
    fn of(gateway: &Gateway, snapshot: &Snapshot, function: &Function) -> Self {
        let numbers = gateway.scaler.numbers(function);
        let problem = function.problem.as_ref();
        Self {
            id: Arc::clone(&function.key),
            name: function.name.shared_name(),
            namespace: function.name.namespace().to_owned(),
            replicas: function.desired,
            available: numbers.available,
            invocations: invocations(gateway, snapshot, function),
            calls_per_second: rounded(numbers.calls_per_second),
            in_flight: numbers.in_flight,
            waiting: numbers.waiting,
            queued: numbers.queued,
            declared: snapshot.config.functions.contains_key(&function.name),
            updating: function.updating,
            problem: problem.map(|problem| Arc::clone(&problem.why)),
            last_error: function.live.last_error.get().map(LastError::of),
        }
    }
}

impl LastError {
    fn of(noted: Arc<Noted>) -> Self {
        Self {
            at: humantime::format_rfc3339_millis(noted.at).to_string(),
            status: noted.status,
            reason: noted.reason,
            call_id: noted.call_id.clone(),
        }
    }
}

/// Three significant digits: what comes after them is noise, and would be told as a change.
fn rounded(rate: f64) -> f64 {
    if rate <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powi(rate.log10().floor() as i32 - 2);
    // Divided by what is a whole number, so that no tail of digits comes back.
    if unit < 1.0 {
        let per_unit = (1.0 / unit).round();
        (rate * per_unit).round() / per_unit
    } else {
        (rate / unit).round() * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_three_digits() {
        for (rate, told) in [
            (0.0, 0.0),
            (0.012_345, 0.0123),
            (0.1, 0.1),
            (1.0, 1.0),
            (9.996, 10.0),
            (12.345, 12.3),
            (123.4, 123.0),
            (99_951.0, 100_000.0),
        ] {
            assert_eq!(rounded(rate), told, "{rate}");
        }
    }
}
