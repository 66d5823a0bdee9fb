//! Connections to replicas, wherever they listen.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use crate::provider::Address;

/// Stands behind the hexadecimal path of a socket where a host is asked for.
const SOCKET: &str = ".socket";

/// The authority by which [`Connector`] knows an address: connections are kept by it.
pub fn authority(address: &Address) -> String {
    use std::fmt::Write;
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => {
            let mut text = String::new();
            for byte in path.as_os_str().as_encoded_bytes() {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            text + SOCKET
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Connector;

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let host = uri.authority().map_or("", |authority| authority.as_str());
            let stream = match host.strip_suffix(SOCKET).and_then(path) {
                Some(path) => Stream::Unix(UnixStream::connect(path).await?),
                None => {
                    let stream = TcpStream::connect(host).await?;
                    stream.set_nodelay(true)?;
                    Stream::Tcp(stream)
                }
            };
            Ok(TokioIo::new(stream))
        })
    }
}

fn path(hexadecimal: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let digits = hexadecimal.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    Some(std::ffi::OsString::from_vec(bytes?).into())
}

/// A connection to a replica.
#[derive(Debug)]
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// By a socket of this machine.
    Unix(UnixStream),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_socket_is_found_again_by_its_authority() {
        let socket: Arc<Path> = Path::new("/run/a b/ü.sock").into();
        let text = authority(&Address::Unix(Arc::clone(&socket)));
        assert!(text.parse::<http::uri::Authority>().is_ok(), "{text}");
        let hexadecimal = text.strip_suffix(SOCKET);
        assert_eq!(hexadecimal.and_then(path).as_deref(), Some(&*socket));
    }
}
