//! Connections for protocol upgrades (WebSockets): their first read lets one turn pass.
//!
//! Pingora 0.9.1 serves both directions of a call in one loop. If the function's 101 has come before
//! the loop notices that the request has no body, it takes the end of that body for the end of the
//! upgraded connection and closes it: with a function on the same machine, one upgrade in some
//! thousands. A first read that is never ready at once puts the two in their order.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Connects within a limit.
#[derive(Debug)]
pub struct UpgradeConnector {
    /// Longest wait for the connection.
    pub limit: Duration,
}

#[async_trait]
impl L4Connect for UpgradeConnector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let socket = match timeout(self.limit, open(address)).await {
            Ok(socket) => socket.map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                    _ => ErrorType::ConnectError,
                };
                Error::because(kind, "connecting for an upgrade", error)
            })?,
            Err(late) => {
                let context = "connecting for an upgrade";
                return Err(Error::because(ErrorType::ConnectTimedout, context, late));
            }
        };
        Ok(VirtualSocketStream::new(socket).into())
    }
}

async fn open(address: &SocketAddr) -> io::Result<Box<dyn VirtualSocket>> {
    match address {
        SocketAddr::Inet(address) => {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(Later::new(socket)))
        }
        SocketAddr::Unix(address) => {
            let path = address.as_pathname().unwrap_or(Path::new(""));
            Ok(Box::new(Later::new(UnixStream::connect(path).await?)))
        }
    }
}

/// A socket whose first read is not ready at once.
#[derive(Debug)]
struct Later<S> {
    socket: S,
    asked: bool,
}

impl<S> Later<S> {
    fn new(socket: S) -> Self {
        let asked = false;
        Self { socket, asked }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Later<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.asked = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Later<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> VirtualSocket for Later<S> {
    /// What is wanted was set when the socket was opened.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
