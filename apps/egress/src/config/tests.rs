//! Tables: every key, every problem, who wins, what is shown.

use super::model::{ChromeFlag, Config, Level, MemorySource, Topology};
use super::problem::Severity;
use super::{Host, Loaded, Problem, Purpose, Rejected, Sources, load};
use recording::plan::{RequestType, Store};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Default)]
struct Fake {
    vars: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<PathBuf, &'static str>,
    closed: Vec<&'static str>,
}

impl Host for Fake {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(|value| (*value).to_owned())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        self.files
            .get(path)
            .map(|text| (*text).to_owned())
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn ensure_dir(&self, path: &Path) -> bool {
        !self.closed.iter().any(|closed| Path::new(closed) == path)
    }

    fn temp_dir(&self) -> PathBuf {
        PathBuf::from("/tmp")
    }
}

fn env(vars: &[(&'static str, &'static str)]) -> Fake {
    Fake {
        vars: vars.iter().copied().collect(),
        ..Fake::default()
    }
}

fn body(text: &str) -> Sources {
    Sources {
        file: None,
        body: Some(text.to_owned()),
    }
}

fn read_with(text: &str, host: &Fake) -> Result<Loaded, Rejected> {
    load(&body(text), host, Purpose::Record)
}

pub(super) fn read(text: &str) -> Config {
    let loaded = read_with(text, &Fake::default()).unwrap_or_else(|e| panic!("{text}\n{e}"));
    assert_eq!(loaded.warnings, vec![], "{text}");
    loaded.config
}

/// `(line, key, message)` of everything wrong, whether or not it can be started with.
fn wrong(text: &str) -> Vec<(Severity, Option<usize>, String, String)> {
    let problems = match load(&body(text), &Fake::default(), Purpose::Record) {
        Ok(loaded) => loaded.warnings,
        Err(rejected) => rejected.problems,
    };
    problems
        .into_iter()
        .map(|p| (p.severity, p.line, p.key, p.message))
        .collect()
}

const SERVICE: &str =
    "redis: {address: localhost:6379}\napi_key: k\napi_secret: s\nws_url: ws://x\n";

#[test]
fn defaults_are_those_of_the_specification() {
    let c = read("");
    assert_eq!(c.redis, None);
    assert_eq!((c.logging.json, c.logging.level), (false, Level::Info));
    assert_eq!(c.gst_debug, "2,rtmpclient:4,srtlib:1");
    assert_eq!(c.template_base, "http://localhost:7980/");
    assert_eq!(c.cluster_id, "");
    let p = c.ports;
    assert_eq!(
        (p.health, p.prometheus, p.debug, p.template),
        (None, None, None, 7980)
    );
    assert_eq!(c.tmp_dir, Path::new("/home/egress/tmp"));
    assert!(!c.chrome.sandbox && !c.chrome.insecure && c.chrome.flags.is_empty());
    assert!(c.storage.is_none() && c.backup.is_none() && !c.disallow_local_storage);
    assert_eq!(c.max_upload_queue, Duration::from_secs(3600));
    assert_eq!(c.io.create_timeout, Duration::from_secs(15));
    assert_eq!(c.io.update_timeout, Duration::from_secs(30));
    assert_eq!((c.io.selection_timeout, c.io.workers), (None, 5));
    assert_eq!(c.session_limits, super::SessionLimits::default());
    assert_eq!(c.latency, super::Latency::default());
    assert_eq!(c.latency.audio_mixer, Duration::from_millis(2750));
    assert_eq!(c.cpu_cost, super::CpuCost::default());
    assert_eq!((c.cpu_cost.room_composite, c.cpu_cost.track), (4.0, 0.5));
    assert_eq!(c.pulse_sink_reap_grace, Some(Duration::from_secs(30)));
    assert_eq!((c.video_encoder_threads, c.audio_tempo), (0, None));
    assert!(!c.sync_engine && !c.one_shot_sender_report_sync);
    assert_eq!((c.start_timeout, c.cpu_request), (None, None));
}

/// One row a key: the text, and what must be true then.
#[test]
fn every_key_is_read() {
    type Row = (&'static str, fn(&Config) -> bool);
    fn s3(c: &Config) -> &recording::plan::S3 {
        match &c.storage.as_ref().unwrap().store {
            Store::S3(s3) => s3,
            other @ (Store::Local | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_)) => {
                panic!("{other:?}")
            }
        }
    }
    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }
    let rows: &[Row] = &[
        ("api_key: abc", |c| c.api_key == "abc"),
        ("api_key: 0123", |c| c.api_key == "0123"),
        ("api_secret: 1e5", |c| c.api_secret.reveal() == "1e5"),
        ("api_secret: true", |c| c.api_secret.reveal() == "true"),
        ("ws_url: wss://h", |c| c.ws_url == "wss://h"),
        ("log_level: debug", |c| {
            c.logging.level == Level::Debug && c.gst_debug.starts_with("3,")
        }),
        ("logging: {level: error}", |c| {
            c.logging.level == Level::Error && c.gst_debug.starts_with("1,")
        }),
        ("logging: {level: WARNING, json: yes}", |c| {
            c.logging.level == Level::Warn && c.logging.json
        }),
        (
            "logging: {component_levels: {psrpc: debug}, sample: true, sample_initial: 1, sample_interval: 2, item_sample_seconds: 3, item_sample_initial: 4, item_sample_interval: 5}",
            |c| {
                c.logging.component_levels == [("psrpc".to_owned(), Level::Debug)]
                    && c.logging.sample
            },
        ),
        ("template_base: https://t/", |c| {
            c.template_base == "https://t/"
        }),
        ("template_port: 8000", |c| {
            c.ports.template == 8000 && c.template_base == "http://localhost:8000/"
        }),
        ("template_port: 0", |c| c.ports.template == 7980),
        ("health_port: 9090", |c| c.ports.health == Some(9090)),
        ("prometheus_port: 9091", |c| {
            c.ports.prometheus == Some(9091)
        }),
        ("debug_handler_port: 9092", |c| c.ports.debug == Some(9092)),
        ("health_port:", |c| c.ports.health.is_none()),
        ("cluster_id: eu", |c| c.cluster_id == "eu"),
        ("nodeid: NE_x", |_| true),
        ("enable_chrome_sandbox: true", |c| c.chrome.sandbox),
        ("insecure: on", |c| c.chrome.insecure),
        ("chrome_flags: {a: x, --b: true, c: false, d: 007}", |c| {
            c.chrome.flags
                == [
                    ("a".to_owned(), ChromeFlag::Value("x".to_owned())),
                    ("b".to_owned(), ChromeFlag::On),
                    ("c".to_owned(), ChromeFlag::Off),
                    ("d".to_owned(), ChromeFlag::Value("007".to_owned())),
                ]
        }),
        ("max_upload_queue: 5", |c| c.max_upload_queue == secs(300)),
        ("disallow_local_storage: true", |c| c.disallow_local_storage),
        ("io_create_timeout: 3s", |c| c.io.create_timeout == secs(3)),
        ("io_update_timeout: 4000000000", |c| {
            c.io.update_timeout == secs(4)
        }),
        ("io_selection_timeout: 1s", |c| {
            c.io.selection_timeout == Some(secs(1))
        }),
        ("io_workers: 2", |c| c.io.workers == 2),
        (
            "session_limits: {file_output_max_duration: 1h, stream_output_max_duration: 90m, segment_output_max_duration: 3h, image_output_max_duration: 1m, file_output_max_size: 1000}",
            |c| {
                let l = c.session_limits;
                (l.file, l.stream, l.segment, l.image, l.file_size)
                    == (
                        Some(secs(3600)),
                        Some(secs(5400)),
                        Some(secs(10800)),
                        Some(secs(60)),
                        Some(1000),
                    )
            },
        ),
        ("session_limits: {file_output_max_duration: 0}", |c| {
            c.session_limits.file.is_none()
        }),
        (
            "storage: {prefix: p, generate_presigned_url: true, s3: {bucket: b}}",
            |c| {
                let d = c.storage.as_ref().unwrap();
                d.prefix == "p" && d.presign && s3(c).bucket == "b"
            },
        ),
        (
            "storage: {s3: {bucket: b, access_key: a, secret: s, session_token: t, assume_role_arn: arn, assume_role_external_id: e, region: r, endpoint: n, force_path_style: true, metadata: {z: 1, a: b}, tagging: t=1, content_disposition: attachment}}",
            |c| {
                let s = s3(c);
                s.access_key.reveal() == "a"
                    && s.secret.reveal() == "s"
                    && s.session_token.reveal() == "t"
                    && s.assume_role_arn == "arn"
                    && s.assume_role_external_id.reveal() == "e"
                    && s.region == "r"
                    && s.endpoint == "n"
                    && s.force_path_style
                    && s.metadata
                        == [
                            ("a".to_owned(), "b".to_owned()),
                            ("z".to_owned(), "1".to_owned()),
                        ]
                    && s.tagging == "t=1"
                    && s.content_disposition == "attachment"
            },
        ),
        ("storage: {s3: {bucket: b}}", |c| {
            let s = s3(c);
            s.max_retries == 5
                && s.max_retry_delay == secs(5)
                && s.min_retry_delay == Duration::from_millis(100)
        }),
        (
            "storage: {s3: {bucket: b, max_retries: 9, max_retry_delay: 9s, min_retry_delay: 1s}}",
            |c| {
                let (s, r) = (s3(c), c.request_uploads);
                s.max_retries == 9
                    && r.max_retries == 9
                    && r.max_delay == secs(9)
                    && r.min_delay == secs(1)
            },
        ),
        (
            "storage: {s3: {bucket: b, proxy_config: {url: http://p, username: u, password: w}}}",
            |c| {
                let p = s3(c).proxy.as_ref().unwrap();
                p.url.reveal() == "http://p"
                    && p.username.reveal() == "u"
                    && p.password.reveal() == "w"
            },
        ),
        (
            "storage: {azure: {account_name: n, account_key: k, container_name: c}}",
            |c| matches!(&c.storage.as_ref().unwrap().store, Store::Azure(a) if a.account_name.reveal() == "n" && a.account_key.reveal() == "k" && a.container == "c"),
        ),
        (
            "storage: {gcp: {credentials_json: '{\"a\": 1}', bucket: b, proxy_config: {url: u}}}",
            |c| matches!(&c.storage.as_ref().unwrap().store, Store::Gcp(g) if g.credentials_json.reveal() == "{\"a\": 1}" && g.bucket == "b" && g.proxy.is_some()),
        ),
        (
            "storage: {gcp: {credentials_json: {a: 1}, bucket: b}}",
            |c| matches!(&c.storage.as_ref().unwrap().store, Store::Gcp(g) if g.credentials_json.reveal() == "{\"a\":1}"),
        ),
        (
            "storage: {alioss: {access_key: a, secret: s, endpoint: e, bucket: b}}",
            |c| matches!(&c.storage.as_ref().unwrap().store, Store::AliOss(o) if o.endpoint == "e" && o.bucket == "b"),
        ),
        (
            "alioss: {access_key: a, secret: s, region: cn-hangzhou, bucket: b}",
            |c| matches!(&c.storage.as_ref().unwrap().store, Store::AliOss(o) if o.endpoint == "https://oss-cn-hangzhou.aliyuncs.com"),
        ),
        ("s3: {bucket: b}", |c| s3(c).bucket == "b"),
        (
            "azure: {account_name: n, account_key: k, container_name: c}",
            |c| matches!(c.storage.as_ref().unwrap().store, Store::Azure(_)),
        ),
        ("gcp: {bucket: b}", |c| {
            matches!(c.storage.as_ref().unwrap().store, Store::Gcp(_))
        }),
        ("backup: {prefix: p, s3: {bucket: b}}", |c| {
            c.backup.as_ref().unwrap().prefix == "p"
        }),
        ("backup_storage: {gcp: {bucket: b}}", |c| {
            matches!(c.backup.as_ref().unwrap().store, Store::Gcp(_))
        }),
        ("backup_storage: /mnt/backup", |c| {
            let b = c.backup.as_ref().unwrap();
            b.store == Store::Local && b.prefix == "/mnt/backup"
        }),
        (
            "s3_assume_role_key: a\ns3_assume_role_secret: b\ns3_assume_role_arn: c\ns3_assume_role_external_id: d",
            |c| {
                let r = &c.assume_role;
                r.access_key.reveal() == "a"
                    && r.secret.reveal() == "b"
                    && r.arn == "c"
                    && r.external_id.reveal() == "d"
            },
        ),
        (
            "debug: {enable_profiling: true, enable_track_logging: true, enable_stream_logging: true, enable_chrome_logging: true, prefix: p, s3: {bucket: b}}",
            |c| {
                let d = &c.debug;
                d.profiling
                    && d.track_logging
                    && d.stream_logging
                    && d.chrome_logging
                    && d.storage.as_ref().unwrap().prefix == "p"
            },
        ),
        (
            "latency: {jitter_buffer_latency: 1s, audio_mixer_latency: 2s, pipeline_latency: 4s, rtpmaxallowedtsdiff: 6s, rtpmaxdriftadjustment: 7ms, rtpdriftadjustmentwindowpercent: 8, old_packet_threshold: 9s}",
            |c| {
                let l = c.latency;
                l.jitter_buffer == secs(1)
                    && l.audio_mixer == secs(2)
                    && l.pipeline == secs(4)
                    && l.rtp_max_allowed_ts_diff == secs(6)
                    && l.rtp_max_drift_adjustment == Duration::from_millis(7)
                    && l.rtp_drift_adjustment_window_percent == 8.0
                    && l.old_packet_threshold == secs(9)
            },
        ),
        (
            "latency: {rtp_max_allowed_ts_diff: 6s, rtp_max_drift_adjustment: 7ms, rtp_drift_adjustment_window_percent: 8.5}",
            |c| {
                let l = c.latency;
                l.rtp_max_allowed_ts_diff == secs(6)
                    && l.rtp_max_drift_adjustment == Duration::from_millis(7)
                    && l.rtp_drift_adjustment_window_percent == 8.5
            },
        ),
        (
            "latency: {jitter_buffer_latency: 8s, old_packet_threshold: 0}",
            |c| {
                c.latency.rtp_max_allowed_ts_diff == secs(8)
                    && c.latency.old_packet_threshold == Duration::from_millis(2200)
            },
        ),
        (
            "latency: {pipeline_latency: 9s}\nlatency_overrides: {web: {jitter_buffer_latency: 1s}}",
            |c| matches!(c.latency_overrides.as_slice(), [(RequestType::Web, l)] if l.jitter_buffer == secs(1) && l.pipeline == secs(3)),
        ),
        ("video_encoder_threads: 4", |c| c.video_encoder_threads == 4),
        ("enable_one_shot_sender_report_sync: true", |c| {
            c.one_shot_sender_report_sync
        }),
        ("enable_sync_engine: true", |c| c.sync_engine),
        ("audio_tempo_controller: {enabled: true}", |c| {
            c.audio_tempo == Some(0.05)
        }),
        (
            "audio_tempo_controller: {enabled: true, adjustment_rate: 0.1}",
            |c| c.audio_tempo == Some(0.1),
        ),
        ("audio_tempo_controller: {adjustment_rate: 0.1}", |c| {
            c.audio_tempo.is_none()
        }),
        (
            "test_overrides: {failure_injection_room: f, disconnect_injection_room: d}",
            |c| {
                c.test_overrides.failure_injection_room == "f"
                    && c.test_overrides.disconnect_injection_room == "d"
            },
        ),
        ("pulse_sink_reap_grace_sec: 5", |c| {
            c.pulse_sink_reap_grace == Some(secs(5))
        }),
        ("pulse_sink_reap_grace_sec: 0", |c| {
            c.pulse_sink_reap_grace == Some(secs(30))
        }),
        ("pulse_sink_reap_grace_sec: -1", |c| {
            c.pulse_sink_reap_grace.is_none()
        }),
        ("tmp_dir: /data", |c| c.tmp_dir == Path::new("/data")),
        ("local_directory: /data", |c| {
            c.tmp_dir == Path::new("/data")
        }),
        ("start_timeout: 1m", |c| c.start_timeout == Some(secs(60))),
        (
            "cpu_cost: {max_cpu_utilization: 0.9, max_memory: 8, memory_cost: 1.5, max_pulse_clients: 30, memory_source: cgroup, memory_kill_grace_sec: 3, cpu_kill_grace_sec: 4}",
            |c| {
                let k = c.cpu_cost;
                k.max_cpu_utilization == 0.9
                    && k.max_memory == Some(8.0)
                    && k.memory_cost == 1.5
                    && k.sdk_audio_room_composite_memory == 1.5
                    && k.max_pulse_clients == 30
                    && k.memory_source == MemorySource::Cgroup
                    && k.memory_kill_grace == secs(3)
                    && k.cpu_kill_grace == secs(4)
            },
        ),
        (
            "cpu_cost: {room_composite_cpu_cost: 3, audio_room_composite_cpu_cost: 1.5, web_cpu_cost: 3.5, audio_web_cpu_cost: 1.25, participant_cpu_cost: 2.5, track_composite_cpu_cost: 2, track_cpu_cost: 1}",
            |c| {
                let k = c.cpu_cost;
                (
                    k.room_composite,
                    k.audio_room_composite,
                    k.sdk_audio_room_composite,
                    k.web,
                    k.audio_web,
                    k.participant,
                    k.track_composite,
                    k.track,
                ) == (3.0, 1.5, 1.5, 3.5, 1.25, 2.5, 2.0, 1.0)
            },
        ),
        (
            "cpu_cost: {sdk_audio_room_composite_cpu_cost: 0.3, sdk_audio_room_composite_memory_cost: 0.2}",
            |c| {
                c.cpu_cost.sdk_audio_room_composite == 0.3
                    && c.cpu_cost.sdk_audio_room_composite_memory == 0.2
            },
        ),
        ("cpu_cost: {cpu_kill_grace_sec: 0, max_memory: 0}", |c| {
            c.cpu_cost.cpu_kill_grace == secs(30) && c.cpu_cost.max_memory.is_none()
        }),
    ];
    for (text, holds) in rows {
        assert!(holds(&read(text)), "{text}\n{:#?}", read(text));
    }
}

#[test]
fn redis_is_read_in_every_topology() {
    let redis = |text: &str| read(text).redis.unwrap();
    let single = redis(
        "redis: {address: 'h:1', username: u, password: 0123, db: 2, use_tls: true, max_redirects: 7, pool_timeout: 1s, pool_size: 3}",
    );
    assert_eq!(
        single.topology,
        Topology::Single {
            address: "h:1".to_owned()
        }
    );
    assert_eq!((single.username.as_str(), single.db), ("u", 2));
    assert_eq!(single.password.reveal(), "0123");
    assert_eq!(single.tls, Some(super::Tls::default()));
    assert_eq!((single.max_redirects, single.pool_size), (7, Some(3)));
    assert_eq!(single.timeouts().0, Duration::from_secs(5));

    let sentinel = redis(
        "redis:\n  sentinel_addresses: ['a:1', 'b:2']\n  sentinel_master_name: m\n  sentinel_username: u\n  sentinel_password: p\n  read_timeout: 500\n",
    );
    assert!(matches!(
        &sentinel.topology,
        Topology::Sentinel { addresses, master_name, username, password }
            if addresses.len() == 2 && master_name == "m" && username == "u" && password.reveal() == "p"
    ));
    let millis = Duration::from_millis;
    assert_eq!(
        sentinel.timeouts(),
        (millis(2000), millis(500), millis(200))
    );

    let cluster = redis(
        "redis:\n  cluster_addresses: ['a:1']\n  tls: {enabled: true, insecure: true, server_name: n, ca_cert_file: /ca, client_cert_file: /c, client_key_file: /k}\n",
    );
    assert!(matches!(cluster.topology, Topology::Cluster { .. }));
    assert_eq!(cluster.max_redirects, 2);
    let tls = cluster.tls.unwrap();
    assert!(tls.insecure && tls.server_name == "n" && tls.ca_cert_file == Some("/ca".into()));
}

/// One row a mistake: severity, line, key, and a piece of what is said about it.
#[test]
fn every_mistake_is_told_with_its_line() {
    use Severity::{Error, Warning};
    type Row = (&'static str, Severity, usize, &'static str, &'static str);
    let rows: &[Row] = &[
        (
            "\nhealthport: 1",
            Warning,
            2,
            "healthport",
            "did you mean `health_port`?",
        ),
        ("colour: 1", Warning, 1, "colour", "unknown key, ignored"),
        (
            "redis:\n  adress: h:1",
            Warning,
            2,
            "redis.adress",
            "did you mean `address`?",
        ),
        (
            "latency_overrides:\n  webb: {}",
            Warning,
            2,
            "latency_overrides.webb",
            "did you mean `web`?",
        ),
        ("health_port: 70000", Error, 1, "health_port", "1 to 65535"),
        (
            "health_port: '80'",
            Error,
            1,
            "health_port",
            "remove the quotes",
        ),
        ("health_port: many", Error, 1, "health_port", "whole number"),
        (
            "health_port: 7980",
            Error,
            1,
            "health_port",
            "`template_port` has already",
        ),
        (
            "health_port: 1\nprometheus_port: 1",
            Error,
            2,
            "prometheus_port",
            "`health_port` has already",
        ),
        ("insecure: maybe", Error, 1, "insecure", "true or false"),
        ("api_key: [a]", Error, 1, "api_key", "must be a text"),
        ("ws_url: example.com", Error, 1, "ws_url", "ws:// or wss://"),
        ("logging: loud", Error, 1, "logging", "block of keys"),
        (
            "logging:\n  level: loud",
            Warning,
            2,
            "logging.level",
            "info is used",
        ),
        ("log_level: loud", Warning, 1, "log_level", "info is used"),
        (
            "logging: {level: info}\nlog_level: debug",
            Warning,
            2,
            "log_level",
            "not used",
        ),
        (
            "io_create_timeout: soon",
            Error,
            1,
            "io_create_timeout",
            "90m",
        ),
        (
            "io_create_timeout: 15",
            Warning,
            1,
            "io_create_timeout",
            "nanoseconds",
        ),
        (
            "session_limits:\n  file_output_max_duration: -1h",
            Error,
            2,
            "session_limits.file_output_max_duration",
            "negative",
        ),
        (
            "session_limits:\n  file_output_max_size: -1",
            Error,
            2,
            "session_limits.file_output_max_size",
            "0 or more",
        ),
        (
            "redis: {address: localhost}",
            Error,
            1,
            "redis.address",
            "no port",
        ),
        (
            "redis: {address: 'redis://h:1'}",
            Error,
            1,
            "redis.address",
            "without a scheme",
        ),
        (
            "redis: {address: 'h:1', db: -1}",
            Error,
            1,
            "redis.db",
            "0 or more",
        ),
        (
            "redis:\n  sentinel_addresses: ['a:1']",
            Error,
            1,
            "redis.sentinel_master_name",
            "is missing",
        ),
        (
            "redis:\n  address: a:1\n  cluster_addresses: ['a:1']",
            Warning,
            2,
            "redis.address",
            "not used",
        ),
        (
            "redis:\n  address: a:1\n  tls: {insecure: true}",
            Warning,
            3,
            "redis.tls",
            "enabled: true",
        ),
        (
            "redis:\n  address: a:1\n  tls: {enabled: true, client_key_file: k}",
            Error,
            3,
            "redis.tls.client_key_file",
            "client_cert_file",
        ),
        (
            "redis:\n  sentinel_master_name: m\n  sentinel_addresses:\n    - a:1\n    - [b]",
            Error,
            5,
            "redis.sentinel_addresses[1]",
            "must be a text",
        ),
        ("s3: {region: r}", Error, 1, "s3.bucket", "is missing"),
        (
            "s3: {bucket: b}\ngcp: {bucket: b}",
            Error,
            2,
            "gcp",
            "only one store",
        ),
        (
            "storage: {s3: {bucket: b}}\ns3: {bucket: b}",
            Warning,
            2,
            "s3",
            "not used",
        ),
        (
            "storage:\n  prefix: p",
            Warning,
            1,
            "storage",
            "names no store",
        ),
        (
            "s3: {bucket: b, access_key: k}",
            Warning,
            1,
            "s3.access_key",
            "no `secret`",
        ),
        (
            "s3: {bucket: b, min_retry_delay: 9s}",
            Error,
            1,
            "s3.min_retry_delay",
            "max_retry_delay",
        ),
        (
            "azure: {account_name: n, container_name: c}",
            Error,
            1,
            "azure.account_key",
            "AZURE_STORAGE_KEY",
        ),
        (
            "gcp: {bucket: b, credentials_json: key.json}",
            Error,
            1,
            "gcp.credentials_json",
            "not JSON",
        ),
        (
            "alioss: {access_key: a, secret: s, bucket: b}",
            Error,
            1,
            "alioss.endpoint",
            "`region`",
        ),
        (
            "backup_storage: relative",
            Error,
            1,
            "backup_storage",
            "absolute",
        ),
        (
            "s3_assume_role_key: k",
            Error,
            1,
            "s3_assume_role_key",
            "s3_assume_role_secret",
        ),
        ("tmp_dir: here", Error, 1, "tmp_dir", "absolute"),
        (
            "chrome_flags:\n  a: [1]",
            Error,
            2,
            "chrome_flags.a",
            "true to set",
        ),
        (
            "cpu_cost:\n  max_cpu_utilization: 80",
            Warning,
            2,
            "cpu_cost.max_cpu_utilization",
            "0.8 is used",
        ),
        (
            "cpu_cost:\n  web_cpu_cost: -1",
            Warning,
            2,
            "cpu_cost.web_cpu_cost",
            "default 4",
        ),
        (
            "cpu_cost: {memory_source: rss}",
            Warning,
            1,
            "cpu_cost.memory_source",
            "proc_rss is used",
        ),
        (
            "cpu_cost: {max_memory: 1}",
            Error,
            1,
            "cpu_cost.max_memory",
            "no recording",
        ),
        (
            "audio_tempo_controller: {enabled: true, adjustment_rate: 5}",
            Warning,
            1,
            "audio_tempo_controller.adjustment_rate",
            "0.05 is used",
        ),
        (
            "latency:\n  rtpmaxallowedtsdiff: 1s\n  rtp_max_allowed_ts_diff: 2s",
            Warning,
            3,
            "latency.rtp_max_allowed_ts_diff",
            "not used",
        ),
        (
            "latency: {rtpdriftadjustmentwindowpercent: 101}",
            Error,
            1,
            "latency.rtpdriftadjustmentwindowpercent",
            "0 to 100",
        ),
        (
            "template_base: /templates",
            Warning,
            1,
            "template_base",
            "http://",
        ),
        ("a: [1\nb: 2", Error, 2, "", "could not parse config"),
    ];
    for (text, severity, line, key, piece) in rows {
        let found = wrong(text);
        assert!(
            found.iter().any(|(s, l, k, m)| s == severity
                && (*l == Some(*line))
                && k == key
                && m.contains(piece)),
            "{text}\nwanted {severity:?} {line} {key} {piece}\nfound {found:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_text() {
    let text = "health_port: 99999\nredis:\n  addres: x\n  db: nought\ninsecure: 3\nlogging: {level: loud}\n";
    let rejected = load(&body(text), &Fake::default(), Purpose::Service).unwrap_err();
    let lines: Vec<_> = rejected
        .problems
        .iter()
        .map(|p| (p.line, p.key.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (Some(1), "health_port"),
            (Some(2), "redis"),
            (Some(3), "redis.addres"),
            (Some(4), "redis.db"),
            (Some(5), "insecure"),
            (Some(6), "logging.level"),
            (None, ""),
        ]
    );
    let told = rejected.to_string();
    assert!(
        told.contains(
            "--config-body:3: warning: redis.addres: unknown key, ignored; did you mean `address`?"
        ),
        "{told}"
    );
    assert!(
        told.contains("--config-body:2: error: redis: redis is not configured"),
        "{told}"
    );
}

#[test]
fn the_service_needs_a_configuration_with_redis() {
    let none = load(&Sources::default(), &Fake::default(), Purpose::Service).unwrap_err();
    assert_eq!(none.to_string(), "missing config");
    for text in ["api_key: k", "redis:", "redis: {db: 1}", "# nothing"] {
        let rejected = load(&body(text), &Fake::default(), Purpose::Service).unwrap_err();
        assert!(
            rejected.to_string().contains("redis is not configured"),
            "{text}"
        );
    }
    let loaded = load(&body(SERVICE), &Fake::default(), Purpose::Service).unwrap();
    assert_eq!(loaded.warnings, vec![]);
    // Without room access only a warning: web recordings work.
    let loaded = load(
        &body("redis: {address: 'h:1'}"),
        &Fake::default(),
        Purpose::Service,
    )
    .unwrap();
    assert!(matches!(
        loaded.warnings.as_slice(),
        [Problem { severity: Severity::Warning, message, .. }] if message.contains("api_key, api_secret, ws_url")
    ));
    assert!(load(&Sources::default(), &Fake::default(), Purpose::Record).is_ok());
}

#[test]
fn body_wins_over_file_and_flags_over_variables() {
    let mut host = env(&[
        ("EGRESS_CONFIG_BODY", "cluster_id: env-body"),
        ("EGRESS_CONFIG_FILE", "/env.yaml"),
    ]);
    host.files = [
        (PathBuf::from("/env.yaml"), "cluster_id: env-file"),
        (PathBuf::from("/flag.yaml"), "cluster_id: flag-file"),
    ]
    .into();
    let cluster = |file: Option<&str>, body: Option<&str>, host: &Fake| {
        let sources = Sources {
            file: file.map(PathBuf::from),
            body: body.map(str::to_owned),
        };
        let loaded = load(&sources, host, Purpose::Record).unwrap();
        (loaded.config.cluster_id, loaded.warnings.len())
    };
    let answer = |text: &str, warnings| (text.to_owned(), warnings);
    let flag_body = Some("cluster_id: flag-body");
    assert_eq!(cluster(None, flag_body, &host), answer("flag-body", 0));
    assert_eq!(
        cluster(Some("/flag.yaml"), None, &host),
        answer("env-body", 1)
    );
    host.vars.remove("EGRESS_CONFIG_BODY");
    assert_eq!(
        cluster(Some("/flag.yaml"), None, &host),
        answer("flag-file", 0)
    );
    assert_eq!(cluster(None, None, &host), answer("env-file", 0));
    host.vars.insert("EGRESS_CONFIG_FILE", "/gone.yaml");
    let gone = load(&Sources::default(), &host, Purpose::Service).unwrap_err();
    assert!(
        gone.to_string()
            .contains("could not read config /gone.yaml")
    );
}

#[test]
fn yaml_wins_over_variables() {
    let host = env(&[
        ("LIVEKIT_API_KEY", "env-key"),
        ("LIVEKIT_API_SECRET", "env-secret"),
        ("LIVEKIT_WS_URL", "ws://env"),
        ("LIVEKIT_CPU_REQUEST", "3.5"),
        ("GST_DEBUG", "5"),
    ]);
    let c = read_with("", &host).unwrap().config;
    assert_eq!(
        (c.api_key.as_str(), c.ws_url.as_str()),
        ("env-key", "ws://env")
    );
    assert_eq!(c.api_secret.reveal(), "env-secret");
    assert_eq!((c.cpu_request, c.gst_debug.as_str()), (Some(3.5), "5"));
    let c = read_with("api_key: k\napi_secret: s\nws_url: ws://y", &host)
        .unwrap()
        .config;
    assert_eq!(
        (
            c.api_key.as_str(),
            c.api_secret.reveal().as_str(),
            c.ws_url.as_str()
        ),
        ("k", "s", "ws://y")
    );
    let odd = read_with("", &env(&[("LIVEKIT_CPU_REQUEST", "lots")])).unwrap();
    assert_eq!(odd.config.cpu_request, None);
    assert_eq!(odd.warnings.len(), 1);
}

#[test]
fn cloud_variables_fill_blocks_without_keys() {
    let host = env(&[
        ("AWS_ACCESS_KEY_ID", "ek"),
        ("AWS_SECRET_ACCESS_KEY", "es"),
        ("AWS_SESSION_TOKEN", "et"),
        ("AWS_DEFAULT_REGION", "er"),
        ("AZURE_STORAGE_ACCOUNT", "ea"),
        ("AZURE_STORAGE_KEY", "eak"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/gcp.json"),
    ]);
    let s3 = |text: &str| match read_with(text, &host)
        .unwrap()
        .config
        .storage
        .unwrap()
        .store
    {
        Store::S3(s3) => {
            let r = |s: &recording::Secret<String>| s.reveal().clone();
            (
                r(&s3.access_key),
                r(&s3.secret),
                r(&s3.session_token),
                s3.region,
            )
        }
        other @ (Store::Local | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_)) => {
            panic!("{other:?}")
        }
    };
    let four = |a: &str, b: &str, c: &str, d: &str| {
        (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned())
    };
    assert_eq!(s3("s3: {bucket: b}"), four("ek", "es", "et", "er"));
    assert_eq!(
        s3("s3: {bucket: b, access_key: k, secret: s, region: r}"),
        four("k", "s", "", "r")
    );
    // A role's base credentials are not guessed.
    assert_eq!(
        s3("s3: {bucket: b, assume_role_arn: x}"),
        four("", "", "", "er")
    );
    let c = read_with("azure: {container_name: c}", &host)
        .unwrap()
        .config;
    assert!(matches!(
        &c.storage.unwrap().store,
        Store::Azure(a) if a.account_name.reveal() == "ea" && a.account_key.reveal() == "eak"
    ));
    assert!(
        c.ambient_credentials
            .contains(&"GOOGLE_APPLICATION_CREDENTIALS")
    );
    let shown = read_with("gcp: {bucket: b}", &host)
        .unwrap()
        .config
        .masked_yaml();
    assert!(
        shown.contains(
            "# GOOGLE_APPLICATION_CREDENTIALS is set: used by the default credential chain"
        )
    );
}

#[test]
fn working_directory_is_the_first_that_can_be_written_to() {
    let mut host = Fake {
        closed: vec!["/home/egress/tmp"],
        ..Fake::default()
    };
    assert_eq!(
        read_with("", &host).unwrap().config.tmp_dir,
        Path::new("/tmp/egress")
    );
    host.closed.push("/tmp/egress");
    assert!(
        read_with("", &host)
            .unwrap_err()
            .to_string()
            .contains("tmp_dir")
    );
    host.closed.push("/data");
    assert!(
        read_with("tmp_dir: /data", &host)
            .unwrap_err()
            .to_string()
            .contains("/data cannot be created or written to")
    );
}

/// A configuration where every secret there is holds the marker.
const SECRETS: &str = "
redis: {address: 'h:1', username: u, password: MARKER}
api_key: key
api_secret: MARKER
storage:
  s3: {bucket: b, access_key: MARKER, secret: MARKER, session_token: MARKER, assume_role_external_id: MARKER, proxy_config: {url: 'http://MARKER@p', username: MARKER, password: MARKER}}
backup:
  azure: {account_name: MARKER, account_key: MARKER, container_name: c}
debug:
  gcp: {bucket: b, credentials_json: '{\"private_key\": \"MARKER\"}', proxy_config: {url: MARKER}}
s3_assume_role_key: MARKER
s3_assume_role_secret: MARKER
s3_assume_role_external_id: MARKER
";

#[test]
fn nothing_shows_a_secret() {
    let host = env(&[
        ("AWS_SECRET_ACCESS_KEY", "MARKER"),
        ("AZURE_CLIENT_SECRET", "MARKER"),
    ]);
    let oss = "alioss: {access_key: MARKER, secret: MARKER, endpoint: e, bucket: b}";
    let sentinel =
        "redis: {sentinel_addresses: ['a:1'], sentinel_master_name: m, sentinel_password: MARKER}";
    for text in [SECRETS, oss, sentinel] {
        let loaded = read_with(text, &host).unwrap();
        assert_eq!(loaded.warnings, vec![]);
        let shown = loaded.config.masked_yaml();
        assert!(!shown.contains("MARKER"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
        assert!(!format!("{:?}", loaded.config).contains("MARKER"));
    }
    // Nor do problems, wherever the secret was put by mistake.
    for text in [
        "api_secret: [MARKER]",
        "redis: {password: {MARKER: 1}}",
        "s3: {access_key: MARKER, bucket: b}\nazure: {account_key: MARKER}",
        "gcp: {bucket: b, credentials_json: MARKER}",
        "api_secret: MARKER\n bad",
    ] {
        let told = match read_with(text, &host) {
            Ok(loaded) => format!("{:?}", loaded.warnings),
            Err(rejected) => format!("{rejected}{rejected:?}"),
        };
        assert!(!told.contains("MARKER"), "{text}\n{told}");
    }
}

#[test]
fn what_is_shown_is_a_configuration_again() {
    for text in [
        "",
        SECRETS,
        "redis: {cluster_addresses: ['a:1', 'b:1'], tls: {enabled: true, ca_cert_file: /ca}}",
        "redis: {sentinel_addresses: ['a:1'], sentinel_master_name: m}\nlog_level: debug\nbackup_storage: /b\nalioss: {access_key: a, secret: s, endpoint: e, bucket: b}",
        "chrome_flags: {a: x, b: true}\nlatency_overrides: {web: {}}\naudio_tempo_controller: {enabled: true}\npulse_sink_reap_grace_sec: -1\nsession_limits: {file_output_max_duration: 90m}\nlogging: {component_levels: {a: debug}, sample: true}\ntest_overrides: {failure_injection_room: x}\nstart_timeout: 3s",
    ] {
        let first = read(text);
        // `***` in place of a JSON key is rejected, rightly: take those out.
        let shown = first
            .masked_yaml()
            .replace("credentials_json: '***'\n", "credentials_json: '{}'\n");
        let again = read(&shown);
        assert_eq!(
            again
                .masked_yaml()
                .replace("credentials_json: '***'\n", "credentials_json: '{}'\n"),
            shown
        );
    }
}
