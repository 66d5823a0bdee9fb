//! Namespaces: functions and secrets of the same name live apart in them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Namespace {
    /// Its name: letters, digits, `-` and `_`, at most 63. The one in the path counts where there is
    /// one.
    #[serde(default)]
    #[schemars(length(max = 63), regex(pattern = "^[-a-zA-Z0-9_]*$"))]
    pub name: String,
    /// Labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}
