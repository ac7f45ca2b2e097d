//! What this machine and its children use: text of `/proc` and cgroup files in, numbers out.
//!
//! ```text
//! /proc/stat, /proc/<pid>/stat ── proc ──► Reading ──┐
//!                                                    ├── meter: difference of two readings ──► Sample
//! cgroup files ── cgroup ──► quota, memory ──────────┘
//! ```
//!
//! Knows the formats and the arithmetic; who reads the files, and when, is the driver's business.

pub mod cgroup;
pub mod meter;
pub mod proc;

pub use meter::{Group, Meter, Sample};
pub use proc::{Host, Process, Reading};

/// Bytes in one of the gigabytes the configuration speaks of (GiB, as upstream).
pub const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Bytes as GiB.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "memory sizes are far below 2^53 bytes"
)]
pub fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

/// Why a file's text could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot make sense of {file}: {what}")]
pub struct Garbled {
    /// Which file.
    pub file: &'static str,
    /// What was wrong with it.
    pub what: &'static str,
}

impl Garbled {
    pub(crate) const fn new(file: &'static str, what: &'static str) -> Self {
        Self { file, what }
    }
}
