//! The bus: how this process speaks psrpc with livekit-server.
//!
//! ```text
//!  app ──► rpc::Node ──► psrpc core (claims, selection, expiry)
//!             │ effects                 ▲ payloads
//!             ▼                         │
//!            Bus ──── redis::Link (Pub/Sub, reconnecting)   or   local::Hub (in this process)
//! ```
//!
//! [`rpc`] is the façade for the rest of the app; [`redis`] and [`local`] move bytes and hold no protocol.

mod link;
pub mod local;
pub mod redis;
pub mod rpc;
mod table;

pub use link::{Audience, Bus, Error, State};
pub use table::{Delivery, Inbox, Outlet, Subscription, inbox};
