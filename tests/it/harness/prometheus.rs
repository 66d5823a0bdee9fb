//! A real Prometheus that scrapes gateways.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::client::try_request;
use super::eventually;
use super::tool::{Server, adapted, tool};

/// A running Prometheus; it ends with its value.
#[derive(Debug)]
pub struct Prometheus(Server);

impl Prometheus {
    /// Scrapes these addresses every 200 ms, all under the job `gateway`.
    #[track_caller]
    pub fn scraping(targets: &[SocketAddr]) -> Self {
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n  \
             - {{ job_name: gateway, static_configs: [{{ targets: {targets:?} }}] }}\n"
        );
        Self::start(&[("prometheus.yml", config)])
    }

    /// Runs as `conf/prometheus` says, between these two and at shorter intervals. Returns once it
    /// scrapes the one and knows the other.
    #[track_caller]
    pub fn shipped(gateway: SocketAddr, alertmanager: SocketAddr) -> Self {
        let config = adapted(
            "conf/prometheus/prometheus.yml",
            &[
                ("127.0.0.1:8082", &gateway.to_string()),
                ("127.0.0.1:9093", &alertmanager.to_string()),
                ("scrape_interval: 2s", "scrape_interval: 200ms"),
                ("evaluation_interval: 2s", "evaluation_interval: 200ms"),
            ],
        );
        let rules = adapted(
            "conf/prometheus/scaling.rules.yml",
            &[("for: 5s", "for: 1s")],
        );
        let for_people = adapted("conf/prometheus/gateway.rules.yml", &[]);
        let files = [
            ("prometheus.yml", config),
            ("scaling.rules.yml", rules),
            ("gateway.rules.yml", for_people),
        ];
        let prometheus = Self::start(&files);
        eventually("it scrapes the gateway", || {
            prometheus.value("up{job=\"gateway\"}") == Some(1.0)
        });
        // What it has to tell before is told again a minute later only.
        eventually("it knows Alertmanager", || {
            let known = prometheus.get("/api/v1/alertmanagers");
            known.is_some_and(|known| known["data"]["activeAlertmanagers"][0].is_object())
        });
        prometheus
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The value of a query that yields one; `None` while it yields nothing.
    pub fn value(&self, query: &str) -> Option<f64> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(query)))?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    }

    /// The values of a query now.
    ///
    /// # Errors
    ///
    /// What it says is wrong with the query.
    pub fn values(&self, query: &str) -> Result<Vec<f64>, String> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(query)));
        let answer = answer.ok_or("it does not answer")?;
        let Some(found) = answer["data"]["result"].as_array() else {
            return Err(answer["error"].to_string());
        };
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        Ok(found.iter().filter_map(value).collect())
    }

    /// The values of a label of the series that a selector finds.
    pub fn labels(&self, label: &str, selector: &str) -> Vec<String> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", encoded(selector));
        let answer = self.get(&path).unwrap_or_default();
        let values = answer["data"].as_array().cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().map(str::to_owned);
        values.into_iter().filter_map(text).collect()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    #[track_caller]
    fn start(files: &[(&str, String)]) -> Self {
        Self(Server::start(|dir, address| {
            for (name, text) in files {
                fs::write(dir.join(name), text).unwrap();
            }
            command(dir, address)
        }))
    }

    fn get(&self, path: &str) -> Option<Value> {
        let answer = try_request(self.address(), "GET", path, &[], b"").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }
}

fn command(dir: &Path, address: SocketAddr) -> Command {
    let at = |name: &str| dir.join(name).display().to_string();
    let mut command = tool(&["prometheus"]);
    command
        .arg(format!("--config.file={}", at("prometheus.yml")))
        .arg(format!("--storage.tsdb.path={}", at("data")))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=warn");
    command
}

fn encoded(query: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    query.bytes().map(byte).collect()
}
