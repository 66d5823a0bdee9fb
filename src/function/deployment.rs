//! What is asked of a provider about a function.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A function to deploy or to update.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Name without namespace: letters, digits, `-` and `_`, at most 63.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[-a-zA-Z0-9_]+$"))]
    pub service: String,
    /// Image, `registry/name:tag`. Where functions are processes, the table `provider.images` says
    /// what it stands for.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Namespace; the default one where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The command, split at white space.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(with = "Option<String>")]
    pub env_process: String,
    /// Environment of the function.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub env_vars: BTreeMap<String, String>,
    /// Where it may run; kept and shown, without effect on a single machine.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<String>>")]
    pub constraints: Vec<String>,
    /// Names of secrets that it may read at `/var/openfaas/secrets/NAME`.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<String>>")]
    pub secrets: Vec<String>,
    /// Labels; those that begin with `com.openfaas.scale.` rule its scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
    /// What it needs; kept and shown, without effect on a single machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Resources>,
    /// Whether it may write outside of `/tmp`; kept and shown.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(with = "Option<bool>")]
    pub read_only_root_filesystem: bool,
    /// What other versions of the API have beside these.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Shows everything but the values of the environment, which may be secret.
impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment")
            .field("service", &self.service)
            .field("namespace", &self.namespace)
            .field("image", &self.image)
            .field("env_process", &self.env_process)
            .field("env_vars", &self.env_vars.keys())
            .field("secrets", &self.secrets)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// Memory and processor time, as Kubernetes writes them: `64Mi`, `500m`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Bytes, with an optional unit such as `Mi`.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(with = "Option<String>")]
    pub memory: String,
    /// Processors; `100m` is a tenth of one.
    #[serde(default, deserialize_with = "nullable")]
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(with = "Option<String>")]
    pub cpu: String,
    /// What other versions of the API have beside these.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A function to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// Name without namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[-a-zA-Z0-9_]+$"))]
    pub function_name: String,
    /// Namespace; that of the query, else the default one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// How many replicas a function shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleRequest {
    /// Name without namespace; the path's counts where both are given.
    #[serde(default)]
    pub service_name: String,
    /// Replicas from now on; zero is allowed, 1000 are the most that one machine runs.
    #[schemars(range(max = 1000))]
    pub replicas: u64,
    /// Namespace; that of the query, else the default one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// Reads `null` as the default: clients in Go send it for what is empty.
pub(super) fn nullable<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_clients_of_2019_send_is_read() {
        let sent = json!({
            "service": "fig", "image": "functions/figlet:0.13.0", "network": "",
            "envProcess": "figlet", "envVars": null, "constraints": null, "secrets": null,
            "labels": null, "annotations": null, "limits": null, "requests": null,
            "readOnlyRootFilesystem": false,
        });
        let read: Deployment = serde_json::from_value(sent).unwrap();
        assert_eq!(
            (read.service.as_str(), read.env_process.as_str()),
            ("fig", "figlet")
        );
        assert!(read.env_vars.is_empty() && read.labels.is_none());
    }

    #[test]
    fn unknown_fields_are_kept_and_empty_ones_left_out() {
        let sent = json!({ "service": "a", "image": "b", "network": "n",
            "limits": { "memory": "5Mi", "nvidia.com/gpu": "1" } });
        let read: Deployment = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), sent);
    }

    #[test]
    fn debug_shows_no_value_of_the_environment() {
        let read = Deployment {
            env_vars: [("TOKEN".to_owned(), "hush".to_owned())].into(),
            ..Deployment::default()
        };
        let shown = format!("{read:?}");
        assert!(
            shown.contains("TOKEN") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
