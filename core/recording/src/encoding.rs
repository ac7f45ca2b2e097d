//! Encoding options: presets, `advanced`, defaults and bounds (egress-behaviour.md §2.3).
//!
//! `advanced` starts from the same base as everything (1280×720, 30 fps, 3000 kbit/s; the comments in the schema say
//! otherwise, the service does this). Upstream has hardly any bounds; the ones here refuse what cannot work and say
//! what to change. Knows nothing of outputs; key frames and codecs are settled in [`crate::request`].

use crate::Refusal;
use crate::codecs::Mime;
use crate::plan::{AudioEncode, H264Profile, KeyFrames};
use std::time::Duration;
use wire::livekit::{self, AudioCodec, EncodingOptionsPreset as Preset, VideoCodec};

/// Largest side of a picture, pixels.
pub const MAX_SIDE: i32 = 7680;
/// Largest picture, pixels (8K).
pub const MAX_PIXELS: i64 = 7680 * 4320;
/// Most frames per second.
pub const MAX_FRAMERATE: i32 = 120;
/// Highest bit rate, kbit/s.
pub const MAX_BITRATE_KBPS: i32 = 100_000;
/// Longest time between key frames, seconds.
pub const MAX_KEY_FRAME_INTERVAL: f64 = 3600.0;
/// Key frames of streams without an interval of their own (upstream's default).
const STREAM_KEY_FRAMES: Duration = Duration::from_secs(4);
/// What both AAC and MP3 encoders take, Hz.
const FREQUENCIES: [i32; 9] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];

/// What the user wants, before outputs have their say.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// PASSTHROUGH was asked for.
    pub passthrough: bool,
    /// Named sound codec.
    pub audio_codec: Option<Mime>,
    /// kbit/s.
    pub audio_bitrate_kbps: u32,
    /// Hz, for AAC and MP3.
    pub audio_frequency: u32,
    /// A video codec was named.
    pub video_codec: Option<Mime>,
    /// H.264 profile.
    pub profile: H264Profile,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the X screen.
    pub depth: u8,
    /// Frames per second.
    pub framerate: u32,
    /// kbit/s.
    pub video_bitrate_kbps: u32,
    /// Seconds; 0 leaves it open.
    pub key_frame_interval: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            passthrough: false,
            audio_codec: None,
            audio_bitrate_kbps: 128,
            audio_frequency: 44_100,
            video_codec: None,
            profile: H264Profile::Main,
            width: 1280,
            height: 720,
            depth: 24,
            framerate: 30,
            video_bitrate_kbps: 3000,
            key_frame_interval: 0.0,
        }
    }
}

/// A preset by its number; unknown numbers change nothing.
#[must_use]
pub fn preset(number: i32) -> Options {
    let base = Options::default();
    let (width, height, framerate, video_bitrate_kbps) = match Preset::try_from(number) {
        Ok(Preset::H264720p30) => (1280, 720, 30, 3000),
        Ok(Preset::H264720p60) => (1280, 720, 60, 4500),
        Ok(Preset::H2641080p30) => (1920, 1080, 30, 4500),
        Ok(Preset::H2641080p60) => (1920, 1080, 60, 6000),
        Ok(Preset::PortraitH264720p30) => (720, 1280, 30, 3000),
        Ok(Preset::PortraitH264720p60) => (720, 1280, 60, 4500),
        Ok(Preset::PortraitH2641080p30) => (1080, 1920, 30, 4500),
        Ok(Preset::PortraitH2641080p60) => (1080, 1920, 60, 6000),
        Ok(Preset::Passthrough) => {
            return Options {
                passthrough: true,
                ..base
            };
        }
        Err(_) => return base,
    };
    Options {
        width,
        height,
        framerate,
        video_bitrate_kbps,
        ..base
    }
}

/// `advanced`, field by field over the base.
///
/// # Errors
/// `… field: <name>` for what cannot be encoded.
pub fn advanced(wanted: &livekit::EncodingOptions) -> Result<Options, Refusal> {
    let mut options = Options::default();
    match AudioCodec::try_from(wanted.audio_codec) {
        Ok(AudioCodec::Opus) => options.audio_codec = Some(Mime::Opus),
        Ok(AudioCodec::Aac) => options.audio_codec = Some(Mime::Aac),
        Ok(AudioCodec::AcMp3) => options.audio_codec = Some(Mime::Mp3),
        Ok(AudioCodec::DefaultAc) | Err(_) => {}
    }
    let profile = match VideoCodec::try_from(wanted.video_codec) {
        Ok(VideoCodec::H264Baseline) => Some(H264Profile::Baseline),
        Ok(VideoCodec::H264Main) => Some(H264Profile::Main),
        Ok(VideoCodec::H264High) => Some(H264Profile::High),
        // VP8 is never encoded, and ignored as upstream.
        Ok(VideoCodec::Vp8 | VideoCodec::DefaultVc) | Err(_) => None,
    };
    if let Some(profile) = profile {
        options.video_codec = Some(Mime::H264);
        options.profile = profile;
    }
    options.width = side("width", wanted.width)?.unwrap_or(options.width);
    options.height = side("height", wanted.height)?.unwrap_or(options.height);
    if i64::from(options.width) * i64::from(options.height) > MAX_PIXELS {
        return Err(Refusal::field(
            "width and height (7680x4320 pixels at most)",
        ));
    }
    options.depth = match wanted.depth {
        0 => options.depth,
        8 => 8,
        16 => 16,
        24 => 24,
        _ => return Err(Refusal::field("depth")),
    };
    options.framerate =
        bounded("framerate", wanted.framerate, MAX_FRAMERATE)?.unwrap_or(options.framerate);
    options.audio_bitrate_kbps = bounded("audio_bitrate", wanted.audio_bitrate, MAX_BITRATE_KBPS)?
        .unwrap_or(options.audio_bitrate_kbps);
    options.video_bitrate_kbps = bounded("video_bitrate", wanted.video_bitrate, MAX_BITRATE_KBPS)?
        .unwrap_or(options.video_bitrate_kbps);
    if wanted.audio_frequency != 0 {
        if !FREQUENCIES.contains(&wanted.audio_frequency) {
            return Err(Refusal::field(
                "audio_frequency (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100 or 48000)",
            ));
        }
        options.audio_frequency = wanted.audio_frequency.unsigned_abs();
    }
    let interval = wanted.key_frame_interval;
    if !interval.is_finite() || !(0.0..=MAX_KEY_FRAME_INTERVAL).contains(&interval) {
        return Err(Refusal::field("key_frame_interval (0 to 3600 seconds)"));
    }
    options.key_frame_interval = interval;
    Ok(options)
}

/// Applied when positive (as upstream); even, at least 16.
fn side(field: &str, value: i32) -> Result<Option<u32>, Refusal> {
    if value <= 0 {
        return Ok(None);
    }
    if value < 16 || value % 2 != 0 {
        return Err(Refusal::field(field));
    }
    if value > MAX_SIDE {
        return Err(Refusal::field(format!("{field} ({MAX_SIDE} at most)")));
    }
    Ok(Some(value.unsigned_abs()))
}

fn bounded(field: &str, value: i32, max: i32) -> Result<Option<u32>, Refusal> {
    match value {
        0 => Ok(None),
        value if value < 0 || value > max => Err(Refusal::field(format!("{field} (1 to {max})"))),
        value => Ok(Some(value.unsigned_abs())),
    }
}

impl Options {
    /// Sound encoding with a chosen codec. Bit rates a codec does not have become the nearest it has, as the
    /// encoders themselves do.
    #[must_use]
    pub fn audio(&self, codec: media::AudioCodec) -> AudioEncode {
        let (bitrate_kbps, sample_rate) = match codec {
            media::AudioCodec::Opus => (self.audio_bitrate_kbps.clamp(6, 510), 48_000),
            media::AudioCodec::Aac => (self.audio_bitrate_kbps.clamp(8, 512), self.audio_frequency),
            media::AudioCodec::Mp3 => (self.audio_bitrate_kbps.clamp(8, 320), self.audio_frequency),
            media::AudioCodec::Pcm => (0, 48_000),
        };
        AudioEncode {
            codec,
            bitrate_kbps,
            sample_rate,
        }
    }

    /// Where key frames come from beside these outputs.
    #[must_use]
    pub fn key_frames(&self, segments: bool, stream: bool) -> KeyFrames {
        if segments {
            return KeyFrames::Segments;
        }
        if self.key_frame_interval > 0.0 {
            // Less than a frame cannot be counted in frames.
            let frame = 1.0 / f64::from(self.framerate);
            let seconds = self.key_frame_interval.max(frame);
            return Duration::try_from_secs_f64(seconds)
                .map_or(KeyFrames::Encoder, KeyFrames::Every);
        }
        if stream {
            KeyFrames::Every(STREAM_KEY_FRAMES)
        } else {
            KeyFrames::Encoder
        }
    }

    /// Segment length beside a stream output: key frames serve both, so the lower of the two in whole seconds. Upstream
    /// makes 0 of an interval below a second and crashes; here it is one second.
    #[must_use]
    pub fn segment_duration(&self, wanted: Duration, stream: bool) -> Duration {
        if !stream || self.key_frame_interval <= 0.0 {
            return wanted;
        }
        let interval = Duration::try_from_secs_f64(self.key_frame_interval).unwrap_or(wanted);
        wanted.min(Duration::from_secs(interval.as_secs().max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut livekit::EncodingOptions)) -> String {
        let mut wanted = livekit::EncodingOptions::default();
        change(&mut wanted);
        let text = advanced(&wanted).unwrap_err().message;
        text.strip_prefix("request has missing or invalid field: ")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn what_cannot_be_encoded_is_refused_with_the_way_out() {
        assert_eq!(refused(|o| o.width = 15), "width");
        assert_eq!(refused(|o| o.width = 1281), "width");
        assert_eq!(refused(|o| o.height = 721), "height");
        assert_eq!(refused(|o| o.width = 7682), "width (7680 at most)");
        assert_eq!(
            refused(|o| (o.width, o.height) = (7680, 4322)),
            "width and height (7680x4320 pixels at most)"
        );
        assert_eq!(refused(|o| o.depth = 12), "depth");
        assert_eq!(refused(|o| o.framerate = -1), "framerate (1 to 120)");
        assert_eq!(refused(|o| o.framerate = 121), "framerate (1 to 120)");
        assert_eq!(
            refused(|o| o.audio_bitrate = -1),
            "audio_bitrate (1 to 100000)"
        );
        assert_eq!(
            refused(|o| o.video_bitrate = 100_001),
            "video_bitrate (1 to 100000)"
        );
        assert!(refused(|o| o.audio_frequency = 44_101).starts_with("audio_frequency ("));
        for interval in [-1.0, f64::NAN, f64::INFINITY, 3601.0] {
            assert_eq!(
                refused(|o| o.key_frame_interval = interval),
                "key_frame_interval (0 to 3600 seconds)"
            );
        }
    }

    #[test]
    fn zero_and_negative_sizes_leave_the_base() {
        let options = advanced(&livekit::EncodingOptions {
            width: -2,
            ..Default::default()
        })
        .unwrap();
        assert_eq!(options, Options::default());
    }

    #[test]
    fn key_frames_follow_the_outputs() {
        let with = |interval| Options {
            key_frame_interval: interval,
            ..Options::default()
        };
        assert_eq!(with(2.0).key_frames(true, true), KeyFrames::Segments);
        assert_eq!(
            with(0.0).key_frames(false, true),
            KeyFrames::Every(Duration::from_secs(4))
        );
        assert_eq!(with(0.0).key_frames(false, false), KeyFrames::Encoder);
        assert_eq!(
            with(2.5).key_frames(false, false),
            KeyFrames::Every(Duration::from_millis(2500))
        );
        assert_eq!(
            with(1e-12).key_frames(false, true),
            KeyFrames::Every(Duration::from_secs_f64(1.0 / 30.0))
        );
        let six = Duration::from_secs(6);
        for (interval, stream, seconds) in [
            (0.0, true, 6),
            (2.9, true, 2),
            (0.5, true, 1),
            (9.0, true, 6),
            (2.0, false, 6),
        ] {
            assert_eq!(
                with(interval).segment_duration(six, stream),
                Duration::from_secs(seconds),
                "{interval}"
            );
        }
    }
}
