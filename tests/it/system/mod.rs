//! `/system/*`: the API.

mod alert;
mod alertmanager;
mod auth;
mod auth_proxy;
mod browser;
mod calls;
mod config;
mod counts;
mod deploy;
mod events;
mod functions;
mod guesses;
mod history;
mod info;
mod logs;
mod namespaces;
mod openapi;
mod routes;
mod scale;
mod scaling;
mod secrets;
mod stack;
mod store;
