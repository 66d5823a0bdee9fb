//! Whose request it is.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The client's address: the connection's other end, or, if that is a trusted proxy, the last address
/// in `X-Forwarded-For` that is none. Each proxy appends whom it was called by, so what a client
/// claims itself stands further to the left.
pub fn address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let peer = peer?;
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let chain = lines.filter_map(|line| line.to_str().ok());
    let addresses = chain.flat_map(|line| line.rsplit(',')).map(str::trim);
    addresses
        .map_while(|text| text.parse().ok())
        .find(|address| !is_trusted(address))
        .or(Some(peer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, chain: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in chain {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let peer = Some(peer.parse().unwrap());
        address(peer, &headers, &trusted).unwrap().to_string()
    }

    #[test]
    fn the_last_stranger_in_the_chain_is_the_client() {
        assert_eq!(seen("192.0.2.1", &["1.1.1.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"]),
            "1.1.1.1"
        );
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, nonsense"]), "10.0.0.1");
    }
}
