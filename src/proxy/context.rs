//! What is remembered of a call between the phases of the proxy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pingora::http::RequestHeader;

use crate::error::Failure;
use crate::functions::{Function, Lease, Live, Snapshot};
use crate::gateway::Gateway;
use crate::provider::Replica;

use super::headers::CallIdentity;

/// One request, from its head to its log line.
pub struct Call {
    /// The configuration it began with.
    pub snapshot: Arc<Snapshot>,
    /// When its head had been read.
    pub started: Instant,
    /// The same, as the clock on the wall shows it.
    pub time: SystemTime,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Where it goes.
    pub target: Target,
    /// Its id and start time; only calls of functions have one.
    pub identity: Option<CallIdentity>,
    /// The place it holds on a replica.
    pub lease: Option<Lease>,
    /// Time spent in line.
    pub waited: Duration,
    /// Whether it waited for a function that had no replica.
    pub cold: bool,
    /// Whether it is to be made later.
    pub queued: bool,
    /// Replicas tried so far.
    pub tries: u32,
    /// The replica that refused the last try.
    pub refused: Option<Arc<Replica>>,
    /// Why the gateway answers itself, or why the call broke off.
    pub failure: Option<Failure>,
    /// Whether silence is measured by `timeouts.idle` instead of `timeouts.upstream`.
    pub stream: bool,
    counted: Option<Counted>,
    in_flight: InFlight,
}

/// Where a call goes.
pub enum Target {
    /// Not decided, or answered by the gateway itself.
    Own,
    /// A function that is not there.
    Missing {
        /// The name it was called by.
        name: Box<str>,
    },
    /// A function.
    Function {
        /// Which.
        function: Arc<Function>,
        /// Where in the path begins what the function sees.
        rest: usize,
        /// Put in front of the whole path for a provider that expects `/function/NAME`.
        prefix: Option<Box<str>>,
    },
}

impl Call {
    /// A call that has just begun.
    pub fn new(gateway: &Arc<Gateway>) -> Self {
        Self {
            snapshot: gateway.registry.current(),
            started: Instant::now(),
            time: SystemTime::now(),
            client: None,
            target: Target::Own,
            identity: None,
            lease: None,
            waited: Duration::ZERO,
            cold: false,
            queued: false,
            tries: 0,
            refused: None,
            failure: None,
            stream: false,
            counted: None,
            in_flight: InFlight::new(Arc::clone(gateway)),
        }
    }

    /// Names the call, by the client's own id if it sent one.
    pub fn identify(&mut self, request: &RequestHeader) {
        self.identity = Some(CallIdentity::of(&request.headers, self.time));
    }

    /// The gateway that serves it.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.in_flight.0
    }

    /// The function it goes to.
    pub fn function(&self) -> Option<&Arc<Function>> {
        match &self.target {
            Target::Own | Target::Missing { .. } => None,
            Target::Function { function, .. } => Some(function),
        }
    }

    /// The function's name for messages.
    pub fn function_name(&self) -> &str {
        match &self.target {
            Target::Function { function, .. } => &function.key,
            Target::Missing { name } => name,
            Target::Own => "",
        }
    }

    /// The call's id for messages.
    pub fn call_id(&self) -> Option<&str> {
        self.identity.as_ref()?.id.to_str().ok()
    }

    /// Counts the call as one of `live` from here on.
    pub fn count_on(&mut self, live: &Arc<Live>) {
        live.metrics.begin();
        self.counted = Some(Counted(Arc::clone(live)));
    }

    /// Where the call is counted.
    pub fn counted_on(&self) -> Option<&Arc<Live>> {
        self.counted.as_ref().map(|counted| &counted.0)
    }
}

/// Keeps a call in its function's in-flight gauge. A guard, as a panic skips the logging phase.
struct Counted(Arc<Live>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.end();
    }
}

/// Keeps a call in the drain's count.
struct InFlight(Arc<Gateway>);

impl InFlight {
    fn new(gateway: Arc<Gateway>) -> Self {
        gateway.drain.enter();
        Self(gateway)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.drain.leave();
    }
}
