//! What other gateways counted, from a Prometheus that scrapes them (wire.md section 4.3).
//!
//! Prometheus scrapes this gateway as well. Its own series are left out by `gateway_instance_info`,
//! which only this gateway exports with its id.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::time::timeout;

use crate::config::HostPort;

/// Time between two queries.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Asks the instant query API.
pub struct Prometheus {
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// The part of its answer that counts.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: Labels,
    /// Time, and the value as text.
    value: (f64, String),
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    function_name: String,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(HttpConnector::new()),
        }
    }
}

impl Prometheus {
    /// Calls by `function_name`, as all gateways but the one called `id` counted them. The error is
    /// in words.
    pub async fn shares(&self, at: &HostPort, id: &str) -> Result<HashMap<String, f64>, String> {
        let asked = timeout(TIMEOUT, self.ask(at, id)).await;
        let text = asked.map_err(|_| format!("no answer within {TIMEOUT:?}"))??;
        read(&text)
    }

    async fn ask(&self, at: &HostPort, id: &str) -> Result<Bytes, String> {
        let query = query(id);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &query)
            .finish();
        let HostPort { host, port } = at;
        let uri: Uri = format!("http://{host}:{port}/api/v1/query?{query}")
            .parse()
            .map_err(|error| format!("{host} is no host: {error}"))?;
        let mut request = http::Request::new(Empty::new());
        *request.uri_mut() = uri;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes())
    }
}

fn query(id: &str) -> String {
    format!(
        "sum(gateway_function_invocation_total unless on (job, instance) \
         gateway_instance_info{{id=\"{id}\"}}) by (function_name)"
    )
}

fn read(text: &[u8]) -> Result<HashMap<String, f64>, String> {
    let answer: Answer = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let count = |sample: Sample| {
        let value: f64 = sample.value.1.parse().ok()?;
        let counts = value.is_finite() && value >= 0.0;
        counts.then_some((sample.metric.function_name, value))
    };
    Ok(answer.data.result.into_iter().filter_map(count).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_name_and_what_is_no_count_is_left_out() {
        let answer = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"function_name":"fig.ns"},"value":[1.5,"3"]},
            {"metric":{"function_name":"odd"},"value":[1.5,"NaN"]},
            {"metric":{},"value":[1.5,"2"]}]}}"#;
        let shares = read(answer).unwrap();
        assert_eq!(shares.get("fig.ns"), Some(&3.0));
        assert_eq!(shares.get("odd"), None);
        read(b"<html>").unwrap_err();
        read(br#"{"status":"error"}"#).unwrap_err();
    }
}
