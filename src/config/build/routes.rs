//! `routes`: own domains and paths onto functions.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::Reader;
use super::functions::Owner;
use crate::config::file::{self, Origin, Scalar};
use crate::config::{Function, PathPattern, Provider, Route};
use crate::function::FunctionName;

impl Reader<'_> {
    pub(super) fn routes(
        &mut self,
        raw: &[file::Route],
        owner: &Owner<'_>,
        functions: &BTreeMap<FunctionName, Function>,
    ) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        for (index, raw) in raw.iter().enumerate() {
            let key = format!("routes.{index}");
            let Some(route) = self.route(&key, raw, owner, functions) else {
                continue;
            };
            let same = |other: &Route| other.host == route.host && other.path == route.path;
            if let (Some(first), Some(function)) = (routes.iter().position(same), &raw.function) {
                let why =
                    format!("`routes.{first}` has the same host and path, so this is never used");
                self.refuse(function.origin, &key, &why);
            }
            routes.push(route);
        }
        routes
    }

    fn route(
        &mut self,
        key: &str,
        raw: &file::Route,
        owner: &Owner<'_>,
        functions: &BTreeMap<FunctionName, Function>,
    ) -> Option<Route> {
        let host = match &raw.host {
            Some(scalar) => Some(self.host(&format!("{key}.host"), scalar)?),
            None => None,
        };
        let path = match &raw.path {
            Some(scalar) => self.path(&format!("{key}.path"), scalar)?,
            None => PathPattern::Prefix(String::new()),
        };
        let Some(scalar) = &raw.function else {
            let origin = raw
                .host
                .as_ref()
                .or(raw.path.as_ref())
                .map(|scalar| scalar.origin);
            let why = "needs `function: NAME`";
            self.refuse(origin.unwrap_or(Origin::File(0, 0)), key, why);
            return None;
        };
        let text = self.read_scalar(&format!("{key}.function"), scalar)?;
        match FunctionName::parse(&text, owner.provider.default_namespace()) {
            Ok(function) => {
                if matches!(owner.provider, Provider::Process(_))
                    && !functions.contains_key(&function)
                {
                    let warning = format!(
                        "`{key}.function`: no function `{text}` is declared, calls fail until it \
                         is deployed"
                    );
                    self.notes.warn(scalar.origin, warning);
                }
                Some(Route {
                    host,
                    path,
                    function,
                })
            }
            Err(error) => {
                self.refuse(
                    scalar.origin,
                    &format!("{key}.function"),
                    &error.to_string(),
                );
                None
            }
        }
    }

    /// A host name in lower case, or an IPv6 address in brackets as clients send it.
    fn host(&mut self, key: &str, scalar: &Scalar<String>) -> Option<String> {
        let host = self.read_scalar(key, scalar)?.to_ascii_lowercase();
        let name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let in_brackets = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let fits = match in_brackets {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(name_byte),
        };
        if !fits {
            let why = format!("`{host}` is not a host name, write it without scheme, port and `*`");
            self.refuse(scalar.origin, key, &why);
        }
        fits.then_some(host)
    }

    fn path(&mut self, key: &str, scalar: &Scalar<String>) -> Option<PathPattern> {
        let text = self.read_scalar(key, scalar)?;
        let (path, pattern) = match text.strip_suffix("/*") {
            Some(prefix) => (prefix, PathPattern::Prefix(prefix.to_owned())),
            None => (text.as_str(), PathPattern::Exact(text.clone())),
        };
        let why = if !text.starts_with('/') {
            "must begin with `/`"
        } else if path.contains('*') {
            "can hold `*` only as `/*` at its end"
        } else if path.contains(['?', '#']) {
            "cannot hold a query or a fragment"
        } else {
            return Some(pattern);
        };
        self.refuse(scalar.origin, key, why);
        None
    }
}
