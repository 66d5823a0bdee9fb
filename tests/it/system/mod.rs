//! `/system/*`: the API.

mod auth;
mod config;
mod counts;
mod deploy;
mod functions;
mod info;
mod logs;
mod namespaces;
mod scale;
mod secrets;
