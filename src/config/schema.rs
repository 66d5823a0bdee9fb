//! JSON Schema of the configuration file, for editors. `conf/schema.json` is its committed copy.
//!
//! A key's default stands beside it in `config::file`, and whether it waits for a restart in
//! `config::diff`. Both become part of the description, which is what editors show.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::diff::RESTART;
use super::file::File;

/// The schema (draft 2020-12) as indented JSON with a line break at its end.
pub fn schema() -> String {
    format!("{:#}\n", value())
}

/// The schema as a value.
pub(super) fn value() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with_transform(RecursiveTransform(without_null))
        .with_transform(RecursiveTransform(tell_default))
        .into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    for key in RESTART {
        if let Some(property) = property(&mut schema, key) {
            property["x-restart"] = json!(true);
            append(property, "Restart to change.");
        }
    }
    schema
}

/// The part of a schema that a reference leads to, or the part itself.
pub(super) fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let pointer = part["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    pointer.and_then(|to| schema.pointer(to)).unwrap_or(part)
}

/// What a schema says of the key with this dotted path.
fn property<'a>(schema: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let mut place = String::new();
    for name in key.split('.') {
        let part = schema.pointer(&place)?;
        if let Some(to) = part["$ref"].as_str() {
            place = to.trim_start_matches('#').to_owned();
        }
        place += &format!("/properties/{name}");
    }
    schema.pointer_mut(&place)
}

fn append(property: &mut Value, sentence: &str) {
    let description = property["description"].as_str().unwrap_or_default();
    property["description"] = format!("{description} {sentence}").into();
}

/// The default in words, at the end of the description.
fn tell_default(schema: &mut Schema) {
    if let (Some(default), Some(Value::String(description))) =
        (schema.get("default"), schema.get("description"))
    {
        let text = match default {
            Value::String(text) => text.clone(),
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                format!("[{}]", values.join(", "))
            }
            other => other.to_string(),
        };
        let description = format!("{description} Default: `{text}`.");
        schema.insert("description".to_owned(), description.into());
    }
}

/// Every key may be left without a value, but an editor that offers `null` for each is a nuisance.
fn without_null(schema: &mut Schema) {
    let is_null = |alternative: &Value| *alternative == json!({ "type": "null" });
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|word| word != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(alternatives)) = schema.get_mut("anyOf")
        && alternatives.iter().any(is_null)
    {
        alternatives.retain(|alternative| !is_null(alternative));
        if let [Value::Object(only)] = &alternatives[..] {
            let only = only.clone();
            schema.remove("anyOf");
            for (keyword, value) in only {
                schema.insert(keyword, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_the_one_of_the_code() {
        let committed = include_str!("../../conf/schema.json");
        assert!(
            committed == schema(),
            "conf/schema.json is out of date, refresh it with `gateway schema > conf/schema.json`"
        );
    }

    #[test]
    fn every_key_that_waits_for_a_restart_says_so() {
        let marks = schema().matches("\"x-restart\": true").count();
        assert_eq!(marks, RESTART.len());
    }
}
