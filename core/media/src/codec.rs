//! Codecs and what an output must know of a stream before its first sample.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How sound is coded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AudioCodec {
    /// Opus, 48 kHz.
    Opus,
    /// AAC-LC, raw access units (no ADTS).
    Aac,
    /// MPEG-1 layer 3.
    Mp3,
    /// Interleaved signed 16-bit little endian.
    Pcm,
}

/// How pictures are coded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum VideoCodec {
    /// H.264, length-prefixed NAL units (4 bytes), one access unit per sample.
    H264,
    /// H.265, length-prefixed NAL units (4 bytes).
    H265,
    /// VP8 frames.
    Vp8,
    /// VP9 superframes.
    Vp9,
    /// AV1 temporal units (low-overhead OBU stream without temporal delimiters).
    Av1,
}

/// A sound stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AudioFormat {
    /// Codec.
    pub codec: AudioCodec,
    /// Hz.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Codec private data: AudioSpecificConfig for AAC, OpusHead for Opus, else empty.
    pub config: Bytes,
}

/// A picture stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VideoFormat {
    /// Codec.
    pub codec: VideoCodec,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Codec private data: avcC (H.264), hvcC, av1C, vpcC, else empty.
    pub config: Bytes,
}

/// Either.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Format {
    /// Sound.
    Audio(AudioFormat),
    /// Pictures.
    Video(VideoFormat),
}
