//! Gateways with a queue of each kind, so that every test of it is written once.

use std::ops::{Deref, DerefMut};

use super::{Gateway, Nats, eventually};

/// Kinds of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the state directory.
    Embedded,
    /// On NATS JetStream.
    Jetstream,
}

/// A gateway and where its calls are kept.
#[derive(Debug)]
pub struct Queued {
    gateway: Gateway,
    nats: Option<Nats>,
}

impl Kind {
    /// A gateway whose `queue` has these settings, and with the rest of a configuration.
    #[track_caller]
    pub fn gateway(self, settings: &str, rest: &str) -> Queued {
        let nats = (self == Self::Jetstream).then(Nats::start);
        let gateway = Gateway::start(&yaml(nats.as_ref(), settings, rest));
        let queued = Queued { gateway, nats };
        queued.wait_until_open();
        queued
    }
}

impl Queued {
    /// Rewrites the configuration and waits until it is in force.
    #[track_caller]
    pub fn edit_queue(&self, settings: &str, rest: &str) {
        let text = yaml(self.nats.as_ref(), settings, rest);
        self.gateway.edit_and_wait(&text);
    }

    /// Starts the gateway again, after it has ended, and waits until it takes calls.
    #[track_caller]
    pub fn restart(&mut self) {
        self.gateway.restart();
        self.wait_until_open();
    }

    /// The NATS server that keeps the calls.
    #[track_caller]
    pub fn nats(&mut self) -> &mut Nats {
        self.nats.as_mut().expect("the queue is on JetStream")
    }

    /// Waits until calls are taken.
    #[track_caller]
    pub fn wait_until_open(&self) {
        eventually("the queue is open", || {
            let listed = self.admin("GET", "/system/async?limit=1", "");
            listed.status == 200 && listed.json()["queue"]["problem"].is_null()
        });
    }
}

impl Deref for Queued {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl DerefMut for Queued {
    fn deref_mut(&mut self) -> &mut Gateway {
        &mut self.gateway
    }
}

fn yaml(nats: Option<&Nats>, settings: &str, rest: &str) -> String {
    let kind = match nats {
        None => "kind: embedded".to_owned(),
        Some(nats) => format!("kind: jetstream, jetstream: {{ url: {:?} }}", nats.url()),
    };
    format!("queue: {{ {kind}, {settings} }}\n{rest}")
}

/// Makes tests out of functions that take a [`Kind`]: each runs on a queue of each kind.
macro_rules! on_each_queue {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[test]
            fn $test() {
                super::$test($crate::harness::Kind::Embedded);
            })+
        }
        $crate::harness::on_jetstream! { $($test),+ }
    };
}

/// The same for what is so on JetStream only.
macro_rules! on_jetstream {
    ($($test:ident),+ $(,)?) => {
        mod jetstream {
            $(#[test]
            fn $test() {
                super::$test($crate::harness::Kind::Jetstream);
            })+
        }
    };
}

pub(crate) use {on_each_queue, on_jetstream};
