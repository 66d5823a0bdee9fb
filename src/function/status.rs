//! What a provider tells of a function.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::deployment::{Resources, nullable};

/// A function as `GET /system/functions` shows it. Counts are sent even when they are zero, and
/// both maps even when they are empty: clients take them for granted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// Name without namespace.
    pub name: String,
    /// Namespace; left out when none is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Image; empty for a function that the configuration file declares.
    #[serde(default)]
    pub image: String,
    /// The command; empty where the provider does not tell.
    #[serde(default, deserialize_with = "nullable")]
    pub env_process: String,
    /// Calls that have ended.
    #[serde(default, serialize_with = "whole")]
    pub invocation_count: f64,
    /// Copies asked for.
    #[serde(default)]
    pub replicas: u64,
    /// Copies that can be called.
    #[serde(default)]
    pub available_replicas: u64,
    /// Labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Its environment, where it has one.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    /// Where it may run.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Names of its secrets.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
    /// What it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Resources>,
    /// Whether it may write outside of `/tmp`.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_root_filesystem: bool,
    /// What it uses now; only where it was asked for with `usage=1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// When it was deployed (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Why it cannot be called, or why its new revision does not take over. Not in the OpenFaaS
    /// API, whose clients ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What other versions of the API have beside these.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a function's processes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time, in thousandths of a processor.
    #[serde(default)]
    pub cpu: f64,
    /// Resident memory, in bytes.
    #[serde(default)]
    pub total_memory_bytes: f64,
}

/// Counts are floats in the API's own types, and written without a fraction where they have none.
pub fn whole<S: Serializer>(count: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let number = *count as u64;
    if number as f64 == *count {
        serializer.serialize_u64(number)
    } else {
        serializer.serialize_f64(*count)
    }
}
