//! What is seen of a remote provider's functions: its list, single looks, and what the gateway itself
//! has just asked for, each of which may be newer than the others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::function::{FunctionName, NameError, RetryLabels, Scaling};
use crate::provider::{FunctionView, View, same};

/// How long a provider may answer what was before the number of replicas was changed.
const SETTLES: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Seen {
    view: watch::Sender<View>,
    // When single functions were looked at, as far as a list may be older. Held for a moment only.
    observed: Mutex<HashMap<FunctionName, Instant>>,
    // What the gateway itself asked for a moment ago: an answer may come from before it. Held for a
    // moment only.
    asked: Mutex<HashMap<FunctionName, (Instant, u64)>>,
}

/// The fields of a function that the gateway reads (wire.md section 9).
#[derive(Deserialize)]
pub(super) struct Listed {
    name: String,
    #[serde(default)]
    namespace: String,
    /// A provider that does not tell has one: its functions can be called.
    replicas: Option<u64>,
    /// A provider that does not tell has as many as it was asked for.
    #[serde(rename = "availableReplicas")]
    available: Option<u64>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Listed {
    fn name(&self, default_namespace: &str) -> Result<FunctionName, NameError> {
        match self.namespace.as_str() {
            "" => FunctionName::new(&self.name, default_namespace),
            namespace => FunctionName::new(&self.name, namespace),
        }
    }

    fn view(&self) -> FunctionView {
        let desired = self.replicas.or(self.available).unwrap_or(1);
        let none = BTreeMap::new();
        let labels = self.labels.as_ref().unwrap_or(&none);
        let annotations = self.annotations.as_ref().unwrap_or(&none);
        FunctionView {
            replicas: Vec::new(),
            desired,
            available: self.available.unwrap_or(desired),
            scaling: Scaling::of(labels),
            retry: RetryLabels::of(labels, annotations),
            slots: 1,
            updating: false,
            problem: None,
        }
    }
}

impl Seen {
    /// The functions as they were seen last.
    pub fn subscribe(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// A list that was asked for at `begun` has come. What was observed since then is newer.
    pub fn list(&self, begun: Instant, functions: Vec<Listed>, default_namespace: &str) {
        let mut observed = self.observed();
        observed.retain(|_, since| *since >= begun);
        let mut view = BTreeMap::new();
        for listed in functions {
            match listed.name(default_namespace) {
                Ok(name) => {
                    let seen = self.newer(&name, listed.view());
                    view.insert(name, Arc::new(seen));
                }
                Err(_) => {
                    tracing::warn!(
                        name = listed.name,
                        "provider lists a function with a bad name"
                    );
                }
            }
        }
        // An unchanged view stays the very same one: others compare what they have by its address.
        self.view.send_if_modified(|seen| {
            for name in observed.keys() {
                match seen.get(name) {
                    Some(newer) => view.insert(name.clone(), Arc::clone(newer)),
                    None => view.remove(name),
                };
            }
            for (name, function) in &mut view {
                if let Some(before) = seen.get(name).filter(|before| before.alike(function)) {
                    *function = Arc::clone(before);
                }
            }
            let view = Arc::new(view);
            let modified = !same(seen, &view);
            if modified {
                *seen = view;
            }
            modified
        });
    }

    /// One function was looked at; `None`: it is gone.
    pub fn one(&self, name: &FunctionName, listed: Option<&Listed>) {
        let seen = listed.map(|listed| self.newer(name, listed.view()));
        self.amend(name, |_| seen);
    }

    /// The gateway has asked for so many replicas. The view shows it until the next look tells more:
    /// whoever decides next has to know of it.
    pub fn resized(&self, name: &FunctionName, replicas: u64) {
        let now = Instant::now();
        let mut resized = self.asked();
        resized.retain(|_, (at, _)| now - *at < SETTLES);
        resized.insert(name.clone(), (now, replicas));
        drop(resized);
        self.amend(name, |before| {
            Some(FunctionView {
                desired: replicas,
                ..before?.clone()
            })
        });
    }

    /// Somebody else decides about replicas, of whatever function.
    pub fn forget_resized(&self) {
        self.asked().clear();
    }

    /// Changes what the view shows of one function, which is newer than a list asked for before.
    fn amend(
        &self,
        name: &FunctionName,
        change: impl FnOnce(Option<&FunctionView>) -> Option<FunctionView>,
    ) {
        self.observed().insert(name.clone(), Instant::now());
        self.view.send_if_modified(|view| {
            let before = view.get(name).map(Arc::as_ref);
            let now = change(before);
            let modified = match (before, &now) {
                (Some(before), Some(now)) => !before.alike(now),
                (None, None) => false,
                _ => true,
            };
            if modified {
                // A new one in any case: others tell views apart by their address.
                let mut changed = BTreeMap::clone(view);
                match now {
                    Some(now) => changed.insert(name.clone(), Arc::new(now)),
                    None => changed.remove(name),
                };
                *view = Arc::new(changed);
            }
            modified
        });
    }

    /// What was seen, with the replicas that were asked for since the provider may have looked.
    fn newer(&self, name: &FunctionName, mut seen: FunctionView) -> FunctionView {
        if let Some((at, replicas)) = self.asked().get(name)
            && at.elapsed() < SETTLES
        {
            seen.desired = *replicas;
        }
        seen
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<FunctionName, (Instant, u64)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observed(&self) -> MutexGuard<'_, HashMap<FunctionName, Instant>> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listed(name: &str, replicas: u64) -> Listed {
        Listed {
            name: name.to_owned(),
            namespace: "ns".to_owned(),
            replicas: Some(replicas),
            available: Some(replicas),
            labels: None,
            annotations: None,
        }
    }

    #[test]
    fn annotations_say_how_queued_calls_are_tried_again() {
        let text = r#"{"name":"fig","annotations":{"com.openfaas.retry.attempts":"3"}}"#;
        let listed: Listed = serde_json::from_str(text).unwrap();
        assert_eq!(listed.view().retry.attempts, Some(3));
    }

    #[test]
    fn an_unchanged_list_is_the_same_view() {
        let seen = Seen::default();
        let view = |replicas| {
            seen.list(Instant::now(), vec![listed("fig", replicas)], "");
            Arc::clone(&seen.view.borrow())
        };
        let first = view(1);
        assert!(Arc::ptr_eq(&first, &view(1)));
        assert!(!Arc::ptr_eq(&first, &view(2)));

        // A list that was asked for before one function was looked at does not hide what was seen.
        let begun = Instant::now();
        let name = FunctionName::new("fig", "ns").unwrap();
        seen.one(&name, Some(&listed("fig", 5)));
        let replicas = || seen.view.borrow().get(&name).map(|view| view.desired);
        seen.list(begun, vec![listed("fig", 2)], "");
        assert_eq!(replicas(), Some(5));
        seen.one(&name, None);
        seen.list(begun, vec![listed("fig", 2)], "");
        assert_eq!(replicas(), None);
        seen.list(Instant::now(), vec![listed("fig", 2)], "");
        assert_eq!(replicas(), Some(2));
    }
}
