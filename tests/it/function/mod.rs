//! `/function/*`: calls, wherever the function lives.

mod body;
mod classic;
mod concurrency;
mod direct;
mod from_zero;
mod h2c;
mod headers;
mod http_mode;
mod isolation;
mod limits;
mod remote;
mod retry;
mod route;
mod secrets;
mod status;
mod stream;
mod streaming_mode;
mod timeouts;
mod to_zero;
mod upgrade;
