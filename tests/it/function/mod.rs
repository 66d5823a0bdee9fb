//! `/function/*`: calls, wherever the function lives.

mod body;
mod classic;
mod direct;
mod h2c;
mod headers;
mod http_mode;
mod remote;
mod retry;
mod route;
mod status;
mod stream;
mod streaming_mode;
mod timeouts;
mod upgrade;
