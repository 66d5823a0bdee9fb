//! A real NATS server with JetStream.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::tool::{Server, tool};

/// A running NATS server; it ends with its value.
#[derive(Debug)]
pub struct Nats(Server);

impl Nats {
    /// Starts one that keeps its streams in a folder of its own.
    #[track_caller]
    pub fn start() -> Self {
        Self(Server::start_until(offers_jetstream, command))
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.0.address())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it again at the same address and with the same streams, after it was killed.
    #[track_caller]
    pub fn restart(&mut self) {
        self.0.restart(command);
    }

    /// Stops it where it is: connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.0.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.0.signal(Signal::CONT);
    }
}

fn command(dir: &Path, address: SocketAddr) -> Command {
    let mut command = tool(&["nats-server"]);
    command
        .arg(format!("--addr={}", address.ip()))
        .arg(format!("--port={}", address.port()))
        .arg("--jetstream")
        .arg(format!("--store_dir={}", dir.join("store").display()));
    command
}

/// A server says what it is as soon as somebody connects.
fn offers_jetstream(address: SocketAddr) -> bool {
    let limit = Duration::from_secs(1);
    let Ok(stream) = TcpStream::connect_timeout(&address, limit) else {
        return false;
    };
    let mut line = String::new();
    let read = stream
        .set_read_timeout(Some(limit))
        .and_then(|()| BufReader::new(stream).read_line(&mut line));
    read.is_ok() && line.starts_with("INFO ") && line.contains("\"jetstream\":true")
}
