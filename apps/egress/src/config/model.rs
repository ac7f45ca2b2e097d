//! The effective configuration: every value decided, nothing left to look up.
//!
//! Defaults are those of egress-behaviour.md §6.2–6.4; [`super::decode`] applies them. Knows no YAML.

use recording::Secret;
use recording::plan::{Destination, RequestType};
use recording::policy::{AssumeRole, Retries};
use std::path::PathBuf;
use std::time::Duration;

/// Everything the operator decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The bus; `None` only where none is needed (`egress record`).
    pub redis: Option<Redis>,
    /// `api_key`: issuer of room tokens; may be empty.
    pub api_key: String,
    /// `api_secret`; may be empty.
    pub api_secret: Secret<String>,
    /// `ws_url`: the room server when a request does not name one; may be empty.
    pub ws_url: String,
    /// `logging` and the old `log_level`.
    pub logging: Logging,
    /// What GStreamer logs: `GST_DEBUG`, else derived from the level (§7.5).
    pub gst_debug: String,
    /// `cluster_id`: topic of StartEgress.
    pub cluster_id: String,
    /// `template_base`: where layout pages are.
    pub template_base: String,
    /// The ports of the service.
    pub ports: Ports,
    /// Working directories of recordings are made in here.
    pub tmp_dir: PathBuf,
    /// The browser.
    pub chrome: Chrome,
    /// `storage` or an old top-level `s3`, `azure`, `gcp`, `alioss`: where files go when a request does not say.
    pub storage: Option<Destination>,
    /// `backup` or the old `backup_storage`: where files go when the first place fails.
    pub backup: Option<Destination>,
    /// Retries of uploads to a bucket that a request brings itself: those of the service's own S3 block, or upstream's
    /// defaults. (Upstream retries uploads to its own block for ever without a pause; here they have the same defaults.)
    pub request_uploads: Retries,
    /// `disallow_local_storage`.
    pub disallow_local_storage: bool,
    /// `max_upload_queue`: minutes of segments that may wait for upload.
    pub max_upload_queue: Duration,
    /// `s3_assume_role_*`.
    pub assume_role: AssumeRole,
    /// `io_*`: talking to the server.
    pub io: Io,
    /// `session_limits`.
    pub session_limits: SessionLimits,
    /// How long a source may take to give its start signal or first media; upstream waits for ever.
    pub start_timeout: Option<Duration>,
    /// `latency`.
    pub latency: Latency,
    /// `latency_overrides`, by request type.
    pub latency_overrides: Vec<(RequestType, Latency)>,
    /// `cpu_cost`.
    pub cpu_cost: CpuCost,
    /// `LIVEKIT_CPU_REQUEST`: cores to reckon with instead of what the machine has.
    pub cpu_request: Option<f64>,
    /// `video_encoder_threads`; 0: the encoder decides.
    pub video_encoder_threads: u32,
    /// `enable_one_shot_sender_report_sync`.
    pub one_shot_sender_report_sync: bool,
    /// `enable_sync_engine`.
    pub sync_engine: bool,
    /// `audio_tempo_controller`: largest rate change, when enabled.
    pub audio_tempo: Option<f64>,
    /// `pulse_sink_reap_grace_sec`; `None`: never.
    pub pulse_sink_reap_grace: Option<Duration>,
    /// `debug`.
    pub debug: Debug,
    /// `test_overrides`.
    pub test_overrides: TestOverrides,
    /// Cloud credential variables that are set: used by the providers' default credential chains. Names only.
    pub ambient_credentials: Vec<&'static str>,
}

/// `redis` (psrpc-wire.md §7).
#[derive(Clone, PartialEq, Debug)]
pub struct Redis {
    /// One server, sentinels, or a cluster.
    pub topology: Topology,
    /// May be empty.
    pub username: String,
    /// May be empty.
    pub password: Secret<String>,
    /// Ignored by clusters.
    pub db: i64,
    /// `None`: plain TCP.
    pub tls: Option<Tls>,
    /// As given; see [`Redis::timeouts`].
    pub dial_timeout: Option<Duration>,
    /// As given; see [`Redis::timeouts`].
    pub read_timeout: Option<Duration>,
    /// As given; see [`Redis::timeouts`].
    pub write_timeout: Option<Duration>,
    /// MOVED and ASK answers to follow in a cluster.
    pub max_redirects: u32,
    /// Wait for a pooled connection; accepted for compatibility.
    pub pool_timeout: Option<Duration>,
    /// Connections; accepted for compatibility.
    pub pool_size: Option<u32>,
}

impl Redis {
    /// Dial, read and write timeouts: what was given, else the Go library's (2 s, 200 ms, 200 ms with sentinels;
    /// 5 s, 3 s, 3 s otherwise).
    #[must_use]
    pub fn timeouts(&self) -> (Duration, Duration, Duration) {
        let (dial, read, write) = match self.topology {
            Topology::Sentinel { .. } => (2_000, 200, 200),
            Topology::Single { .. } | Topology::Cluster { .. } => (5_000, 3_000, 3_000),
        };
        (
            self.dial_timeout.unwrap_or(Duration::from_millis(dial)),
            self.read_timeout.unwrap_or(Duration::from_millis(read)),
            self.write_timeout.unwrap_or(Duration::from_millis(write)),
        )
    }
}

/// Where Redis is.
#[derive(Clone, PartialEq, Debug)]
pub enum Topology {
    /// One server.
    Single {
        /// `host:port`.
        address: String,
    },
    /// Ask sentinels for the master.
    Sentinel {
        /// `host:port` of each.
        addresses: Vec<String>,
        /// `sentinel_master_name`.
        master_name: String,
        /// For the sentinels; may be empty.
        username: String,
        /// For the sentinels; may be empty.
        password: Secret<String>,
    },
    /// A cluster.
    Cluster {
        /// `host:port` of each.
        addresses: Vec<String>,
    },
}

/// `redis.tls`, or the old `use_tls`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// Do not verify the certificate.
    pub insecure: bool,
    /// Name to verify instead of the host; may be empty.
    pub server_name: String,
    /// Replaces the system roots.
    pub ca_cert_file: Option<PathBuf>,
    /// With `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// With `client_cert_file`.
    pub client_key_file: Option<PathBuf>,
}

/// `logging`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logging {
    /// One JSON object a line instead of text for people.
    pub json: bool,
    /// What is logged.
    pub level: Level,
    /// `component_levels`.
    pub component_levels: Vec<(String, Level)>,
    /// `sample` and its settings are accepted; nothing is sampled away.
    pub sample: bool,
}

/// Log levels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Everything.
    Debug,
    /// The default.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
}

impl Level {
    /// As written in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The ports of the service; `None` is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// `health_port`, all interfaces.
    pub health: Option<u16>,
    /// `prometheus_port`, all interfaces.
    pub prometheus: Option<u16>,
    /// `debug_handler_port`, loopback only (upstream: all interfaces, without authentication).
    pub debug: Option<u16>,
    /// `template_port`, loopback only; cannot be off.
    pub template: u16,
}

/// How the browser is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chrome {
    /// `enable_chrome_sandbox`.
    pub sandbox: bool,
    /// `insecure`: mixed content and insecure WebSockets.
    pub insecure: bool,
    /// `chrome_flags`, merged last.
    pub flags: Vec<(String, ChromeFlag)>,
}

/// One of `chrome_flags`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChromeFlag {
    /// `--name=value`.
    Value(String),
    /// `--name`.
    On,
    /// Removed from the default flags.
    Off,
}

/// Talking to the server's IOInfo service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Io {
    /// `io_create_timeout`.
    pub create_timeout: Duration,
    /// `io_update_timeout`.
    pub update_timeout: Duration,
    /// `io_selection_timeout`; `None`: no deadline of its own.
    pub selection_timeout: Option<Duration>,
    /// `io_workers`.
    pub workers: u32,
}

/// `session_limits`; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionLimits {
    /// Recordings with a file.
    pub file: Option<Duration>,
    /// Recordings with a stream.
    pub stream: Option<Duration>,
    /// Recordings with segments.
    pub segment: Option<Duration>,
    /// Recordings with images.
    pub image: Option<Duration>,
    /// Bytes on disk.
    pub file_size: Option<u64>,
}

/// `latency` (§6.3).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latency {
    /// `jitter_buffer_latency`.
    pub jitter_buffer: Duration,
    /// `audio_mixer_latency`.
    pub audio_mixer: Duration,
    /// `pipeline_latency`.
    pub pipeline: Duration,
    /// `rtp_max_allowed_ts_diff`, at least the jitter buffer.
    pub rtp_max_allowed_ts_diff: Duration,
    /// `rtp_max_drift_adjustment`.
    pub rtp_max_drift_adjustment: Duration,
    /// `rtp_drift_adjustment_window_percent`.
    pub rtp_drift_adjustment_window_percent: f64,
    /// `old_packet_threshold`.
    pub old_packet_threshold: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            jitter_buffer: Duration::from_secs(2),
            audio_mixer: Duration::from_millis(2_750),
            pipeline: Duration::from_secs(3),
            rtp_max_allowed_ts_diff: Duration::from_secs(5),
            rtp_max_drift_adjustment: Duration::from_millis(5),
            rtp_drift_adjustment_window_percent: 0.0,
            old_packet_threshold: Duration::from_millis(2_200),
        }
    }
}

/// `cpu_cost` (§6.4): cores, and GB where it says so.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CpuCost {
    /// Share of the machine that may be given out, (0, 1].
    pub max_cpu_utilization: f64,
    /// GB; `None`: memory is not looked at.
    pub max_memory: Option<f64>,
    /// GB held for every request.
    pub memory_cost: f64,
    /// Room composite and template with pictures.
    pub room_composite: f64,
    /// Room composite without pictures, in the browser.
    pub audio_room_composite: f64,
    /// Room composite without pictures and without browser.
    pub sdk_audio_room_composite: f64,
    /// GB for the same.
    pub sdk_audio_room_composite_memory: f64,
    /// Web with pictures.
    pub web: f64,
    /// Web without pictures.
    pub audio_web: f64,
    /// Participant, and v2 media that is transcoded.
    pub participant: f64,
    /// Track composite.
    pub track_composite: f64,
    /// Track, and v2 media as it is.
    pub track: f64,
    /// Sound connections of all browsers together.
    pub max_pulse_clients: u32,
    /// Whose memory is counted.
    pub memory_source: MemorySource,
    /// How long memory may be over the limit before a recording is killed; zero: at once.
    pub memory_kill_grace: Duration,
    /// How long load may stay high before a recording is killed.
    pub cpu_kill_grace: Duration,
}

impl Default for CpuCost {
    fn default() -> Self {
        Self {
            max_cpu_utilization: 0.8,
            max_memory: None,
            memory_cost: 0.0,
            room_composite: 4.0,
            audio_room_composite: 1.0,
            sdk_audio_room_composite: 1.0,
            sdk_audio_room_composite_memory: 0.0,
            web: 4.0,
            audio_web: 1.0,
            participant: 2.0,
            track_composite: 1.0,
            track: 0.5,
            max_pulse_clients: 60,
            memory_source: MemorySource::ProcRss,
            memory_kill_grace: Duration::ZERO,
            cpu_kill_grace: Duration::from_secs(30),
        }
    }
}

/// `memory_source`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemorySource {
    /// Resident memory of the processes.
    ProcRss,
    /// What the control group counts.
    Cgroup,
}

impl MemorySource {
    /// As written in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProcRss => "proc_rss",
            Self::Cgroup => "cgroup",
        }
    }
}

/// `debug`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Debug {
    /// `enable_profiling`.
    pub profiling: bool,
    /// `enable_track_logging`.
    pub track_logging: bool,
    /// `enable_stream_logging`.
    pub stream_logging: bool,
    /// `enable_chrome_logging`.
    pub chrome_logging: bool,
    /// Where debug artefacts go.
    pub storage: Option<Destination>,
}

/// `test_overrides`: parts of room names that provoke failures; empty is off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestOverrides {
    /// `failure_injection_room`.
    pub failure_injection_room: String,
    /// `disconnect_injection_room`.
    pub disconnect_injection_room: String,
}
