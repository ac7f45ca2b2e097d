//! The HTTP surfaces: health, metrics, layout pages, debug.
//!
//! ```text
//! health_port         all interfaces   anything → 200 JSON · /livez · /readyz
//! prometheus_port     all interfaces   anything → metrics
//! template_port       loopback         /, /index.html
//! debug_handler_port  loopback         /debug/config
//! ```
//!
//! Everything shown comes from a [`Snapshot`] taken for the request; nothing here changes anything. Knows no Redis, no
//! children.

mod gojson;
mod health;
mod server;
mod state;
mod templates;

pub use server::{Error, Parts, Server, Servers, debug, health, prometheus, start, templates};
pub use state::{Active, Readiness, Snapshot, State};
