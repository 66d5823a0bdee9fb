//! JSON Schema of the configuration file, for editors. `conf/schema.json` is its committed copy.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::file::File;

/// The schema (draft 2020-12) as indented JSON with a line break at its end.
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with_transform(RecursiveTransform(without_null))
        .into_generator();
    format!(
        "{:#}\n",
        generator.into_root_schema_for::<File>().to_value()
    )
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
}
