//! The streams: one with the calls that wait, one with what is known of open calls, one with dead
//! letters, and one with results. They are made where they are missing.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::link::{Nats, Refusal};
use crate::config;
use crate::function::FunctionName;

/// How long a server knows a message that it has stored already.
pub const DUPLICATES: Duration = Duration::from_secs(120);
/// What tells our streams from those that somebody else made under the name.
const OURS: &str = "Calls of the gateway";
/// How long a call may be open, at least.
const OPEN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Shortest age that a server accepts.
const MIN_AGE: Duration = Duration::from_millis(100);

/// Their names and settings.
#[derive(Debug)]
pub struct Streams {
    /// Calls that wait: a work queue, shared with other producers.
    pub work: String,
    /// What is known of open calls and dead letters.
    pub calls: String,
    /// The messages of dead letters.
    pub letters: String,
    /// Results, and keys of calls that were posted.
    pub results: String,
    /// What other producers publish on; ours go below it, each function's on one of its own.
    pub subject: String,
    replicas: usize,
}

#[derive(Deserialize)]
struct Info {
    config: Config,
}

impl Streams {
    /// The streams that are configured.
    pub fn new(settings: &config::Jetstream) -> Self {
        Self {
            work: settings.stream.clone(),
            calls: format!("{}-calls", settings.stream),
            letters: format!("{}-letters", settings.stream),
            results: format!("{}-results", settings.stream),
            subject: settings.subject.clone(),
            replicas: settings.replicas,
        }
    }

    /// Where a function's calls wait.
    pub fn subject_of(&self, function: &FunctionName) -> String {
        let namespace = match function.namespace() {
            "" => "_",
            namespace => namespace,
        };
        format!("{}.{namespace}.{}", self.subject, function.name())
    }

    /// Whose calls wait on a subject.
    pub fn function_of(&self, subject: &str) -> Option<FunctionName> {
        let path = subject.strip_prefix(&self.subject)?.strip_prefix('.')?;
        let (namespace, name) = path.split_once('.')?;
        let namespace = if namespace == "_" { "" } else { namespace };
        FunctionName::new(name, namespace).ok()
    }

    /// Makes what is missing, and has tables keep their rows for as long as is configured. The
    /// error says in words what is wrong.
    pub async fn make(&self, nats: &Nats, queue: &config::Queue) -> Result<(), String> {
        self.make_work(nats).await?;
        // However short dead letters are kept: what is forgotten of an open call begins anew.
        let open = queue.dead_letters.max(OPEN);
        self.make_table(nats, &self.calls, open).await?;
        self.make_table(nats, &self.letters, queue.dead_letters)
            .await?;
        self.make_table(nats, &self.results, queue.results.keep)
            .await
    }

    async fn make_work(&self, nats: &Nats) -> Result<(), String> {
        let subjects = vec![self.subject.clone(), format!("{}.>", self.subject)];
        let config = Config {
            name: self.work.clone(),
            description: Some(OURS.to_owned()),
            subjects: subjects.clone(),
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            duplicate_window: DUPLICATES,
            ..self.config()
        };
        let Some(there) = self.there(nats, &self.work).await? else {
            return self.create(nats, config).await;
        };
        let captured = |subject: &String| there.subjects.iter().any(|all| covers(all, subject));
        if let Some(missing) = subjects.iter().find(|subject| !captured(subject)) {
            return Err(format!(
                "the stream {} was made by somebody else, and does not capture {missing}: add \
                 this subject to it, or set another queue.jetstream.stream",
                self.work
            ));
        }
        if there.retention != RetentionPolicy::WorkQueue {
            return Err(format!(
                "the stream {} was made by somebody else, and is no work queue, so calls would \
                 stay in it for ever: set another queue.jetstream.stream",
                self.work
            ));
        }
        if there.description.as_deref() == Some(OURS) && there.num_replicas != self.replicas {
            let num_replicas = self.replicas;
            return self
                .update(
                    nats,
                    Config {
                        num_replicas,
                        ..there
                    },
                )
                .await;
        }
        Ok(())
    }

    async fn make_table(&self, nats: &Nats, name: &str, keep: Duration) -> Result<(), String> {
        let max_age = keep.max(MIN_AGE);
        let config = Config {
            name: name.to_owned(),
            description: Some(OURS.to_owned()),
            subjects: vec![format!("{name}.>")],
            max_messages_per_subject: 1,
            max_age,
            duplicate_window: DUPLICATES.min(max_age),
            allow_direct: true,
            ..self.config()
        };
        let Some(there) = self.there(nats, name).await? else {
            return self.create(nats, config).await;
        };
        if there.description.as_deref() != Some(OURS) {
            return Err(format!(
                "the stream {name} was made by somebody else: set another queue.jetstream.stream"
            ));
        }
        let wanted = Config {
            max_messages_per_subject: config.max_messages_per_subject,
            max_age: config.max_age,
            duplicate_window: config.duplicate_window,
            allow_direct: config.allow_direct,
            num_replicas: config.num_replicas,
            ..there.clone()
        };
        if wanted != there {
            self.update(nats, wanted).await?;
        }
        Ok(())
    }

    fn config(&self) -> Config {
        Config {
            storage: StorageType::File,
            num_replicas: self.replicas,
            allow_direct: true,
            max_messages: -1,
            max_bytes: -1,
            max_consumers: -1,
            ..Config::default()
        }
    }

    async fn there(&self, nats: &Nats, name: &str) -> Result<Option<Config>, String> {
        let info = nats.api(&format!("STREAM.INFO.{name}"), &()).await;
        match info {
            Ok(Info { config }) => Ok(Some(config)),
            // Without JetStream nobody answers at all.
            Err(Refusal::NoStream) => Err("the server has no JetStream: start it with -js".into()),
            Err(refusal) if refusal.is_absence() => Ok(None),
            Err(refusal) => Err(format!("cannot look at the stream {name}: {refusal}")),
        }
    }

    async fn create(&self, nats: &Nats, config: Config) -> Result<(), String> {
        change(nats, "CREATE", config).await
    }

    async fn update(&self, nats: &Nats, config: Config) -> Result<(), String> {
        change(nats, "UPDATE", config).await
    }
}

async fn change(nats: &Nats, verb: &str, config: Config) -> Result<(), String> {
    let question = format!("STREAM.{verb}.{}", config.name);
    let changed: Result<IgnoredAny, _> = nats.api(&question, &config).await;
    let verb = verb.to_lowercase();
    let refused = |refusal| format!("cannot {verb} the stream {}: {refusal}", config.name);
    changed.map(drop).map_err(refused)
}

/// Whether a pattern of subjects takes everything that another one takes.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(part)) if part != ">" => {}
            (token, Some(part)) if token == part => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_takes_whole() {
        for (pattern, subject, covered) in [
            ("a", "a", true),
            ("a.>", "a.>", true),
            (">", "a.>", true),
            ("a.>", "a", false),
            ("a.*", "a.>", false),
            ("*.>", "a.>", true),
            ("a.b", "a.>", false),
            ("a.*", "a.b", true),
            ("a", "a.>", false),
        ] {
            assert_eq!(covers(pattern, subject), covered, "{pattern} {subject}");
        }
    }
}
