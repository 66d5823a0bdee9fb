//! From a lease to Pingora's peer and the path it sees, and from Pingora's errors to failures.

use std::sync::Arc;
use std::time::Duration;

use pingora::http::RequestHeader;
use pingora::prelude::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::context::Call;
use super::upgrade::UpgradeConnector;
use crate::config::Timeouts;
use crate::error::Failure;
use crate::provider::{Address, Replica};

/// Longest connect where `timeouts.upstream` sets no limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection to a function is kept. Below the 60 s most servers keep theirs,
/// so that it is mostly the gateway who closes first.
const KEEP_IDLE: Duration = Duration::from_secs(50);
/// The pool of connections that are to be upgraded; all others are in pool 0.
const UPGRADES: u64 = 1;
/// Tries in all, the first included, before a refused connection is the caller's answer.
const MAX_TRIES: u32 = 4;

/// The peer of a replica, with the limits of the call. An upgraded connection is never shared.
pub fn peer(
    replica: &Replica,
    timeouts: Timeouts,
    silence: Option<Duration>,
    upgrade: bool,
) -> Result<Box<HttpPeer>> {
    let mut peer = match replica.address() {
        Address::Tcp(address) => HttpPeer::new(address, false, String::new()),
        Address::Unix(path) => {
            let path = path.to_str().ok_or_else(|| {
                Error::explain(ErrorType::SocketError, "socket path is not UTF-8")
            })?;
            HttpPeer::new_uds(path, false, String::new())?
        }
    };
    let connect = limit(timeouts.upstream).unwrap_or(CONNECT_TIMEOUT);
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect);
    peer.options.read_timeout = silence;
    peer.options.write_timeout = silence;
    peer.options.idle_timeout = Some(KEEP_IDLE);
    if upgrade {
        peer.options.custom_l4 = Some(Arc::new(UpgradeConnector { limit: connect }));
        // A pool of its own, so that it is this connector that connects.
        peer.group_key = UPGRADES;
    }
    Ok(Box::new(peer))
}

/// The path the replica sees: base, prefix, and the caller's path from `rest` on, byte for byte.
pub fn rewrite_path(
    request: &mut RequestHeader,
    base: &str,
    prefix: Option<&str>,
    rest: usize,
) -> Result<()> {
    let raw = request.raw_path();
    let tail = raw.get(rest..).unwrap_or_default();
    if base.is_empty() && prefix.is_none() && rest == 0 {
        return Ok(());
    }
    let mut path = Vec::with_capacity(base.len() + prefix.map_or(0, str::len) + tail.len() + 1);
    path.extend_from_slice(base.as_bytes());
    path.extend_from_slice(prefix.unwrap_or_default().as_bytes());
    if path.is_empty() && tail.first() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(tail);
    request.set_raw_path(&path)
}

/// A duration as a limit: zero is none.
pub fn limit(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// Whether a call whose connection was refused may try again: nothing was sent yet, so any method
/// may, as long as there is hope for another outcome.
pub fn may_reconnect(call: &Call, error: &Error) -> bool {
    // A connect that took all its time has used the call's budget up.
    call.tries < MAX_TRIES && !matches!(error.etype(), ErrorType::ConnectTimedout)
}

/// Whether a call may be sent again after its connection broke: it was a kept one that had gone
/// stale, nothing came back, and all that was sent can be sent again.
pub fn may_resend(error: &Error, reused: bool, body_lost: bool, answered: bool) -> bool {
    let nothing_came_back = match error.etype() {
        ErrorType::ConnectionClosed | ErrorType::ReadError => error
            .context
            .as_ref()
            .is_some_and(|context| context.as_str().ends_with("bytes already read: 0")),
        ErrorType::WriteError => true,
        _ => false,
    };
    reused
        && !body_lost
        && !answered
        && nothing_came_back
        && *error.esource() == ErrorSource::Upstream
}

/// What an error of Pingora means for the caller.
pub fn failure(call: &Call, error: &Error) -> Failure {
    if let Some(known) = &call.failure {
        return known.clone();
    }
    let timeouts = call
        .function()
        .map_or(call.snapshot.config.timeouts, |function| function.timeouts);
    match error.esource() {
        ErrorSource::Downstream => match error.etype() {
            ErrorType::ReadTimedout => Failure::ReadTimeout(timeouts.read),
            ErrorType::WriteTimedout => Failure::WriteTimeout(timeouts.write),
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
                Failure::ClientGone
            }
            ErrorType::ConnectError => Failure::BadRequest("data after the end of the request"),
            _ => Failure::BadRequest("the request is not valid HTTP"),
        },
        ErrorSource::Upstream => match error.etype() {
            ErrorType::ConnectTimedout => {
                Failure::ConnectTimeout(limit(timeouts.upstream).unwrap_or(CONNECT_TIMEOUT))
            }
            ErrorType::ReadTimedout | ErrorType::WriteTimedout if call.stream => {
                Failure::IdleTimeout(timeouts.idle)
            }
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
                Failure::UpstreamTimeout(timeouts.upstream)
            }
            ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::SocketError
            | ErrorType::BindError => Failure::ConnectFailed,
            _ => Failure::UpstreamFailed,
        },
        ErrorSource::Internal | ErrorSource::Unset => Failure::Internal,
    }
}
