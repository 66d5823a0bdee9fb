//! Every failure of a call by its cause, and the ONE mapping from cause to what the caller sees.
//!
//! A caller gets a status, the header [`REASON_HEADER`] with a word for programs, and a JSON body
//! `{"error", "reason", "limit"?, "call_id"?}` with a sentence for people. What went wrong inside
//! (addresses, files) stays in the log.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use crate::duration::format_duration;

/// Carries [`Failure::reason`] on every response the gateway makes up itself for a failure.
pub const REASON_HEADER: &str = "X-Gateway-Error";

/// Why the gateway answers a call itself instead of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request itself is wrong; the text says what.
    BadRequest(&'static str),
    /// No such function.
    NoFunction,
    /// No such path.
    NoRoute,
    /// The path exists, the method does not fit it.
    MethodNotAllowed,
    /// The client took longer than this to send its request.
    ReadTimeout(Duration),
    /// The client took nothing of the response for so long.
    WriteTimeout(Duration),
    /// The function was silent for longer than this.
    UpstreamTimeout(Duration),
    /// An event stream or upgraded connection was silent for longer than this.
    IdleTimeout(Duration),
    /// No connection to the function within this time.
    ConnectTimeout(Duration),
    /// No connection to the function.
    ConnectFailed,
    /// The function broke the connection or answered something that is not HTTP.
    UpstreamFailed,
    /// The function cannot be called now; why is in its status, for its owner's eyes only.
    NotReady,
    /// The function did not become ready within this time.
    WaitTimeout(Duration),
    /// Too many calls wait for the function already.
    LineFull(usize),
    /// Asynchronous calls need a queue, and there is none.
    NoQueue,
    /// The request's body is longer than this, in bytes.
    TooLarge(usize),
    /// The client went away first.
    ClientGone,
    /// The gateway's own fault.
    Internal,
}

impl Failure {
    /// The status of the response. For [`Failure::ClientGone`] nobody sees it but the access log,
    /// which follows nginx in writing 499.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoFunction | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ReadTimeout(_) | Self::WriteTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::UpstreamTimeout(_)
            | Self::IdleTimeout(_)
            | Self::ConnectTimeout(_)
            | Self::WaitTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::ConnectFailed | Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::NotReady | Self::LineFull(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoQueue => StatusCode::NOT_IMPLEMENTED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// One word for programs, logs and metrics. Part of the interface: never renamed.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::NoFunction | Self::NoRoute => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ReadTimeout(_) => "read_timeout",
            Self::WriteTimeout(_) => "write_timeout",
            Self::UpstreamTimeout(_) => "upstream_timeout",
            Self::IdleTimeout(_) => "idle_timeout",
            Self::ConnectTimeout(_) => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamFailed => "upstream_failed",
            Self::NotReady => "not_ready",
            Self::WaitTimeout(_) => "wait_timeout",
            Self::LineFull(_) => "line_full",
            Self::NoQueue => "no_queue",
            Self::TooLarge(_) => "too_large",
            Self::ClientGone => "client_gone",
            Self::Internal => "internal",
        }
    }

    /// The limit that fired, if one did.
    pub fn limit(&self) -> Option<Duration> {
        match self {
            Self::ReadTimeout(limit)
            | Self::WriteTimeout(limit)
            | Self::UpstreamTimeout(limit)
            | Self::IdleTimeout(limit)
            | Self::ConnectTimeout(limit)
            | Self::WaitTimeout(limit) => Some(*limit),
            _ => None,
        }
    }

    /// Seconds after which another try makes sense (RFC 9110, section 10.2.3).
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NotReady | Self::LineFull(_) | Self::WaitTimeout(_) => Some(1),
            _ => None,
        }
    }

    /// A sentence for people. `function` is the function's name, where there is one.
    pub fn message(&self, function: &str) -> String {
        let limit = self.limit().map_or_else(String::new, format_duration);
        match self {
            Self::BadRequest(what) => (*what).to_owned(),
            Self::NoFunction => format!("there is no function {function}"),
            Self::NoRoute => "there is nothing at this path".to_owned(),
            Self::MethodNotAllowed => "this path does not take this method".to_owned(),
            Self::ReadTimeout(_) => {
                format!("the request did not arrive within {limit} (timeouts.read)")
            }
            Self::WriteTimeout(_) => {
                format!("the response was not taken for {limit} (timeouts.write)")
            }
            Self::UpstreamTimeout(_) => {
                format!("function {function} was silent for {limit} (timeouts.upstream)")
            }
            Self::IdleTimeout(_) => {
                format!("the stream of function {function} was silent for {limit} (timeouts.idle)")
            }
            Self::ConnectTimeout(_) => {
                format!("no connection to function {function} within {limit} (timeouts.upstream)")
            }
            Self::ConnectFailed => format!(
                "cannot connect to function {function}; GET /system/functions may say why"
            ),
            Self::UpstreamFailed => {
                format!("function {function} broke off before its response was complete")
            }
            Self::NotReady => format!(
                "function {function} cannot be called now; GET /system/functions says why"
            ),
            Self::WaitTimeout(_) => {
                format!("function {function} was not ready within {limit} (scale.wait.timeout)")
            }
            Self::LineFull(line) => format!(
                "{line} calls wait for function {function} already (scale.wait.line)"
            ),
            Self::NoQueue => {
                "asynchronous calls need a queue, and this version has none: call /function/ instead"
                    .to_owned()
            }
            Self::TooLarge(limit) => format!("the body is longer than {limit} bytes"),
            Self::ClientGone => "the client went away".to_owned(),
            Self::Internal => "the gateway failed; its log says why".to_owned(),
        }
    }

    /// The JSON body of the response.
    pub fn body(&self, function: &str, call_id: Option<&str>) -> Vec<u8> {
        let limit = self.limit().map(format_duration);
        error_body(
            &self.message(function),
            self.reason(),
            limit.as_deref(),
            call_id,
        )
    }
}

/// The JSON object every error of the gateway consists of.
pub fn error_body(
    error: &str,
    reason: &str,
    limit: Option<&str>,
    call_id: Option<&str>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        call_id: Option<&'a str>,
    }
    // Strings always serialize; an empty body would be the worst case.
    serde_json::to_vec(&Body {
        error,
        reason,
        limit,
        call_id,
    })
    .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_the_limit_and_the_call() {
        let failure = Failure::UpstreamTimeout(Duration::from_secs(8));
        let body: serde_json::Value =
            serde_json::from_slice(&failure.body("echo", Some("id-1"))).unwrap();
        assert_eq!(body["reason"], "upstream_timeout");
        assert_eq!(body["limit"], "8s");
        assert_eq!(body["call_id"], "id-1");
        assert!(body["error"].as_str().unwrap().contains("echo"));
    }
}
