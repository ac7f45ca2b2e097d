//! The binary: Redis, HTTP, metrics, child processes, command line.

pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod http;
mod journal;
pub mod log;
pub mod metrics;
pub mod service;
mod supervise;
