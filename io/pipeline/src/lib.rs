//! The only crate that names GStreamer: captures a display and its sound, encodes once, hands out `media::Sample`s.
//!
//! ```text
//! ximagesrc ─► colour ─► grid ─►(≤ 0.5 s raw)─► x264enc ─►┐
//!                                                          ├─► hand-over (bounded) ─► Events ─► media::hub
//! pulsesrc ─► audiorate ─► audioconvert/-resample ─► aac ─►┘
//! ```
//!
//! Media time zero is the moment the pipeline began to play, for both streams. Knows no container, no output, no
//! recording state; what to do about an error or a silence is the recording's decision.

pub mod capture;
pub mod colour;
pub mod encoder;
pub mod error;
pub mod graph;
pub mod grid;
pub mod handover;
pub mod plugins;

pub use capture::{Capture, Config, Event, Picture, Pulse, Sound, Stats, X11};
pub use error::Error;
pub use handover::Events;
