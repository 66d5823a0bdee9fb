//! The way to a graceful end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use super::notify::Manager;
use super::signals::Signals;
use crate::gateway::Gateway;

/// Longest wait for processes to end after the drain, beyond their own stop timeouts.
const PROVIDER_END: Duration = Duration::from_secs(60);

/// Follows the signals: HUP reloads; TERM and INT end gracefully, a second one at once.
pub struct End {
    /// Whose end it is.
    pub gateway: Arc<Gateway>,
    /// Whoever wants to be told.
    pub manager: Manager,
    /// Caught since the start. Pingora asks for the end once only, so nobody waits for the lock.
    pub signals: Mutex<Signals>,
    /// Closes the listener.
    pub stop_accepting: watch::Sender<bool>,
    /// Ends the functions.
    pub stop_provider: watch::Sender<bool>,
    /// Says that they have ended.
    pub provider_ended: watch::Receiver<bool>,
}

#[async_trait]
impl ShutdownSignalWatch for End {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        while signals.hangup_before_end().await {
            let reload = self.gateway.reload("signal");
            // What is wrong is logged and shown by `GET /system/config`.
            let _ = self.manager.reloading(&self.gateway, reload).await;
        }
        tokio::select! {
            () = self.drain() => {}
            () = signals.end() => tracing::warn!("second signal: ending at once"),
        }
        // What it has begun is over, or is taken up again by whoever comes next.
        self.gateway.queue.close().await;
        self.stop_provider.send_replace(true);
        let mut ended = self.provider_ended.clone();
        let waiting = ended.wait_for(|ended| *ended);
        if timeout(PROVIDER_END, waiting).await.is_err() {
            tracing::error!("some function processes did not end");
        }
        self.gateway.counts.save_aside().await;
        tracing::info!("ended");
        // All is done that can be: Pingora's graceful end would only sleep.
        ShutdownSignal::FastShutdown
    }
}

impl End {
    /// Readiness goes off; after the delay nothing new is accepted; then what is in flight ends.
    async fn drain(&self) {
        let drain = self.gateway.registry.current().config.server.drain;
        let calls = self.gateway.drain.calls();
        tracing::info!(calls, "ending: finishing what is in flight");
        self.gateway.drain.begin();
        self.manager.stopping(&self.gateway).await;
        sleep(drain.delay).await;
        self.stop_accepting.send_replace(true);
        let idle = self.gateway.drain.idle();
        if timeout(drain.timeout, idle).await.is_err() {
            let calls = self.gateway.drain.calls();
            tracing::warn!(calls, "drain timeout: breaking off what is in flight");
        }
    }
}
