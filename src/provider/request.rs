//! A request of the provider API, as it was sent.

use std::borrow::Cow;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Refusal;
use crate::function::FunctionName;

/// Query and body of a request. A remote provider gets both as they came; whoever answers here reads
/// the body, which then has to be a `T` in JSON.
#[derive(Clone, Debug, Default)]
pub struct Request<T = ()> {
    query: String,
    body: Bytes,
    reads: PhantomData<fn() -> T>,
}

impl<T> Request<T> {
    /// What a client sent; the query without its `?`.
    pub fn new(query: impl Into<String>, body: Bytes) -> Self {
        Self {
            query: query.into(),
            body,
            reads: PhantomData,
        }
    }

    /// A request of the gateway's own about a function: its namespace, where one is known.
    pub fn about(function: &FunctionName) -> Self {
        match function.namespace() {
            "" => Self::new("", Bytes::new()),
            namespace => Self::new(format!("namespace={namespace}"), Bytes::new()),
        }
    }

    /// The query as it came.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The parameters of the query, decoded, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// The last of the parameters with this name that is not empty.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let named = |(key, value): &(Cow<'_, str>, Cow<'_, str>)| key == name && !value.is_empty();
        self.parameters()
            .filter(named)
            .last()
            .map(|(_, value)| value)
    }
}

impl<T: Serialize> Request<T> {
    /// A request of the gateway's own.
    pub fn of(value: &T) -> Self {
        // The types of the API always serialize; an empty body would be refused.
        Self::new("", serde_json::to_vec(value).unwrap_or_default().into())
    }
}

impl<T: DeserializeOwned> Request<T> {
    /// Reads the body.
    pub fn read(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = if self.body.is_empty() {
                "the body is empty, it has to be JSON".to_owned()
            } else {
                format!("the body cannot be read: {error}")
            };
            Refusal::bad_request(what)
        })
    }
}
