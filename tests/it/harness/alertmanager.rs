//! A real Alertmanager that posts to a gateway.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::tool::{Server, adapted, tool_with_files};

/// Packages of Debian call it differently.
const NAMES: [&str; 2] = ["alertmanager", "prometheus-alertmanager"];

/// A running Alertmanager; it ends with its value.
#[derive(Debug)]
pub struct Alertmanager(Server);

impl Alertmanager {
    /// Runs as `conf/alertmanager` says, posts to this gateway with this password, and at shorter
    /// intervals.
    #[track_caller]
    pub fn shipped(gateway: SocketAddr, password_file: &Path) -> Self {
        let config = adapted(
            "conf/alertmanager/alertmanager.yml",
            &[
                ("127.0.0.1:8080", &gateway.to_string()),
                (
                    "../../data/auth/basic-auth-password",
                    &password_file.display().to_string(),
                ),
                ("group_wait: 5s", "group_wait: 200ms"),
                ("group_interval: 10s", "group_interval: 1s"),
                ("repeat_interval: 30s", "repeat_interval: 2s"),
            ],
        );
        Self(Server::start(|dir, address| {
            let file = dir.join("alertmanager.yml");
            fs::write(&file, &config).unwrap();
            let mut command = tool_with_files(&NAMES);
            command
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.path={}", dir.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                // It has no others to talk to, and the port would be a fixed one.
                .arg("--cluster.listen-address=")
                .arg("--log.level=warn");
            command
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
