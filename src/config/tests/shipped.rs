//! The files in `conf/`: they are good, they are complete, and what they say of defaults is true.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::Sources;
use super::super::diff::diff;
use super::super::load::load;
use super::super::schema::{resolved, schema, value};
use super::{Flags, config, read};

const GATEWAY: &str = include_str!("../../../conf/gateway.yaml");
const MINIMAL: &str = include_str!("../../../conf/minimal.yaml");
const REMOTE: &str = include_str!("../../../conf/remote.yaml");

/// The sample with every key that stands in a comment made real.
pub(super) fn uncommented() -> String {
    let (own, _) = uncomment(GATEWAY);
    own
}

/// A text with its commented keys made real, and apart from it those of a paragraph whose first
/// line ends in `instead:`, as they exclude others.
fn uncomment(text: &str) -> (String, String) {
    let (mut own, mut instead) = (String::new(), String::new());
    let mut within_instead = false;
    for line in text.lines() {
        let bare = line.trim_start();
        within_instead &= bare.starts_with('#');
        let key = bare.strip_prefix("# ").filter(|rest| is_entry(rest));
        let line = match key {
            Some(rest) => format!("{}{rest}", &line[..line.len() - bare.len()]),
            None => line.to_owned(),
        };
        let side = if within_instead {
            &mut instead
        } else {
            &mut own
        };
        *side += &format!("{line}\n");
        within_instead |= bare.ends_with("instead:");
    }
    (own, instead)
}

/// Whether a line is `key: …`, `"key": …` or `- …`, and not prose.
fn is_entry(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with('"') {
        return line.contains("\": ");
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let rest = line.trim_start_matches(word);
    line.starts_with("- ") || (rest.len() < line.len() && (rest == ":" || rest.starts_with(": ")))
}

/// The dotted key of each line that has one, and the remark at its end.
fn remarks(text: &str) -> Vec<(String, &str)> {
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut remarks = Vec::new();
    for line in text.lines().filter(|line| is_entry(line)) {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        let end = if line.starts_with('"') { "\":" } else { ":" };
        let (key, rest) = line.split_once(end).unwrap();
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key));
        let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
        let remark = rest.split_once(" # ").map_or("", |(_, remark)| remark);
        remarks.push((keys.join("."), remark));
    }
    remarks
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn all_files_are_good_and_warn_of_nothing() {
    for text in [GATEWAY, MINIMAL, REMOTE] {
        let loaded = read(text, &[], &Flags::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(loaded.warnings, [""; 0]);
        assert!(text.starts_with("# yaml-language-server: $schema=schema.json\n"));
    }
    let (remote, _) = uncomment(REMOTE);
    config(&remote);
}

#[test]
fn the_sample_is_the_file_that_is_read_unless_another_is_named() {
    let loaded = load(&Sources::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.file.as_deref(), Some(Path::new("conf/gateway.yaml")));
    assert_eq!(loaded.text, GATEWAY);
}

#[test]
fn every_commented_key_of_the_sample_can_be_made_real() {
    let (own, instead) = uncomment(GATEWAY);
    assert!(!own.contains("\n# timeouts:"), "{own}");
    let loaded = read(&own, &[], &Flags::default()).unwrap_or_else(|e| panic!("{e}\n{own}"));
    assert_eq!(loaded.warnings, [""; 0]);
    assert_eq!(loaded.config.routes.len(), 1);
    assert_eq!(loaded.config.functions.len(), 5);

    let config = config(&format!("provider:\n{instead}"));
    assert!(matches!(config.provider, super::super::Provider::Remote(_)));
}

#[test]
fn what_the_sample_says_of_defaults_is_true() {
    let text = uncommented();
    let remarks = remarks(&text);
    // The same functions and routes, and nothing else.
    let mut bare = yaml(&text);
    for function in bare["functions"].as_object_mut().unwrap().values_mut() {
        let place = function.as_object_mut().unwrap();
        place.retain(|key, _| matches!(key.as_str(), "process" | "upstream"));
    }
    let bare = json!({ "functions": bare["functions"], "routes": bare["routes"] });
    let changes = diff(&config(&bare.to_string()), &config(&text));
    assert!(changes.len() > 10);

    let mut different = BTreeSet::new();
    for change in &changes {
        let line = remarks
            .iter()
            .filter(|(key, _)| format!("{}.", change.key).starts_with(&format!("{key}.")))
            .max_by_key(|(key, _)| key.len());
        let Some((key, remark)) = line else {
            panic!("no line sets {change}");
        };
        assert!(
            remark.contains("default"),
            "{key} hides its default, {change}"
        );
        if let Some(default) = &change.from {
            assert!(
                remark.contains(default.as_str()),
                "{key} tells of another default, {change}"
            );
        }
        different.insert(key);
    }
    for (key, remark) in &remarks {
        let names_default = remark.contains("default ") && !remark.contains("the default one");
        assert!(
            !names_default || different.contains(key),
            "{key} shows its default: {remark}"
        );
    }
}

#[test]
fn what_the_schema_says_of_defaults_is_true() {
    let schema = value();
    let mut file = defaults(&schema, &schema);
    // What only counts where something else is set, beside that.
    let direct = file["provider"]["direct"].take();
    let jetstream = file["queue"]["jetstream"].take();
    let prometheus = file["scale"]["prometheus"].take();
    // What its labels say is a default, too, and comes first.
    let mut function = defaults(&schema, &schema["$defs"]["Function"]);
    function
        .as_object_mut()
        .unwrap()
        .retain(|key, _| key != "scale" && key != "retry");
    function["process"] = "cat".into();
    let url = "http://127.0.0.1:8081";
    for (bare, full) in [
        (json!({}), file),
        (
            json!({ "provider": { "url": url } }),
            json!({ "provider": { "url": url, "direct": direct } }),
        ),
        (
            json!({ "queue": { "kind": "jetstream" } }),
            json!({ "queue": { "kind": "jetstream", "jetstream": jetstream } }),
        ),
        (
            json!({ "scale": { "prometheus": {} } }),
            json!({ "scale": { "prometheus": prometheus } }),
        ),
        (
            json!({ "functions": { "f": { "process": "cat" } } }),
            json!({ "functions": { "f": function } }),
        ),
    ] {
        assert!(
            full.to_string().len() > bare.to_string().len() + 10,
            "{full}"
        );
        assert_eq!(
            diff(&config(&bare.to_string()), &config(&full.to_string())),
            [],
            "{full}"
        );
    }
}

/// Every key with its default.
fn defaults(schema: &Value, part: &Value) -> Value {
    let mut values = Map::new();
    for (name, property) in resolved(schema, part)["properties"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let below = defaults(schema, property);
        if let Some(default) = property.get("default") {
            values.insert(name.clone(), default.clone());
        } else if below.as_object().is_some_and(|below| !below.is_empty()) {
            values.insert(name.clone(), below);
        }
    }
    values.into()
}

#[test]
fn the_sample_has_every_key() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let (own, instead) = uncomment(GATEWAY);
    let mut sample = yaml(&own);
    let other = yaml(&instead);
    let provider = sample["provider"].as_object_mut().unwrap();
    provider.extend(other.as_object().unwrap().clone());
    let mut missing = Vec::new();
    compare(&schema, &schema, &[&sample], "", &mut missing);
    assert_eq!(missing, [""; 0]);
}

/// Notes every key of `part` that no value has.
fn compare(schema: &Value, part: &Value, values: &[&Value], key: &str, missing: &mut Vec<String>) {
    let part = resolved(schema, part);
    let below: Vec<&Value> = if part["additionalProperties"].is_object() {
        let maps = values.iter().filter_map(|value| value.as_object());
        maps.flat_map(Map::values).collect()
    } else {
        values
            .iter()
            .filter_map(|value| value.as_array())
            .flatten()
            .collect()
    };
    for inner in ["additionalProperties", "items"] {
        if part[inner].is_object() {
            compare(schema, &part[inner], &below, &format!("{key}*."), missing);
        }
    }
    for (name, property) in part["properties"].as_object().into_iter().flatten() {
        let dotted = format!("{key}{name}");
        let below: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
        if below.is_empty() {
            missing.push(dotted);
        } else {
            compare(schema, property, &below, &format!("{dotted}."), missing);
        }
    }
}
