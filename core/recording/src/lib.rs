//! One recording: request → [`plan::Plan`] → state → `EgressInfo`; names, redaction, costs.
//!
//! ```text
//! rpc::StartEgressRequest + Policy ── request::plan ──► Plan | Refusal
//! Plan ── cost ──► worker::admission          Plan ──► link ──► recorder: Recording::handle(now, input) → Effect
//! ```
//!
//! Knows no socket, no clock, no GStreamer: a whole recording runs in a test in microseconds.

pub mod error;
pub mod id;
pub mod lifecycle;
pub mod link;
pub mod now;
pub mod plan;
pub mod secret;
pub mod settings;

pub use error::{Code, Fault, Refusal};
pub use id::EgressId;
pub use now::Now;
pub use plan::Plan;
pub use secret::Secret;
