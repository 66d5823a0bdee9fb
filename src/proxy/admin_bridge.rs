//! The API and the portal behind the proxy: the admin router is called in-process, without a
//! second connection or a second parser.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::body::HttpBody;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, Version, header};
use http_body_util::BodyExt;
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};
use pingora_proxy::Session;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::body::{self, Unanswered};
use super::context::Call;
use crate::admin::{Client, MAX_BODY};
use crate::error::Failure;
use crate::gateway::Drain;

/// API requests at once, long-lived streams included: the API never starves the functions.
const AT_ONCE: usize = 256;
/// Headers that concern one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 4] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// The admin router behind the proxy.
pub struct AdminBridge {
    router: Router,
    places: Arc<Semaphore>,
}

impl AdminBridge {
    /// Bridges to `router`.
    pub fn new(router: Router) -> Self {
        Self {
            router,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Answers a request from the router. `Err(failure)` asks the caller to answer it instead.
    pub async fn answer(&self, session: &mut Session, call: &Call) -> Result<(), Unanswered> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Unanswered::Failure(Failure::LineFull(AT_ONCE)));
        };
        let body = body::read(session, MAX_BODY, call.snapshot.config.timeouts.read).await?;
        let request = request(session, call, body)?;
        let response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(impossible) => {
                let impossible: Infallible = impossible;
                match impossible {}
            }
        };
        let written = write(session, response, &call.gateway().drain).await;
        written.map_err(Unanswered::Broken)
    }
}

fn request(session: &Session, call: &Call, body: Bytes) -> Result<Request<Body>, Unanswered> {
    let head = session.req_header();
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    request
        .extensions_mut()
        .insert(ConnectInfo(Client(call.client)));
    Ok(request)
}

async fn write(session: &mut Session, response: Response<Body>, drain: &Drain) -> Result<()> {
    let (parts, mut body) = response.into_parts();
    let length = body.size_hint().exact();
    let mut head = ResponseHeader::from(parts);
    for name in &HOP_BY_HOP {
        head.remove_header(name);
    }
    match length {
        Some(length) => head.insert_header(header::CONTENT_LENGTH, length)?,
        None if session.req_header().version == Version::HTTP_11 => {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        None => {}
    }
    let bodiless = length == Some(0) || session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(head), bodiless)
        .await?;
    if bodiless {
        return Ok(());
    }
    loop {
        // A stream ends with its client, not only at the next event it has no taker for; and with the
        // gateway, which would wait for it in vain.
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = drain.begun(), if length.is_none() => None,
            gone = session.as_downstream_mut().read_body_or_idle(true) => {
                gone?;
                return Ok(());
            }
        };
        match frame {
            Some(frame) => {
                let frame = frame.or_err(ErrorType::InternalError, "reading the router's body")?;
                if let Ok(data) = frame.into_data() {
                    session.write_response_body(Some(data), false).await?;
                }
            }
            None => return session.write_response_body(None, true).await,
        }
    }
}
