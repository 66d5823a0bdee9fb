//! Who owns functions: the process provider of this machine, or a remote faas-provider.
//!
//! A provider publishes what it sees of its functions as a [`View`] on a watch channel. The table
//! of live functions follows that channel; nothing flows the other way but calls.

pub mod process;
pub mod remote;
mod replica;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use replica::{Address, Hold, Replica};

use crate::function::FunctionName;

/// Every function a provider knows, as last seen.
pub type View = Arc<BTreeMap<FunctionName, FunctionView>>;

/// One function as its provider sees it.
#[derive(Clone, Debug)]
pub struct FunctionView {
    /// Running copies that may be called now; none while the function starts or has failed.
    pub replicas: Vec<Arc<Replica>>,
    /// Copies asked for.
    pub desired: u64,
    /// Copies ready to be called. For a remote provider this is what it reports, as its replicas
    /// are not addressed one by one.
    pub available: u64,
    /// Calls one replica may have in flight, where the provider limits them.
    pub concurrency: Option<usize>,
    /// Why the function cannot be called now, in words for its owner.
    pub problem: Option<Arc<str>>,
}
