//! `/system/*`: the API.

mod auth;
mod config;
mod functions;
mod info;
