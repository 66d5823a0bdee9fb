//! What the gateway's own requests to other sites have in common: who says to be calling, and how
//! TLS is spoken.

use std::io;
use std::sync::Arc;

use http::HeaderValue;
use hyper_rustls::ConfigBuilderExt;
use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Who calls.
pub const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("gateway/", env!("CARGO_PKG_VERSION")));

/// How TLS is spoken, once somebody needed it.
#[derive(Default)]
pub struct Tls(OnceCell<Arc<ClientConfig>>);

/// No certificate can be checked on this machine.
#[derive(Debug, thiserror::Error)]
#[error(
    "https needs root certificates, and this machine has none that can be used ({0}): install them \
     (ca-certificates), or name a file with SSL_CERT_FILE"
)]
pub struct NoRoots(String);

impl Tls {
    /// TLS that trusts what this machine trusts. Its root certificates are read by the first who
    /// needs them: reading takes a while, and where there are none, some may be installed until the
    /// next try.
    pub async fn client(&self) -> Result<Arc<ClientConfig>, NoRoots> {
        let load = || async {
            let loaded = spawn_blocking(|| client(ConfigBuilder::with_native_roots)).await;
            let loaded = loaded.map_err(io::Error::other).flatten();
            loaded.map_err(|error| NoRoots(error.to_string()))
        };
        self.0.get_or_try_init(load).await.cloned()
    }
}

/// TLS with a client that is there.
impl From<Arc<ClientConfig>> for Tls {
    fn from(client: Arc<ClientConfig>) -> Self {
        Self(OnceCell::new_with(Some(client)))
    }
}

/// A client of TLS that trusts `roots`.
pub fn client(
    roots: impl FnOnce(
        ConfigBuilder<ClientConfig, WantsVerifier>,
    ) -> io::Result<ConfigBuilder<ClientConfig, WantsClientCert>>,
) -> io::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = roots(builder.map_err(io::Error::other)?)?;
    Ok(Arc::new(builder.with_no_client_auth()))
}
