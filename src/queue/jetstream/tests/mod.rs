//! What the queue on NATS JetStream promises, with a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cancel;
mod figures;
mod known;
mod server;
mod share;
mod steps;
mod submit;
mod trouble;

use serde_json::Value;

use super::super::{CallId, IdempotencyKey, Submission, Wanted};
use server::{Peer, call};

fn id(text: &str) -> CallId {
    CallId::parse(text).unwrap()
}

fn chosen(text: &str) -> Submission {
    Submission {
        call_id: text.into(),
        chosen: true,
        ..call("echo", "chosen")
    }
}

fn keyed(key: &str, body: &str) -> Submission {
    let mut fingerprint = [0; 32];
    fingerprint[..body.len()].copy_from_slice(body.as_bytes());
    let key = Some(IdempotencyKey {
        key: key.into(),
        fingerprint,
    });
    Submission {
        key,
        ..call("echo", body)
    }
}

fn with_callback(body: &str) -> Submission {
    let mut submission = call("echo", body);
    submission.invocation.callback = Some("http://example.org/back".parse().unwrap());
    submission
}

/// How many messages wait on the server.
async fn messages(peer: &Peer) -> u64 {
    let nats = peer.link.nats().unwrap();
    let info: Value = nats.api("STREAM.INFO.calls", &()).await.unwrap();
    info["state"]["messages"].as_u64().unwrap()
}

fn all() -> Wanted {
    Wanted {
        limit: 100,
        ..Wanted::default()
    }
}
