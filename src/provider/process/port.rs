//! A loopback port for a process to serve on, and whether it does.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bounds of the wait between two tries to connect: within them a tenth of what the start has taken
/// so far, so that a function is found ready soon after it is, however long it takes.
const RETRY: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(25));
/// How long a thread of its own looks on: a timer of the runtime counts in milliseconds, and many
/// a start is over within a few of them.
const CLOSELY: Duration = Duration::from_millis(30);
/// Longest single try.
const TRY: Duration = Duration::from_secs(1);

/// The ports given out and not yet back, so that no two processes get the same one.
#[derive(Debug, Default)]
pub(super) struct Ports {
    // A std mutex: held to look up a number, never over an await.
    taken: Mutex<BTreeSet<u16>>,
}

/// A port that nobody used when it was taken. Somebody outside may still be quicker than the
/// process it was meant for; that is one more failed start.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    ports: Arc<Ports>,
}

impl Ports {
    /// Takes a free port.
    pub fn take(self: &Arc<Self>) -> io::Result<Port> {
        loop {
            let number = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port();
            if self.taken().insert(number) {
                let ports = Arc::clone(self);
                return Ok(Port { number, ports });
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Where a process that uses it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ports.taken().remove(&self.number);
    }
}

/// Waits until somebody serves `address`: accepts a connection, and answers 2xx on `path` if there
/// is one. The caller bounds the wait.
pub(super) async fn ready(address: SocketAddr, path: Option<&str>) {
    let begun = Instant::now();
    // A thread that cannot be had is no harm: the tries that follow are enough.
    let closely = tokio::task::spawn_blocking(move || accepts_soon(address));
    if closely.await.unwrap_or(false) && path.is_none() {
        return;
    }
    loop {
        if let Ok(Ok(true)) = tokio::time::timeout(TRY, probe(address, path)).await {
            return;
        }
        tokio::time::sleep(pause(begun)).await;
    }
}

/// Whether somebody accepts a connection within [`CLOSELY`].
fn accepts_soon(address: SocketAddr) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < CLOSELY {
        let stream = std::net::TcpStream::connect_timeout(&address, CLOSELY);
        if stream.is_ok_and(|stream| !is_own(stream.local_addr(), address)) {
            return true;
        }
        std::thread::sleep(pause(begun));
    }
    false
}

/// With nobody listening, the kernel may pick the very port as our own and connect us to ourselves
/// (simultaneous open, RFC 9293 section 3.5).
fn is_own(local: io::Result<SocketAddr>, address: SocketAddr) -> bool {
    local.is_ok_and(|local| local == address)
}

fn pause(begun: Instant) -> Duration {
    (begun.elapsed() / 10).clamp(RETRY.0, RETRY.1)
}

async fn probe(address: SocketAddr, path: Option<&str>) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    if is_own(stream.local_addr(), address) {
        return Ok(false);
    }
    let Some(path) = path else {
        return Ok(true);
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status).await?;
    Ok(status.starts_with(b"HTTP/1.") && status[8..].starts_with(b" 2"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_get_the_same_port() {
        let ports = Arc::new(Ports::default());
        let taken: Vec<_> = (0..50).map(|_| ports.take().unwrap()).collect();
        let numbers: BTreeSet<_> = taken.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 50);
        drop(taken);
        assert!(ports.taken().is_empty());
    }

    #[tokio::test]
    async fn who_does_not_listen_or_answers_5xx_is_not_ready() {
        let ports = Arc::new(Ports::default());
        let nobody = ports.take().unwrap();
        assert!(!probe(nobody.address(), None).await.unwrap_or(false));

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            for status in ["503 Busy", "204 Ready"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /_/ready HTTP/1.1\r\n"));
                let reply = format!("HTTP/1.1 {status}\r\n\r\n");
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        assert!(!probe(address, Some("/_/ready")).await.unwrap());
        assert!(probe(address, Some("/_/ready")).await.unwrap());
        server.await.unwrap();
    }
}
