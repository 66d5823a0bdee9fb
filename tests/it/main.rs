//! The gateway's executable, seen from outside: started in a folder of its own, called over real
//! sockets, ended with real signals.
//!
//! The files mirror the URL tree; [`harness`] starts gateways, calls them, and plays the functions
//! and the provider behind them. Tests share nothing, wait for conditions, and never sleep for a
//! fixed time.

// A test that cannot go on should stop with the reason at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access_log;
mod async_function;
mod autoscaler;
mod build_script;
mod certifier;
mod cli;
mod dashboards;
mod docs;
mod drain;
mod faas_cli;
mod function;
mod harness;
mod health;
mod layers;
mod malformed;
mod metrics;
mod notify;
mod orphans;
mod reload;
mod rules;
mod start;
mod state;
mod system;
mod ui;
mod worker;
