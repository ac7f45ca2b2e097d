//! What a page tells its recorder.
//!
//! Facts only; whether a crash ends a recording is the recorder's to say. The two signals come at most once each
//! for every attempt to load.

use std::time::Duration;

/// Something happened to the page or to what carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The page logged `START_RECORDING`, or it is loaded and nobody waits for that.
    StartRecording,
    /// The page logged `END_RECORDING`.
    EndRecording,
    /// The renderer is gone; the screen shows an error page or nothing.
    PageCrashed,
    /// The page closed its window; the browser ends with it.
    Closed,
    /// Chromium is gone.
    BrowserExited(String),
    /// The page has not answered for this long. Comes once, until it answers again.
    Unresponsive(Duration),
    /// An unresponsive page answers again.
    Responsive,
    /// Xvfb is gone.
    DisplayLost(String),
    /// PulseAudio is gone: the page plays on, without sound.
    SoundLost(String),
}
