//! The binary: Redis, HTTP, metrics, child processes, command line.

pub mod bus;
/// The operator's configuration.
pub mod config;
