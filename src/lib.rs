//! The gateway: an open drop-in for the OpenFaaS gateway that also runs functions itself.
//!
//! The modules stand in layers and import downwards only; `tests/it/layers.rs` keeps it so:
//!
//! ```text
//! function, error  <-  config, metrics  <-  provider  <-  scale  <-  functions  <-  admin  <-  proxy  <-  server
//! ```

pub mod cli;
pub mod config;
pub mod function;
pub mod provider;
