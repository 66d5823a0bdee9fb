//! The addresses the gateway listens on, bound before anything else happens.

use std::net::{SocketAddr, TcpListener};

use super::{Role, StartError};
use crate::config::Config;

/// The listeners, bound: a port in use shows before anything runs, and port 0 is known by its
/// number.
pub struct Listeners {
    /// Functions, and the API unless it has an address of its own; `None`: neither is served.
    pub proxy: Option<Bound>,
    /// `/metrics` and the probes.
    pub metrics: Bound,
    /// API and portal.
    pub admin: Option<Bound>,
}

/// One of them.
pub struct Bound {
    /// Ready to accept.
    pub listener: TcpListener,
    /// Where it is, with its real port.
    pub address: SocketAddr,
}

impl Listeners {
    /// Binds what the configuration names, as far as it is served.
    pub fn bind(config: &Config, role: Role) -> Result<Self, StartError> {
        let serves = role == Role::Gateway;
        let admin = config.admin.listen.filter(|_| serves);
        let proxy = serves.then_some(config.server.listen);
        Ok(Self {
            proxy: proxy
                .map(|address| Bound::bind(address, "server.listen"))
                .transpose()?,
            metrics: Bound::bind(config.server.metrics, "server.metrics")?,
            admin: admin
                .map(|address| Bound::bind(address, "admin.listen"))
                .transpose()?,
        })
    }

    /// Where the API and the portal are.
    pub fn api(&self) -> Option<SocketAddr> {
        let bound = self.admin.as_ref().or(self.proxy.as_ref());
        bound.map(|bound| bound.address)
    }
}

impl Bound {
    fn bind(address: SocketAddr, key: &'static str) -> Result<Self, StartError> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind().map_err(|source| StartError::Listen {
            address,
            key,
            source,
        })
    }
}
