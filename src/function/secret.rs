//! Secrets: named bytes that functions may read.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret to create or to replace.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Its name: letters, digits, `-`, `_` and `.`, at most 253, no dot in front.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[-_a-zA-Z0-9][-_.a-zA-Z0-9]*$")
    )]
    pub name: String,
    /// Namespace; the default one where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its value, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value as bytes, in base64; counts where `value` is empty or left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_value: Option<Base64>,
}

/// What a list of secrets shows: never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// The secret's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[-_a-zA-Z0-9][-_.a-zA-Z0-9]*$")
    )]
    pub name: String,
    /// Namespace; the default one where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// Bytes that JSON holds as base64 (RFC 4648, section 4), as Go writes them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Secret {
    /// The value, however it was given.
    pub fn bytes(&self) -> &[u8] {
        match (&self.value, &self.raw_value) {
            (Some(value), _) if !value.is_empty() => value.as_bytes(),
            (_, Some(raw)) => &raw.0,
            (_, None) => b"",
        }
    }
}

/// Shows no value.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| serde::de::Error::custom(format!("not base64: {error}")))?;
        Ok(Self(bytes))
    }
}

impl JsonSchema for Base64 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Base64".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bytes(json: &str) -> Vec<u8> {
        serde_json::from_str::<Secret>(json)
            .unwrap()
            .bytes()
            .to_vec()
    }

    #[test]
    fn the_raw_value_counts_where_the_text_is_empty() {
        assert_eq!(bytes(r#"{"name":"a","value":"text"}"#), b"text");
        assert_eq!(
            bytes(r#"{"name":"a","value":"","rawValue":"AAEC"}"#),
            [0, 1, 2]
        );
        assert_eq!(
            bytes(r#"{"name":"a","value":"text","rawValue":"AAEC"}"#),
            b"text"
        );
        assert_eq!(bytes(r#"{"name":"a"}"#), b"");
    }

    #[test]
    fn debug_shows_no_value() {
        let secret = Secret {
            value: Some("hush".to_owned()),
            ..Secret::default()
        };
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
