//! Which function a call is for.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use pingora_proxy::Session;

use super::Proxy;
use super::context::{Call, Target};
use super::upstream::limit;
use crate::error::Failure;
use crate::function::FunctionName;
use crate::functions::{Function, PathRule};

impl Proxy {
    /// The function of a name; a call to a name nobody knows is counted without it.
    pub(super) async fn find(&self, call: &mut Call, name: &str) -> Result<Arc<Function>, Failure> {
        if let Some(function) = call.snapshot.function(name) {
            return Ok(Arc::clone(function));
        }
        if let Some(fallback) = &call.snapshot.fallback {
            if !call.snapshot.direct() {
                return Ok(Arc::clone(fallback));
            }
            let bound = limit(fallback.timeouts.upstream).unwrap_or(Duration::from_secs(10));
            if let Some(function) = self.gateway.registry.adopt(name, bound).await {
                return Ok(function);
            }
        }
        call.count_on(&Arc::clone(&call.snapshot.unknown));
        call.target = Target::Missing { name: name.into() };
        // A name that is called directly is a host name: what is missing is its address.
        Err(match call.snapshot.fallback {
            Some(_) => Failure::ConnectFailed,
            None => Failure::NoFunction,
        })
    }

    /// The function of a name, which has to be there: a call that is made later is not found missing
    /// by its caller any more.
    pub(super) async fn find_known(
        &self,
        call: &mut Call,
        name: &str,
    ) -> Result<Arc<Function>, Failure> {
        if let Some(function) = call.snapshot.function(name) {
            return Ok(Arc::clone(function));
        }
        call.target = Target::Missing { name: name.into() };
        let namespace = call.snapshot.config.default_namespace();
        let name = FunctionName::parse(name, namespace).map_err(|_| Failure::NoFunction)?;
        let found = self.gateway.find(&call.snapshot, &name).await;
        found.ok_or(Failure::NoFunction)
    }
}

/// The function of the first own host and path rule that fits, and what is put in front of its path.
pub fn own_route(
    session: &Session,
    call: &Call,
    path: &str,
) -> Option<(Arc<Function>, Option<Box<str>>)> {
    if call.snapshot.routes.is_empty() {
        return None;
    }
    let request = session.req_header();
    let host = request
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri.host())
        .unwrap_or_default();
    let (_, rule) = call.snapshot.rule(host, path)?;
    let function = rule.function.clone()?;
    let prefix = match function.path {
        PathRule::Trimmed => None,
        PathRule::Whole => Some(format!("/function/{}", function.key).into()),
    };
    Some((function, prefix))
}
