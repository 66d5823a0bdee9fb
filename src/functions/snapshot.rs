//! The compiled configuration: everything a call needs, looked up by one string.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Function, Live, path};
use crate::config::{Config, PathPattern, Provider};
use crate::provider;

/// Everything a call needs. Immutable; a call keeps the one it began with.
pub struct Snapshot {
    /// Counts the configurations that took effect, from 1.
    pub generation: u64,
    /// The configuration it was compiled from.
    pub config: Arc<Config>,
    /// What takes calls to names nobody has listed: the remote provider knows better.
    pub fallback: Option<Arc<Function>>,
    /// Counts calls to names nobody knows.
    pub unknown: Arc<Live>,
    /// Own domains and paths, in the order of the file.
    pub routes: Vec<Route>,
    /// The provider's view it was compiled from.
    pub provided: provider::View,
    pub(super) by_name: Arc<Index>,
}

/// Functions by full name, and by bare name where that is clear.
pub(super) type Index = HashMap<Arc<str>, Arc<Function>>;

/// A compiled host and path rule.
pub struct Route {
    /// Exact host in lower case; `None` fits every host.
    pub host: Option<String>,
    /// Path it fits.
    pub path: PathPattern,
    /// Where it leads; `None` while the function is not there.
    pub function: Option<Arc<Function>>,
}

impl Snapshot {
    /// The function of `name` or `name.namespace`.
    pub fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.by_name.get(name)
    }

    /// The first own host and path rule that fits, and which one it is, from 0. Rules without a host
    /// never hide the gateway's own paths. `host` may have a port.
    pub fn rule(&self, host: &str, path: &str) -> Option<(usize, &Route)> {
        let (host, own_path) = (without_port(host), path::is_own(path));
        let mut rules = self.routes.iter().enumerate();
        rules.find(|(_, route)| {
            let host_fits = match &route.host {
                Some(wanted) => wanted.eq_ignore_ascii_case(host),
                None => !own_path,
            };
            host_fits && route.path.fits(path)
        })
    }

    /// Whether functions are called at their own address, though a provider owns them.
    pub fn direct(&self) -> bool {
        matches!(&self.config.provider, Provider::Remote(remote) if remote.direct.is_some())
    }

    /// Every function once, by its full name.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.by_name
            .iter()
            .filter(|(key, function)| **key == function.key)
            .map(|(_, function)| function)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
