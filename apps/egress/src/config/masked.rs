//! The effective configuration as YAML that can be shown: every secret is `***`.
//!
//! Written in the canonical spelling of every key, so that it is itself a configuration (up to the secrets).

use super::duration::format;
use super::model::{ChromeFlag, Config, CpuCost, Latency, Redis, Topology};
use recording::Secret;
use recording::plan::{Destination, Proxy, Store};
use serde_yaml_ng::{Mapping, Value};
use std::time::Duration;

impl Config {
    /// The effective configuration with secrets masked, for `egress config check`.
    #[must_use]
    pub fn masked_yaml(&self) -> String {
        let mut text = serde_yaml_ng::to_string(&Value::Mapping(top(self)))
            .unwrap_or_else(|error| std::format!("# could not be written: {error}\n"));
        text += &std::format!("# GST_DEBUG: {}\n", self.gst_debug);
        if let Some(cores) = self.cpu_request {
            text += &std::format!("# LIVEKIT_CPU_REQUEST: {cores} cores\n");
        }
        for name in &self.ambient_credentials {
            text += &std::format!("# {name} is set: used by the default credential chain\n");
        }
        text
    }
}

/// A mapping under construction, in order.
#[derive(Default)]
struct Block(Mapping);

impl Block {
    fn put(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(key.into(), value.into());
        self
    }

    fn text(&mut self, key: &str, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.put(key, text);
        }
        self
    }

    fn secret(&mut self, key: &str, secret: &Secret<String>) -> &mut Self {
        if !secret.reveal().is_empty() {
            self.put(key, secret.to_string());
        }
        self
    }

    fn duration(&mut self, key: &str, duration: Duration) -> &mut Self {
        self.put(key, format(duration))
    }

    fn maybe_duration(&mut self, key: &str, duration: Option<Duration>) -> &mut Self {
        if let Some(duration) = duration {
            self.duration(key, duration);
        }
        self
    }

    fn block(&mut self, key: &str, block: Self) -> &mut Self {
        if !block.0.is_empty() {
            self.put(key, block.0);
        }
        self
    }
}

fn top(c: &Config) -> Mapping {
    let mut b = Block::default();
    if let Some(settings) = &c.redis {
        b.block("redis", redis(settings));
    }
    b.text("api_key", &c.api_key)
        .secret("api_secret", &c.api_secret)
        .text("ws_url", &c.ws_url);
    let mut logging = Block::default();
    logging
        .put("level", c.logging.level.as_str())
        .put("json", c.logging.json);
    if c.logging.sample {
        logging.put("sample", true);
    }
    let mut components = Block::default();
    for (name, level) in &c.logging.component_levels {
        components.put(name, level.as_str());
    }
    logging.block("component_levels", components);
    b.block("logging", logging)
        .text("cluster_id", &c.cluster_id)
        .put("template_base", c.template_base.as_str())
        .put("template_port", c.ports.template)
        .put("health_port", c.ports.health.unwrap_or(0))
        .put("prometheus_port", c.ports.prometheus.unwrap_or(0))
        .put("debug_handler_port", c.ports.debug.unwrap_or(0))
        .put("tmp_dir", c.tmp_dir.display().to_string())
        .put("enable_chrome_sandbox", c.chrome.sandbox)
        .put("insecure", c.chrome.insecure);
    let mut flags = Block::default();
    for (name, flag) in &c.chrome.flags {
        match flag {
            ChromeFlag::Value(text) => flags.put(name, text.as_str()),
            ChromeFlag::On => flags.put(name, true),
            ChromeFlag::Off => flags.put(name, false),
        };
    }
    b.block("chrome_flags", flags);
    if let Some(storage) = &c.storage {
        b.block("storage", destination(storage));
    }
    if let Some(backup) = &c.backup {
        match &backup.store {
            Store::Local => {
                b.put("backup_storage", backup.prefix.as_str());
            }
            Store::S3(_) | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_) => {
                b.block("backup", destination(backup));
            }
        }
    }
    b.put("disallow_local_storage", c.disallow_local_storage)
        .put("max_upload_queue", c.max_upload_queue.as_secs() / 60)
        .secret("s3_assume_role_key", &c.assume_role.access_key)
        .secret("s3_assume_role_secret", &c.assume_role.secret)
        .text("s3_assume_role_arn", &c.assume_role.arn)
        .secret("s3_assume_role_external_id", &c.assume_role.external_id)
        .duration("io_create_timeout", c.io.create_timeout)
        .duration("io_update_timeout", c.io.update_timeout)
        .maybe_duration("io_selection_timeout", c.io.selection_timeout)
        .put("io_workers", c.io.workers);
    let limits = &c.session_limits;
    let mut block = Block::default();
    block
        .maybe_duration("file_output_max_duration", limits.file)
        .maybe_duration("stream_output_max_duration", limits.stream)
        .maybe_duration("segment_output_max_duration", limits.segment)
        .maybe_duration("image_output_max_duration", limits.image);
    if let Some(bytes) = limits.file_size {
        block.put("file_output_max_size", bytes);
    }
    b.block("session_limits", block)
        .maybe_duration("start_timeout", c.start_timeout)
        .block("latency", latency(&c.latency));
    let mut overrides = Block::default();
    for (kind, settings) in &c.latency_overrides {
        overrides.block(kind.label(), latency(settings));
    }
    b.block("latency_overrides", overrides)
        .block("cpu_cost", cpu_cost(&c.cpu_cost))
        .put("video_encoder_threads", c.video_encoder_threads)
        .put(
            "enable_one_shot_sender_report_sync",
            c.one_shot_sender_report_sync,
        )
        .put("enable_sync_engine", c.sync_engine);
    if let Some(rate) = c.audio_tempo {
        let mut tempo = Block::default();
        tempo.put("enabled", true).put("adjustment_rate", rate);
        b.block("audio_tempo_controller", tempo);
    }
    match c.pulse_sink_reap_grace {
        Some(grace) => b.put("pulse_sink_reap_grace_sec", grace.as_secs()),
        None => b.put("pulse_sink_reap_grace_sec", -1),
    };
    let mut debug = c
        .debug
        .storage
        .as_ref()
        .map(destination)
        .unwrap_or_default();
    for (key, on) in [
        ("enable_profiling", c.debug.profiling),
        ("enable_track_logging", c.debug.track_logging),
        ("enable_stream_logging", c.debug.stream_logging),
        ("enable_chrome_logging", c.debug.chrome_logging),
    ] {
        if on {
            debug.put(key, true);
        }
    }
    let mut tests = Block::default();
    tests
        .text(
            "failure_injection_room",
            &c.test_overrides.failure_injection_room,
        )
        .text(
            "disconnect_injection_room",
            &c.test_overrides.disconnect_injection_room,
        );
    b.block("debug", debug).block("test_overrides", tests);
    b.0
}

fn redis(r: &Redis) -> Block {
    let list = |addresses: &[String]| {
        Value::Sequence(
            addresses
                .iter()
                .map(|address| Value::from(address.as_str()))
                .collect(),
        )
    };
    let mut b = Block::default();
    match &r.topology {
        Topology::Single { address } => b.put("address", address.as_str()),
        Topology::Sentinel {
            addresses,
            master_name,
            username,
            password,
        } => b
            .put("sentinel_addresses", list(addresses))
            .text("sentinel_master_name", master_name)
            .text("sentinel_username", username)
            .secret("sentinel_password", password),
        Topology::Cluster { addresses } => b.put("cluster_addresses", list(addresses)),
    };
    b.text("username", &r.username)
        .secret("password", &r.password)
        .put("db", r.db);
    if let Some(tls) = &r.tls {
        let mut block = Block::default();
        block.put("enabled", true).put("insecure", tls.insecure);
        block.text("server_name", &tls.server_name);
        for (key, file) in [
            ("ca_cert_file", &tls.ca_cert_file),
            ("client_cert_file", &tls.client_cert_file),
            ("client_key_file", &tls.client_key_file),
        ] {
            if let Some(file) = file {
                block.put(key, file.display().to_string());
            }
        }
        b.block("tls", block);
    }
    let (dial, read, write) = r.timeouts();
    for (key, timeout) in [
        ("dial_timeout", dial),
        ("read_timeout", read),
        ("write_timeout", write),
    ] {
        b.put(key, u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    }
    b.put("max_redirects", r.max_redirects)
        .maybe_duration("pool_timeout", r.pool_timeout);
    if let Some(size) = r.pool_size {
        b.put("pool_size", size);
    }
    b
}

fn destination(d: &Destination) -> Block {
    let mut b = Block::default();
    b.text("prefix", &d.prefix);
    if d.presign {
        b.put("generate_presigned_url", true);
    }
    let mut s = Block::default();
    let name = match &d.store {
        Store::Local => return b,
        Store::S3(s3) => {
            s.secret("access_key", &s3.access_key)
                .secret("secret", &s3.secret)
                .secret("session_token", &s3.session_token)
                .text("assume_role_arn", &s3.assume_role_arn)
                .secret("assume_role_external_id", &s3.assume_role_external_id)
                .text("region", &s3.region)
                .text("endpoint", &s3.endpoint)
                .text("bucket", &s3.bucket)
                .put("force_path_style", s3.force_path_style);
            proxy(&mut s, s3.proxy.as_ref());
            s.put("max_retries", s3.max_retries)
                .duration("max_retry_delay", s3.max_retry_delay)
                .duration("min_retry_delay", s3.min_retry_delay);
            let mut metadata = Block::default();
            for (key, value) in &s3.metadata {
                metadata.put(key, value.as_str());
            }
            s.block("metadata", metadata)
                .text("tagging", &s3.tagging)
                .text("content_disposition", &s3.content_disposition);
            "s3"
        }
        Store::Azure(azure) => {
            s.secret("account_name", &azure.account_name)
                .secret("account_key", &azure.account_key)
                .text("container_name", &azure.container);
            "azure"
        }
        Store::Gcp(gcp) => {
            s.secret("credentials_json", &gcp.credentials_json)
                .text("bucket", &gcp.bucket);
            proxy(&mut s, gcp.proxy.as_ref());
            "gcp"
        }
        Store::AliOss(oss) => {
            s.secret("access_key", &oss.access_key)
                .secret("secret", &oss.secret)
                .text("endpoint", &oss.endpoint)
                .text("bucket", &oss.bucket);
            "alioss"
        }
    };
    b.block(name, s);
    b
}

fn proxy(b: &mut Block, proxy: Option<&Proxy>) {
    if let Some(proxy) = proxy {
        let mut p = Block::default();
        p.secret("url", &proxy.url)
            .secret("username", &proxy.username)
            .secret("password", &proxy.password);
        b.block("proxy_config", p);
    }
}

fn latency(l: &Latency) -> Block {
    let mut b = Block::default();
    b.duration("jitter_buffer_latency", l.jitter_buffer)
        .duration("audio_mixer_latency", l.audio_mixer)
        .duration("pipeline_latency", l.pipeline)
        .duration("rtp_max_allowed_ts_diff", l.rtp_max_allowed_ts_diff)
        .duration("rtp_max_drift_adjustment", l.rtp_max_drift_adjustment)
        .put(
            "rtp_drift_adjustment_window_percent",
            l.rtp_drift_adjustment_window_percent,
        )
        .duration("old_packet_threshold", l.old_packet_threshold);
    b
}

fn cpu_cost(c: &CpuCost) -> Block {
    let mut b = Block::default();
    b.put("max_cpu_utilization", c.max_cpu_utilization)
        .put("max_memory", c.max_memory.unwrap_or(0.0))
        .put("memory_cost", c.memory_cost)
        .put("room_composite_cpu_cost", c.room_composite)
        .put("audio_room_composite_cpu_cost", c.audio_room_composite)
        .put(
            "sdk_audio_room_composite_cpu_cost",
            c.sdk_audio_room_composite,
        )
        .put(
            "sdk_audio_room_composite_memory_cost",
            c.sdk_audio_room_composite_memory,
        )
        .put("web_cpu_cost", c.web)
        .put("audio_web_cpu_cost", c.audio_web)
        .put("participant_cpu_cost", c.participant)
        .put("track_composite_cpu_cost", c.track_composite)
        .put("track_cpu_cost", c.track)
        .put("max_pulse_clients", c.max_pulse_clients)
        .put("memory_source", c.memory_source.as_str())
        .put("memory_kill_grace_sec", c.memory_kill_grace.as_secs())
        .put("cpu_kill_grace_sec", c.cpu_kill_grace.as_secs());
    b
}
