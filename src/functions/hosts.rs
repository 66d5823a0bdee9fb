//! Where functions of a remote provider are called.

use crate::config::{Direct, RemoteProvider, Upstream};
use crate::function::FunctionName;

/// The provider's own address as an upstream.
pub fn provider_upstream(remote: &RemoteProvider) -> Upstream {
    Upstream {
        host: remote.url.host().unwrap_or_default().to_owned(),
        port: remote.url.port_u16().unwrap_or(80),
        base_path: remote.url.path().trim_end_matches('/').to_owned(),
    }
}

/// The name of a listed function as its callers use it: where no namespace is known, bare.
pub fn called_as(name: &FunctionName, remote: &RemoteProvider) -> String {
    if remote.namespace.is_empty() {
        name.name().to_owned()
    } else {
        name.to_string()
    }
}

/// The host of a function that is called directly (wire.md section 2.4): `hello` with suffix
/// `openfaas-fn.svc` is `hello.openfaas-fn.svc`, and `hello.prod` is `hello.prod.svc`.
pub fn direct_host(direct: &Direct, namespace: &str, name: &str) -> String {
    let suffix = direct.suffix.as_str();
    if suffix.is_empty() {
        return name.to_owned();
    }
    let dotted = name.contains('.') && !name.ends_with('.');
    if dotted && !namespace.is_empty() {
        let rest = suffix.replace(namespace, "");
        let rest = rest.trim_start_matches('.');
        // A listed function carries the default namespace, which the suffix already names.
        return format!("{name}.{rest}");
    }
    format!("{name}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_hosts_follow_suffix_and_namespace() {
        let suffix = |suffix: &str| Direct {
            suffix: suffix.to_owned(),
        };
        let cluster = suffix("openfaas-fn.svc.cluster.local");
        for (direct, namespace, name, host) in [
            (&suffix(""), "", "figlet", "figlet"),
            (&suffix("svc"), "", "figlet", "figlet.svc"),
            (
                &cluster,
                "openfaas-fn",
                "hello",
                "hello.openfaas-fn.svc.cluster.local",
            ),
            (
                &cluster,
                "openfaas-fn",
                "hello.prod",
                "hello.prod.svc.cluster.local",
            ),
        ] {
            assert_eq!(direct_host(direct, namespace, name), host);
        }
    }
}
