//! The gateway: an open drop-in for the OpenFaaS gateway that also runs functions itself.
//!
//! The modules stand in layers and import downwards only; `tests/it/layers.rs` keeps it so:
//!
//! ```text
//! duration, quantity, durable, outbound, health <- function <- release <- error <- config, metrics <- counts, provider, queue <- functions <- scale <- history <- gateway <- worker <- admin <- proxy <- server <- main
//! ```

pub mod access_log;
pub mod admin;
pub mod cli;
pub mod config;
pub mod counts;
pub mod credentials;
pub mod durable;
pub mod duration;
pub mod error;
pub mod function;
pub mod functions;
pub mod gateway;
pub mod health;
pub mod history;
pub mod hop_by_hop;
pub mod metrics;
pub mod outbound;
pub mod provider;
pub mod proxy;
pub mod quantity;
pub mod queue;
pub mod release;
pub mod scale;
pub mod server;
pub mod signature;
pub mod worker;
