//! Asking a running gateway how it is, over its metrics port: what `gateway health` does, and a
//! gateway itself before it says that it serves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer whose words are repeated, in bytes.
const MAX_WORDS: usize = 4096;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it takes calls.
    Ready,
    /// Whether it runs at all: a gateway that drains does.
    Live,
}

/// Why a gateway is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Unwell {
    /// Nobody is known to be asked.
    #[error("the port of server.metrics is chosen at each start: name the real one with --metrics")]
    NoPort,
    /// It said so itself.
    #[error("http://{address}{path} answers {status}: {words}")]
    Says {
        /// Who was asked.
        address: SocketAddr,
        /// And what.
        path: &'static str,
        /// The answer,
        status: StatusCode,
        /// in words.
        words: String,
    },
    /// It did not answer, or not as a gateway does.
    #[error("http://{address}{path} cannot be asked: {why}")]
    Silent {
        /// Who was asked.
        address: SocketAddr,
        /// And what.
        path: &'static str,
        /// What went wrong.
        why: io::Error,
    },
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Live => "/healthz",
        }
    }
}

/// Asks the gateway whose metrics are at `listen`, and returns where it was asked. An address that
/// stands for all of the machine is asked on the loopback interface.
pub async fn ask(
    listen: SocketAddr,
    question: Question,
    limit: Duration,
) -> Result<SocketAddr, Unwell> {
    let address = reachable(listen);
    let path = question.path();
    if address.port() == 0 {
        return Err(Unwell::NoPort);
    }
    let silent = |why| Unwell::Silent { address, path, why };
    let answer = timeout(limit, get(address, path)).await;
    let answer = answer.unwrap_or_else(|_| {
        let words = format!("no answer within {limit:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, words))
    });
    let (status, words) = answer.map_err(silent)?;
    if status == StatusCode::OK {
        return Ok(address);
    }
    Err(Unwell::Says {
        address,
        path,
        status,
        words,
    })
}

/// Status and text of an answer.
async fn get(address: SocketAddr, path: &str) -> io::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let shaken = handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(io::Error::other)?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let asking = async {
        let answer = sender.send_request(request).await;
        let (head, body) = answer.map_err(io::Error::other)?.into_parts();
        Ok((head.status, words(body).await.map_err(io::Error::other)?))
    };
    tokio::pin!(asking);
    // The connection moves the bytes, and may well end before the answer has been read.
    tokio::select! {
        answer = &mut asking => answer,
        ended = connection => {
            ended.map_err(io::Error::other)?;
            asking.await
        }
    }
}

/// The beginning of a text, and all of it if it is not long: somebody else may be at the address.
async fn words<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<String, B::Error> {
    let mut text = Vec::new();
    while text.len() < MAX_WORDS
        && let Some(frame) = body.frame().await
    {
        let data = frame?.into_data().unwrap_or_default();
        let room = data.len().min(MAX_WORDS - text.len());
        text.extend_from_slice(&data[..room]);
    }
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_whole_machine_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8082", "127.0.0.1:8082"),
            ("[::]:8082", "[::1]:8082"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[fd00::1]:80", "[fd00::1]:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
