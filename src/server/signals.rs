//! Signals, caught from the first moment on: one that comes while the gateway is still starting is
//! kept until somebody asks.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// HUP, and TERM or INT, in the order of each.
pub struct Signals {
    hangups: Receiver<()>,
    ends: Receiver<()>,
}

impl Signals {
    /// Catches them from here on, on a thread of its own that ends with this value: Tokio hears
    /// signals only within a runtime, and those of the services start later.
    pub fn catch() -> io::Result<Self> {
        let (hangup, hangups) = channel(1);
        let (end, ends) = channel(2);
        let (caught, catching) = sync_channel(1);
        let run = move || follow(&caught, &hangup, &end);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(run)?;
        catching.recv().map_err(io::Error::other)??;
        Ok(Self { hangups, ends })
    }

    /// Waits for TERM or INT.
    pub async fn end(&mut self) {
        self.ends.recv().await;
    }

    /// Waits for any: true for HUP, false for TERM or INT.
    pub async fn hangup_before_end(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.ends.recv() => false,
            Some(()) = self.hangups.recv() => true,
        }
    }
}

/// Passes signals on. What does not fit in the line says nothing new.
fn follow(caught: &SyncSender<io::Result<()>>, hangup: &Sender<()>, end: &Sender<()>) {
    let runtime = match Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(caught.send(Err(error))),
    };
    runtime.block_on(async {
        let (mut hangups, mut terminates, mut interrupts) = match streams() {
            Ok(streams) => streams,
            Err(error) => return drop(caught.send(Err(error))),
        };
        // Whoever waits for it is the caller of `catch`.
        let _ = caught.send(Ok(()));
        loop {
            let line = tokio::select! {
                _ = hangups.recv() => hangup,
                _ = terminates.recv() => end,
                _ = interrupts.recv() => end,
                () = end.closed() => return,
            };
            let _ = line.try_send(());
        }
    });
}

fn streams() -> io::Result<(Signal, Signal, Signal)> {
    Ok((
        signal(SignalKind::hangup())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ))
}
