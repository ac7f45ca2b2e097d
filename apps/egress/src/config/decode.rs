//! From the keys of the text to the effective [`Config`]: names, defaults, old spellings, what cannot be.
//!
//! ```text
//! text ─ Document ─ Reader ─ Block ──► decode ──► Config          host ──► variables, directories
//! ```
//!
//! Sources: egress-behaviour.md §6.1–6.4, §7.5, §13.2, §15.3; README of upstream for the keys it shows but ignores
//! (`log_level`, `backup_storage`, top-level stores): those work here.

use super::block::{Block, nearest};
use super::host::Host;
use super::load::Purpose;
use super::model::{
    Chrome, ChromeFlag, Config, CpuCost, Debug, Io, Latency, Level, Logging, MemorySource, Ports,
    SessionLimits, TestOverrides,
};
use super::problem::Problem;
use super::{redis, store};
use recording::Secret;
use recording::plan::{Destination, RequestType, Store};
use recording::policy::AssumeRole;
use serde_yaml_ng::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where recordings are put together in the container image, as upstream.
const CONTAINER_TMP: &str = "/home/egress/tmp";

/// Variables of cloud providers' default credential chains.
const AMBIENT: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
];

/// Reads the outermost block. Problems with keys go to the block's reader, those with the environment to `problems`.
pub(crate) fn config(
    b: &Block<'_>,
    host: &dyn Host,
    purpose: Purpose,
    problems: &mut Vec<Problem>,
) -> Config {
    let redis = b.section("redis", redis::read).flatten();
    if redis.is_none() && purpose == Purpose::Service {
        b.error(
            "redis",
            "redis is not configured; set `address` to the Redis of your livekit-server",
        );
    }

    let or_env = |key: &str, name: &str| {
        let text = b.text_or_empty(key);
        if text.is_empty() {
            host.var(name).unwrap_or_default()
        } else {
            text
        }
    };
    let api_key = or_env("api_key", "LIVEKIT_API_KEY");
    let api_secret = Secret::new(or_env("api_secret", "LIVEKIT_API_SECRET"));
    let ws_url = or_env("ws_url", "LIVEKIT_WS_URL");
    if purpose == Purpose::Service {
        room_access(b, &api_key, &api_secret, &ws_url);
    }
    if !ws_url.is_empty()
        && !["ws://", "wss://", "http://", "https://"]
            .iter()
            .any(|scheme| ws_url.starts_with(scheme))
    {
        b.error(
            "ws_url",
            format!("`{ws_url}` must begin with ws:// or wss://"),
        );
    }

    let logging = logging(b);
    let ports = ports(b);
    let template_base = {
        let text = b.text_or_empty("template_base");
        if text.is_empty() {
            format!("http://localhost:{}/", ports.template)
        } else {
            text
        }
    };
    if !["http://", "https://", "file://"]
        .iter()
        .any(|scheme| template_base.starts_with(scheme))
    {
        b.warn(
            "template_base",
            format!("`{template_base}` is no http:// or https:// address"),
        );
    }

    let storage = storage(b, host);
    let backup = backup(b, host);
    let request_uploads = store::request_uploads(storage.as_ref());
    let latency = b.section("latency", latency).unwrap_or_default();
    let latency_overrides = latency_overrides(b);
    let gst_debug = host
        .var("GST_DEBUG")
        .unwrap_or_else(|| gst_debug(logging.level));

    // Written by upstream's own service for its handlers; not for people, but nothing to warn about.
    b.value("nodeid");

    Config {
        redis,
        api_key,
        api_secret,
        ws_url,
        gst_debug,
        cluster_id: b.text_or_empty("cluster_id"),
        template_base,
        ports,
        tmp_dir: tmp_dir(b, host),
        chrome: Chrome {
            sandbox: b.flag("enable_chrome_sandbox").unwrap_or(false),
            insecure: b.flag("insecure").unwrap_or(false),
            flags: chrome_flags(b),
        },
        storage,
        backup,
        request_uploads,
        disallow_local_storage: b.flag("disallow_local_storage").unwrap_or(false),
        max_upload_queue: Duration::from_secs(
            60 * b
                .count("max_upload_queue")
                .filter(|n| *n > 0)
                .unwrap_or(60)
                .min(1 << 32),
        ),
        assume_role: assume_role(b),
        io: Io {
            create_timeout: b.duration_or("io_create_timeout", Duration::from_secs(15)),
            update_timeout: b.duration_or("io_update_timeout", Duration::from_secs(30)),
            selection_timeout: b.duration("io_selection_timeout").filter(|d| !d.is_zero()),
            workers: b.count32("io_workers").filter(|n| *n > 0).unwrap_or(5),
        },
        session_limits: b
            .section("session_limits", session_limits)
            .unwrap_or_default(),
        start_timeout: b.duration("start_timeout").filter(|d| !d.is_zero()),
        latency,
        latency_overrides,
        cpu_cost: b.section("cpu_cost", cpu_cost).unwrap_or_default(),
        cpu_request: cpu_request(host, problems),
        video_encoder_threads: b.count32("video_encoder_threads").unwrap_or(0),
        one_shot_sender_report_sync: b
            .flag("enable_one_shot_sender_report_sync")
            .unwrap_or(false),
        sync_engine: b.flag("enable_sync_engine").unwrap_or(false),
        audio_tempo: b.section("audio_tempo_controller", audio_tempo).flatten(),
        pulse_sink_reap_grace: match b.int("pulse_sink_reap_grace_sec").unwrap_or(0) {
            0 => Some(Duration::from_secs(30)),
            seconds => u64::try_from(seconds).ok().map(Duration::from_secs),
        },
        debug: b.section("debug", |d| debug(d, host)).unwrap_or_default(),
        test_overrides: b
            .section("test_overrides", |t| TestOverrides {
                failure_injection_room: t.text_or_empty("failure_injection_room"),
                disconnect_injection_room: t.text_or_empty("disconnect_injection_room"),
            })
            .unwrap_or_default(),
        ambient_credentials: AMBIENT
            .into_iter()
            .filter(|name| host.var(name).is_some())
            .collect(),
        logging,
    }
}

/// Web recordings work without; everything else needs them, unless requests bring their own.
fn room_access(b: &Block<'_>, api_key: &str, api_secret: &Secret<String>, ws_url: &str) {
    let absent: Vec<&str> = [
        ("api_key", api_key.is_empty()),
        ("api_secret", !store::given(api_secret)),
        ("ws_url", ws_url.is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, absent)| absent.then_some(name))
    .collect();
    if !absent.is_empty() {
        b.warn(
            "",
            format!(
                "no {}: only web recordings will work, all others need to join rooms",
                absent.join(", ")
            ),
        );
    }
}

fn logging(b: &Block<'_>) -> Logging {
    let old = b.text("log_level");
    let block = b.section("logging", |l| {
        // How upstream thins out repeated lines; nothing is thinned out here.
        for key in [
            "sample_initial",
            "sample_interval",
            "item_sample_seconds",
            "item_sample_initial",
            "item_sample_interval",
        ] {
            l.count(key);
        }
        (
            l.flag("json").unwrap_or(false),
            l.text("level").filter(|text| !text.is_empty()).map(|text| {
                level(&text).unwrap_or_else(|| {
                    l.warn("level", unknown_level(&text));
                    Level::Info
                })
            }),
            l.text_map("component_levels")
                .into_iter()
                .filter_map(|(name, text)| {
                    let level = level(&text);
                    if level.is_none() {
                        l.warn(
                            "component_levels",
                            format!("{name}: {}", unknown_level(&text)),
                        );
                    }
                    Some((name, level?))
                })
                .collect(),
            l.flag("sample").unwrap_or(false),
        )
    });
    let (json, given, component_levels, sample) = block.unwrap_or_default();
    if given.is_some() && old.is_some() {
        b.warn("log_level", "is not used, because `logging.level` is set");
    }
    let level = given.or_else(|| {
        let text = old?;
        let level = level(&text);
        if level.is_none() {
            b.warn("log_level", unknown_level(&text));
        }
        level
    });
    Logging {
        json,
        level: level.unwrap_or(Level::Info),
        component_levels,
        sample,
    }
}

fn level(text: &str) -> Option<Level> {
    match text.to_ascii_lowercase().as_str() {
        "debug" | "trace" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warn" | "warning" => Some(Level::Warn),
        "error" | "fatal" | "panic" | "dpanic" => Some(Level::Error),
        _ => None,
    }
}

fn unknown_level(text: &str) -> String {
    format!("`{text}` is none of debug, info, warn, error; info is used")
}

/// §7.5.
fn gst_debug(level: Level) -> String {
    let number = match level {
        Level::Debug => 3,
        Level::Info | Level::Warn => 2,
        Level::Error => 1,
    };
    format!("{number},rtmpclient:4,srtlib:1")
}

fn ports(b: &Block<'_>) -> Ports {
    let ports = Ports {
        health: b.port("health_port"),
        prometheus: b.port("prometheus_port"),
        debug: b.port("debug_handler_port"),
        template: b.port("template_port").unwrap_or(7980),
    };
    let mut taken = vec![("template_port", ports.template)];
    for (key, port) in [
        ("health_port", ports.health),
        ("prometheus_port", ports.prometheus),
        ("debug_handler_port", ports.debug),
    ] {
        let Some(port) = port else { continue };
        match taken.iter().find(|(_, other)| *other == port) {
            Some((other, _)) => {
                b.error(
                    key,
                    format!("is {port}, which `{other}` has already; choose another"),
                );
            }
            None => taken.push((key, port)),
        }
    }
    ports
}

/// `tmp_dir`, or `local_directory` as it was called in old versions; else the first place that can be written to.
fn tmp_dir(b: &Block<'_>, host: &dyn Host) -> PathBuf {
    for key in ["tmp_dir", "local_directory"] {
        let Some(text) = b.text(key).filter(|text| !text.is_empty()) else {
            continue;
        };
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            b.error(key, "must be an absolute path");
        } else if !host.ensure_dir(&path) {
            b.error(
                key,
                format!("{} cannot be created or written to", path.display()),
            );
        }
        return path;
    }
    if host.ensure_dir(Path::new(CONTAINER_TMP)) {
        return PathBuf::from(CONTAINER_TMP);
    }
    let path = host.temp_dir().join("egress");
    if !host.ensure_dir(&path) {
        b.error(
            "tmp_dir",
            format!(
                "is not set, and neither {CONTAINER_TMP} nor {} can be written to; set it",
                path.display()
            ),
        );
    }
    path
}

fn chrome_flags(b: &Block<'_>) -> Vec<(String, ChromeFlag)> {
    const KEY: &str = "chrome_flags";
    b.entries(KEY)
        .into_iter()
        .filter_map(|(name, value)| {
            let flag = match value {
                Value::Bool(true) => ChromeFlag::On,
                Value::Bool(false) => ChromeFlag::Off,
                Value::String(text) => ChromeFlag::Value(text.clone()),
                Value::Number(_) => ChromeFlag::Value(b.entry_text(KEY, &name, value)?),
                Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
                    b.entry_error(
                        KEY,
                        &name,
                        "must be a text, or true to set and false to remove the flag",
                    );
                    return None;
                }
            };
            Some((name.trim_start_matches("--").to_owned(), flag))
        })
        .collect()
}

/// `storage`, else a store at the top level as the README shows it.
fn storage(b: &Block<'_>, host: &dyn Host) -> Option<Destination> {
    let block = b.section("storage", |s| {
        let destination = store::destination(s, host);
        if destination.is_none() {
            s.warn(
                "",
                "names no store (s3, azure, gcp or alioss); it has no effect",
            );
        }
        destination
    });
    let old = store::provider(b, host).map(|store| Destination {
        store,
        prefix: String::new(),
        presign: false,
        backup: None,
    });
    let block = block.flatten();
    if block.is_some() {
        for key in store::PROVIDERS.into_iter().filter(|key| b.has(key)) {
            b.warn(key, "is not used, because `storage` is set");
        }
    }
    block.or(old)
}

/// `backup`, else `backup_storage`: a block like it, or a directory as the README shows it.
fn backup(b: &Block<'_>, host: &dyn Host) -> Option<Destination> {
    let read = |s: &Block<'_>| {
        let destination = store::destination(s, host);
        if destination.is_none() {
            s.warn(
                "",
                "names no store (s3, azure, gcp or alioss); it has no effect",
            );
        }
        destination
    };
    let new = b.section("backup", read).flatten();
    let old = match b.value("backup_storage") {
        Some(Value::String(directory)) => {
            if !directory.is_empty() && !Path::new(directory).is_absolute() {
                b.error(
                    "backup_storage",
                    "must be an absolute path or a block with a store",
                );
            }
            (!directory.is_empty()).then(|| Destination {
                store: Store::Local,
                prefix: directory.clone(),
                presign: false,
                backup: None,
            })
        }
        Some(
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_),
        ) => b.section("backup_storage", read).flatten(),
        None => None,
    };
    if new.is_some() && old.is_some() {
        b.warn("backup_storage", "is not used, because `backup` is set");
    }
    new.or(old)
}

fn assume_role(b: &Block<'_>) -> AssumeRole {
    let role = AssumeRole {
        access_key: b.secret("s3_assume_role_key"),
        secret: b.secret("s3_assume_role_secret"),
        arn: b.text_or_empty("s3_assume_role_arn"),
        external_id: b.secret("s3_assume_role_external_id"),
    };
    match (store::given(&role.access_key), store::given(&role.secret)) {
        (true, false) => b.error(
            "s3_assume_role_key",
            "has no `s3_assume_role_secret` beside it",
        ),
        (false, true) => b.error(
            "s3_assume_role_secret",
            "has no `s3_assume_role_key` beside it",
        ),
        (true, true) | (false, false) => {}
    }
    role
}

fn session_limits(b: &Block<'_>) -> SessionLimits {
    let limit = |key: &str| b.duration(key).filter(|duration| !duration.is_zero());
    SessionLimits {
        file: limit("file_output_max_duration"),
        stream: limit("stream_output_max_duration"),
        segment: limit("segment_output_max_duration"),
        image: limit("image_output_max_duration"),
        file_size: b.count("file_output_max_size").filter(|bytes| *bytes > 0),
    }
}

/// The three `rtp*` keys are read under the names upstream documents and under those it really reads.
fn latency(b: &Block<'_>) -> Latency {
    let default = Latency::default();
    let both = |read: &str, documented: &str| {
        let values = (b.duration(read), b.duration(documented));
        if values.0.is_some() && values.1.is_some() {
            b.warn(documented, format!("is not used, because `{read}` is set"));
        }
        values.0.or(values.1)
    };
    let jitter_buffer = b
        .duration("jitter_buffer_latency")
        .unwrap_or(default.jitter_buffer);
    let percent = b
        .float("rtpdriftadjustmentwindowpercent")
        .or(b.float("rtp_drift_adjustment_window_percent"));
    if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        b.error(
            "rtpdriftadjustmentwindowpercent",
            "is a percentage; must be from 0 to 100",
        );
    }
    Latency {
        jitter_buffer,
        audio_mixer: b
            .duration("audio_mixer_latency")
            .unwrap_or(default.audio_mixer),
        pipeline: b.duration("pipeline_latency").unwrap_or(default.pipeline),
        rtp_max_allowed_ts_diff: both("rtpmaxallowedtsdiff", "rtp_max_allowed_ts_diff")
            .unwrap_or(default.rtp_max_allowed_ts_diff)
            .max(jitter_buffer),
        rtp_max_drift_adjustment: both("rtpmaxdriftadjustment", "rtp_max_drift_adjustment")
            .unwrap_or(default.rtp_max_drift_adjustment),
        rtp_drift_adjustment_window_percent: percent
            .unwrap_or(default.rtp_drift_adjustment_window_percent),
        old_packet_threshold: b.duration_or("old_packet_threshold", default.old_packet_threshold),
    }
}

/// Every request type has a label.
pub(crate) const REQUEST_TYPES: [RequestType; 7] = [
    RequestType::RoomComposite,
    RequestType::Web,
    RequestType::Participant,
    RequestType::TrackComposite,
    RequestType::Track,
    RequestType::Template,
    RequestType::Media,
];

fn latency_overrides(b: &Block<'_>) -> Vec<(RequestType, Latency)> {
    b.section("latency_overrides", |o| {
        REQUEST_TYPES
            .into_iter()
            .filter_map(|kind| Some((kind, o.section(kind.label(), latency)?)))
            .collect()
    })
    .unwrap_or_default()
}

fn cpu_cost(b: &Block<'_>) -> CpuCost {
    let default = CpuCost::default();
    let max_cpu_utilization = match b.float("max_cpu_utilization") {
        Some(share) if share > 0.0 && share <= 1.0 => share,
        Some(share) => {
            b.warn(
                "max_cpu_utilization",
                format!(
                    "is {share}; must be above 0 and at most 1; the default {} is used",
                    default.max_cpu_utilization
                ),
            );
            default.max_cpu_utilization
        }
        None => default.max_cpu_utilization,
    };
    let gigabytes = |key: &str| {
        let number = b.float(key);
        if number.is_some_and(|number| number < 0.0) {
            b.error(key, "is in GB and must be 0 or more");
        }
        number.map_or(0.0, |number| number.max(0.0))
    };
    let memory_cost = gigabytes("memory_cost");
    let max_memory = Some(gigabytes("max_memory")).filter(|gb| *gb > 0.0);
    let sdk_memory = Some(gigabytes("sdk_audio_room_composite_memory_cost")).filter(|gb| *gb > 0.0);
    if max_memory.is_some_and(|max| max <= memory_cost + 1.0) {
        b.error(
            "max_memory",
            "leaves room for no recording: 1 GB is kept free and each takes `memory_cost`",
        );
    }
    let audio_room_composite = b.positive_or(
        "audio_room_composite_cpu_cost",
        default.audio_room_composite,
    );
    let memory_source = match b.text("memory_source").as_deref() {
        None | Some("" | "proc_rss") => MemorySource::ProcRss,
        Some("cgroup") => MemorySource::Cgroup,
        Some(other) => {
            let near = nearest(other, &["proc_rss".to_owned(), "cgroup".to_owned()])
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            b.warn(
                "memory_source",
                format!("`{other}` is neither proc_rss nor cgroup, proc_rss is used{near}"),
            );
            MemorySource::ProcRss
        }
    };
    CpuCost {
        max_cpu_utilization,
        max_memory,
        memory_cost,
        room_composite: b.positive_or("room_composite_cpu_cost", default.room_composite),
        audio_room_composite,
        sdk_audio_room_composite: b
            .positive_or("sdk_audio_room_composite_cpu_cost", audio_room_composite),
        sdk_audio_room_composite_memory: sdk_memory.unwrap_or(memory_cost),
        web: b.positive_or("web_cpu_cost", default.web),
        audio_web: b.positive_or("audio_web_cpu_cost", default.audio_web),
        participant: b.positive_or("participant_cpu_cost", default.participant),
        track_composite: b.positive_or("track_composite_cpu_cost", default.track_composite),
        track: b.positive_or("track_cpu_cost", default.track),
        max_pulse_clients: b
            .count32("max_pulse_clients")
            .filter(|count| *count > 0)
            .unwrap_or(default.max_pulse_clients),
        memory_source,
        memory_kill_grace: Duration::from_secs(b.count("memory_kill_grace_sec").unwrap_or(0)),
        cpu_kill_grace: match b.int("cpu_kill_grace_sec") {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
            Some(_) | None => default.cpu_kill_grace,
        },
    }
}

fn audio_tempo(b: &Block<'_>) -> Option<f64> {
    let rate = b.float("adjustment_rate").unwrap_or(0.0);
    let rate = if rate > 0.0 && rate <= 0.2 {
        rate
    } else {
        if b.has("adjustment_rate") {
            b.warn(
                "adjustment_rate",
                format!("is {rate}; must be above 0 and at most 0.2; 0.05 is used"),
            );
        }
        0.05
    };
    b.flag("enabled").unwrap_or(false).then_some(rate)
}

fn debug(b: &Block<'_>, host: &dyn Host) -> Debug {
    Debug {
        profiling: b.flag("enable_profiling").unwrap_or(false),
        track_logging: b.flag("enable_track_logging").unwrap_or(false),
        stream_logging: b.flag("enable_stream_logging").unwrap_or(false),
        chrome_logging: b.flag("enable_chrome_logging").unwrap_or(false),
        storage: store::destination(b, host),
    }
}

fn cpu_request(host: &dyn Host, problems: &mut Vec<Problem>) -> Option<f64> {
    const NAME: &str = "LIVEKIT_CPU_REQUEST";
    let text = host.var(NAME)?;
    let cores = text
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|cores| cores.is_finite() && *cores > 0.0);
    if cores.is_none() {
        problems.push(Problem::environment(
            NAME,
            format!("`{text}` is not a number of cores, for example 3.5; it is ignored"),
        ));
    }
    cores
}
