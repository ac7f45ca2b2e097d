//! One recording: request → [`plan::Plan`] → state → `EgressInfo`; names, redaction, costs.
//!
//! ```text
//! rpc::StartEgressRequest + Policy ── request::plan ──► Plan | Refusal
//! Plan ── cost ──► worker::admission          Plan ──► link ──► recorder: Recording::handle(now, input) → Effect
//! ```
//!
//! Knows no socket, no clock, no GStreamer: a whole recording runs in a test in microseconds.

pub mod codecs;
pub mod cost;
pub mod crash;
pub mod destination;
pub mod encoding;
pub mod error;
pub mod fault;
pub mod id;
pub mod info;
pub mod lifecycle;
pub mod link;
pub mod location;
pub mod manifest;
pub mod naming;
pub mod now;
pub mod plan;
pub mod policy;
pub mod redact;
pub mod request;
pub mod secret;
pub mod settings;
pub mod stream_url;
pub mod support;
pub mod token;

mod outputs;

pub use error::{Code, Fault, Refusal};
pub use id::EgressId;
pub use now::Now;
pub use plan::Plan;
pub use secret::Secret;
