//! What a capture is told, and what it tells.

use media::{Format, Kind, Sample};
use recording::plan::Media;
use std::time::Duration;

/// What to capture and how to encode it.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Pictures; present exactly when `media` has pictures.
    pub picture: Option<Picture>,
    /// Sound; present exactly when `media` has sound.
    pub sound: Option<Sound>,
    /// How to encode: `Transcode` only.
    pub media: Media,
    /// Threads of the picture encoder; 0 chooses by frame size and rate.
    pub encoder_threads: u32,
}

/// Where pictures come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Picture {
    /// An X display.
    X11(X11),
    /// One GStreamer source element with properties, as graph text, for tests and calibration.
    Made(String),
}

/// An X display.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct X11 {
    /// `:7`.
    pub name: String,
    /// Pixels of the screen.
    pub width: u32,
    /// Pixels of the screen.
    pub height: u32,
}

/// Where sound comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sound {
    /// PulseAudio.
    Pulse(Pulse),
    /// One GStreamer source element with properties, as graph text, for tests and calibration.
    Made(String),
}

/// A PulseAudio source. The monitor of a null sink should have been loaded with `norewinds=1`: without it an idle sink
/// works in blocks of two seconds, and a capture of it begins with up to that much silence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// `unix:/run/…/native`.
    pub server: String,
    /// `<sink>.monitor`.
    pub source: String,
}

/// What a capture says. Formats come before the first sample of their stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A stream's format; again when it changes.
    Format {
        /// Codec, size or rate, codec private data.
        format: Format,
        /// How much sound at the start of the stream is not content (Opus pre-skip, MP3 delay); zero for the rest.
        priming: Duration,
    },
    /// One access unit. PTS begin at zero and never decrease; pictures lie exactly on the frame grid.
    Sample(Sample),
    /// The first buffer of every stream has arrived.
    Playing,
    /// Captured pictures were dropped since the last time this was said: encoder or receiver is too slow.
    Dropped {
        /// Stream.
        kind: Kind,
        /// How many.
        count: u64,
    },
    /// An element failed; no stream can be relied on from here.
    Error {
        /// Element name in the graph: which part of the world it was (`screen`, `sound`, `video_encoder`, …).
        element: String,
        /// The framework's text.
        text: String,
    },
    /// Everything that was captured has been handed over. Comes after [`super::Capture::stop`], or when a source ended.
    End,
}
