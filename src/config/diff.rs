//! What a reload changes, key by key, and whether it takes a restart.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::Config;
use super::masked::{masked, plain};

/// Keys that are read once at the start, with all that lies below them.
pub(super) const RESTART: [&str; 13] = [
    "server.listen",
    "server.metrics",
    "server.threads",
    "server.max_connections",
    "server.h2c",
    "server.upstream_keepalive",
    "provider.kind",
    "provider.state_dir",
    "provider.isolation",
    "admin.listen",
    "queue.kind",
    "queue.jetstream",
    "access_log.output",
];

/// One key that two configurations do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Dotted path as in the file, such as `functions.echo.timeouts.upstream`.
    pub key: String,
    /// When it takes effect.
    pub effect: Effect,
    /// The old value, secrets masked, empty for a part with keys of its own; `None`: it was not
    /// there.
    pub from: Option<String>,
    /// The new value in the same way; `None`: it is gone.
    pub to: Option<String>,
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    Hot,
    /// After the next restart; until then the old value holds.
    Restart,
}

/// Every key that differs, in the order of the alphabet. Functions and other parts that are new or
/// gone are one change each.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old, new) = (Side::of(old), Side::of(new));
    compare(
        &mut String::new(),
        Some(old.view()),
        Some(new.view()),
        &mut changes,
    );
    leave_out_inherited(&mut changes);
    restart_with_the_kind(&mut changes);
    changes
}

/// One log line.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if from == to => write!(f, "{key}: changed, stays hidden")?,
            (Some(from), Some(to)) => write!(f, "{key}: {from} -> {to}")?,
            (None, Some(to)) if to.is_empty() => write!(f, "{key}: added")?,
            (None, Some(to)) => write!(f, "{key}: added, {to}")?,
            (Some(from), None) if from.is_empty() => write!(f, "{key}: removed")?,
            (Some(from), None) => write!(f, "{key}: removed, was {from}")?,
            (None, None) => write!(f, "{key}")?,
        }
        match self.effect {
            Effect::Hot => Ok(()),
            Effect::Restart => f.write_str(" (after a restart)"),
        }
    }
}

/// A configuration as two trees: one to compare, one to show.
struct Side {
    plain: Value,
    masked: Value,
}

/// The same place in both trees.
#[derive(Clone, Copy)]
struct View<'a> {
    plain: &'a Value,
    masked: &'a Value,
}

impl Side {
    fn of(config: &Config) -> Self {
        Self {
            plain: plain(config),
            masked: masked(config),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            plain: &self.plain,
            masked: &self.masked,
        }
    }
}

impl<'a> View<'a> {
    /// What lies below; a part that is masked as a whole is not looked into.
    fn child(self, name: &str) -> Option<View<'a>> {
        Some(View {
            plain: self.plain.get(name)?,
            masked: self.masked.get(name)?,
        })
    }

    fn is_open(self) -> bool {
        self.plain.is_object() && self.masked.is_object()
    }

    fn names(self) -> impl Iterator<Item = &'a String> {
        self.plain
            .as_object()
            .into_iter()
            .flat_map(|children| children.keys())
    }

    fn text(self) -> String {
        match self.masked {
            Value::Object(_) => String::new(),
            Value::String(text) if !text.is_empty() && !text.contains(char::is_control) => {
                text.clone()
            }
            other => other.to_string(),
        }
    }
}

fn compare(
    key: &mut String,
    old: Option<View<'_>>,
    new: Option<View<'_>>,
    changes: &mut Vec<Change>,
) {
    // A key without a value is a key that is not there.
    let old = old.filter(|view| !view.plain.is_null());
    let new = new.filter(|view| !view.plain.is_null());
    if let (Some(old), Some(new)) = (old, new)
        && old.is_open()
        && new.is_open()
    {
        let names: BTreeSet<&String> = old.names().chain(new.names()).collect();
        for name in names {
            let length = key.len();
            if length > 0 {
                key.push('.');
            }
            key.push_str(name);
            compare(key, old.child(name), new.child(name), changes);
            key.truncate(length);
        }
    } else if old.map(|view| view.plain) != new.map(|view| view.plain) {
        changes.push(Change {
            key: key.clone(),
            effect: effect(key),
            from: old.map(View::text),
            to: new.map(View::text),
        });
    }
}

/// One limit for all functions is one change, not one for each of them.
fn leave_out_inherited(changes: &mut Vec<Change>) {
    let global: Vec<Change> = changes
        .iter()
        .filter(|change| change.key.starts_with("timeouts."))
        .cloned()
        .collect();
    changes.retain(|change| {
        let follows = |global: &Change| {
            change.key.starts_with("functions.")
                && change.key.ends_with(&format!(".{}", global.key))
                && (&change.from, &change.to) == (&global.from, &global.to)
        };
        !global.iter().any(follows)
    });
}

/// Another kind of provider is a restart, and then so is everything it needs.
fn restart_with_the_kind(changes: &mut [Change]) {
    if !changes.iter().any(|change| change.key == "provider.kind") {
        return;
    }
    for change in changes {
        if change.key.starts_with("provider.") {
            change.effect = Effect::Restart;
        }
    }
}

fn effect(key: &str) -> Effect {
    let is_below = |restart: &&str| {
        let rest = key.strip_prefix(*restart);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if RESTART.iter().any(is_below) {
        Effect::Restart
    } else {
        Effect::Hot
    }
}
