//! The binary: Redis, HTTP, metrics, child processes, command line.

/// The operator's configuration.
pub mod config;
