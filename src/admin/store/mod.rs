//! `GET /system/store`: functions to choose from, and which of them can run here.
//!
//! The list comes with this program, or from where `ui.store` says. That place is asked when somebody
//! wants to see the list, by one request at a time, and not again for a while.

mod fetch;
mod list;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::api::Operation;
use crate::config::{self, StoreSource, shown_store};
use crate::error::{Cause, Refusal};
use crate::function::Deployment;
use crate::gateway::Gateway;
use crate::outbound::Tls;
use fetch::fetch;
use list::{Entry, List};

/// Longest wait for a list.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a list from elsewhere is not asked for again.
const KEEP: Duration = Duration::from_secs(60 * 60);
/// The same after it could not be had.
const KEEP_FAILURE: Duration = Duration::from_secs(30);
/// The same for a file: all who ask at once are told the same.
const KEEP_FILE: Duration = Duration::from_secs(1);

/// What [`Shown::source`] says of the own list.
const BUILT_IN: &str = "built in";

/// Functions to choose from.
#[derive(Serialize, JsonSchema)]
struct Shown {
    /// `built in`, or the address or file of `ui.store`.
    source: String,
    /// When the list came from there (RFC 3339).
    fetched_at: Option<String>,
    /// Why it could not be had from there, and what is shown instead.
    problem: Option<String>,
    /// The functions.
    functions: Vec<Offer>,
}

/// A function to choose.
#[derive(Serialize, JsonSchema)]
struct Offer {
    /// What it will be called.
    name: String,
    /// What people call it.
    title: String,
    /// What it does.
    description: String,
    /// Who wrote it.
    author: Option<String>,
    /// Where it is developed.
    repo_url: Option<String>,
    /// Whether it can run here.
    runs: bool,
    /// Why it cannot.
    reason: Option<String>,
    /// What to post to `/system/functions`.
    deployment: Deployment,
}

/// The lists that were read.
pub struct Store {
    built_in: Arc<List>,
    /// The one from elsewhere; held while it is fetched.
    fetched: Mutex<Option<Fetched>>,
    tls: Tls,
}

/// What came of asking a source.
struct Fetched {
    source: StoreSource,
    /// The last list that could be had, and when.
    good: Option<(Arc<List>, String)>,
    /// Why there is no newer one.
    problem: Option<String>,
    /// It is not asked again before.
    until: Instant,
}

/// A list to show.
struct Found {
    list: Arc<List>,
    fetched_at: Option<String>,
    problem: Option<String>,
    /// Whether it is the own one.
    built_in: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            built_in: Arc::new(List::built_in()),
            fetched: Mutex::default(),
            tls: Tls::default(),
        }
    }
}

/// The operations of `/system/store`.
pub fn all(store: Arc<Store>) -> [Operation<Arc<Gateway>>; 1] {
    let show = |State(gateway): State<Arc<Gateway>>| async move { show(gateway, &store).await };
    [Operation::new(
        Method::GET,
        show,
        "listStore",
        "Functions",
        "List functions to choose from",
    )
    .about(
        "Each comes with what to post to `/system/functions`, and says whether it can run here. \
         The list is that of `ui.store`, which is asked once an hour at most.",
    )
    .json::<Shown>(StatusCode::OK, "The functions")
    .refuses(&[Cause::Internal])]
}

async fn show(gateway: Arc<Gateway>, store: &Store) -> Result<Json<Shown>, Refusal> {
    let snapshot = gateway.registry.current();
    let config = &snapshot.config;
    let found = store.find(config.ui.store.as_ref()).await;
    let remote = matches!(config.provider, config::Provider::Remote(_));
    let source = shown_store(config).unwrap_or_else(|| BUILT_IN.to_owned());
    // Programs are looked for on the disk.
    let offers = spawn_blocking(move || {
        let place = Place {
            gateway: &gateway,
            remote,
            built_in: found.built_in,
        };
        Shown {
            functions: found
                .list
                .entries
                .iter()
                .map(|entry| place.offer(entry))
                .collect(),
            source,
            fetched_at: found.fetched_at,
            problem: found.problem,
        }
    });
    let offers = offers.await;
    offers
        .map(Json)
        .map_err(|error| Refusal::new(Cause::Internal, error.to_string()))
}

/// Where a function would run.
struct Place<'a> {
    gateway: &'a Gateway,
    remote: bool,
    built_in: bool,
}

impl Place<'_> {
    fn offer(&self, entry: &Entry) -> Offer {
        let reason = self.runs(entry).err();
        Offer {
            name: entry.deployment.service.clone(),
            title: entry.title.clone(),
            description: entry.description.clone(),
            author: entry.author.clone(),
            repo_url: entry.repo_url.clone(),
            runs: reason.is_none(),
            reason,
            deployment: entry.deployment.clone(),
        }
    }

    fn runs(&self, entry: &Entry) -> Result<(), String> {
        if self.remote && self.built_in {
            return Err(
                "it is a program of the gateway's machine, and the provider runs images: set \
                 ui.store to a store that has some"
                    .to_owned(),
            );
        }
        // Where there are no images, it does not matter what they were built for.
        if let (true, Some(foreign)) = (self.remote, &entry.foreign) {
            return Err(foreign.clone());
        }
        self.gateway.provider.runs(&entry.deployment)
    }
}

impl Store {
    async fn find(&self, source: Option<&StoreSource>) -> Found {
        let Some(source) = source else {
            return self.own(None);
        };
        // Who asks before has twice the time of one look at most: for the source, and for a list to be read.
        let Ok(mut fetched) = timeout(2 * TIMEOUT, self.fetched.lock()).await else {
            return self.own(Some("ui.store is being read, which takes long".to_owned()));
        };
        let before = fetched.as_ref().filter(|before| before.source == *source);
        if before.is_none_or(|before| Instant::now() >= before.until) {
            let good = before.and_then(|before| before.good.clone());
            *fetched = Some(self.ask(source, good).await);
        }
        match &*fetched {
            Some(fetched) => self.found(fetched),
            None => self.own(None),
        }
    }

    /// Asks the source; where that is in vain, what was good stays.
    async fn ask(&self, source: &StoreSource, good: Option<(Arc<List>, String)>) -> Fetched {
        let begun = Instant::now();
        let text = fetch(source, &self.tls, TIMEOUT).await;
        let list = match text {
            // A long list takes a while.
            Ok(text) => spawn_blocking(move || List::read(&text))
                .await
                .unwrap_or_else(|error| Err(error.to_string())),
            Err(problem) => Err(problem),
        };
        let (good, problem) = match list {
            Ok(list) => {
                let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
                (Some((Arc::new(list), at)), None)
            }
            Err(problem) => (good, Some(problem)),
        };
        let keep = match (&problem, source) {
            // Whoever edits it wants to see it. One that cannot be read in time may hold a thread.
            (_, StoreSource::File(_)) if begun.elapsed() < TIMEOUT => KEEP_FILE,
            (None, _) => KEEP,
            (Some(_), _) => KEEP_FAILURE,
        };
        Fetched {
            source: source.clone(),
            good,
            problem,
            until: Instant::now() + keep,
        }
    }

    fn found(&self, fetched: &Fetched) -> Found {
        let problem = fetched.problem.as_ref();
        match &fetched.good {
            Some((list, at)) => Found {
                list: Arc::clone(list),
                fetched_at: Some(at.clone()),
                problem: match problem {
                    Some(why) => Some(format!(
                        "ui.store cannot be read now: {why}; shown is what it said at {at}"
                    )),
                    None => left_out(list.left_out),
                },
                built_in: false,
            },
            None => self.own(problem.map(|why| {
                format!("ui.store cannot be read: {why}; shown are the built-in functions")
            })),
        }
    }

    fn own(&self, problem: Option<String>) -> Found {
        Found {
            list: Arc::clone(&self.built_in),
            fetched_at: None,
            problem,
            built_in: true,
        }
    }
}

fn left_out(entries: usize) -> Option<String> {
    (entries > 0).then(|| format!("{entries} entries of ui.store cannot be read and are left out"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = r#"[{ "name": "a", "image": "i" }]"#;

    fn names(found: &Found) -> Vec<&str> {
        let entries = found.list.entries.iter();
        entries
            .map(|entry| entry.deployment.service.as_str())
            .collect()
    }

    impl Store {
        /// As if the time in which what was found is kept were over.
        async fn forget(&self) {
            self.fetched.lock().await.as_mut().unwrap().until = Instant::now();
        }
    }

    #[tokio::test]
    async fn the_last_good_list_stays_until_there_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.json");
        let source = StoreSource::File(path.clone());
        let store = Store::default();
        let found = store.find(Some(&source)).await;
        assert!(found.built_in && found.fetched_at.is_none());
        assert!(found.problem.unwrap().contains("No such file"));
        fs::write(&path, GOOD).unwrap();
        store.forget().await;
        let found = store.find(Some(&source)).await;
        assert_eq!((names(&found), &found.problem), (vec!["a"], &None));
        fs::write(&path, "<html>").unwrap();
        store.forget().await;
        let found = store.find(Some(&source)).await;
        assert_eq!(names(&found), ["a"]);
        assert!(found.problem.unwrap().contains("no JSON"));
        // Another source has no good list yet, and the own one needs none.
        let other = StoreSource::File(folder.path().join("other.json"));
        assert!(store.find(Some(&other)).await.built_in);
        let own = store.find(None).await;
        assert!(own.built_in && own.problem.is_none());
    }

    #[tokio::test]
    async fn a_list_from_elsewhere_is_kept_an_hour_and_a_failure_half_a_minute() {
        let source = StoreSource::Url("http://127.0.0.1:1/".parse().unwrap());
        let store = Store::default();
        store.find(Some(&source)).await;
        let mut fetched = store.fetched.lock().await;
        let failed = fetched.as_mut().unwrap();
        let left = failed.until - Instant::now();
        assert!(left <= KEEP_FAILURE && left > KEEP_FAILURE / 2, "{left:?}");
        failed.good = Some((
            Arc::new(List::read(GOOD.as_bytes()).unwrap()),
            "then".to_owned(),
        ));
        failed.until = Instant::now();
        drop(fetched);
        let found = store.find(Some(&source)).await;
        assert_eq!(
            (names(&found), found.fetched_at.as_deref()),
            (vec!["a"], Some("then"))
        );
        assert!(found.problem.unwrap().contains("what it said at then"));
    }
}
