//! What waits on the server: which functions have calls, how many, and since when.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::Millis;
use super::Jetstream;
use super::counts::Census;
use super::feeder::{Source, in_millis};
use super::link::{Nats, Refusal};

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
    first_seq: u64,
    last_seq: u64,
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
        let mut census = Census::default();
        let mut seen = 0;
        loop {
            let content = json!({
                "subjects_filter": format!("{}.>", self.streams.subject),
                "offset": seen,
            });
            let question = format!("STREAM.INFO.{}", self.streams.work);
            let Page { state, total } = nats.api(&question, &content).await?;
            if seen == 0 {
                // What came while further pages were read is added by whoever took it in.
                census.all = state.messages;
                census.first = state.first_seq;
                census.last = state.last_seq;
            }
            let subjects = state.subjects.unwrap_or_default();
            seen += subjects.len();
            let is_last = subjects.is_empty() || seen >= total;
            for (subject, calls) in subjects {
                if let Some(function) = self.streams.function_of(&subject) {
                    let waiting = census.by_function.entry(function).or_default();
                    waiting.calls += calls;
                }
            }
            if is_last {
                break;
            }
        }
        self.sources.want(Source::Others);
        for function in census.by_function.keys() {
            self.sources.want(Source::Function(function.clone()));
        }
        for (function, waiting) in census.by_function.iter_mut().take(OLDEST) {
            let source = Source::Function(function.clone());
            waiting.oldest = self.oldest(nats, source).await?;
        }
        let known: usize = census
            .by_function
            .values()
            .map(|waiting| waiting.calls)
            .sum();
        if census.all > known {
            self.oldest(nats, Source::Others).await?;
        }
        self.counts.replace(census);
        Ok(())
    }

    /// When the oldest message of a source was published.
    async fn oldest(&self, nats: &Nats, source: Source) -> Result<Option<Millis>, Refusal> {
        let subject = self.consumer_of(&source).subject;
        let oldest = nats.next(&self.streams.work, 1, &subject).await?;
        Ok(oldest.map(|message| {
            self.strays.see(source, message.sequence);
            in_millis(message.time.unix_timestamp_nanos())
        }))
    }
}
