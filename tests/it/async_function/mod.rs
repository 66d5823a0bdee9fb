//! `/async-function/*`: calls that are kept and made later, whatever keeps them.

mod accepted;
mod arrived;
mod callback;
mod disk;
mod idempotency;
mod nats;
mod observed;
mod reload;
mod restart;
mod retry;
mod workers;
