//! The documents, taken at their word: every command in README.md and docs/ is run, every snippet
//! checked, every link followed within the project. docs/README.md says how they are written.

mod commands;
mod document;
mod expected;
mod links;
mod session;
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use crate::harness::{is_installed, shipped};
use commands::Command;
use document::{Document, Step};
use session::Session;

/// Programs whose commands are left out, and named, on a machine that has none.
const OPTIONAL: [&str; 1] = ["faas-cli"];

/// Documents that are read at once.
const READERS: usize = 2;

/// What was done for a document.
#[derive(Debug, Default)]
struct Report {
    /// Commands that were run.
    run: usize,
    /// Snippets that were checked.
    checked: usize,
    /// Commands that were not run, by the reason.
    left_out: BTreeMap<String, Vec<String>>,
    /// What is not as the document says, with its place.
    mistakes: Vec<String>,
}

/// `DOC=docs/async.md` reads one document alone.
#[test]
#[ignore = "runs the documents: make test-docs"]
fn documents_are_true() {
    let wanted = std::env::var("DOC").unwrap_or_default();
    let mut left: Vec<PathBuf> = documents();
    left.retain(|path| wanted.is_empty() || path.ends_with(&wanted));
    assert!(!left.is_empty(), "there is no {wanted}");
    left.reverse();
    let (left, reports) = (Mutex::new(left), Mutex::new(BTreeMap::new()));
    let next = || left.lock().unwrap().pop();
    thread::scope(|threads| {
        for _ in 0..READERS {
            threads.spawn(|| {
                while let Some(path) = next() {
                    let report = follow(&path);
                    reports.lock().unwrap().insert(path, report);
                }
            });
        }
    });
    tell(&reports.into_inner().unwrap());
}

#[test]
fn documents_are_listed() {
    let list = Document::read(&fs::read_to_string(shipped("docs/README.md")).unwrap());
    for path in documents() {
        let name = path.file_name().unwrap().to_string_lossy();
        let is_listed = list.links.iter().any(|link| link.target == name);
        assert!(
            is_listed || name == "README.md",
            "docs/README.md lacks {name}"
        );
    }
}

#[test]
fn links_lead_somewhere_and_blocks_are_marked() {
    let mut mistakes = Vec::new();
    for path in documents() {
        mistakes.extend(written_wrong(&path, &read(&path)));
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// README.md and those in docs/.
fn documents() -> Vec<PathBuf> {
    let entries = fs::read_dir(shipped("docs")).unwrap();
    let mut documents: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    documents.push(shipped("README.md"));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.sort();
    documents
}

fn read(path: &Path) -> Document {
    Document::read(&fs::read_to_string(path).unwrap())
}

/// What can be seen without doing anything.
fn written_wrong(path: &Path, document: &Document) -> Vec<String> {
    let of_blocks = document
        .mistakes
        .iter()
        .map(|mistake| (mistake.line, mistake.message.clone()));
    let of_links = document
        .links
        .iter()
        .filter_map(|link| Some((link.line, links::mistake(path, document, link)?)));
    let told = |(line, message)| format!("{}:{line}: {message}", name(path));
    of_blocks.chain(of_links).map(told).collect()
}

/// Does what a document says, up to the first step that fails: the others build on it.
fn follow(path: &Path) -> Report {
    let document = read(path);
    let mut report = Report {
        mistakes: written_wrong(path, &document),
        ..Report::default()
    };
    for command in &document.not_run {
        report.leave_out("not for one plain machine", command);
    }
    if document.steps.is_empty() {
        return report;
    }
    let mut session = Session::start();
    for step in &document.steps {
        let (line, what) = match step {
            Step::Run(command) => {
                if let Some(program) = lacking(command) {
                    report.leave_out(&format!("{program} is not installed"), command);
                    continue;
                }
                report.run += 1;
                (command.line, command.text.as_str())
            }
            Step::Save(file) => (file.line, file.path.as_str()),
            Step::Configure(snippet) => (snippet.line, "the configuration"),
            Step::Stack(snippet) => (snippet.line, "the stack"),
        };
        if !matches!(step, Step::Run(_)) {
            report.checked += 1;
        }
        if let Err(why) = session.perform(step) {
            let place = format!("{}:{line}", name(path));
            report.mistakes.push(format!("{place}: {what}: {why}"));
            let log = session.log();
            let last: Vec<&str> = log.lines().rev().take(10).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!(
                "--- the gateway of {place}, its last lines ---\n{}",
                last.join("\n")
            );
            break;
        }
    }
    report
}

impl Report {
    fn leave_out(&mut self, reason: &str, command: &Command) {
        let first = command.text.lines().next().unwrap_or_default().to_owned();
        self.left_out
            .entry(reason.to_owned())
            .or_default()
            .push(first);
    }
}

/// The program that a command needs and the machine does not have.
fn lacking(command: &Command) -> Option<&'static str> {
    let words = || command.text.split_whitespace();
    OPTIONAL
        .into_iter()
        .find(|program| words().any(|word| word == *program) && !is_installed(program))
}

/// Says what was run and what was not, and fails where something is not as a document says.
fn tell(reports: &BTreeMap<PathBuf, Report>) {
    for (path, report) in reports {
        let (run, checked) = (report.run, report.checked);
        eprintln!(
            "{}: {run} commands run, {checked} snippets checked",
            name(path)
        );
        for (reason, commands) in &report.left_out {
            eprintln!("  {} commands not run, {reason}:", commands.len());
            for command in commands {
                eprintln!("    {command}");
            }
        }
    }
    let sum = |count: fn(&Report) -> usize| reports.values().map(count).sum::<usize>();
    eprintln!(
        "{} documents: {} commands run, {} not run, {} snippets checked",
        reports.len(),
        sum(|report| report.run),
        sum(|report| report.left_out.values().map(Vec::len).sum()),
        sum(|report| report.checked),
    );
    let mistakes: Vec<&String> = reports
        .values()
        .flat_map(|report| &report.mistakes)
        .collect();
    for mistake in &mistakes {
        eprintln!("\n{mistake}");
    }
    assert!(
        mistakes.is_empty(),
        "{} are not as a document says",
        mistakes.len()
    );
}

/// A document's path as people know it.
fn name(path: &Path) -> String {
    let relative = path.strip_prefix(env!("CARGO_MANIFEST_DIR"));
    relative.unwrap_or(path).display().to_string()
}
