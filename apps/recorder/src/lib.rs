//! One process, one or more recordings: source → pipeline → outputs → storage, driven by the `recording` core.
//!
//! ```text
//!            link (stdin)                        facts
//! worker ◄──────────────► serve ──► run ◄──────────────────── page · media · file   (tasks and threads, one each)
//!                                    │  recording::Recording
//!                                    └── effects ──► studio: opens, starts, stops, stores
//! ```
//!
//! Holds no rules: what happens next is decided in `recording::lifecycle`.

mod file;
mod media;
mod page;
pub mod repair;
mod run;
pub mod serve;
mod studio;
mod workdir;

pub use serve::serve;
