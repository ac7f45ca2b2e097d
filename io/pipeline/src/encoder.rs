//! Which encoder, and with which properties. Pure: what is installed comes in as a function.
//!
//! | work | first | instead | why |
//! |---|---|---|---|
//! | H.264 | `x264enc` | `openh264enc` | x264 `veryfast bframes=0 threads=1`, lookahead on (compose-costs.md §6) |
//! | AAC | `avenc_aac` | `voaacenc` | better sound; both are in Debian main |
//! | Opus, MP3 | `opusenc`, `lamemp3enc` | – | |
//!
//! AAC encoders delay the sound ([`Aac::delay`]): the units that hold nothing but the delay are left out and the rest
//! moved back, so that PTS are right in every container, not only where edit lists exist. The price is one access unit
//! at the very start (23 ms) without its predecessor to overlap with.

use crate::{Error, plugins};
use media::AudioCodec;
use recording::plan::{AudioEncode, H264Profile, KeyFrames, VideoEncode};
use std::time::Duration;

/// Samples of an AAC-LC access unit.
pub const AAC_UNIT: u32 = 1024;
/// Samples by which LAME's decoder-plus-encoder delay moves the sound (528 + 1 + 576).
pub const MP3_DELAY: u32 = 1105;
/// The rate control's buffer (egress-behaviour.md §12.6).
pub const VBV: Duration = Duration::from_secs(2);
/// Pixels per second up to which one encoder thread keeps up (1920×1088 at 30 per second).
const ONE_THREAD: u64 = 1920 * 1088 * 30;

/// An H.264 encoder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum H264 {
    /// libx264.
    X264,
    /// Cisco's.
    OpenH264,
}

impl H264 {
    /// Element factory.
    #[must_use]
    pub const fn element(self) -> &'static str {
        match self {
            Self::X264 => "x264enc",
            Self::OpenH264 => "openh264enc",
        }
    }
}

/// An AAC encoder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aac {
    /// libavcodec's own.
    Libav,
    /// VisualOn's.
    VisualOn,
}

impl Aac {
    /// Element factory.
    #[must_use]
    pub const fn element(self) -> &'static str {
        match self {
            Self::Libav => "avenc_aac",
            Self::VisualOn => "voaacenc",
        }
    }

    /// How many samples late the sound comes out (measured with clicks: 1024 and 1600 at 44.1 and at 48 kHz).
    #[must_use]
    pub const fn delay(self) -> u32 {
        match self {
            Self::Libav => 1024,
            Self::VisualOn => 1600,
        }
    }
}

/// The H.264 encoder to use.
///
/// # Errors
/// [`Error::NoEncoder`].
pub fn h264(installed: impl Fn(&str) -> bool) -> Result<H264, Error> {
    first(&[H264::X264, H264::OpenH264], |e| installed(e.element())).ok_or(Error::NoEncoder {
        purpose: "H.264",
        package: plugins::package("x264enc"),
    })
}

/// The AAC encoder to use.
///
/// # Errors
/// [`Error::NoEncoder`].
pub fn aac(installed: impl Fn(&str) -> bool) -> Result<Aac, Error> {
    first(&[Aac::Libav, Aac::VisualOn], |e| installed(e.element())).ok_or(Error::NoEncoder {
        purpose: "AAC",
        package: plugins::package("avenc_aac"),
    })
}

fn first<T: Copy>(table: &[T], usable: impl Fn(T) -> bool) -> Option<T> {
    table.iter().copied().find(|entry| usable(*entry))
}

/// Encoder threads: the operator's number, or one up to 1080p30 and two above (one costs least and uses least memory,
/// but a thread alone does not keep up with 1080p60).
#[must_use]
pub fn threads(video: &VideoEncode, configured: u32) -> u32 {
    let rate = u64::from(video.width) * u64::from(video.height) * u64::from(video.framerate);
    match configured {
        0 if rate <= ONE_THREAD => 1,
        0 => 2,
        n => n.min(64),
    }
}

/// Frames between key frames when they come at exact intervals (§2.3: truncated, at least one).
#[must_use]
pub fn gop(video: &VideoEncode) -> Option<u32> {
    match video.keyframes {
        KeyFrames::Every(interval) => {
            let frames = interval.as_nanos() * u128::from(video.framerate) / 1_000_000_000;
            Some(
                u32::try_from(frames)
                    .unwrap_or(u32::MAX)
                    .clamp(1, i32::MAX as u32),
            )
        }
        KeyFrames::Encoder | KeyFrames::Segments => None,
    }
}

/// The profile as caps spell it.
#[must_use]
pub const fn profile(video: &VideoEncode) -> &'static str {
    match video.profile {
        H264Profile::Baseline => "constrained-baseline",
        H264Profile::Main => "main",
        H264Profile::High => "high",
    }
}

/// The element with its properties, as graph text.
#[must_use]
pub fn h264_text(encoder: H264, video: &VideoEncode, configured_threads: u32) -> String {
    let threads = threads(video, configured_threads);
    match encoder {
        H264::X264 => {
            let mut text = format!(
                "x264enc name=video_encoder speed-preset=veryfast bframes=0 threads={threads} bitrate={} vbv-buf-capacity={}",
                video.bitrate_kbps.clamp(1, 2_048_000),
                VBV.as_millis(),
            );
            if let Some(gop) = gop(video) {
                text += &format!(" key-int-max={gop}");
            }
            if video.live {
                text += " tune=zerolatency";
            }
            let mut options = Vec::new();
            match video.keyframes {
                KeyFrames::Every(_) | KeyFrames::Segments => options.push("scenecut=0"),
                KeyFrames::Encoder => {}
            }
            // With x264's default of 0.9 a busy recording of 8 s came out 10 % too large: the buffer it may empty is
            // spent at once. With 0.5: 0.997 to 1.002 of the bit rate after 8 s and after 30 s. A live stream is
            // filled up to its constant rate, and would begin below it.
            options.push(if video.live {
                "nal-hrd=cbr"
            } else {
                "vbv-init=0.5"
            });
            // Where the bit rate is more than the content can use, x264 would spend it on what nobody can see. A page
            // with two moving shapes: 1440 kbit/s, 63 dB and 0.153 core without, 452 kbit/s, 57 dB and 0.122 core with.
            options.push("qpmin=14");
            text += &format!(" option-string=\"{}\"", options.join(":"));
            text
        }
        // Its bit rate is in bit/s; the group of pictures 0 means "only when asked".
        H264::OpenH264 => format!(
            "openh264enc name=video_encoder complexity=low rate-control=bitrate bitrate={bits} max-bitrate={bits} \
             multi-thread={threads} gop-size={} ! h264parse",
            match video.keyframes {
                KeyFrames::Every(_) => gop(video).unwrap_or(1),
                KeyFrames::Encoder => 250,
                KeyFrames::Segments => 0,
            },
            bits = video.bitrate_kbps.clamp(1, 2_048_000) * 1000,
        ),
    }
}

/// How sound is encoded, complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sound {
    /// AAC-LC.
    Aac(Aac),
    /// Opus.
    Opus,
    /// MP3, constant bit rate.
    Mp3,
    /// As it is.
    Pcm,
}

impl Sound {
    /// The encoder for a plan.
    ///
    /// # Errors
    /// [`Error::NoEncoder`] when no AAC encoder is installed.
    pub fn choose(codec: AudioCodec, installed: impl Fn(&str) -> bool) -> Result<Self, Error> {
        Ok(match codec {
            AudioCodec::Aac => Self::Aac(aac(installed)?),
            AudioCodec::Opus => Self::Opus,
            AudioCodec::Mp3 => Self::Mp3,
            AudioCodec::Pcm => Self::Pcm,
        })
    }

    /// Element factory, if any.
    #[must_use]
    pub const fn element(self) -> Option<&'static str> {
        match self {
            Self::Aac(aac) => Some(aac.element()),
            Self::Opus => Some("opusenc"),
            Self::Mp3 => Some("lamemp3enc"),
            Self::Pcm => None,
        }
    }

    /// Hz: the plan's where the codec can, else the nearest it can; 48000 for Opus and PCM.
    #[must_use]
    pub fn rate(self, audio: &AudioEncode) -> u32 {
        const AAC: &[u32] = &[
            8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000,
        ];
        const MP3: &[u32] = &[8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000];
        match self {
            Self::Aac(_) => nearest(AAC, audio.sample_rate),
            Self::Mp3 => nearest(MP3, audio.sample_rate),
            Self::Opus | Self::Pcm => 48_000,
        }
    }

    /// Samples of one unit; `None` where the capture decides.
    #[must_use]
    pub fn unit(self, rate: u32) -> Option<u32> {
        match self {
            Self::Aac(_) => Some(AAC_UNIT),
            Self::Opus => Some(960),
            Self::Mp3 => Some(if rate < 32_000 { 576 } else { 1152 }),
            Self::Pcm => None,
        }
    }

    /// By how much units have to be moved back; units before zero are left out.
    #[must_use]
    pub fn shift(self, rate: u32) -> Duration {
        match self {
            Self::Aac(aac) => samples(aac.delay(), rate),
            Self::Opus | Self::Mp3 | Self::Pcm => Duration::ZERO,
        }
    }

    /// How much sound at the start of the stream is not content. A container with edit lists says so.
    #[must_use]
    pub fn priming(self, rate: u32, config: &[u8]) -> Duration {
        match self {
            Self::Aac(_) | Self::Pcm => Duration::ZERO,
            Self::Mp3 => samples(MP3_DELAY, rate),
            // OpusHead: pre-skip in 48 kHz samples.
            Self::Opus => match config.get(10..12) {
                Some(&[low, high]) => samples(u32::from(u16::from_le_bytes([low, high])), 48_000),
                Some(_) | None => Duration::ZERO,
            },
        }
    }

    /// The caps before the encoder, the encoder, the caps after it, as graph text.
    #[must_use]
    pub fn text(self, audio: &AudioEncode) -> String {
        let rate = self.rate(audio);
        let kbps = audio.bitrate_kbps;
        let raw = |format: &str| {
            format!(
                "audio/x-raw,format={format},layout=interleaved,rate={rate},channels=2,channel-mask=(bitmask)0x3"
            )
        };
        match self {
            Self::Aac(Aac::Libav) => format!(
                "{} ! avenc_aac name=audio_encoder bitrate={} ! audio/mpeg,mpegversion=4,stream-format=raw",
                raw("F32LE"),
                kbps.clamp(8, 512) * 1000,
            ),
            Self::Aac(Aac::VisualOn) => format!(
                "{} ! voaacenc name=audio_encoder bitrate={} ! audio/mpeg,mpegversion=4,stream-format=raw",
                raw("S16LE"),
                kbps.clamp(8, 320) * 1000,
            ),
            Self::Opus => format!(
                "{} ! opusenc name=audio_encoder bitrate={}",
                raw("S16LE"),
                kbps.clamp(6, 510) * 1000,
            ),
            Self::Mp3 => format!(
                "{} ! lamemp3enc name=audio_encoder target=bitrate cbr=true bitrate={}",
                raw("S16LE"),
                mp3_bitrate(kbps, rate),
            ),
            Self::Pcm => raw("S16LE"),
        }
    }
}

/// So many samples as time.
#[must_use]
pub fn samples(count: u32, rate: u32) -> Duration {
    let nanos = u64::from(count) * 1_000_000_000 / u64::from(rate.max(1));
    Duration::from_nanos(nanos)
}

fn nearest(table: &[u32], wanted: u32) -> u32 {
    table
        .iter()
        .copied()
        .min_by_key(|rate| rate.abs_diff(wanted))
        .unwrap_or(48_000)
}

/// MP3 knows only these, and below 32 kHz and 16 kHz only the lower ones.
fn mp3_bitrate(kbps: u32, rate: u32) -> u32 {
    const MPEG1: &[u32] = &[
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const MPEG2: &[u32] = &[8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    const MPEG25: &[u32] = &[8, 16, 24, 32, 40, 48, 56, 64];
    let table = match rate {
        32_000.. => MPEG1,
        16_000.. => MPEG2,
        _ => MPEG25,
    };
    nearest(table, kbps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(width: u32, height: u32, framerate: u32) -> VideoEncode {
        VideoEncode {
            profile: H264Profile::Main,
            width,
            height,
            depth: 24,
            framerate,
            bitrate_kbps: 3000,
            keyframes: KeyFrames::Encoder,
            live: false,
        }
    }

    #[test]
    fn one_thread_up_to_1080p30_and_two_above_unless_configured() {
        assert_eq!(threads(&video(1280, 720, 30), 0), 1);
        assert_eq!(threads(&video(1280, 720, 60), 0), 1);
        assert_eq!(threads(&video(1920, 1080, 30), 0), 1);
        assert_eq!(threads(&video(1080, 1920, 30), 0), 1);
        assert_eq!(threads(&video(1920, 1080, 60), 0), 2);
        assert_eq!(threads(&video(1280, 720, 30), 4), 4);
    }

    #[test]
    fn intervals_are_truncated_to_frames() {
        let every = |seconds: f64, fps| {
            let mut video = video(1280, 720, fps);
            video.keyframes = KeyFrames::Every(Duration::from_secs_f64(seconds));
            gop(&video)
        };
        assert_eq!(every(4.0, 30), Some(120));
        assert_eq!(every(2.49, 30), Some(74));
        assert_eq!(every(0.01, 30), Some(1));
        assert_eq!(gop(&video(1280, 720, 30)), None);
    }

    #[test]
    fn encoders_come_from_the_table_in_order() {
        assert_eq!(h264(|_| true), Ok(H264::X264));
        assert_eq!(h264(|e| e == "openh264enc"), Ok(H264::OpenH264));
        assert_eq!(aac(|e| e != "avenc_aac"), Ok(Aac::VisualOn));
        let none = aac(|_| false).map_err(|e| e.to_string());
        assert_eq!(
            none,
            Err("no AAC encoder is installed: install gstreamer1.0-libav".to_owned())
        );
    }

    #[test]
    fn bit_rates_and_sample_rates_are_ones_the_codec_knows() {
        assert_eq!(mp3_bitrate(128, 44_100), 128);
        assert_eq!(mp3_bitrate(130, 44_100), 128);
        assert_eq!(mp3_bitrate(1, 44_100), 32);
        assert_eq!(mp3_bitrate(320, 8000), 64);
        let audio = AudioEncode {
            codec: AudioCodec::Aac,
            bitrate_kbps: 128,
            sample_rate: 44_000,
        };
        assert_eq!(Sound::Aac(Aac::Libav).rate(&audio), 44_100);
        assert_eq!(Sound::Opus.rate(&audio), 48_000);
    }

    #[test]
    fn priming_of_opus_is_its_pre_skip() {
        let mut head = b"OpusHead\x01\x02".to_vec();
        head.extend(312u16.to_le_bytes());
        assert_eq!(
            Sound::Opus.priming(48_000, &head),
            Duration::from_micros(6500)
        );
        assert_eq!(Sound::Opus.priming(48_000, b"Opus"), Duration::ZERO);
    }
}
