//! The configuration in the words of those who work by it: planning, the worker, a recorder.
//!
//! Each of them knows only its part; nothing is decided here.

use super::model::{ChromeFlag, Config, Level, MemorySource};
use recording::plan::RequestType;
use recording::policy::{self, Policy};
use recording::{cost, settings};
use worker::{admission, report};

impl Config {
    /// What planning depends on. `zone`: of `{time}` and timed names, the machine's.
    #[must_use]
    pub fn policy(&self, zone: jiff::tz::TimeZone) -> Policy {
        let limits = &self.session_limits;
        Policy {
            api_key: self.api_key.clone(),
            api_secret: self.api_secret.clone(),
            ws_url: self.ws_url.clone(),
            template_base: self.template_base.clone(),
            cluster_id: self.cluster_id.clone(),
            storage: self.storage.clone(),
            backup: self.backup.clone(),
            request_uploads: self.request_uploads,
            disallow_local_storage: self.disallow_local_storage,
            assume_role: self.assume_role.clone(),
            limits: policy::SessionLimits {
                file: limits.file,
                stream: limits.stream,
                segments: limits.segment,
                images: limits.image,
                file_size: limits.file_size,
                start_timeout: self.start_timeout,
            },
            zone,
        }
    }

    /// What requests are expected to need, before they are validated.
    #[must_use]
    pub fn cost_table(&self) -> cost::Table {
        let c = &self.cpu_cost;
        cost::Table {
            room_composite_cpu_cost: c.room_composite,
            audio_room_composite_cpu_cost: c.audio_room_composite,
            sdk_audio_room_composite_cpu_cost: c.sdk_audio_room_composite,
            sdk_audio_room_composite_memory_cost: c.sdk_audio_room_composite_memory,
            web_cpu_cost: c.web,
            audio_web_cpu_cost: c.audio_web,
            participant_cpu_cost: c.participant,
            track_composite_cpu_cost: c.track_composite,
            track_cpu_cost: c.track,
            memory_cost: c.memory_cost,
        }
    }

    /// The worker on a machine with so many cores (`LIVEKIT_CPU_REQUEST` is the caller's to apply: see
    /// [`Config::cpu_request`]).
    #[must_use]
    pub fn worker(&self, cores: f64) -> worker::Config {
        let c = &self.cpu_cost;
        let max_memory = c.max_memory.unwrap_or(0.0);
        let base = worker::Config::new(cores);
        worker::Config {
            budget: admission::Budget {
                max_cpu_utilization: c.max_cpu_utilization,
                max_memory,
                memory_source: match c.memory_source {
                    MemorySource::ProcRss => admission::MemorySource::ProcRss,
                    MemorySource::Cgroup => admission::MemorySource::Cgroup,
                },
                ..base.budget
            },
            costs: self.cost_table(),
            reports: report::Policy {
                create_timeout: self.io.create_timeout,
                update_timeout: self.io.update_timeout,
                ..base.reports
            },
            overload: worker::overload::Policy {
                cpu_grace: c.cpu_kill_grace,
                memory_grace: c.memory_kill_grace,
                ..worker::overload::Policy::new(c.max_cpu_utilization, max_memory)
            },
            ..base
        }
    }

    /// What the recorder of a request of this type needs besides its plan.
    #[must_use]
    pub fn recorder(&self, kind: RequestType) -> settings::Recorder {
        let latency = self
            .latency_overrides
            .iter()
            .find_map(|(other, latency)| (*other == kind).then_some(latency))
            .unwrap_or(&self.latency);
        settings::Recorder {
            tmp_dir: self.tmp_dir.clone(),
            ws_url: self.ws_url.clone(),
            template_base: self.template_base.clone(),
            enable_chrome_sandbox: self.chrome.sandbox,
            chrome_flags: self
                .chrome
                .flags
                .iter()
                .map(|(name, flag)| {
                    let flag = match flag {
                        ChromeFlag::Value(text) => settings::ChromeFlag::Value(text.clone()),
                        ChromeFlag::On => settings::ChromeFlag::Switch(true),
                        ChromeFlag::Off => settings::ChromeFlag::Switch(false),
                    };
                    (name.clone(), flag)
                })
                .collect(),
            insecure: self.chrome.insecure,
            video_encoder_threads: self.video_encoder_threads,
            latency: settings::Latency {
                jitter_buffer: latency.jitter_buffer,
                audio_mixer: latency.audio_mixer,
                pipeline: latency.pipeline,
            },
            debug: settings::Debug {
                profiling: self.debug.profiling,
                track_logging: self.debug.track_logging,
                stream_logging: self.debug.stream_logging,
                chrome_logging: self.debug.chrome_logging,
                destination: self.debug.storage.clone(),
            },
            waits: settings::Waits {
                start: self.start_timeout,
                ..settings::Waits::default()
            },
            log: settings::Log {
                level: match self.logging.level {
                    Level::Debug => settings::LogLevel::Debug,
                    Level::Info => settings::LogLevel::Info,
                    Level::Warn => settings::LogLevel::Warn,
                    Level::Error => settings::LogLevel::Error,
                },
                format: if self.logging.json {
                    settings::LogFormat::Json
                } else {
                    settings::LogFormat::Text
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use std::time::Duration;

    #[test]
    fn nothing_configured_means_everybodys_defaults() {
        let config = read("");
        let mut defaults = settings::Recorder::default();
        defaults.template_base.clone_from(&config.template_base);
        assert_eq!(config.recorder(RequestType::Web), defaults);
        let worker = config.worker(8.0);
        let mut expect = worker::Config::new(8.0);
        // Spelt out instead of "as the other".
        expect.costs = config.cost_table();
        assert_eq!(worker, expect);
    }

    #[test]
    fn what_is_configured_reaches_those_it_concerns() {
        let config = read(
            "api_key: k\napi_secret: s\nws_url: ws://h\nstart_timeout: 9s\nio_create_timeout: 3s\n\
             backup_storage: /b\ns3: {bucket: b, max_retries: 7}\n\
             session_limits: {segment_output_max_duration: 1h}\n\
             chrome_flags: {a: x, b: false}\nlogging: {level: debug, json: true}\n\
             latency_overrides: {web: {pipeline_latency: 1s}}\n\
             cpu_cost: {max_cpu_utilization: 1, max_memory: 16, memory_source: cgroup, web_cpu_cost: 2, cpu_kill_grace_sec: 7}\n",
        );
        let policy = config.policy(jiff::tz::TimeZone::UTC);
        assert_eq!(policy.limits.segments, Some(Duration::from_secs(3600)));
        assert_eq!(policy.limits.start_timeout, Some(Duration::from_secs(9)));
        assert_eq!(policy.request_uploads.max_retries, 7);
        assert!(policy.storage.is_some() && policy.backup.is_some());
        assert_eq!(policy.api_secret.reveal(), "s");

        assert_eq!(config.cost_table().web_cpu_cost, 2.0);
        let worker = config.worker(4.0);
        assert_eq!((worker.budget.cores, worker.budget.max_memory), (4.0, 16.0));
        assert_eq!(worker.budget.memory_source, admission::MemorySource::Cgroup);
        assert_eq!(worker.costs.web_cpu_cost, 2.0);
        assert_eq!(worker.overload.threshold, 1.0);
        assert_eq!(worker.overload.cpu_grace, Duration::from_secs(7));
        assert_eq!(worker.reports.create_timeout, Duration::from_secs(3));

        let web = config.recorder(RequestType::Web);
        assert_eq!(web.latency.pipeline, Duration::from_secs(1));
        assert_eq!(
            config.recorder(RequestType::Track).latency.pipeline,
            Duration::from_secs(3)
        );
        assert_eq!(web.waits.start, Some(Duration::from_secs(9)));
        assert_eq!(web.log.level, settings::LogLevel::Debug);
        assert_eq!(web.log.format, settings::LogFormat::Json);
        assert_eq!(
            web.chrome_flags["a"],
            settings::ChromeFlag::Value("x".to_owned())
        );
        assert_eq!(web.chrome_flags["b"], settings::ChromeFlag::Switch(false));
    }
}
