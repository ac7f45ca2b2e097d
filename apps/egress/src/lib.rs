//! The binary: Redis, HTTP, metrics, child processes, command line.

pub mod bus;
pub mod cli;
pub mod config;
pub mod http;
pub mod log;
pub mod metrics;
