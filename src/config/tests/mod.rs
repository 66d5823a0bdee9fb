//! The configuration as a whole: what is read, what is refused, and in which words.

use std::path::PathBuf;

use serde_json::Value;

use super::env::Environment;
use super::load::assemble;
use super::{Config, Error, Flags, Loaded, masked};

mod diff;
mod environment;
mod fill;
mod garbage;
mod mistakes;
mod open;
mod secrets;
mod shipped;
mod sources;
mod syntax;
mod values;

/// A provider elsewhere, as the environment of an OpenFaaS installation names it.
const REMOTE: (&str, &str) = ("functions_provider_url", "http://p:8081/");

/// Reads a text as if it stood in `g.yaml`.
fn read(text: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Loaded, Error> {
    let environment: Environment = variables.iter().copied().collect();
    let path = Some(PathBuf::from("g.yaml"));
    assemble(path, text.to_owned(), &environment, flags)
}

/// The configuration of a text that must be good.
fn config(text: &str) -> Config {
    config_with(text, &[])
}

fn config_with(text: &str, variables: &[(&str, &str)]) -> Config {
    match read(text, variables, &Flags::default()) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{error}\nin:\n{text}"),
    }
}

/// What `GET /system/config` shows at a dotted key; keys with dots in them cannot be asked for.
fn shown(config: &Config, key: &str) -> Value {
    let tree = masked(config);
    let pointer = format!("/{}", key.replace('.', "/"));
    match tree.pointer(&pointer) {
        Some(value) => value.clone(),
        None => panic!("no {key} in {tree:#}"),
    }
}

/// The lines that refuse a text, without the name of the file in front of them.
fn refusal(text: &str, variables: &[(&str, &str)], flags: &Flags) -> String {
    match read(text, variables, flags) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string().replace("g.yaml:", ""),
    }
}

/// Holds each text against the lines that must refuse it, and shows all that differ at once.
fn assert_refused(table: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in table {
        let lines = refusal(text, &[], &Flags::default());
        if lines != *expected {
            wrong += &format!("{text}\n  expected: {expected}\n  but was:  {lines}\n\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
