//! What waits on the server: which functions have calls, how many, and since when.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Jetstream;
use super::counts::Waiting;
use super::feeder::{Source, in_millis};
use super::link::{Nats, Refusal};
use crate::function::FunctionName;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Functions whose oldest call is looked up each time.
const OLDEST: usize = 100;

#[derive(Deserialize)]
struct Page {
    state: State,
    #[serde(default)]
    total: usize,
}

#[derive(Deserialize)]
struct State {
    messages: usize,
    #[serde(default)]
    subjects: Option<HashMap<String, usize>>,
}

impl Jetstream {
    /// Looks for functions whose calls wait, and counts them.
    pub(super) async fn scout(&self) {
        loop {
            let begun = Instant::now();
            if let Ok(nats) = self.link.nats() {
                match self.look(nats).await {
                    Ok(()) => {}
                    Err(refusal) if refusal.is_absence() => self.link.look_again(),
                    Err(error) => tracing::debug!(%error, "cannot count the calls that wait"),
                }
            }
            sleep(LOOK.saturating_sub(begun.elapsed())).await;
        }
    }

    async fn look(&self, nats: &Nats) -> Result<(), Refusal> {
        let mut by_function: HashMap<FunctionName, Waiting> = HashMap::new();
        let (mut all, mut seen) = (0, 0);
        loop {
            let content = json!({
                "subjects_filter": format!("{}.>", self.streams.subject),
                "offset": seen,
            });
            let question = format!("STREAM.INFO.{}", self.streams.work);
            let Page { state, total } = nats.api(&question, &content).await?;
            all = state.messages.max(all);
            let subjects = state.subjects.unwrap_or_default();
            seen += subjects.len();
            let is_last = subjects.is_empty() || seen >= total;
            for (subject, calls) in subjects {
                if let Some(function) = self.streams.function_of(&subject) {
                    by_function.entry(function).or_default().calls += calls;
                }
            }
            if is_last {
                break;
            }
        }
        self.sources.want(Source::Others);
        for function in by_function.keys() {
            self.sources.want(Source::Function(function.clone()));
        }
        for (function, waiting) in by_function.iter_mut().take(OLDEST) {
            let subject = self.streams.subject_of(function);
            // A stream of somebody else may not allow it.
            let Ok(oldest) = nats.oldest(&self.streams.work, &subject).await else {
                break;
            };
            let time = oldest.map(|message| message.time.unix_timestamp_nanos());
            waiting.oldest = time.map(in_millis);
        }
        self.counts.replace(all, by_function);
        Ok(())
    }
}
