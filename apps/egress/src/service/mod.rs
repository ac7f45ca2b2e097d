//! The worker service: the loop around `worker::Worker`, and what it drives.
//!
//! ```text
//!  bus ──► orders ──┐                          ┌──► children (process + link)
//!  signals ─────────┤                          ├──► io: CreateEgress, UpdateEgress
//!  measure (1 s) ───┼──► desk: worker::Worker ─┼──► topics: StopEgress, UpdateStream per recording
//!  children ────────┤                          ├──► journal (disk), story of dead children
//!  orphans ─────────┘                          └──► state for health and metrics
//! ```
//!
//! Holds no rules: what is accepted, started, stopped, reported is decided in `core/worker`; how a request is read and
//! how an end is told, in `core/recording`.

mod child;
mod convert;
mod desk;
mod io;
mod measure;
mod orders;
mod orphans;
mod story;

pub use crate::supervise::process::ChildLog;
pub use desk::{Options, Outcome, View, run};
pub use measure::cores;
