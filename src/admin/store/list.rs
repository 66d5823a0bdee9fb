//! The format of OpenFaaS' function store, in both of its versions (wire.md section 10).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::function::{Deployment, check_name};

/// The list of this program.
const BUILT_IN: &str = include_str!("built_in.json");

/// Functions to choose from.
#[derive(Debug, Default, PartialEq)]
pub struct List {
    /// Those that can be read, in their order.
    pub entries: Vec<Entry>,
    /// How many others there are.
    pub left_out: usize,
}

/// A function to choose.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What people call it.
    pub title: String,
    /// What it does.
    pub description: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Where it is developed.
    pub repo_url: Option<String>,
    /// What to post to `/system/functions`.
    pub deployment: Deployment,
    /// Why nobody can run its image here: it was built for other processors.
    pub foreign: Option<String>,
}

/// Version 2 has an object around the list, version 1 has none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Second { functions: Vec<Value> },
    First(Vec<Value>),
}

/// An entry as it is written.
#[derive(Deserialize)]
struct Raw {
    name: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    repo_url: Option<String>,
    #[serde(default)]
    fprocess: Option<String>,
    #[serde(default, rename = "readOnlyRootFilesystem")]
    read_only_root_filesystem: Option<bool>,
    #[serde(default)]
    environment: Option<BTreeMap<String, String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    /// Version 1: one image.
    #[serde(default)]
    image: Option<String>,
    /// Version 2: an image for each kind of processor.
    #[serde(default)]
    images: BTreeMap<String, String>,
}

impl List {
    /// The list of this program.
    pub fn built_in() -> Self {
        // It is read in a test.
        Self::read(BUILT_IN.as_bytes()).unwrap_or_default()
    }

    /// Reads a list. Entries that cannot be read are left out, as a newer one may have some.
    ///
    /// # Errors
    ///
    /// Why it is no list at all.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let document = Document::deserialize(value)
            .map_err(|_| "it is no function store: there is no list of functions in it")?;
        let (Document::Second { functions } | Document::First(functions)) = document;
        let all = functions.len();
        let entries: Vec<Entry> = functions.into_iter().filter_map(Entry::read).collect();
        Ok(Self {
            left_out: all - entries.len(),
            entries,
        })
    }
}

impl Entry {
    fn read(value: Value) -> Option<Self> {
        let raw = Raw::deserialize(value).ok()?;
        check_name(&raw.name).ok()?;
        let (image, foreign) = image(raw.image, &raw.images)?;
        let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let some = |text: &String| !text.trim().is_empty();
        Some(Self {
            title: raw.title.filter(some).unwrap_or_else(|| raw.name.clone()),
            description: raw.description.unwrap_or_default(),
            author: raw.author.filter(some),
            repo_url: raw.repo_url.filter(web),
            deployment: Deployment {
                service: raw.name,
                image,
                env_process: raw.fprocess.unwrap_or_default(),
                env_vars: raw.environment.unwrap_or_default(),
                labels: raw.labels,
                annotations: raw.annotations,
                read_only_root_filesystem: raw.read_only_root_filesystem.unwrap_or_default(),
                ..Deployment::default()
            },
            foreign,
        })
    }
}

/// The image for the processors of this machine, or else any other and why it does not fit.
fn image(
    only: Option<String>,
    images: &BTreeMap<String, String>,
) -> Option<(String, Option<String>)> {
    let processor = processor();
    if let Some(image) = images.get(processor) {
        return Some((image.clone(), None));
    }
    if let Some(image) = only {
        return Some((image, None));
    }
    let known: Vec<&str> = images.keys().map(String::as_str).collect();
    let why = format!(
        "its images are for {}, not for {processor}",
        known.join(", ")
    );
    let other = images.values().next()?.clone();
    Some((other, Some(why)))
}

/// What a store calls the processors of this machine.
fn processor() -> &'static str {
    match std::env::consts::ARCH {
        "arm" => "armhf",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> List {
        List::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_own_list_is_read_whole() {
        let list = List::built_in();
        assert_eq!((list.entries.len(), list.left_out), (12, 0));
        for entry in &list.entries {
            assert!(entry.description.ends_with('.'), "{entry:?}");
            assert!(!entry.deployment.env_process.is_empty(), "{entry:?}");
        }
    }

    #[test]
    fn an_entry_becomes_a_deployment() {
        let list = read(&json!({ "version": "0.2.0", "functions": [{
            "title": "Fig", "name": "figlet", "description": "Letters", "author": "me",
            "icon": "https://icons.example/fig.png", "network": "func_functions",
            "fprocess": "figlet", "repo_url": "https://code.example/fig",
            "readOnlyRootFilesystem": true, "environment": { "A": "b" }, "labels": { "c": "d" },
            "annotations": { "e": "f" }, "images": { processor(): "i/figlet:1", "pdp11": "j" },
        }] }));
        let entry = &list.entries[0];
        assert_eq!(entry.author.as_deref(), Some("me"));
        assert_eq!(entry.repo_url.as_deref(), Some("https://code.example/fig"));
        assert_eq!(
            serde_json::to_value(&entry.deployment).unwrap(),
            json!({
                "service": "figlet", "image": "i/figlet:1", "envProcess": "figlet",
                "envVars": { "A": "b" }, "labels": { "c": "d" }, "annotations": { "e": "f" },
                "readOnlyRootFilesystem": true,
            })
        );
    }

    #[test]
    fn version_1_is_a_bare_list_with_one_image_each() {
        let list = read(&json!([{ "name": "a", "title": "", "image": "i", "author": null }]));
        let entry = &list.entries[0];
        assert_eq!(
            (entry.title.as_str(), entry.deployment.image.as_str()),
            ("a", "i")
        );
        assert_eq!((&entry.author, &entry.foreign), (&None, &None));
    }

    #[test]
    fn an_image_for_other_processors_says_so() {
        let list = read(&json!([{ "name": "a", "images": { "pdp11": "i" } }]));
        let entry = &list.entries[0];
        assert_eq!(entry.deployment.image, "i");
        assert!(
            entry.foreign.as_deref().unwrap().contains("pdp11"),
            "{entry:?}"
        );
    }

    #[test]
    fn what_cannot_be_read_or_would_lead_astray_is_left_out() {
        let list = read(&json!({ "functions": [
            1, { "image": "i" }, { "name": "a b", "image": "i" }, { "name": "no-image" },
            { "name": "a", "image": "i", "environment": [] },
            { "name": "good", "image": "i", "repo_url": "javascript:alert(1)" },
        ] }));
        assert_eq!((list.entries.len(), list.left_out), (1, 5));
        assert_eq!(list.entries[0].repo_url, None);
        for (text, why) in [
            ("<html>", "it is no JSON"),
            ("{}", "it is no function store"),
            ("{\"functions\": 1}", "it is no function store"),
            ("\"x\"", "it is no function store"),
        ] {
            let error = List::read(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }
}
