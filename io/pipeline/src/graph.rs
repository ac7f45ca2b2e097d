//! What to capture as a GStreamer launch line. Pure text; `gst-launch-1.0` takes it as it is.
//!
//! ```text
//! ximagesrc ! video-queue (leaky, 500 ms) ! videoconvert ! videorate ! x264enc ! video-sink
//! pulsesrc  ! audiorate ! audio-queue (leaky, 1 s) ! audioconvert ! audioresample ! encoder ! audio-sink
//! ```

use crate::element::AacEncoder;
use ::media::AudioCodec;
use recording::plan::{AudioEncode, H264Profile, KeyFrames, VideoEncode};

/// Where pictures come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pictures {
    /// An X display, `:99`.
    X11(String),
    /// A moving test picture.
    Test,
}

/// Where sound comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sound {
    /// A PulseAudio source.
    Pulse {
        /// `unix:/…/pulse.sock`.
        server: String,
        /// `….monitor`.
        source: String,
    },
    /// A test tone.
    Test,
}

/// Raw pictures waiting for the encoder, nanoseconds: beyond that the oldest are dropped.
const VIDEO_QUEUE: u64 = 500_000_000;
/// The same for sound.
const AUDIO_QUEUE: u64 = 1_000_000_000;

/// The video branch.
#[must_use]
pub fn video(from: &Pictures, encode: &VideoEncode, threads: u32) -> String {
    let VideoEncode {
        width,
        height,
        framerate,
        ..
    } = encode;
    let mut line = match from {
        Pictures::X11(display) => format!(
            "ximagesrc name=video-source display-name={display} use-damage=false show-pointer=false do-timestamp=true"
        ),
        Pictures::Test => {
            "videotestsrc name=video-source is-live=true pattern=ball animation-mode=running-time"
                .to_owned()
        }
    };
    line.push_str(&format!(
            " ! video/x-raw,framerate={framerate}/1,width={width},height={height} \
             ! queue name=video-queue leaky=downstream max-size-buffers=0 max-size-bytes=0 max-size-time={VIDEO_QUEUE} \
             ! videoconvert n-threads=1 dither=none \
             ! videorate name=video-rate skip-to-first=true \
             ! video/x-raw,format=I420,framerate={framerate}/1,colorimetry=bt709,chroma-site=mpeg2 \
             ! {} \
             ! video/x-h264,profile={},stream-format=avc,alignment=au \
             ! appsink name=video-sink sync=false max-buffers=8 enable-last-sample=false",
            x264(encode, threads),
            profile(encode.profile)
        ));
    line
}

const fn profile(profile: H264Profile) -> &'static str {
    match profile {
        H264Profile::Baseline => "constrained-baseline",
        H264Profile::Main => "main",
        H264Profile::High => "high",
    }
}

/// x264: `veryfast` without B-frames, which cost a quarter of the encoder and win nothing on pages and faces
/// (compose-costs.md §6).
fn x264(encode: &VideoEncode, threads: u32) -> String {
    let mut line = format!(
        "x264enc name=video-encoder speed-preset=veryfast bframes=0 b-adapt=false threads={} bitrate={} vbv-buf-capacity=2000",
        if threads == 0 {
            default_threads(encode)
        } else {
            threads
        },
        encode.bitrate_kbps,
    );
    let mut options = Vec::new();
    match encode.keyframes {
        KeyFrames::Encoder => {}
        KeyFrames::Every(interval) => {
            let frames = (interval.as_secs_f64() * f64::from(encode.framerate))
                .trunc()
                .max(1.0);
            line.push_str(&format!(" key-int-max={frames}"));
            options.push("scenecut=0");
        }
        KeyFrames::Segments => options.push("scenecut=0"),
    }
    if encode.live {
        options.push("nal-hrd=cbr");
        line.push_str(" tune=zerolatency");
    }
    if !options.is_empty() {
        line.push_str(&format!(" option-string={}", options.join(":")));
    }
    line
}

/// One thread up to 1080p30, which is cheapest and smallest; more where one would not keep up.
const fn default_threads(encode: &VideoEncode) -> u32 {
    match encode.width as u64 * encode.height as u64 * encode.framerate as u64 {
        0..=66_000_000 => 1,
        66_000_001..=130_000_000 => 2,
        _ => 4,
    }
}

/// The sound branch. `aac` is needed for AAC.
#[must_use]
pub fn audio(from: &Sound, encode: &AudioEncode, aac: Option<AacEncoder>) -> String {
    let source = match from {
        // The clock is the system's; PulseAudio's own corrections would pull it about.
        Sound::Pulse { server, source } => format!(
            "pulsesrc name=audio-source server={server} device={source} client-name=egress provide-clock=false \
             do-timestamp=true buffer-time=200000 latency-time=20000"
        ),
        Sound::Test => {
            "audiotestsrc name=audio-source is-live=true samplesperbuffer=960".to_owned()
        }
    };
    let bits = encode.bitrate_kbps.saturating_mul(1000);
    let coder = match encode.codec {
        AudioCodec::Aac => format!(
            "{} name=audio-encoder bitrate={bits} ! audio/mpeg,mpegversion=4,stream-format=raw",
            aac.map_or("avenc_aac", |a| a.element)
        ),
        AudioCodec::Opus => format!("opusenc name=audio-encoder bitrate={bits} ! audio/x-opus"),
        AudioCodec::Mp3 => {
            let (kbps, rate) = (encode.bitrate_kbps, encode.sample_rate);
            format!(
                "lamemp3enc name=audio-encoder target=bitrate cbr=true bitrate={kbps} ! audio/mpeg,mpegversion=1,rate={rate}"
            )
        }
        AudioCodec::Pcm => {
            "identity name=audio-encoder ! audio/x-raw,format=S16LE,layout=interleaved".to_owned()
        }
    };
    format!(
        "{source} ! audiorate name=audio-rate skip-to-first=true tolerance=40000000 \
         ! queue name=audio-queue leaky=downstream max-size-buffers=0 max-size-bytes=0 max-size-time={AUDIO_QUEUE} \
         ! audioconvert ! audioresample ! audio/x-raw,rate={},channels=2 \
         ! {coder} ! appsink name=audio-sink sync=false max-buffers=16 enable-last-sample=false",
        encode.sample_rate
    )
}
