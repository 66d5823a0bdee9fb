//! Posts what came of a call to the URL that its caller named (wire.md section 6.3).
//!
//! Every post has a connection of its own. A kept one would lead to an address that was judged
//! earlier, by a configuration or an answer of DNS that may be gone, and beside a queued call one more
//! handshake costs nothing.

mod connector;
mod error;
mod guard;
mod request;
mod target;

use std::error::Error;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

pub use error::PostError;

use connector::Connector;
use request::request;
use target::Target;

use super::retry_after::retry_after;
use crate::config::Callbacks;
use crate::outbound::Tls;
use crate::queue::{Outcome, Record};
use crate::signature::Signer;

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 32 << 10;
/// How much of an answer's body is read, in bytes, so that a receiver is not cut off while it says
/// thank you.
const MAX_BODY: usize = 8 << 10;

/// Posts results; one for all of them.
#[derive(Default)]
pub struct Poster {
    tls: Tls,
}

/// What the receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Its status. A redirection is not followed.
    pub status: StatusCode,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Poster {
    /// Posts to `url` what came of the call, and signs it. Takes as long as the settings say, at most.
    pub async fn post(
        &self,
        settings: &Callbacks,
        signer: Option<&Signer>,
        url: &Uri,
        record: &Record,
        outcome: &Outcome,
    ) -> Result<Posted, PostError> {
        let target = Target::of(url)?;
        let request = request(&target, signer, record, outcome, SystemTime::now());
        let mut posted = None;
        let exchange = async {
            let stream = self.connect(settings, target).await?;
            exchange(stream, request, &mut posted).await
        };
        let ended = timeout(settings.timeout, exchange).await;
        // Once it has answered, it does not matter how long it goes on.
        match (posted, ended) {
            (Some(posted), _) => Ok(posted),
            (None, Ok(Err(error))) => Err(error),
            (None, _) => Err(PostError::Timeout(settings.timeout)),
        }
    }

    async fn connect(&self, settings: &Callbacks, target: Target) -> Result<Stream, PostError> {
        let connector = Connector::new(settings, target.clone());
        if !target.secure {
            return Ok(MaybeHttpsStream::Http(connector.connect().await?));
        }
        // Ours is always ready, and so is this one then.
        let mut connector = HttpsConnector::from((connector, self.tls.client().await?));
        let stream = connector.call(target.url.clone()).await;
        stream.map_err(|error| match error.downcast() {
            Ok(error) => *error,
            Err(error) => PostError::Tls {
                host: target.host,
                why: error.to_string(),
            },
        })
    }
}

/// Sends the request and notes in `posted` what was answered, as soon as it was. The connection lives
/// no longer than this.
async fn exchange(
    stream: Stream,
    request: Request<Full<Bytes>>,
    posted: &mut Option<Posted>,
) -> Result<(), PostError> {
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(stream);
    let (mut sender, connection) = handshake.await.map_err(broken)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        *posted = Some(Posted::of(&answer));
        // Nobody asks what it says.
        let _ = Limited::new(answer.into_body(), MAX_BODY).collect().await;
        Ok(())
    };
    let mut talk = pin!(talk);
    tokio::select! {
        biased;
        done = &mut talk => done,
        // It has ended, and so will the talk, which knows why.
        _ = connection => talk.await,
    }
}

impl Posted {
    fn of<T>(answer: &Response<T>) -> Self {
        Self {
            status: answer.status(),
            retry_after: retry_after(answer.headers(), SystemTime::now()),
        }
    }
}

fn broken(error: hyper::Error) -> PostError {
    PostError::Broken(match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
