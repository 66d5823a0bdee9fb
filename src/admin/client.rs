//! Who sent a request: the other end of the connection, or whom trusted proxies name.

use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;
use tokio::net::TcpListener;

use crate::config::is_trusted;

/// The other end of the connection; in the `ConnectInfo` extension.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub Option<IpAddr>);

impl Connected<IncomingStream<'_, TcpListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(Some(stream.remote_addr().ip()))
    }
}

/// Serves a router on a port of its own.
pub async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<Client>();
    axum::serve(listener, service).await
}

/// The address a request to the API was made at.
pub fn address(head: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
    let ConnectInfo(Client(peer)) = head.extensions.get::<ConnectInfo<Client>>()?;
    Some(caller((*peer)?, &head.headers, trusted))
}

/// The address a request was made at: the nearest one that is no trusted proxy. What stands left
/// of it in `X-Forwarded-For` was written by the client itself.
pub fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for text in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
        if !is_trusted(trusted, nearest) {
            break;
        }
        let Some(named) = parse(text.trim()) else {
            break;
        };
        nearest = named;
    }
    nearest
}

/// An address as proxies write it, some with the port.
fn parse(text: &str) -> Option<IpAddr> {
    let with_port = |_| text.parse().map(|address: SocketAddr| address.ip());
    text.parse().or_else(with_port).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(peer: &str, forwarded: &[&str]) -> String {
        let mut request = http::Request::new(());
        let peer = Client(Some(peer.parse().unwrap()));
        request.extensions_mut().insert(ConnectInfo(peer));
        for line in forwarded {
            let line = line.parse().unwrap();
            request.headers_mut().append("x-forwarded-for", line);
        }
        let trusted = [
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ];
        let head = request.into_parts().0;
        address(&head, &trusted).unwrap().to_string()
    }

    #[test]
    fn the_nearest_address_that_is_no_trusted_proxy_counts() {
        for (peer, forwarded, expected) in [
            ("1.1.1.1", &[][..], "1.1.1.1"),
            ("1.1.1.1", &["2.2.2.2"], "1.1.1.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["2.2.2.2"], "2.2.2.2"),
            ("::ffff:127.0.0.1", &["2.2.2.2"], "2.2.2.2"),
            ("127.0.0.1", &["9.9.9.9, 2.2.2.2, 10.0.0.1"], "2.2.2.2"),
            (
                "127.0.0.1",
                &["9.9.9.9", "2.2.2.2:4711", "10.0.0.1"],
                "2.2.2.2",
            ),
            ("127.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("127.0.0.1", &["9.9.9.9, unknown, 10.0.0.1"], "10.0.0.1"),
            ("127.0.0.1", &["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
        ] {
            assert_eq!(of(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn nobody_is_known_without_a_connection() {
        let head = http::Request::new(()).into_parts().0;
        assert_eq!(address(&head, &[]), None);
    }
}
