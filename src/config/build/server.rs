//! `server` and `scale`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Reader;
use crate::config::file;
use crate::config::value::{Network, Threads};
use crate::config::{Drain, HostPort, Scale, Server, Wait};

const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19_999);

impl Reader<'_> {
    pub(super) fn server(&mut self, raw: file::Server) -> Server {
        let drain = raw.drain.unwrap_or_default();
        let (delay, timeout) = (Duration::ZERO, Duration::from_secs(30));
        let server = Server {
            listen: self.read_or("server.listen", &raw.listen, everywhere(8080)),
            metrics: self.read_or("server.metrics", &raw.metrics, everywhere(8082)),
            threads: self
                .read_or("server.threads", &raw.threads, Threads(None))
                .0,
            max_connections: self.read_or(
                "server.max_connections",
                &raw.max_connections,
                MAX_CONNECTIONS,
            ),
            h2c: self.read_or("server.h2c", &raw.h2c, false),
            upstream_keepalive: self.read_or(
                "server.upstream_keepalive",
                &raw.upstream_keepalive,
                1024,
            ),
            trusted_proxies: match raw.trusted_proxies {
                Some(list) => self.networks("server.trusted_proxies", &list),
                None => loopback(),
            },
            drain: Drain {
                delay: self.read_or("server.drain.delay", &drain.delay, delay),
                timeout: self.read_or("server.drain.timeout", &drain.timeout, timeout),
            },
        };
        if clash(server.listen, server.metrics) {
            let (scalar, key, other) = match &raw.metrics {
                Some(metrics) => (Some(metrics), "server.metrics", "server.listen"),
                None => (raw.listen.as_ref(), "server.listen", "server.metrics"),
            };
            if let Some(scalar) = scalar {
                self.refuse(scalar.origin, key, &same_port(server.metrics, other));
            }
        }
        server
    }

    pub(super) fn scale(&mut self, raw: file::Scale) -> Scale {
        let wait = raw.wait.unwrap_or_default();
        let autoscaler = raw.autoscaler.unwrap_or_default();
        let on = self.read_or("scale.autoscaler.enabled", &autoscaler.enabled, true);
        let every = self.read_or(
            "scale.autoscaler.interval",
            &autoscaler.interval,
            Duration::from_secs(1),
        );
        if let (Some(interval), true) = (&autoscaler.interval, every.is_zero()) {
            self.refuse(
                interval.origin,
                "scale.autoscaler.interval",
                "must be more than 0",
            );
        }
        Scale {
            from_zero: self.read_or("scale.from_zero", &raw.from_zero, true),
            wait: Wait {
                timeout: self.read_or("scale.wait.timeout", &wait.timeout, Duration::from_secs(60)),
                line: self.read_or("scale.wait.line", &wait.line, 1000),
            },
            autoscaler: on.then_some(every),
            prometheus: raw.prometheus.map(|raw| HostPort {
                host: self.read_or("scale.prometheus.host", &raw.host, "prometheus".to_owned()),
                port: self
                    .read("scale.prometheus.port", &raw.port)
                    .map_or(9090, NonZeroU16::get),
            }),
        }
    }

    pub(super) fn networks(&mut self, key: &str, list: &[file::Scalar<Network>]) -> Vec<IpNet> {
        self.read_list(key, list)
            .into_iter()
            .map(|Network(network)| network)
            .collect()
    }
}

/// Whether two listeners cannot be open at once. Port 0 is a free port each time.
pub(super) fn clash(left: SocketAddr, right: SocketAddr) -> bool {
    let (a, b) = (left.ip(), right.ip());
    left.port() != 0
        && left.port() == right.port()
        && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// What to do about a clash with the address of the key `other`.
pub(super) fn same_port(address: SocketAddr, other: &str) -> String {
    format!(
        "port {} is that of `{other}`, too, give each its own",
        address.port()
    )
}

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// This machine: `127.0.0.0/8` and `::1/128`.
fn loopback() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
    vec![v4.into(), v6.into()]
}
