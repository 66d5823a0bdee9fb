//! `/system/*`: the API.

mod auth;
mod config;
mod counts;
mod deploy;
mod functions;
mod info;
mod logs;
mod namespaces;
mod openapi;
mod scale;
mod secrets;
