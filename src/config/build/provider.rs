//! `provider`: who owns functions.

use http::Uri;

use super::Reader;
use crate::config::file::{self, Origin, Scalar};
use crate::config::value::{HttpUrl, ProviderWord};
use crate::config::{Direct, Image, Isolation, Mode, ProcessProvider, Provider, RemoteProvider};
use crate::function::FunctionName;

/// The namespace of OpenFaaS's own functions, which its clients take for granted (wire.md
/// section 12).
const NAMESPACE: &str = "openfaas-fn";

impl Reader<'_> {
    pub(super) fn provider(&mut self, raw: file::Provider) -> Provider {
        let unset = if raw.url.is_some() {
            ProviderWord::Remote
        } else {
            ProviderWord::Process
        };
        let kind = raw
            .kind
            .as_ref()
            .map_or(Origin::File(0, 0), |kind| kind.origin);
        match self.read_or("provider.kind", &raw.kind, unset) {
            ProviderWord::Process => self.process_provider(raw, kind),
            ProviderWord::Remote => self.remote_provider(raw, kind),
        }
    }

    fn process_provider(&mut self, raw: file::Provider, kind: Origin) -> Provider {
        let direct = raw.direct.unwrap_or_default();
        let foreign = [
            ("provider.url", raw.url.map(|scalar| scalar.origin)),
            (
                "provider.logs_url",
                raw.logs_url.map(|scalar| scalar.origin),
            ),
            (
                "provider.direct.enabled",
                direct.enabled.map(|scalar| scalar.origin),
            ),
            (
                "provider.direct.suffix",
                direct.suffix.map(|scalar| scalar.origin),
            ),
        ];
        self.foreign(&foreign, kind, "`provider.kind` must be `remote` for it");
        let mut namespaces = Vec::new();
        let own = raw
            .namespace
            .as_ref()
            .map(|scalar| ("provider.namespace", scalar));
        let listed = raw
            .namespaces
            .iter()
            .flatten()
            .map(|item| ("provider.namespaces", item));
        for (key, scalar) in own.into_iter().chain(listed) {
            if let Some(namespace) = self.namespace(key, scalar)
                && !namespaces.contains(&namespace)
            {
                namespaces.push(namespace);
            }
        }
        self.inherit("provider.namespaces", "provider.namespace");
        if namespaces.is_empty() {
            namespaces.push(NAMESPACE.to_owned());
        }
        Provider::Process(ProcessProvider {
            namespaces,
            images: self.images(raw.images),
            isolation: self.read_or("provider.isolation", &raw.isolation, Isolation::default()),
        })
    }

    fn remote_provider(&mut self, raw: file::Provider, kind: Origin) -> Provider {
        let foreign = [
            (
                "provider.namespaces",
                raw.namespaces.iter().flatten().next().map(|n| n.origin),
            ),
            (
                "provider.images",
                raw.images.and_then(|i| Some(i.0.first()?.0.origin)),
            ),
            (
                "provider.isolation",
                raw.isolation.map(|scalar| scalar.origin),
            ),
        ];
        self.foreign(&foreign, kind, "`provider.kind` must be `process` for it");
        let url = self.read("provider.url", &raw.url).map(|HttpUrl(url)| url);
        if raw.url.is_none() {
            let why = "set `provider.url` to the provider's address, like `http://host:8081`";
            self.refuse(kind, "provider.kind", why);
        }
        let url = url.unwrap_or_default();
        let logs_url = self
            .read("provider.logs_url", &raw.logs_url)
            .map(|HttpUrl(url)| url);
        self.inherit("provider.logs_url", "provider.url");
        let namespace = match &raw.namespace {
            Some(scalar) => self
                .namespace("provider.namespace", scalar)
                .unwrap_or_default(),
            None => String::new(),
        };
        let direct = self.direct(&raw.direct.unwrap_or_default(), &namespace);
        Provider::Remote(RemoteProvider {
            logs_url: without_slash(logs_url.unwrap_or_else(|| url.clone())),
            url: without_slash(url),
            namespace,
            direct,
        })
    }

    fn foreign(&mut self, keys: &[(&str, Option<Origin>)], kind: Origin, why: &str) {
        for (key, origin) in keys {
            if let Some(origin) = origin {
                self.misfit(*origin, kind, key, why);
            }
        }
    }

    /// A namespace has the same letters as a function's name; an empty one is none.
    fn namespace(&mut self, key: &str, scalar: &Scalar<String>) -> Option<String> {
        let text = self.read_scalar(key, scalar)?;
        if let Err(error) = FunctionName::new(&text, "") {
            self.refuse(scalar.origin, key, &error.to_string());
            return None;
        }
        Some(text)
    }

    /// `direct_functions` (wire.md section 2.4).
    fn direct(&mut self, raw: &file::Direct, namespace: &str) -> Option<Direct> {
        let enabled = self.read_or("provider.direct.enabled", &raw.enabled, false);
        let suffix = self.read_or("provider.direct.suffix", &raw.suffix, String::new());
        if let Some(scalar) = &raw.suffix
            && enabled
            && !suffix.starts_with(namespace)
        {
            let why = format!(
                "must begin with the namespace `{namespace}` (`provider.namespace`, in the \
                 environment `function_namespace`)"
            );
            self.refuse(scalar.origin, "provider.direct.suffix", &why);
        }
        enabled.then_some(Direct { suffix })
    }

    fn images(&mut self, raw: Option<file::Entries<file::Image>>) -> Vec<Image> {
        let entries = raw.map(|raw| raw.0).unwrap_or_default();
        let read = |(pattern, raw): (Scalar<String>, file::Image)| {
            let key = format!("provider.images.{}", pattern.text);
            Image {
                dir: self.read(&format!("{key}.dir"), &raw.dir),
                mode: self.read_or(&format!("{key}.mode"), &raw.mode, Mode::Classic),
                command: self.read(&format!("{key}.command"), &raw.command),
                pattern: pattern.text,
            }
        };
        entries.into_iter().map(read).collect()
    }
}

/// The address without a slash at its end, as far as an address can be without one: the empty path
/// and `/` are the same to `http`.
fn without_slash(url: Uri) -> Uri {
    let text = url.to_string();
    text.trim_end_matches('/').parse().unwrap_or(url)
}
