//! What flows: codecs, media time, encoded samples, and the hub that shares samples out to outputs.
//!
//! Knows no container, no encoder, no clock.

pub mod codec;
pub mod hub;
pub mod sample;
pub mod time;

pub use codec::{AudioCodec, AudioFormat, Format, VideoCodec, VideoFormat};
pub use sample::{Kind, Sample};
pub use time::MediaTime;
