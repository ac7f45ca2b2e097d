//! The only crate that names GStreamer: captures and encodes into `media::Sample`s.
//!
//! ```text
//! capture::Config ── graph::describe (pure, snapshot-tested) ──► launch line ──► Capture ── Event ──► bounded channel
//! ```
//!
//! A full consumer costs raw frames in front of the encoder (a leaky queue of at most half a second, counted), never
//! encoded ones behind it. Knows no file, no page, no state of a recording.

pub mod capture;
pub mod element;
pub mod graph;
