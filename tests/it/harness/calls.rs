//! What tests do with asynchronous calls: post them, ask about them, and wait for what becomes of
//! them.

use std::time::Duration;

use serde_json::Value;

use super::{Gateway, Response, within};

/// Longest wait for a call. A server that shares calls among gateways takes half a minute until it
/// believes that one of them is dead.
const LONG: Duration = Duration::from_secs(60);

impl Gateway {
    /// Posts a call for later, which has to be accepted. Returns where it is asked about.
    #[track_caller]
    pub fn submit(&self, function: &str, body: impl AsRef<[u8]>) -> String {
        self.submit_with(function, &[], body)
    }

    /// The same with these headers.
    #[track_caller]
    pub fn submit_with(
        &self,
        function: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> String {
        let accepted = self.try_submit(function, headers, body).assert_status(202);
        accepted.header("Location").to_owned()
    }

    /// Posts a call for later.
    #[track_caller]
    pub fn try_submit(
        &self,
        function: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        self.request(
            "POST",
            &format!("/async-function/{function}"),
            headers,
            body,
        )
    }

    /// A call as it is now.
    #[track_caller]
    pub fn call(&self, location: &str) -> Value {
        self.admin("GET", location, "").assert_status(200).json()
    }

    /// Waits until a call is in this state, and returns it.
    #[track_caller]
    pub fn call_in(&self, location: &str, state: &str) -> Value {
        self.call_when(location, state, |call| call["state"] == state)
    }

    /// Waits until a call is as it should be, and returns it.
    #[track_caller]
    pub fn call_when(
        &self,
        location: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut call = Value::Null;
        within(LONG, &format!("{location} is {what}"), || {
            call = self.call(location);
            condition(&call)
        });
        call
    }

    /// The calls that a query finds, the newest first.
    #[track_caller]
    pub fn calls(&self, query: &str) -> Vec<Value> {
        let path = format!("/system/async?{query}");
        let listed = self.admin("GET", &path, "").assert_status(200).json();
        listed["calls"].as_array().unwrap().clone()
    }
}
