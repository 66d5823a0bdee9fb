//! `/system/*`: the API.

mod auth;
mod config;
mod counts;
mod functions;
mod info;
