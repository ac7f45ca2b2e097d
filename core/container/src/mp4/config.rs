//! What a file is to hold, the limits every length is held to, and what can go wrong.

use media::{AudioFormat, Kind, VideoFormat};
use std::time::Duration;

/// Largest sample taken, bytes. An 8K intra frame is below a quarter of it.
pub(super) const MAX_SAMPLE: usize = 64 << 20;
/// Most samples of one track in one fragment: bounds the `moof` that the finisher reads back.
pub(super) const MAX_RUN: usize = 4096;
/// Largest `moof` accepted when reading back.
pub(super) const MAX_MOOF: u32 = 1 << 20;
/// Largest codec configuration taken, bytes; keeps the whole header below [`HEAD`].
pub(super) const MAX_CODEC_CONFIG: usize = 16 << 10;
/// The repair finds everything before the first fragment in this many bytes.
pub(super) const HEAD: u64 = 64 << 10;
/// Default for [`Config::index_memory`].
pub(super) const INDEX_MEMORY: usize = 2 << 20;

/// A sound track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audio {
    /// AAC or Opus.
    pub format: AudioFormat,
    /// Sound at the start of the decoded stream that was not in the input (encoder delay). It is skipped by an edit
    /// list, so that what was captured at a sample's PTS is heard at that PTS. Zero where PTS already tells the truth.
    pub priming: Duration,
}

/// What to write and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The sound track, if any.
    pub audio: Option<Audio>,
    /// The picture track, if any: H.264, H.265, AV1 or VP9.
    pub video: Option<VideoFormat>,
    /// Longest fragment: what a kill may cost. At least 10 ms.
    pub fragment: Duration,
    /// A fragment is also cut before its samples exceed this many bytes; a larger sample gets a fragment of its own.
    /// Bounds memory.
    pub max_fragment_bytes: usize,
    /// Seconds since 1970, written as the creation time.
    pub created: Option<u64>,
    /// Bytes of the final index held at a time while finishing; the file is walked once per that many.
    pub index_memory: usize,
}

impl Config {
    /// One-second fragments of at most 2 MiB, no creation time.
    #[must_use]
    pub fn new(audio: Option<Audio>, video: Option<VideoFormat>) -> Self {
        Self {
            audio,
            video,
            fragment: Duration::from_secs(1),
            max_fragment_bytes: 2 << 20,
            created: None,
            index_memory: INDEX_MEMORY,
        }
    }
}

/// Why a file cannot be written, finished or repaired.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Neither sound nor pictures were asked for.
    #[error("a file needs at least one track")]
    NoTracks,
    /// The codec has no place in an MP4 file.
    #[error("{0} cannot be stored in mp4")]
    Unsupported(&'static str),
    /// The format's numbers or codec configuration cannot be right.
    #[error("{0}")]
    Format(&'static str),
    /// A sample of a track the file does not have.
    #[error("the file has no {0:?} track")]
    NoTrack(Kind),
    /// Not one whole fragment: nothing can be played.
    #[error("nothing was recorded")]
    NothingRecorded,
    /// Not a file of this writer; it was not touched.
    #[error("not a file of this writer: {0}")]
    Foreign(&'static str),
    /// What was read back is not what was written.
    #[error("fragment at byte {offset} is damaged")]
    Corrupt {
        /// Where the damaged fragment begins.
        offset: u64,
    },
    /// Storage gave fewer bytes than the file has.
    #[error("short read at byte {offset}")]
    ShortRead {
        /// Where the read began.
        offset: u64,
    },
    /// The index does not fit 32-bit counts and sizes.
    #[error("the recording is too long for one file")]
    TooLong,
}
