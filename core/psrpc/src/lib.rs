//! psrpc as a pure core: channels, envelopes, claims, affinity, queue delivery, expiry, errors.
//!
//! One question on the bus, from both ends. [`client::Client`] asks, [`server::Server`] bids, is granted and answers;
//! neither knows Redis, sockets, clocks or the messages it carries. A driver gives them what arrived and what time it
//! is, and does the effects they ask for:
//!
//! ```text
//!  bus ──payload──► receive(now, channel, payload)        poll_effect() ──► Publish · Subscribe · Lock · Ask · Run · Done …
//!  clock ─────────► timeout(now)                          poll_timeout() ─► when to call timeout() next
//! ```
//!
//! What must always hold: at most one server runs a request; nothing is begun after its expiry; every call ends; every
//! bid ends in exactly one of run or lost (a held bid may be lost first and run after all); state is bounded.

pub mod channel;
pub mod client;
pub mod envelope;
mod error;
pub mod id;
pub mod lock;
mod method;
mod now;
pub mod selection;
pub mod server;
mod timers;

pub use channel::Channel;
pub use client::Client;
pub use error::{Code, Error, Origin, http_status};
pub use id::RequestId;
pub use method::{Flow, Locking, Method, Topic};
pub use now::Now;
pub use selection::Selection;
pub use server::Server;
