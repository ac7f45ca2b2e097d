//! What the operator configured that a recorder needs besides the plan.
//!
//! The worker reads its YAML once and hands every recorder a [`Recorder`] with the plan ([`crate::link`]); a recorder
//! reads no file and no environment. What concerns one recording only is in the [`Plan`](crate::Plan); what concerns the
//! whole machine (costs, ports, Redis) stays in the worker.
//!
//! Knows no YAML keys (the worker maps them) and applies nothing: drivers do.

use crate::plan::Destination;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one recorder process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Recorder {
    /// Where working directories are made, one `<egress id>/` per recording.
    pub tmp_dir: PathBuf,
    /// Server URL of rooms, when a driver needs it beside the plan; may be empty.
    pub ws_url: String,
    /// Where the built-in layouts are served, `http://localhost:7980/`.
    pub template_base: String,
    /// Run Chromium with its sandbox.
    pub enable_chrome_sandbox: bool,
    /// Merged last over the fixed flags of the browser.
    pub chrome_flags: BTreeMap<String, ChromeFlag>,
    /// Let pages ignore web security and mixed content.
    pub insecure: bool,
    /// x264 threads; 0: automatic.
    pub video_encoder_threads: u32,
    /// How much media is held back where.
    pub latency: Latency,
    /// Debug artefacts.
    pub debug: Debug,
    /// How long anything may take.
    pub waits: Waits,
    /// What is logged, and how.
    pub log: Log,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            tmp_dir: PathBuf::from("/home/egress/tmp"),
            ws_url: String::new(),
            template_base: "http://localhost:7980/".to_owned(),
            enable_chrome_sandbox: false,
            chrome_flags: BTreeMap::new(),
            insecure: false,
            video_encoder_threads: 0,
            latency: Latency::default(),
            debug: Debug::default(),
            waits: Waits::default(),
            log: Log::default(),
        }
    }
}

/// One entry of `chrome_flags` (egress-behaviour.md §6.2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ChromeFlag {
    /// `true`: `--name`; `false`: the flag is taken away.
    Switch(bool),
    /// `--name=value`.
    Value(String),
}

/// The latency block (egress-behaviour.md §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How long a packet may be late.
    pub jitter_buffer: Duration,
    /// How long the mixer waits for a track.
    pub audio_mixer: Duration,
    /// Queues between source and encoder; also how long a stopped room source keeps reading.
    pub pipeline: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            jitter_buffer: Duration::from_secs(2),
            audio_mixer: Duration::from_millis(2_750),
            pipeline: Duration::from_secs(3),
        }
    }
}

/// Debug artefacts, all off by default (egress-behaviour.md §12.10).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Debug {
    /// Pipeline graphs when something froze.
    pub profiling: bool,
    /// A CSV per track.
    pub track_logging: bool,
    /// A CSV per stream.
    pub stream_logging: bool,
    /// Console and exceptions of the page in `chrome.log`.
    pub chrome_logging: bool,
    /// Where the artefacts are uploaded; `None`: this machine's disk.
    pub destination: Option<Destination>,
}

/// How long anything may take. Every one of these is a deadline of `Recording`(crate::lifecycle::Recording).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Waits {
    /// One attempt to start a browser, before it navigates.
    pub browser_launch: Duration,
    /// One attempt to load a page, from the ready browser to the load event.
    pub page_load: Duration,
    /// Attempts to load a page, each with a new browser.
    pub page_attempts: u32,
    /// Joining a room and waiting for what was named (its own limit is 30 s; this is the backstop).
    pub room_open: Duration,
    /// The start signal or the first packet, from the open source on. `None`: for ever, as upstream.
    pub start: Option<Duration>,
    /// From "start the media" to "playing".
    pub media_start: Duration,
    /// From "stop the media" to "drained".
    pub drain: Duration,
    /// Finishing the local files and saying goodbye to stream peers.
    pub close: Duration,
    /// All manifests together; a manifest that does not make it is given up.
    pub manifest: Duration,
}

impl Waits {
    /// The longest a source may take to open, all attempts together.
    #[must_use]
    pub fn page_open(&self) -> Duration {
        self.browser_launch
            .saturating_add(self.page_load)
            .saturating_mul(self.page_attempts.max(1))
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            browser_launch: Duration::from_secs(25),
            page_load: Duration::from_secs(30),
            page_attempts: 3,
            room_open: Duration::from_secs(75),
            start: None,
            media_start: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            close: Duration::from_secs(30),
            manifest: Duration::from_secs(120),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// From here up.
    pub level: LogLevel,
    /// On stderr as.
    pub format: LogFormat,
}

/// Log levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum LogLevel {
    /// Somebody lost something.
    Error,
    /// Somebody should look.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// Why.
    Debug,
    /// Every packet.
    Trace,
}

impl LogLevel {
    /// As `tracing` filters spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Log line formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_settings_take_their_defaults() {
        let settings: Recorder =
            serde_json::from_str(r#"{"waits":{"start":{"secs":5,"nanos":0}}}"#).unwrap();
        assert_eq!(settings.waits.start, Some(Duration::from_secs(5)));
        assert_eq!(settings.waits.drain, Duration::from_secs(30));
        assert_eq!(settings.tmp_dir, PathBuf::from("/home/egress/tmp"));
    }

    #[test]
    fn chrome_flags_are_switches_or_values_and_keep_a_stable_order() {
        let flags: BTreeMap<String, ChromeFlag> =
            serde_json::from_str(r#"{"z":true,"a":"1","m":false}"#).unwrap();
        let list: Vec<_> = flags.into_iter().collect();
        assert_eq!(
            list,
            [
                ("a".to_owned(), ChromeFlag::Value("1".to_owned())),
                ("m".to_owned(), ChromeFlag::Switch(false)),
                ("z".to_owned(), ChromeFlag::Switch(true)),
            ]
        );
    }

    #[test]
    fn opening_a_page_is_bounded_by_all_its_attempts() {
        assert_eq!(Waits::default().page_open(), Duration::from_secs(165));
    }
}
