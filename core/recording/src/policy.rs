//! What the operator decided: the part of the configuration that planning depends on.
//!
//! Built by the worker from its YAML and environment; planning itself reads neither.

use crate::Secret;
use crate::plan::Destination;
use jiff::tz::TimeZone;
use std::time::Duration;

/// The operator's side of every plan.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Key that room tokens are signed for; may be empty when every request brings its token.
    pub api_key: String,
    /// Its secret.
    pub api_secret: Secret<String>,
    /// LiveKit server, `ws(s)://…`; may be empty when every request brings its own.
    pub ws_url: String,
    /// Where templates are served, `http(s)://…`.
    pub template_base: String,
    /// Topic this worker listens on; not used in planning.
    pub cluster_id: String,
    /// Where recordings go that bring no storage of their own.
    pub storage: Option<Destination>,
    /// Where recordings go when the first choice fails.
    pub backup: Option<Destination>,
    /// Retries of uploads to a bucket that a request brings itself.
    pub request_uploads: Retries,
    /// Refuse what would stay on this machine.
    pub disallow_local_storage: bool,
    /// The account roles are assumed with.
    pub assume_role: AssumeRole,
    /// When recordings end by themselves.
    pub limits: SessionLimits,
    /// Zone of `{time}` and of timed names.
    pub zone: TimeZone,
}

impl Default for Policy {
    /// Nothing configured: files stay here, templates on port 7980, times in UTC.
    fn default() -> Self {
        Self {
            api_key: String::new(),
            api_secret: Secret::default(),
            ws_url: String::new(),
            template_base: "http://localhost:7980/".to_owned(),
            cluster_id: String::new(),
            storage: None,
            backup: None,
            request_uploads: Retries::default(),
            disallow_local_storage: false,
            assume_role: AssumeRole::default(),
            limits: SessionLimits::default(),
            zone: TimeZone::UTC,
        }
    }
}

/// `s3_assume_role_*`: for uploads that requests bring.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AssumeRole {
    /// Key to assume roles with when the request has none; empty: not offered.
    pub access_key: Secret<String>,
    /// Its secret.
    pub secret: Secret<String>,
    /// Role for requests that name none; empty: none.
    pub arn: String,
    /// External id that goes with `arn`.
    pub external_id: Secret<String>,
}

/// `session_limits`; zero and absent both mean none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionLimits {
    /// When a file is among the outputs.
    pub file: Option<Duration>,
    /// When RTMP, SRT or WebSocket is among the outputs.
    pub stream: Option<Duration>,
    /// When HLS is among the outputs.
    pub segments: Option<Duration>,
    /// When images are among the outputs.
    pub images: Option<Duration>,
    /// Bytes on disk, when a file is among the outputs.
    pub file_size: Option<u64>,
    /// How long a source may take to start.
    pub start_timeout: Option<Duration>,
}

/// Retries of an upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retries {
    /// Attempts after the first.
    pub max_retries: u32,
    /// Longest pause.
    pub max_delay: Duration,
    /// Shortest pause.
    pub min_delay: Duration,
}

impl Default for Retries {
    /// Upstream's for a request's own bucket.
    fn default() -> Self {
        Self {
            max_retries: 5,
            max_delay: Duration::from_secs(5),
            min_delay: Duration::from_millis(100),
        }
    }
}
