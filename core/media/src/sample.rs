//! One encoded access unit.

use crate::MediaTime;
use bytes::Bytes;
use std::time::Duration;

/// Which of the (at most two) streams of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// One encoded access unit. Cheap to clone: the bytes are shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Stream.
    pub kind: Kind,
    /// Presentation time.
    pub pts: MediaTime,
    /// Decoding time; equal to `pts` where the codec does not reorder.
    pub dts: MediaTime,
    /// Zero when unknown: the next sample of the stream tells.
    pub duration: Duration,
    /// Decodable without earlier samples. Always true for sound.
    pub keyframe: bool,
    /// As the stream's [`Format`](crate::Format) says.
    pub data: Bytes,
}
