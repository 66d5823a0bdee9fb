//! From what the user wrote to a [`Config`], or to everything that is wrong with it.

mod admin;
mod functions;
mod provider;
mod queue;
mod routes;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::env::Environment;
use super::file::{self, Entries, File, Origin, Scalar};
use super::interpolate::{Filled, fill};
use super::masked::{MASK, without_users};
use super::problem::Problem;
use super::value::Value;
use super::{AccessLog, Config, LogFormat, LogOutput, Timeouts, Ui};

/// Longest part of a wrong value that is shown, in characters.
const SHOWN: usize = 80;

/// What came to light while a configuration was put together.
#[derive(Debug, Default)]
pub struct Notes {
    /// Each of these refuses the configuration.
    pub problems: Vec<Problem>,
    /// Worth a log line.
    pub warnings: Vec<Problem>,
}

impl Notes {
    /// Notes a mistake.
    pub fn refuse(&mut self, origin: Origin, message: impl Into<String>) {
        self.problems.push(Problem::at(origin, message));
    }

    /// Notes something odd.
    pub fn warn(&mut self, origin: Origin, message: impl Into<String>) {
        self.warnings.push(Problem::at(origin, message));
    }
}

/// Builds the configuration. It is complete even if there are problems; then it must not be used.
pub fn build(file: File, environment: &Environment, notes: &mut Notes) -> Config {
    let reader = Reader {
        environment,
        notes,
        from_files: BTreeSet::new(),
    };
    reader.config(file)
}

/// Reads values, and keeps what it learns about them.
struct Reader<'a> {
    environment: &'a Environment,
    notes: &'a mut Notes,
    from_files: BTreeSet<String>,
}

/// One section after the other.
impl Reader<'_> {
    fn config(mut self, file: File) -> Config {
        self.version(&file.version);
        let timeouts = self.timeouts(&file.timeouts.unwrap_or_default());
        let server = self.server(file.server.unwrap_or_default());
        let raw_provider = file.provider.unwrap_or_default();
        let default = PathBuf::from("./data");
        let state_dir = self.read_or("provider.state_dir", &raw_provider.state_dir, default);
        let admin = self.admin(&file.admin.unwrap_or_default(), &state_dir, &server);
        let kind = raw_provider.kind.as_ref().map(|kind| kind.origin);
        let provider = self.provider(raw_provider);
        let owner = functions::Owner {
            provider: &provider,
            kind: kind.unwrap_or(Origin::File(0, 0)),
        };
        let functions = self.functions(&file.functions, &owner, timeouts);
        let routes = self.routes(&file.routes.unwrap_or_default(), &owner, &functions);
        let ui = self.ui(&file.ui.unwrap_or_default());
        let scale = self.scale(file.scale.unwrap_or_default());
        let queue = self.queue(file.queue.unwrap_or_default());
        let access_log = self.access_log(&file.access_log.unwrap_or_default());
        Config {
            server,
            state_dir,
            timeouts,
            admin,
            ui,
            provider,
            scale,
            queue,
            functions,
            routes,
            access_log,
            from_files: self.from_files,
        }
    }

    fn version(&mut self, version: &Option<Scalar<u32>>) {
        if let Some(scalar) = version
            && self
                .read("version", version)
                .is_some_and(|number| number != 1)
        {
            self.refuse(
                scalar.origin,
                "version",
                "this gateway knows version 1 only",
            );
        }
    }

    fn timeouts(&mut self, raw: &file::Timeouts) -> Timeouts {
        let (short, long) = (Duration::from_secs(8), Duration::from_secs(60));
        Timeouts {
            read: self.read_or("timeouts.read", &raw.read, short),
            write: self.read_or("timeouts.write", &raw.write, short),
            upstream: self.read_or("timeouts.upstream", &raw.upstream, short),
            idle: self.read_or("timeouts.idle", &raw.idle, long),
        }
    }

    fn ui(&mut self, raw: &file::Ui) -> Ui {
        Ui {
            enabled: self.read_or("ui.enabled", &raw.enabled, true),
            store: self.read("ui.store", &raw.store),
        }
    }

    fn access_log(&mut self, raw: &file::AccessLog) -> AccessLog {
        AccessLog {
            format: self.read_or("access_log.format", &raw.format, LogFormat::Json),
            output: self.read_or("access_log.output", &raw.output, LogOutput::Stdout),
        }
    }
}

/// One value after the other.
impl Reader<'_> {
    /// The value of a key; `None` if it is not set, or if it is wrong, which is noted.
    fn read<T: Value>(&mut self, key: &str, scalar: &Option<Scalar<T>>) -> Option<T> {
        self.read_scalar(key, scalar.as_ref()?)
    }

    fn read_or<T: Value>(&mut self, key: &str, scalar: &Option<Scalar<T>>, default: T) -> T {
        self.read(key, scalar).unwrap_or(default)
    }

    fn read_scalar<T: Value>(&mut self, key: &str, scalar: &Scalar<T>) -> Option<T> {
        let filled = self.fill(key, scalar)?;
        match T::read(&filled.text) {
            Ok(value) => Some(value),
            Err(why) => {
                let why = format!("`{}` {why}", shown(&filled));
                self.refuse(scalar.origin, key, &why);
                None
            }
        }
    }

    /// `key` takes its value from that of `source` unless it is set, and is as secret then. One
    /// that is set, too, is masked with it, which hides too much and never too little.
    fn inherit(&mut self, key: &str, source: &str) {
        if self.from_files.contains(source) {
            self.from_files.insert(key.to_owned());
        }
    }

    /// A list; what is wrong in it is left out, and noted.
    fn read_list<T: Value>(&mut self, key: &str, list: &[Scalar<T>]) -> Vec<T> {
        let read = |(index, scalar)| self.read_scalar(&format!("{key}.{index}"), scalar);
        list.iter().enumerate().filter_map(read).collect()
    }

    /// Values under keys the user chose.
    fn read_entries(
        &mut self,
        key: &str,
        entries: &Option<Entries<Scalar<String>>>,
    ) -> BTreeMap<String, String> {
        let entries = entries.as_ref().map_or(&[][..], |entries| &entries.0);
        let read = |(name, value): &(Scalar<String>, Scalar<String>)| {
            let text = self.read_scalar(&format!("{key}.{}", name.text), value)?;
            Some((name.text.clone(), text))
        };
        entries.iter().filter_map(read).collect()
    }

    /// The text with `${…}` filled in. Variables and flags are taken as they are.
    fn fill<T>(&mut self, key: &str, scalar: &Scalar<T>) -> Option<Filled> {
        if !matches!(scalar.origin, Origin::File(..)) {
            let text = scalar.text.clone();
            return Some(Filled {
                text,
                secret: false,
            });
        }
        match fill(&scalar.text, self.environment) {
            Ok(filled) => {
                if filled.secret {
                    self.from_files.insert(key.to_owned());
                }
                Some(filled)
            }
            Err(why) => {
                self.refuse(scalar.origin, key, &why);
                None
            }
        }
    }

    /// Notes a mistake. A variable or a flag is its own name, a place in the file gets its key.
    fn refuse(&mut self, origin: Origin, key: &str, why: &str) {
        match origin {
            Origin::File(..) => self.notes.refuse(origin, format!("`{key}`: {why}")),
            Origin::Variable(_) | Origin::Flag(_) => self.notes.refuse(origin, why),
        }
    }

    /// Notes what does not fit the kind of provider: a mistake where the file says both, but only
    /// a remark if a variable says one of them, as it changes what the file was written for.
    fn misfit(&mut self, origin: Origin, kind: Origin, key: &str, why: &str) {
        if [origin, kind]
            .iter()
            .any(|origin| matches!(origin, Origin::Variable(_)))
        {
            self.notes
                .warn(origin, format!("`{key}` has no effect: {why}"));
        } else {
            self.refuse(origin, key, why);
        }
    }
}

/// A wrong value in the line that refuses it.
fn shown(filled: &Filled) -> String {
    if filled.secret {
        return MASK.to_owned();
    }
    let text = without_users(&filled.text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
