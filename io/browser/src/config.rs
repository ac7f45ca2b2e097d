//! What page to show, on what screen, and how long anything may take.
//!
//! A plain value made by the recorder from the plan and the operator's settings; nothing is read from files or environment
//! here.

use recording::Secret;
use recording::settings::ChromeFlag;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One page and everything it needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to navigate; may carry a token. Reaches the browser over DevTools only, never through argv or environment.
    pub url: Secret<String>,
    /// Width of screen and page, pixels.
    pub width: u32,
    /// Height of screen and page, pixels.
    pub height: u32,
    /// Colour depth of the screen, bits.
    pub depth: u32,
    /// Give the page a sound server; without, it is muted and none is started.
    pub audio: bool,
    /// Wait for the page's own `START_RECORDING`; otherwise [`Event::StartRecording`](crate::Event) comes with the load.
    pub await_start_signal: bool,
    /// Run Chromium with its sandbox (`enable_chrome_sandbox`).
    pub sandbox: bool,
    /// Switch web security and mixed content checks off (`insecure`).
    pub insecure: bool,
    /// The operator's `chrome_flags`, merged last.
    pub flags: BTreeMap<String, ChromeFlag>,
    /// An existing directory of this recording. Profile, sockets and logs live below it and, but for `chrome.log`, are gone
    /// after [`Stage::close`](crate::Stage::close).
    pub workdir: PathBuf,
    /// The browser to run; `None`: the first of the usual names on `PATH`.
    pub chrome_path: Option<PathBuf>,
    /// Write the page's console and exceptions to `<workdir>/chrome.log` (`enable_chrome_logging`).
    pub console_log: bool,
    /// How long anything may take.
    pub limits: Limits,
}

impl Config {
    /// A 1920×1080 page with sound, everything else as upstream does by default.
    #[must_use]
    pub fn new(url: Secret<String>, workdir: PathBuf) -> Self {
        Self {
            url,
            width: 1920,
            height: 1080,
            depth: 24,
            audio: true,
            await_start_signal: false,
            sandbox: false,
            insecure: false,
            flags: BTreeMap::new(),
            workdir,
            chrome_path: None,
            console_log: false,
            limits: Limits::default(),
        }
    }
}

/// Time limits, each with its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Xvfb and PulseAudio, from spawn to ready. Milliseconds normally; a machine that needs longer cannot record anyway.
    pub helpers: Duration,
    /// Chromium, from spawn to its DevTools address (upstream's launcher: 20 s).
    pub devtools: Duration,
    /// One attempt to load, from the ready browser to the load event (upstream: 30 s).
    pub page_load: Duration,
    /// Attempts to load, each with a new browser, when the outcome is one that passes (upstream: 3).
    pub attempts: u32,
    /// Pause between two heartbeats of a page that answers.
    pub heartbeat: Duration,
    /// A page that answered nothing for so long is [`Event::Unresponsive`](crate::Event).
    pub unresponsive: Duration,
    /// How long each step of saying goodbye (close, SIGTERM) may take before the next, harder one.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            helpers: Duration::from_secs(10),
            devtools: Duration::from_secs(20),
            page_load: Duration::from_secs(30),
            attempts: 3,
            heartbeat: Duration::from_secs(5),
            unresponsive: Duration::from_secs(30),
            goodbye: Duration::from_secs(1),
        }
    }
}
