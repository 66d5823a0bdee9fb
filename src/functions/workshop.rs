//! Where snapshots are made: from the configuration, the provider's view and resolved names, whole or
//! where one function of many has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;

use super::hosts::{called_as, direct_host, provider_upstream};
use super::resolver::{Resolution, Resolved, literal};
use super::snapshot::{Index, Route, Snapshot};
use super::{Function, Live, OPEN, PathRule, Problem, places};
use crate::config::{Config, Place, Provider, RemoteProvider, Retry, Timeouts, Upstream};
use crate::error::Failure;
use crate::function::{FunctionName, Scaling};
use crate::metrics::{self, Metrics, UNKNOWN};
use crate::provider::{self, Address, FunctionView, Replica};

/// Port of functions that are called directly (wire.md section 2.4).
const DIRECT_PORT: u16 = 8080;

/// What snapshots are made from, and what they share.
pub struct Workshop {
    metrics: Arc<Metrics>,
    lives: HashMap<FunctionName, Arc<Live>>,
    unknown: Arc<Live>,
    /// Replicas at addresses. Each function has its own of an address, so that calls in flight are
    /// counted for each.
    replicas: HashMap<FunctionName, Replicas>,
    /// Whose lines are to be woken, to find the next snapshot.
    waking: Vec<Arc<Function>>,
    gone: Vec<Arc<Live>>,
    last: Option<Last>,
}

type Replicas = HashMap<ReplicaKey, Arc<Replica>>;

/// Where a replica is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ReplicaKey {
    address: SocketAddr,
    authority: String,
    base_path: String,
}

/// The last snapshot, and what it was made from. Mostly one function has changed since, of many.
struct Last {
    view: View,
    functions: BTreeMap<FunctionName, Arc<Function>>,
    by_name: Arc<Index>,
    fallback: Option<Arc<Function>>,
}

impl Last {
    /// The functions that a new view shows differently; `None` where more than that has changed.
    fn changed(&self, view: &View) -> Option<Vec<FunctionName>> {
        let (old, new) = (&self.view, view);
        let same = Arc::ptr_eq(&old.config, &new.config)
            && Arc::ptr_eq(&old.resolved, &new.resolved)
            && old.adopted == new.adopted
            && old.provider.len() == new.provider.len();
        let pairs = || old.provider.iter().zip(new.provider.iter());
        if !same || pairs().any(|(old, new)| old.0 != new.0) {
            return None;
        }
        let different = pairs().filter(|(old, new)| !Arc::ptr_eq(old.1, new.1));
        Some(different.map(|(old, _)| old.0.clone()).collect())
    }
}

/// What is known when a snapshot is made.
#[derive(Clone)]
pub struct View {
    /// Counts configurations.
    pub generation: u64,
    /// What the user wants.
    pub config: Arc<Config>,
    /// What the provider has.
    pub provider: provider::View,
    /// Where names are.
    pub resolved: Resolved,
    /// Names called directly before any provider listed them.
    pub adopted: BTreeSet<String>,
}

impl View {
    /// Every host whose address a configuration needs, literals left out.
    pub fn hosts(&self) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        for function in self.config.functions.values() {
            if let Place::Upstream(upstreams) = &function.place {
                hosts.extend(upstreams.iter().map(|upstream| upstream.host.clone()));
            }
        }
        if let Provider::Remote(remote) = &self.config.provider {
            hosts.insert(provider_upstream(remote).host);
            if let Some(direct) = &remote.direct {
                let listed = self.provider.keys().map(|name| called_as(name, remote));
                let names = listed.chain(self.adopted.iter().cloned());
                hosts.extend(names.map(|name| direct_host(direct, &remote.namespace, &name)));
            }
        }
        hosts.retain(|host| literal(host).is_none());
        hosts
    }
}

/// Replicas found for a function, or why there are none.
#[derive(Default)]
struct Found {
    replicas: Vec<Arc<Replica>>,
    /// Replicas that each address stands for; `None`: what is behind it spreads the calls itself.
    slots: Option<u64>,
    problem: Option<Problem>,
}

/// What a function's owner says of it.
struct Rules {
    timeouts: Timeouts,
    scaling: Scaling,
    retry: Retry,
}

impl Rules {
    /// Where nothing is said.
    fn of(config: &Config) -> Self {
        Self {
            timeouts: config.timeouts,
            scaling: Scaling::default(),
            retry: config.queue.retry,
        }
    }
}

impl Workshop {
    /// A workshop that counts on `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let unknown = Live::new(OPEN, metrics.function(UNKNOWN));
        Self {
            metrics,
            lives: HashMap::new(),
            unknown,
            replicas: HashMap::new(),
            waking: Vec::new(),
            gone: Vec::new(),
            last: None,
        }
    }

    /// Wakes whoever waits in line for a function that has changed, to find the snapshot that has
    /// just been stored.
    pub fn wake_lines(&mut self) {
        self.waking
            .drain(..)
            .for_each(|function| function.wake_line());
        self.gone.drain(..).for_each(|live| live.gate.wake());
    }

    /// Compiles a snapshot, sets the gates accordingly and forgets what is no longer there.
    pub fn compile(&mut self, view: &View) -> Snapshot {
        match self.last.take().map(|last| (last.changed(view), last)) {
            Some((Some(changed), last)) => self.patch(view, last, &changed),
            _ => self.compile_all(view),
        }
    }

    fn compile_all(&mut self, view: &View) -> Snapshot {
        let replicas_before = std::mem::take(&mut self.replicas);
        let mut making = Making {
            view,
            workshop: self,
            replicas_before,
            functions: BTreeMap::new(),
        };
        making.all();
        let fallback = making.fallback();
        let functions = making.functions;
        for function in functions.values() {
            self.settle(function);
        }
        self.forget(&functions);
        let by_name = index(&functions, view.config.default_namespace());
        self.finish(view, functions, by_name, fallback)
    }

    /// Makes the functions anew that have changed, and takes the others over.
    fn patch(&mut self, view: &View, last: Last, changed: &[FunctionName]) -> Snapshot {
        let taken = |name: &FunctionName| Some((name.clone(), self.replicas.remove(name)?));
        let replicas_before = changed.iter().filter_map(taken).collect();
        let mut making = Making {
            view,
            workshop: self,
            replicas_before,
            functions: last.functions,
        };
        for name in changed {
            making.one(name);
        }
        let functions = making.functions;
        let mut by_name = Index::clone(&last.by_name);
        for name in changed {
            let Some(function) = functions.get(name) else {
                continue;
            };
            self.settle(function);
            by_name.insert(Arc::clone(&function.key), Arc::clone(function));
            if let Some(bare) = by_name
                .get_mut(name.name())
                .filter(|bare| bare.name == *name)
            {
                *bare = Arc::clone(function);
            }
        }
        self.finish(view, functions, by_name, last.fallback)
    }

    fn finish(
        &mut self,
        view: &View,
        functions: BTreeMap<FunctionName, Arc<Function>>,
        by_name: Index,
        fallback: Option<Arc<Function>>,
    ) -> Snapshot {
        let by_name = Arc::new(by_name);
        let snapshot = Snapshot {
            generation: view.generation,
            config: Arc::clone(&view.config),
            routes: routes(view, &by_name, fallback.as_ref()),
            unknown: Arc::clone(&self.unknown),
            provided: Arc::clone(&view.provider),
            fallback: fallback.clone(),
            by_name: Arc::clone(&by_name),
        };
        self.last = Some(Last {
            view: view.clone(),
            functions,
            by_name,
            fallback,
        });
        snapshot
    }

    fn live(&mut self, name: &FunctionName) -> Arc<Live> {
        let live = self
            .lives
            .entry(name.clone())
            .or_insert_with(|| Live::new(0, self.metrics.function(&name.to_string())));
        Arc::clone(live)
    }

    /// Opens and shuts a function's gate, and shows its replica counts.
    fn settle(&mut self, function: &Arc<Function>) {
        // Names that callers made up share one gate with the provider itself: it stays open.
        if Arc::ptr_eq(&function.live, &self.unknown) {
            return;
        }
        let capacity = match function.room() {
            _ if function.replicas.is_empty() => 0,
            // One address for all of them, and nobody else who counts.
            Some(room) if function.each.is_none() => room,
            _ => OPEN,
        };
        function.live.gate.set_capacity(capacity);
        function.live.metrics.set_replicas(metrics::Replicas {
            desired: function.replicas_wanted(),
            available: function.available,
            scaling: function.scaling,
        });
        self.waking.push(Arc::clone(function));
    }

    /// Forgets functions that have gone.
    fn forget(&mut self, functions: &BTreeMap<FunctionName, Arc<Function>>) {
        let (metrics, gone) = (&self.metrics, &mut self.gone);
        self.lives.retain(|name, live| {
            let keep = functions.contains_key(name);
            if !keep {
                metrics.forget(live.metrics.label());
                gone.push(Arc::clone(live));
            }
            keep
        });
    }
}

fn routes(view: &View, by_name: &Index, fallback: Option<&Arc<Function>>) -> Vec<Route> {
    let routes = view.config.routes.iter();
    routes
        .map(|route| Route {
            host: route.host.clone(),
            path: route.path.clone(),
            function: by_name
                .get(route.function.to_string().as_str())
                .or_else(|| by_name.get(route.function.name()))
                .cloned()
                .or_else(|| fallback.map(|fallback| renamed(fallback, &route.function))),
        })
        .collect()
}

/// One run of [`Workshop::compile`].
struct Making<'a> {
    view: &'a View,
    workshop: &'a mut Workshop,
    replicas_before: HashMap<FunctionName, Replicas>,
    functions: BTreeMap<FunctionName, Arc<Function>>,
}

impl Making<'_> {
    fn all(&mut self) {
        let (config, provider) = (
            Arc::clone(&self.view.config),
            Arc::clone(&self.view.provider),
        );
        for (name, function) in &config.functions {
            self.declared(name, function);
        }
        for (name, function) in provider.iter() {
            if !config.functions.contains_key(name) {
                self.provided(name, function);
            }
        }
        self.adopted_functions();
    }

    fn one(&mut self, name: &FunctionName) {
        let (config, provider) = (
            Arc::clone(&self.view.config),
            Arc::clone(&self.view.provider),
        );
        match (config.functions.get(name), provider.get(name)) {
            (Some(function), _) => self.declared(name, function),
            (None, Some(function)) => self.provided(name, function),
            (None, None) => {}
        }
    }

    fn declared(&mut self, name: &FunctionName, function: &crate::config::Function) {
        let view = self.view.provider.get(name);
        let found = match &function.place {
            Place::Upstream(upstreams) => Found {
                slots: Some(1),
                ..self.upstreams(name, upstreams)
            },
            Place::Process(_) => view.map_or_else(Found::default, |view| provided(view)),
        };
        let rules = Rules {
            timeouts: function.timeouts,
            scaling: function.scaling,
            retry: self.view.config.queue.retry.with(function.retry),
        };
        self.add(name, found, PathRule::Trimmed, rules);
    }

    fn provided(&mut self, name: &FunctionName, function: &FunctionView) {
        let config = Arc::clone(&self.view.config);
        let (found, path) = match &config.provider {
            Provider::Process(_) => (provided(function), PathRule::Trimmed),
            Provider::Remote(remote) => {
                let callable = function.desired > 0 && function.available > 0;
                if callable || !config.scale.from_zero {
                    self.remote(remote, name, &called_as(name, remote))
                } else {
                    // Its calls wait, and wake it. The next replica is a new one: this one may have
                    // been closed when it was put to sleep.
                    (Found::default(), PathRule::of(remote))
                }
            }
        };
        let rules = Rules {
            timeouts: config.timeouts,
            scaling: function.scaling,
            retry: config.queue.retry.with(function.retry),
        };
        self.add(name, found, path, rules);
    }

    fn adopted_functions(&mut self) {
        let config = Arc::clone(&self.view.config);
        let Provider::Remote(remote) = &config.provider else {
            return;
        };
        for text in &self.view.adopted {
            let Ok(name) = FunctionName::parse(text, &remote.namespace) else {
                continue;
            };
            if self.functions.contains_key(&name) {
                continue;
            }
            let (found, path) = self.remote(remote, &name, text);
            // Whoever calls a name must not make a metric series of it.
            let live = Arc::clone(&self.workshop.unknown);
            let function = function(&name, found, path, Rules::of(&config), live);
            self.functions.insert(name, Arc::new(function));
        }
    }

    /// A function of the remote provider: called through it, or at its own address.
    fn remote(
        &mut self,
        remote: &RemoteProvider,
        name: &FunctionName,
        called: &str,
    ) -> (Found, PathRule) {
        let upstream = match &remote.direct {
            None => provider_upstream(remote),
            Some(direct) => Upstream {
                host: direct_host(direct, &remote.namespace, called),
                port: DIRECT_PORT,
                base_path: String::new(),
            },
        };
        (self.upstreams(name, &[upstream]), PathRule::of(remote))
    }

    fn fallback(&mut self) -> Option<Arc<Function>> {
        let config = Arc::clone(&self.view.config);
        let Provider::Remote(remote) = &config.provider else {
            return None;
        };
        // The name is only shown in messages about names that nobody knows.
        let name = FunctionName::new(UNKNOWN, "").ok()?;
        let found = self.upstreams(&name, &[provider_upstream(remote)]);
        let live = Arc::clone(&self.workshop.unknown);
        Some(Arc::new(function(
            &name,
            found,
            PathRule::Whole,
            Rules::of(&config),
            live,
        )))
    }

    fn add(&mut self, name: &FunctionName, found: Found, path: PathRule, rules: Rules) {
        let live = self.workshop.live(name);
        let provided = self.view.provider.get(name);
        let each = found.slots.zip(rules.scaling.concurrency);
        let function = Function {
            desired: provided.map(|view| view.desired),
            each: each.map(|(slots, each)| places(each, slots)),
            available: provided.map_or(found.replicas.len() as u64, |view| view.available),
            updating: provided.is_some_and(|view| view.updating),
            ..function(name, found, path, rules, live)
        };
        self.functions.insert(name.clone(), Arc::new(function));
    }

    /// Replicas at static addresses. Those that were there before are kept, with their counts.
    fn upstreams(&mut self, function: &FunctionName, upstreams: &[Upstream]) -> Found {
        let mut found = Found::default();
        let mut pending = false;
        for upstream in upstreams {
            match self.addresses(&upstream.host) {
                None => pending = true,
                Some(Resolution::Failed(why)) => {
                    let failure = Failure::ConnectFailed;
                    found.problem = Some(Problem { failure, why });
                }
                Some(Resolution::Addresses(addresses)) => {
                    for address in addresses {
                        found
                            .replicas
                            .push(self.replica(function, address, upstream));
                    }
                }
            }
        }
        if pending || !found.replicas.is_empty() {
            found.problem = None;
        }
        found
    }

    fn addresses(&self, host: &str) -> Option<Resolution> {
        match literal(host) {
            Some(address) => Some(Resolution::Addresses(vec![address])),
            None => self.view.resolved.get(host).cloned(),
        }
    }

    fn replica(
        &mut self,
        function: &FunctionName,
        address: IpAddr,
        upstream: &Upstream,
    ) -> Arc<Replica> {
        let key = ReplicaKey {
            address: SocketAddr::new(address, upstream.port),
            authority: format!("{}:{}", upstream.host, upstream.port),
            base_path: upstream.base_path.clone(),
        };
        let before = self.replicas_before.get_mut(function);
        let replicas = self.workshop.replicas.entry(function.clone()).or_default();
        let replica = replicas.entry(key).or_insert_with_key(|key| {
            let kept = before.and_then(|before| before.remove(key));
            kept.unwrap_or_else(|| {
                // A host that is not a header value would not have been resolved.
                let authority = HeaderValue::try_from(key.authority.as_str())
                    .unwrap_or_else(|_| HeaderValue::from_static("localhost"));
                Replica::at(Address::Tcp(key.address), authority, &key.base_path)
            })
        });
        Arc::clone(replica)
    }
}

impl PathRule {
    /// What functions of a remote provider see.
    fn of(remote: &RemoteProvider) -> Self {
        match remote.direct {
            None => Self::Whole,
            Some(_) => Self::Trimmed,
        }
    }
}

fn function(
    name: &FunctionName,
    found: Found,
    path: PathRule,
    rules: Rules,
    live: Arc<Live>,
) -> Function {
    Function {
        name: name.clone(),
        key: name.to_string().into(),
        path,
        replicas: found.replicas,
        problem: found.problem,
        timeouts: rules.timeouts,
        desired: None,
        scaling: rules.scaling,
        retry: rules.retry,
        each: None,
        available: 0,
        updating: false,
        live,
    }
}

fn renamed(fallback: &Arc<Function>, name: &FunctionName) -> Arc<Function> {
    let found = Found {
        replicas: fallback.replicas.clone(),
        slots: None,
        problem: fallback.problem.clone(),
    };
    let live = Arc::clone(&fallback.live);
    Arc::new(function(
        name,
        found,
        fallback.path.clone(),
        Rules {
            timeouts: fallback.timeouts,
            scaling: fallback.scaling,
            retry: fallback.retry,
        },
        live,
    ))
}

fn provided(view: &FunctionView) -> Found {
    Found {
        replicas: view.replicas.clone(),
        slots: Some(view.slots),
        problem: view.problem.clone().map(|why| Problem {
            failure: Failure::NotReady,
            why,
        }),
    }
}

/// A bare name is that of the default namespace; where no default is known, that of the only
/// namespace which has it.
fn index(functions: &BTreeMap<FunctionName, Arc<Function>>, default_namespace: &str) -> Index {
    let mut by_name = Index::with_capacity(functions.len() * 2);
    for (name, function) in functions {
        by_name.insert(Arc::clone(&function.key), Arc::clone(function));
        if name.namespace() == default_namespace {
            by_name.insert(name.shared_name(), Arc::clone(function));
        }
    }
    if default_namespace.is_empty() {
        let mut bare: HashMap<&str, Vec<(&FunctionName, &Arc<Function>)>> = HashMap::new();
        for entry in functions {
            bare.entry(entry.0.name()).or_default().push(entry);
        }
        for candidates in bare.values() {
            if let [(name, only)] = candidates.as_slice() {
                by_name
                    .entry(name.shared_name())
                    .or_insert_with(|| Arc::clone(only));
            }
        }
    }
    by_name
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::function::RetryLabels;

    fn configured(text: &str) -> Arc<Config> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gateway.yaml");
        std::fs::write(&file, text).unwrap();
        let sources = crate::config::Sources {
            file: Some(file),
            ..Default::default()
        };
        Arc::new(crate::config::load(&sources).unwrap().config)
    }

    fn seen(desired: u64, replicas: u16) -> Arc<FunctionView> {
        let replica = |port| Replica::new(Address::Tcp(([127, 0, 0, 1], port).into()));
        Arc::new(FunctionView {
            replicas: (0..replicas).map(replica).collect(),
            desired,
            available: u64::from(replicas),
            scaling: Scaling::default(),
            retry: RetryLabels::default(),
            slots: 1,
            updating: false,
            problem: None,
        })
    }

    #[test]
    fn a_patched_snapshot_is_the_one_that_is_made_anew() {
        let config = configured(
            "version: 1\nfunctions:\n  own: { process: cat, concurrency: 2 }\n  \
             far: { upstream: \"http://127.0.0.1:9\" }\nroutes: [{ path: /x, function: api }]\n",
        );
        let names =
            ["own", "api", "job"].map(|name| FunctionName::new(name, "openfaas-fn").unwrap());
        let all = names.iter().map(|name| (name.clone(), seen(1, 1)));
        let mut view = View {
            generation: 1,
            config,
            provider: Arc::new(all.collect()),
            resolved: Resolved::default(),
            adopted: Default::default(),
        };
        let metrics = || Arc::new(Metrics::new().unwrap());
        let mut workshop = Workshop::new(metrics());
        let mut before = workshop.compile(&view);
        for step in 0..12 {
            let name = &names[step % 3];
            let mut provider = BTreeMap::clone(&view.provider);
            provider.insert(name.clone(), seen(step as u64 % 4, step as u16 % 3));
            view.provider = Arc::new(provider);
            let patched = workshop.compile(&view);
            let anew = Workshop::new(metrics()).compile(&view);
            assert_eq!(patched.by_name.len(), anew.by_name.len());
            for (key, function) in patched.by_name.iter() {
                let other = anew.function(key).unwrap();
                assert_eq!(
                    (&function.name, function.desired, function.each),
                    (&other.name, other.desired, other.each)
                );
                assert_eq!(function.replicas.len(), other.replicas.len());
                let open = |function: &Function| {
                    let place = function.live.gate.enter();
                    place
                        .inspect(|place| function.live.gate.leave(*place))
                        .is_some()
                };
                assert_eq!(open(function), open(other), "{key}");
                let same = Arc::ptr_eq(function, before.function(key).unwrap());
                assert_eq!(
                    same,
                    function.name != *name,
                    "only {name} was made anew, not {key}"
                );
            }
            let route = patched.routes[0].function.as_ref().unwrap();
            assert!(Arc::ptr_eq(route, patched.function("api").unwrap()));
            before = patched;
        }
        // One more name is more than a patch can do.
        let mut provider = BTreeMap::clone(&view.provider);
        provider.insert(FunctionName::new("new", "openfaas-fn").unwrap(), seen(1, 1));
        view.provider = Arc::new(provider);
        let snapshot = workshop.compile(&view);
        assert!(snapshot.function("new").is_some());
        let kept = |name| {
            Arc::ptr_eq(
                &snapshot.function(name).unwrap().live,
                &before.function(name).unwrap().live,
            )
        };
        assert!(kept("api") && kept("far"));
    }
}
