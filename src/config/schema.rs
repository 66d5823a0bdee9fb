//! JSON Schema of the configuration file, for editors. `conf/schema.json` is its committed copy.

use schemars::generate::SchemaSettings;

use super::file::File;

/// The schema (draft 2020-12) as indented JSON with a line break at its end.
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    format!(
        "{:#}\n",
        generator.into_root_schema_for::<File>().to_value()
    )
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
