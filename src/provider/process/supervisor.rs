//! Makes what runs equal to what is declared.
//!
//! One task owns the whole table: it wakes when the declaration or the condition of a copy has
//! changed, looks at everything, and acts on the difference; so nothing depends on the order of
//! events, and none can be lost. Each copy is a [`Slot`].
//!
//! A changed command is a new *revision*. It starts beside the old one, which serves on until the
//! new one is ready; if that never happens, it serves on for good. A changed number of replicas
//! only adds or withdraws slots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::slot::{Belongings, Condition, Host, Slot};
use super::{Declaration, Desired, Published, Status};
use crate::config::{Mode, Process};
use crate::function::FunctionName;
use crate::provider::{FunctionView, same};

/// The table of what runs.
pub(super) struct Supervisor {
    functions: BTreeMap<FunctionName, Function>,
    crew: Crew,
    published: Arc<Published>,
}

struct Function {
    desired: Arc<Desired>,
    belongings: Belongings,
    /// What was published of it last.
    shown: Option<Shown>,
    current: Revision,
    /// Starts beside the current one, to take its place.
    next: Option<Revision>,
}

/// A function as the world sees it.
#[derive(Clone)]
struct Shown {
    view: Arc<FunctionView>,
    status: Arc<Status>,
}

/// One command of a function, and the copies that run it.
struct Revision {
    /// As declared, but for the number of replicas, which makes no revision.
    process: Arc<Process>,
    slots: Vec<Slot>,
}

/// Starts and withdraws copies, and owns their tasks.
struct Crew {
    host: Arc<Host>,
    tasks: JoinSet<()>,
    /// Copies started so far, to number them.
    started: u64,
    /// Dropped only after the view without them is published, so that no call is sent to a copy
    /// which takes none any more.
    withdrawn: Vec<Slot>,
}

impl Supervisor {
    /// An empty table.
    pub fn new(host: Arc<Host>, published: Arc<Published>) -> Self {
        let crew = Crew {
            host,
            tasks: JoinSet::new(),
            started: 0,
            withdrawn: Vec::new(),
        };
        Self {
            functions: BTreeMap::new(),
            crew,
            published,
        }
    }

    /// Works until `stop`, then ends every process and returns when none is left.
    pub async fn run(
        mut self,
        mut declared: watch::Receiver<Declaration>,
        stop: impl Future<Output = ()>,
    ) {
        let host = Arc::clone(&self.crew.host);
        let mut stop = std::pin::pin!(stop);
        declared.mark_changed();
        loop {
            tokio::select! {
                () = stop.as_mut() => break,
                Ok(()) = declared.changed() => {
                    let declaration = Arc::clone(&declared.borrow_and_update());
                    self.declare(&declaration);
                }
                () = host.changed.notified() => {}
                Some(_) = self.crew.tasks.join_next() => continue,
            }
            self.promote();
            self.publish();
        }
        host.stop.send_replace(true);
        self.declare(&BTreeMap::new());
        self.publish();
        // Each task bounds its own end.
        while self.crew.tasks.join_next().await.is_some() {}
    }

    fn declare(&mut self, declaration: &BTreeMap<FunctionName, Arc<Desired>>) {
        let crew = &mut self.crew;
        self.functions.retain(|name, function| {
            let stays = declaration.contains_key(name);
            if !stays {
                function.belongings.logs.close();
                crew.withdraw(&mut function.current);
                crew.replace_next(function, None);
            }
            stays
        });
        for (name, desired) in declaration {
            match self.functions.get_mut(name) {
                None => {
                    let function = crew.add(name, desired);
                    self.functions.insert(name.clone(), function);
                }
                // Mostly it is the very same one.
                Some(function) if Arc::ptr_eq(&function.desired, desired) => {}
                Some(function) if function.desired == *desired => {}
                Some(function) => crew.change(name, function, desired),
            }
        }
    }

    /// Lets new revisions that can do the work take the place of the old ones.
    fn promote(&mut self) {
        for function in self.functions.values_mut() {
            let old_works = function.current.slots.iter().any(Slot::is_ready);
            let ready = |next: &mut Revision| {
                let ready = next.slots.iter().filter(|slot| slot.is_ready()).count();
                ready == next.slots.len() || (ready > 0 && !old_works)
            };
            if let Some(next) = function.next.take_if(ready) {
                function.shown = None;
                let mut old = std::mem::replace(&mut function.current, next);
                self.crew.withdraw(&mut old);
            }
        }
    }

    /// Shows how everything is now; what has not changed is looked at no further.
    fn publish(&mut self) {
        let (mut view, mut statuses) = (BTreeMap::new(), BTreeMap::new());
        for (name, function) in &mut self.functions {
            let Shown { view: seen, status } = function.show();
            view.insert(name.clone(), seen);
            statuses.insert(name.clone(), status);
        }
        self.published.statuses.send_replace(Arc::new(statuses));
        let view = Arc::new(view);
        self.published.view.send_if_modified(|shown| {
            let modified = !same(shown, &view);
            if modified {
                *shown = view;
            }
            modified
        });
        self.crew.withdrawn.clear();
    }
}

impl Crew {
    fn add(&mut self, name: &FunctionName, desired: &Arc<Desired>) -> Function {
        let belongings = Belongings::new(name);
        Function {
            shown: None,
            desired: Arc::clone(desired),
            current: self.revise(name, desired, &belongings),
            next: None,
            belongings,
        }
    }

    fn change(&mut self, name: &FunctionName, function: &mut Function, desired: &Arc<Desired>) {
        function.desired = Arc::clone(desired);
        function.shown = None;
        let belongings = function.belongings.clone();
        let process = &desired.process;
        self.resize(name, &mut function.current, process.replicas, &belongings);
        if function.current.runs(process) {
            self.replace_next(function, None);
        } else if let Some(next) = function.next.as_mut().filter(|next| next.runs(process)) {
            self.resize(name, next, process.replicas, &belongings);
        } else {
            let next = self.revise(name, desired, &belongings);
            self.replace_next(function, Some(next));
        }
    }

    fn revise(
        &mut self,
        name: &FunctionName,
        desired: &Desired,
        belongings: &Belongings,
    ) -> Revision {
        let mut revision = Revision {
            process: Arc::new(without_replicas(&desired.process)),
            slots: Vec::new(),
        };
        self.resize(name, &mut revision, desired.process.replicas, belongings);
        revision
    }

    /// Starts what is missing, withdraws what is too much, the youngest first.
    fn resize(
        &mut self,
        name: &FunctionName,
        revision: &mut Revision,
        replicas: u64,
        belongings: &Belongings,
    ) {
        let wanted = match revision.process.mode {
            Mode::Http => usize::try_from(replicas).unwrap_or(usize::MAX),
            // One watchdog forks for all of them.
            Mode::Classic | Mode::Streaming => usize::from(replicas > 0),
        };
        self.withdrawn
            .extend(revision.slots.drain(wanted.min(revision.slots.len())..));
        while revision.slots.len() < wanted {
            self.started += 1;
            let instance = format!("{}-{}", name.name(), self.started).into();
            let process = Arc::clone(&revision.process);
            let host = Arc::clone(&self.host);
            let (slot, task) = Slot::new(host, process, instance, belongings.clone());
            self.tasks.spawn(task);
            revision.slots.push(slot);
        }
    }

    fn replace_next(&mut self, function: &mut Function, next: Option<Revision>) {
        if let Some(mut old) = std::mem::replace(&mut function.next, next) {
            self.withdraw(&mut old);
        }
    }

    fn withdraw(&mut self, revision: &mut Revision) {
        self.withdrawn.append(&mut revision.slots);
    }
}

impl Revision {
    fn runs(&self, process: &Process) -> bool {
        *self.process == without_replicas(process)
    }

    fn conditions(&self) -> Vec<Condition> {
        self.slots.iter().map(Slot::condition).collect()
    }
}

impl Function {
    /// How it is now.
    fn show(&mut self) -> Shown {
        // The flag is lowered before its copies are looked at, so no change is missed.
        let changed = self.belongings.changed.swap(false, Ordering::AcqRel);
        match &self.shown {
            Some(shown) if !changed => shown.clone(),
            before => {
                let view = self.view();
                let before = before.as_ref().map(|shown| &shown.view);
                // A copy that starts is another status, and no other view: who calls sees nothing.
                let view = match before.filter(|before| before.alike(&view)) {
                    Some(before) => Arc::clone(before),
                    None => Arc::new(view),
                };
                let status = Arc::new(self.status());
                self.shown.insert(Shown { view, status }).clone()
            }
        }
    }

    fn view(&self) -> FunctionView {
        let conditions = self.current.conditions().into_iter();
        let replicas: Vec<_> = conditions
            .filter_map(|condition| condition.replica)
            .collect();
        let desired = self.desired.process.replicas;
        let counted = self.current.process.mode != Mode::Http;
        let available = match replicas.len() {
            1.. if counted => desired,
            ready => ready as u64,
        };
        FunctionView {
            replicas,
            desired,
            available,
            scaling: self.desired.scaling,
            retry: self.desired.retry,
            slots: if counted { desired.max(1) } else { 1 },
            updating: self.next.is_some(),
            problem: self.problem(|condition| !condition.mishap),
        }
    }

    fn status(&self) -> Status {
        let revisions = std::iter::once(&self.current).chain(&self.next);
        Status {
            replicas: revisions
                .flat_map(Revision::conditions)
                .map(|condition| condition.status)
                .collect(),
            problem: self.problem(|_| true),
            logs: Arc::clone(&self.belongings.logs),
            running: Arc::clone(&self.belongings.running),
        }
    }

    /// What is wrong with the first copy that counts.
    fn problem(&self, counts: impl Fn(&Condition) -> bool) -> Option<Arc<str>> {
        let of = |revision: &Revision| {
            let conditions = revision.conditions().into_iter();
            let mut counted = conditions.filter(&counts);
            counted.find_map(|condition| condition.status.problem)
        };
        let new = |problem| format!("the new revision does not start: {problem}").into();
        let next = self.next.as_ref().and_then(of).map(new);
        next.or_else(|| of(&self.current))
    }
}

fn without_replicas(process: &Process) -> Process {
    Process {
        replicas: 0,
        ..process.clone()
    }
}
