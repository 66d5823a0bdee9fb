//! The one writer of the live functions.
//!
//! Configuration, provider view, addresses and adopted names come in; a snapshot goes out, stored in
//! one step. Everybody else only reads.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::hosts::direct_host;
use super::resolver::{Resolution, Resolved};
use super::snapshot::Snapshot;
use super::workshop::{View, Workshop};
use super::{Function, Resolver};
use crate::config::{Config, Provider};
use crate::function::FunctionName;
use crate::metrics::Metrics;
use crate::provider;

/// Names adopted at most: a caller can make names up, and each costs a lookup now and then.
const MAX_ADOPTED: usize = 10_000;
/// Commands in line.
const COMMANDS: usize = 256;

/// Where snapshots are read and changes are asked for.
pub struct Registry {
    snapshot: ArcSwap<Snapshot>,
    commands: mpsc::Sender<Command>,
    provider: watch::Receiver<provider::View>,
    /// Counts snapshots, for those who wait for one.
    published: watch::Sender<u64>,
}

/// What the registry follows.
pub struct Inputs {
    /// The first configuration.
    pub config: Arc<Config>,
    /// The provider's view.
    pub provider: watch::Receiver<provider::View>,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
}

enum Command {
    Configure(Arc<Config>, oneshot::Sender<u64>),
    Adopt(String, oneshot::Sender<Option<Arc<Function>>>),
}

impl Registry {
    /// Compiles the first snapshot and returns the writer, to be run by a background service.
    pub fn new(inputs: Inputs) -> (Arc<Self>, Writer) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (wanted, wanted_receiver) = watch::channel(BTreeSet::new());
        let (resolver, resolved) = Resolver::new(wanted_receiver);
        let mut workshop = Workshop::new(inputs.metrics);
        let view = View {
            generation: 1,
            config: inputs.config,
            provider: inputs.provider.borrow().clone(),
            resolved: Resolved::default(),
            adopted: BTreeSet::new(),
        };
        let registry = Arc::new(Self {
            snapshot: ArcSwap::from_pointee(workshop.compile(&view)),
            commands,
            provider: inputs.provider.clone(),
            published: watch::Sender::new(0),
        });
        let writer = Writer {
            registry: Arc::clone(&registry),
            commands: receiver,
            provider: inputs.provider,
            resolver,
            sources: Sources {
                workshop,
                view,
                wanted,
                resolved,
                adopting: HashMap::new(),
            },
        };
        (registry, writer)
    }

    /// The newest snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a configuration into effect and returns its generation; `None` once the gateway ends.
    pub async fn configure(&self, config: Arc<Config>) -> Option<u64> {
        let (done, reply) = oneshot::channel();
        self.commands
            .send(Command::Configure(config, done))
            .await
            .ok()?;
        reply.await.ok()
    }

    /// Waits until the snapshot shows what the provider shows, at most `limit`: after a deployment, so
    /// that its caller can call the function.
    pub async fn caught_up(&self, limit: Duration) {
        let shows = |snapshot: &Snapshot| Arc::ptr_eq(&snapshot.provided, &self.provider.borrow());
        let _ = tokio::time::timeout(limit, self.until(shows)).await;
    }

    /// The same for one function: others may change all the time.
    pub async fn caught_up_with(&self, function: &FunctionName, limit: Duration) {
        let shows = |snapshot: &Snapshot| {
            let (shown, seen) = (snapshot.provided.get(function), self.provider.borrow());
            match (shown, seen.get(function)) {
                (Some(shown), Some(seen)) => Arc::ptr_eq(shown, seen),
                (shown, seen) => shown.is_none() && seen.is_none(),
            }
        };
        let _ = tokio::time::timeout(limit, self.until(shows)).await;
    }

    /// Waits for a snapshot. The caller bounds the wait.
    pub async fn until(&self, shows: impl Fn(&Snapshot) -> bool) {
        let mut published = self.published.subscribe();
        // The sender lives as long as the registry.
        let _ = published.wait_for(|_| shows(&self.snapshot.load())).await;
    }

    /// Changes with each snapshot.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Asks for a function nobody has listed, to be called at its own address. `None` if its host
    /// does not resolve within `limit`, or too many have been asked for.
    pub async fn adopt(&self, name: &str, limit: Duration) -> Option<Arc<Function>> {
        let (done, reply) = oneshot::channel();
        self.commands
            .try_send(Command::Adopt(name.to_owned(), done))
            .ok()?;
        tokio::time::timeout(limit, reply).await.ok()?.ok()?
    }
}

/// The background task behind a [`Registry`].
pub struct Writer {
    registry: Arc<Registry>,
    commands: mpsc::Receiver<Command>,
    provider: watch::Receiver<provider::View>,
    resolver: Resolver,
    sources: Sources,
}

struct Sources {
    workshop: Workshop,
    view: View,
    wanted: watch::Sender<BTreeSet<String>>,
    resolved: watch::Receiver<Resolved>,
    adopting: HashMap<String, Vec<oneshot::Sender<Option<Arc<Function>>>>>,
}

impl Writer {
    /// Follows the inputs for as long as the gateway lives.
    pub async fn run(self) {
        let Self {
            registry,
            mut commands,
            mut provider,
            resolver,
            mut sources,
        } = self;
        sources.want_hosts();
        let resolving = resolver.run();
        let writing = async {
            loop {
                tokio::select! {
                    command = commands.recv() => match command {
                        Some(command) => sources.obey(&registry, command),
                        None => return,
                    },
                    Ok(()) = provider.changed() => {
                        sources.view.provider = provider.borrow_and_update().clone();
                        sources.publish(&registry);
                    }
                    Ok(()) = sources.resolved.changed() => {
                        sources.view.resolved = sources.resolved.borrow_and_update().clone();
                        sources.publish(&registry);
                        sources.answer_adopters(&registry);
                    }
                    else => return,
                }
            }
        };
        tokio::select! {
            () = resolving => {}
            () = writing => {}
        }
    }
}

impl Sources {
    fn obey(&mut self, registry: &Registry, command: Command) {
        match command {
            Command::Configure(config, done) => {
                self.view.generation += 1;
                self.view.config = config;
                self.publish(registry);
                // Nobody waits any more: the configuration is in effect all the same.
                let _ = done.send(self.view.generation);
            }
            Command::Adopt(name, done) => {
                if self.view.adopted.len() < MAX_ADOPTED || self.view.adopted.contains(&name) {
                    self.view.adopted.insert(name.clone());
                    self.adopting.entry(name).or_default().push(done);
                    self.publish(registry);
                    self.answer_adopters(registry);
                }
            }
        }
    }

    fn publish(&mut self, registry: &Registry) {
        let snapshot = Arc::new(self.workshop.compile(&self.view));
        registry.snapshot.store(snapshot);
        registry.published.send_modify(|count| *count += 1);
        self.workshop.wake_lines();
        self.want_hosts();
    }

    fn want_hosts(&self) {
        let hosts = self.view.hosts();
        self.wanted.send_if_modified(|wanted| {
            let modified = *wanted != hosts;
            *wanted = hosts;
            modified
        });
    }

    /// Answers those whose host is known by now, good or bad. A host without an address is not kept.
    fn answer_adopters(&mut self, registry: &Registry) {
        let Provider::Remote(remote) = &self.view.config.provider else {
            self.adopting.clear();
            return;
        };
        let Some(direct) = &remote.direct else {
            self.adopting.clear();
            return;
        };
        let snapshot = registry.current();
        let mut failed = Vec::new();
        self.adopting.retain(|name, waiting| {
            let host = direct_host(direct, &remote.namespace, name);
            let function = match self.view.resolved.get(&host) {
                None if super::resolver::literal(&host).is_none() => return true,
                Some(Resolution::Failed(_)) => {
                    failed.push(name.clone());
                    None
                }
                _ => snapshot.function(name).cloned(),
            };
            for done in waiting.drain(..) {
                // The caller may have gone.
                let _ = done.send(function.clone());
            }
            false
        });
        for name in &failed {
            self.view.adopted.remove(name);
        }
        if !failed.is_empty() {
            self.want_hosts();
        }
    }
}
