//! The real binary over a real Redis, recording real pages with a real Chromium, judged from outside.
//!
//! Names in brackets are rows of the public acceptance matrix.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says its seed and what the worker said"
)]

mod bad;
mod crash;
mod life;
mod support;
mod surfaces;
mod web;
