//! What the operator decides: one YAML text, a few variables, everything wrong with them at once.
//!
//! ```text
//! Sources + Host ── load ──► Loaded { config, warnings } | Rejected { problems }
//! ```
//!
//! Knows nothing of Redis, recordings in progress or HTTP.

mod block;
mod convert;
mod decode;
mod document;
pub mod duration;
mod host;
mod load;
mod masked;
mod model;
mod problem;
mod redis;
mod store;
#[cfg(test)]
mod tests;

pub use host::{Host, Process};
pub use load::{Loaded, Purpose, Sources, load};
pub use model::{
    Chrome, ChromeFlag, Config, CpuCost, Debug, Io, Latency, Level, Logging, MemorySource, Ports,
    Redis, SessionLimits, TestOverrides, Tls, Topology,
};
pub use problem::{Problem, Rejected, Severity};
