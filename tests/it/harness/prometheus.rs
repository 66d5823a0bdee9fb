//! A real Prometheus that scrapes gateways.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::client::try_request;
use super::{PATIENCE, unused_port};

/// A running Prometheus; it ends with its value.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes these addresses every 200 ms, all under the job `gateway`.
    #[track_caller]
    pub fn scraping(targets: &[SocketAddr]) -> Self {
        // A port that was free may be taken a moment later; then there is another.
        (0..5)
            .find_map(|_| Self::try_start(targets))
            .expect("prometheus starts; `make test-tools` fetches it")
    }

    fn try_start(targets: &[SocketAddr]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n  \
             - {{ job_name: gateway, static_configs: [{{ targets: {targets:?} }}] }}\n"
        );
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], unused_port()));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(program()?)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .ok()?;
        let mut prometheus = Self {
            child,
            dir,
            address,
        };
        prometheus.is_ready().then_some(prometheus)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of a query that yields one; `None` while it yields nothing.
    pub fn value(&self, query: &str) -> Option<f64> {
        let path = format!("/api/v1/query?query={}", encoded(query));
        let answer = try_request(self.address, "GET", &path, &[], b"").ok()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE * 2;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let ready = try_request(self.address, "GET", "/-/ready", &[], b"");
            if ready.is_ok_and(|answer| answer.status == 200) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("prometheus is not ready:\n{log}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// On the path, or where `make test-tools` unpacks it.
fn program() -> Option<PathBuf> {
    let unpacked = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([unpacked])
        .map(|dir| dir.join("prometheus"))
        .find(|program| program.is_file())
}

fn encoded(query: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    query.bytes().map(byte).collect()
}
