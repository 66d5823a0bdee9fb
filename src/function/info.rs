//! Who the provider is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A provider, as it tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// Its name.
    #[serde(default)]
    pub provider: String,
    /// Its version.
    #[serde(default)]
    pub version: Version,
    /// What runs the functions.
    #[serde(default)]
    pub orchestration: String,
    /// What this provider tells beside that.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// The first line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_message: Option<String>,
    /// The commit.
    #[serde(default)]
    pub sha: String,
    /// The release.
    #[serde(default)]
    pub release: String,
}
