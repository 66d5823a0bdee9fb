//! Every failure by its cause, and the ONE mapping from cause to what the caller sees: [`Failure`]
//! for calls of functions, [`Refusal`] for requests to the management API.
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
    /// The function is asleep, and requests of this kind do not wake it.
    Asleep,
    /// The function did not become ready within this time.
    WaitTimeout(Duration),
    /// Too many calls wait for the function already.
    LineFull(usize),
    /// So many asynchronous calls wait already.
    QueueFull(usize),
    /// There is no room to store an asynchronous call.
    StorageFull,
    /// What keeps asynchronous calls cannot be used now; why is in the log.
    QueueUnavailable,
    /// The `Idempotency-Key` was used for another call.
    KeyReused,
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
            Self::NotReady | Self::Asleep | Self::LineFull(_) | Self::QueueUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
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
            Self::Asleep => "asleep",
            Self::WaitTimeout(_) => "wait_timeout",
            Self::LineFull(_) => "line_full",
            Self::QueueFull(_) => "queue_full",
            Self::StorageFull => "storage_full",
            Self::QueueUnavailable => "queue_unavailable",
            Self::KeyReused => "idempotency_key_reused",
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
            Self::NotReady
            | Self::Asleep
            | Self::LineFull(_)
            | Self::WaitTimeout(_)
            | Self::QueueFull(_)
            | Self::QueueUnavailable => Some(1),
            Self::StorageFull => Some(30),
            _ => None,
        }
    }

    /// The method that the path takes instead (RFC 9110, section 15.5.6).
    pub fn allow(&self) -> Option<&'static str> {
        // Only the path of asynchronous calls is asked by its method here.
        matches!(self, Self::MethodNotAllowed).then_some("POST")
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
            Self::ConnectFailed => {
                format!("cannot connect to function {function}; GET /system/functions may say why")
            }
            Self::UpstreamFailed => {
                format!("function {function} broke off before its response was complete")
            }
            Self::NotReady => {
                format!("function {function} cannot be called now; GET /system/functions says why")
            }
            Self::Asleep => format!(
                "function {function} is asleep, and neither OPTIONS nor a health check wakes it"
            ),
            Self::WaitTimeout(_) => {
                format!("function {function} was not ready within {limit} (scale.wait.timeout)")
            }
            Self::LineFull(line) => {
                format!("{line} calls wait for function {function} already (scale.wait.line)")
            }
            Self::QueueFull(calls) => {
                format!("{calls} asynchronous calls wait already (queue.max_calls)")
            }
            Self::StorageFull => {
                "there is no room to store the call; it was not accepted".to_owned()
            }
            Self::QueueUnavailable => {
                "the queue cannot be used now; post the call again, with an Idempotency-Key if it must \
                 not run twice"
                    .to_owned()
            }
            Self::KeyReused => {
                "this Idempotency-Key was used for a call with another path, query or body"
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

/// Why a request to the management API is refused, with a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal it is.
    pub cause: Cause,
    message: String,
}

/// The kinds of [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The request itself is wrong.
    BadRequest,
    /// A page of another site sent it.
    CrossOrigin,
    /// It was sent to a name that anybody may have made up.
    BadHost,
    /// Too many wrong credentials came from this address.
    TooManyFailures,
    /// The authentication plug-in cannot be asked.
    AuthProxyFailed,
    /// What it is about does not exist.
    NotFound,
    /// The path exists, the method does not fit it.
    MethodNotAllowed,
    /// It does not fit what is there.
    Conflict,
    /// Its parameters cannot be read.
    Unreadable,
    /// The configuration that it would put in force is not good.
    BadConfig,
    /// Something went wrong inside.
    Internal,
    /// What it asks for cannot be done here.
    NotImplemented,
    /// The provider cannot be reached, or answers what it must not.
    ProviderFailed,
    /// The provider did not answer in time.
    ProviderTimeout,
    /// There is no room to store it.
    StorageFull,
    /// What keeps asynchronous calls cannot be used now.
    QueueUnavailable,
    /// As many listen to events as can be told.
    TooManyListeners,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }

    /// See [`Cause::BadRequest`].
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Cause::BadRequest, message)
    }

    /// See [`Cause::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Cause::NotFound, message)
    }

    /// See [`Cause::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Cause::Conflict, message)
    }

    /// What could not be written or read, and why.
    pub fn storage(what: &str, error: &std::io::Error) -> Self {
        let cause = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Cause::StorageFull
            }
            _ => Cause::Internal,
        };
        Self::new(cause, format!("{what}: {error}"))
    }

    /// The JSON body of the response.
    pub fn body(&self) -> Vec<u8> {
        error_body(&self.message, self.cause.reason(), None, None)
    }
}

impl Cause {
    /// The status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::CrossOrigin | Self::BadHost => StatusCode::FORBIDDEN,
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Unreadable | Self::BadConfig => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal | Self::AuthProxyFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::ProviderFailed => StatusCode::BAD_GATEWAY,
            Self::ProviderTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::QueueUnavailable | Self::TooManyListeners => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One word for programs. Part of the interface: never renamed.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::CrossOrigin => "cross_origin",
            Self::BadHost => "bad_host",
            Self::TooManyFailures => "too_many_failures",
            Self::AuthProxyFailed => "auth_proxy_failed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::Unreadable => "unreadable",
            Self::BadConfig => "bad_config",
            Self::Internal => "internal",
            Self::NotImplemented => "not_implemented",
            Self::ProviderFailed => "provider_failed",
            Self::ProviderTimeout => "provider_timeout",
            Self::StorageFull => "storage_full",
            Self::QueueUnavailable => "queue_unavailable",
            Self::TooManyListeners => "too_many_listeners",
        }
    }

    /// What it means, for the description of the API.
    pub fn describe(self) -> &'static str {
        match self {
            Self::BadRequest => "The request itself is wrong",
            Self::CrossOrigin => "A page of another site sent it",
            Self::BadHost => "Without a password, only a local name leads to the API",
            Self::TooManyFailures => {
                "Too many wrong credentials came from this address; try again later"
            }
            Self::AuthProxyFailed => "The authentication plug-in cannot be asked",
            Self::NotFound => "What it is about does not exist",
            Self::MethodNotAllowed => "This path does not take this method",
            Self::Conflict => "It does not fit what is there",
            Self::Unreadable => "Its parameters cannot be read",
            Self::BadConfig => "The configuration is not good and was not put in force",
            Self::Internal => "Something went wrong inside; the log says more",
            Self::NotImplemented => "This provider cannot do it",
            Self::ProviderFailed => "The provider cannot be reached, or answers what it must not",
            Self::ProviderTimeout => "The provider did not answer in time",
            Self::StorageFull => "There is no room to store it",
            Self::QueueUnavailable => "The queue cannot be used now; try again",
            Self::TooManyListeners => "As many listen already as can be told",
        }
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
    use std::collections::BTreeSet;

    use super::*;

    /// One of each.
    fn failures() -> Vec<Failure> {
        use Failure as F;
        let limit = Duration::from_secs(8);
        vec![
            F::BadRequest(""),
            F::NoFunction,
            F::NoRoute,
            F::MethodNotAllowed,
            F::ReadTimeout(limit),
            F::WriteTimeout(limit),
            F::UpstreamTimeout(limit),
            F::IdleTimeout(limit),
            F::ConnectTimeout(limit),
            F::ConnectFailed,
            F::UpstreamFailed,
            F::NotReady,
            F::Asleep,
            F::WaitTimeout(limit),
            F::LineFull(1),
            F::QueueFull(1),
            F::StorageFull,
            F::QueueUnavailable,
            F::KeyReused,
            F::TooLarge(1),
            F::ClientGone,
            F::Internal,
        ]
    }

    fn causes() -> Vec<Cause> {
        use Cause as C;
        vec![
            C::BadRequest,
            C::CrossOrigin,
            C::BadHost,
            C::TooManyFailures,
            C::AuthProxyFailed,
            C::NotFound,
            C::MethodNotAllowed,
            C::Conflict,
            C::Unreadable,
            C::BadConfig,
            C::Internal,
            C::NotImplemented,
            C::ProviderFailed,
            C::ProviderTimeout,
            C::StorageFull,
            C::QueueUnavailable,
            C::TooManyListeners,
        ]
    }

    /// Every word and status that a caller can be told.
    fn told() -> BTreeSet<(String, u16)> {
        let failures = failures();
        let failures = failures.iter().map(|it| (it.reason(), it.status()));
        let causes = causes().into_iter().map(|it| (it.reason(), it.status()));
        let all = failures.chain(causes);
        all.map(|(reason, status)| (reason.to_owned(), status.as_u16()))
            .collect()
    }

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

    #[test]
    fn the_lists_of_these_tests_are_complete() {
        let source = include_str!("error.rs");
        let words = source.split("fn reason(").skip(1).take(2).flat_map(|rest| {
            let body = rest.split("\n    }").next().unwrap();
            body.split('"').skip(1).step_by(2)
        });
        let words: BTreeSet<String> = words.map(str::to_owned).collect();
        let listed = told().into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(words, listed);
    }

    #[test]
    fn the_guide_to_operating_names_every_reason_with_its_status() {
        let guide = include_str!("../docs/operating.md");
        let table = guide.split("\n## Reasons\n").nth(1).unwrap();
        let table = table.split("\n\nThe built-in watchdog").next().unwrap();
        let rows = table.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let reason = cells.next()?.trim().strip_suffix('`')?;
            Some((reason.to_owned(), cells.next()?.trim().parse().unwrap()))
        });
        let rows: Vec<(String, u16)> = rows.collect();
        let named: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(named, told());
        assert_eq!(named.len(), rows.len(), "each of them once");
    }
}
