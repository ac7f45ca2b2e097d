//! One machine: what it may accept, which child lives, what is still to be reported, when it drains.
//!
//! ```text
//!            bid, admission, cost          child                    report, health
//! bus ──► ask ─► promise ─► start ──► spawn ─► ladder ─► gone ──► states to IOInfo ──► bus
//!                   ▲                            ▲
//!              measure ── Sample ──► overload ───┘          worker ties them together, metrics shows them
//! ```
//!
//! Must always hold: never over budget; every child reaped; exactly one terminal state per recording, never coalesced away;
//! a drain ends. `tests/it/fleet` shakes it.
//!
//! Knows no clock, process, socket or file: the driver reads both clocks, says one [`Input`], carries out the [`Effect`]s,
//! and sleeps until [`Worker::poll_timeout`].

pub mod admission;
pub mod bid;
pub mod child;
pub mod cost;
pub mod effect;
pub mod health;
pub mod id;
pub mod input;
mod job;
pub mod measure;
pub mod metrics;
pub mod overload;
pub mod report;
pub mod snapshot;
pub mod worker;

pub use effect::{Effect, Stopping};
pub use id::{Attempt, ChildId, RequestId};
pub use input::{Drain, Input, Start};
pub use snapshot::{Snapshot, Status};
pub use worker::{Config, Worker};
