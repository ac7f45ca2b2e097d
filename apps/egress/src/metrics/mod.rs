//! Metrics in the names and label sets upstream has (egress-behaviour.md §9.4): dashboards and autoscalers know them.
//!
//! ```text
//! worker snapshot ── Gauges ──┐
//! counters, histograms ───────┼─► Metrics::render ─► text format 0.0.4
//! /proc/self ─────────────────┘
//! ```
//!
//! Written by hand: `prometheus-client` only speaks OpenMetrics, which forces `_total` onto every counter, and
//! `livekit_egress_pipeline_uploads` has none.

mod process;
mod store;
mod text;

use recording::plan::RequestType;
use std::path::Path;
use std::time::Duration;
use store::{Counters, Histograms};
use text::{Exposition, Kind};

/// What is measured at the moment of a scrape.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gauges {
    /// No recording is active.
    pub available: bool,
    /// An empty web request would be admitted.
    pub can_accept_request: bool,
    /// No new work: stopping, or the server is out of reach.
    pub disabled: bool,
    /// Asked to stop.
    pub terminating: bool,
    /// 1 − idle / cores.
    pub cpu_load: f64,
    /// Running recordings by type; types that are not listed run none.
    pub requests: Vec<(RequestType, u64)>,
    /// load / `max_cpu_utilization`.
    pub load_ratio_cpu: f64,
    /// usage / `max_memory`; `None` without that limit.
    pub load_ratio_memory: Option<f64>,
    /// clients / `max_pulse_clients`; `None` when nothing counts them.
    pub load_ratio_pulse: Option<f64>,
    /// `None`: could not be read.
    pub cgroup_memory_bytes: Option<u64>,
    /// Resident memory of all processes, bytes.
    pub proc_rss_bytes: u64,
    /// A request would be refused if the cgroup's figure were used.
    pub would_reject_cgroup: bool,
    /// Our sinks on a shared sound server; `None` when there is none.
    pub pulse_sinks: Option<u64>,
}

/// How a recorder ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandlerResult {
    /// By itself, whatever the recording's status.
    Completed,
    /// Before it started.
    Aborted,
    /// Asked to stop for lack of CPU.
    StoppedCpu,
    /// Killed for lack of CPU.
    KilledCpu,
    /// Killed for lack of memory.
    KilledOom,
    /// Killed because the service stopped.
    KilledShutdown,
    /// The process failed.
    ProcessError,
    /// Somebody else joined with its identity.
    DuplicateIdentity,
}

impl HandlerResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::StoppedCpu => "stopped_cpu",
            Self::KilledCpu => "killed_cpu",
            Self::KilledOom => "killed_oom",
            Self::KilledShutdown => "killed_shutdown",
            Self::ProcessError => "process_error",
            Self::DuplicateIdentity => "duplicate_identity",
        }
    }
}

/// How an upload ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UploadStatus {
    /// Stored.
    Success,
    /// The store refused.
    Status4xx,
    /// The store failed.
    Status5xx,
    /// It did not get that far.
    Internal,
}

impl UploadStatus {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Status4xx => "4xx",
            Self::Status5xx => "5xx",
            Self::Internal => "internal",
        }
    }
}

/// One psrpc call, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// `client` or `server`.
    pub role: &'a str,
    /// `rpc`, `multi` or `stream`.
    pub kind: &'a str,
    /// Service, for example `IOInfo`.
    pub service: &'a str,
    /// Method, for example `UpdateEgress`.
    pub method: &'a str,
}

/// Everything that is counted, shared by all who count.
#[derive(Debug)]
pub struct Metrics {
    node_id: String,
    cluster_id: String,
    handler_results: Counters<2>,
    uploads: Counters<3>,
    upload_times: Histograms<3>,
    backup_writes: Counters<1>,
    psrpc_times: Histograms<4>,
    psrpc_errors: Counters<5>,
    psrpc_bytes: Counters<5>,
    psrpc_received: Counters<2>,
    psrpc_expired: Counters<2>,
    psrpc_claim_waits: Histograms<3>,
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(node_id: impl Into<String>, cluster_id: impl Into<String>) -> Self {
        const UPLOAD: [&str; 3] = ["type", "status", "custom_endpoint"];
        const METHOD: [&str; 2] = ["service", "method"];
        Self {
            node_id: node_id.into(),
            cluster_id: cluster_id.into(),
            handler_results: Counters::new(
                "livekit_egress_handler_results_total",
                "Total number of egress handler outcomes, by result",
                ["type", "result"],
            ),
            uploads: Counters::new(
                "livekit_egress_pipeline_uploads",
                "Number of uploads per pipeline with type and status labels",
                UPLOAD,
            ),
            // The name is misspelt where it comes from; dashboards have it that way.
            upload_times: Histograms::new(
                "livekit_egress_pipline_upload_response_time_ms",
                "A histogram of latencies for upload requests in milliseconds.",
                UPLOAD,
                &[
                    10., 20., 50., 100., 200., 500., 1000., 2000., 5000., 10000., 15000., 20000.,
                    30000.,
                ],
            ),
            backup_writes: Counters::new(
                "livekit_egress_backup_storage_writes",
                "number of writes to backup storage location by output type",
                ["output_type"],
            ),
            psrpc_times: Histograms::new(
                "livekit_psrpc_request_time_ms",
                "",
                ["role", "kind", "service", "method"],
                &[
                    10., 50., 100., 300., 500., 1000., 1500., 2000., 5000., 10000.,
                ],
            ),
            psrpc_errors: Counters::new(
                "livekit_psrpc_error_total",
                "",
                ["role", "kind", "service", "method", "error_code"],
            ),
            psrpc_bytes: Counters::new(
                "livekit_psrpc_bytes_total",
                "",
                ["role", "kind", "service", "method", "direction"],
            ),
            psrpc_received: Counters::new("livekit_psrpc_requests_received_total", "", METHOD),
            psrpc_expired: Counters::new("livekit_psrpc_requests_expired_total", "", METHOD),
            psrpc_claim_waits: Histograms::new(
                "livekit_psrpc_claim_wait_time_ms",
                "",
                ["service", "method", "outcome"],
                &[1., 5., 10., 25., 50., 100., 250., 500., 1000., 3000.],
            ),
        }
    }

    /// A recorder is gone.
    pub fn handler_ended(&self, kind: Option<RequestType>, result: HandlerResult) {
        let kind = kind.map_or("unknown", RequestType::label);
        self.handler_results.add([kind, result.label()], 1.0);
    }

    /// An upload ended. `kind` is the content type.
    pub fn upload_ended(
        &self,
        kind: &str,
        status: UploadStatus,
        custom_endpoint: bool,
        took: Duration,
    ) {
        let custom = if custom_endpoint { "true" } else { "false" };
        let labels = [kind, status.label(), custom];
        self.uploads.add(labels, 1.0);
        self.upload_times.observe(labels, millis(took));
    }

    /// Something went to the backup store.
    pub fn backup_written(&self, output_type: &str) {
        self.backup_writes.add([output_type], 1.0);
    }

    /// A psrpc call was answered.
    pub fn psrpc_answered(&self, call: Call<'_>, took: Duration) {
        self.psrpc_times.observe(
            [call.role, call.kind, call.service, call.method],
            millis(took),
        );
    }

    /// A psrpc call failed with a code such as `deadline_exceeded`.
    pub fn psrpc_failed(&self, call: Call<'_>, code: &str) {
        self.psrpc_errors
            .add([call.role, call.kind, call.service, call.method, code], 1.0);
    }

    /// Payload bytes of a psrpc call; `direction` is `send` or `receive`.
    pub fn psrpc_bytes(&self, call: Call<'_>, direction: &str, bytes: u64) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in f64")]
        self.psrpc_bytes.add(
            [call.role, call.kind, call.service, call.method, direction],
            bytes as f64,
        );
    }

    /// A request arrived at our server.
    pub fn psrpc_received(&self, service: &str, method: &str) {
        self.psrpc_received.add([service, method], 1.0);
    }

    /// A request arrived too late.
    pub fn psrpc_expired(&self, service: &str, method: &str) {
        self.psrpc_expired.add([service, method], 1.0);
    }

    /// A claim was decided; `outcome` as psrpc names it.
    pub fn psrpc_claim_waited(&self, service: &str, method: &str, outcome: &str, took: Duration) {
        self.psrpc_claim_waits
            .observe([service, method, outcome], millis(took));
    }

    /// The whole page.
    #[must_use]
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut page = Exposition::default();
        let node = [
            ("node_id", self.node_id.as_str()),
            ("cluster_id", self.cluster_id.as_str()),
        ];
        let psrpc = [("node_id", self.node_id.as_str()), ("node_type", "EGRESS")];
        render_gauges(&mut page, gauges, &node);
        self.handler_results.render(&mut page, &node);
        self.uploads.render(&mut page, &node);
        self.upload_times.render(&mut page, &node);
        self.backup_writes.render(&mut page, &node);
        self.psrpc_times.render(&mut page, &psrpc);
        self.psrpc_errors.render(&mut page, &psrpc);
        self.psrpc_bytes.render(&mut page, &psrpc);
        self.psrpc_received.render(&mut page, &psrpc);
        self.psrpc_expired.render(&mut page, &psrpc);
        self.psrpc_claim_waits.render(&mut page, &psrpc);
        process::render(&mut page, Path::new("/proc"));
        page.into_text()
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in f64")]
fn render_gauges(page: &mut Exposition, g: &Gauges, node: &[(&str, &str); 2]) {
    let flag = |on: bool| f64::from(u8::from(on));
    let mut gauge = |name: &str, help: &str, value: f64| {
        page.family(name, help, Kind::Gauge).sample(node, value);
    };
    gauge("livekit_egress_available", "", flag(g.available));
    gauge(
        "livekit_egress_can_accept_request",
        "",
        flag(g.can_accept_request),
    );
    gauge("livekit_egress_is_disabled", "", flag(g.disabled));
    gauge("livekit_egress_is_terminating", "", flag(g.terminating));
    gauge(
        "livekit_egress_cgroup_memory_bytes",
        "Cgroup memory usage in bytes",
        g.cgroup_memory_bytes.unwrap_or(0) as f64,
    );
    gauge(
        "livekit_egress_cgroup_read_success",
        "Whether cgroup memory read succeeded (1) or failed (0)",
        flag(g.cgroup_memory_bytes.is_some()),
    );
    gauge(
        "livekit_egress_proc_rss_bytes",
        "Per-process RSS sum in bytes",
        g.proc_rss_bytes as f64,
    );
    gauge(
        "livekit_egress_would_reject_cgroup",
        "Whether request would be rejected using cgroup mode (1) or not (0)",
        flag(g.would_reject_cgroup),
    );
    if let Some(sinks) = g.pulse_sinks {
        gauge(
            "livekit_egress_pulse_sinks",
            "Number of egress-owned null-sinks loaded on the pulse daemon",
            sinks as f64,
        );
    }

    let [id, cluster] = *node;
    page.family("livekit_node_cpu_load", "", Kind::Gauge)
        .sample(&[id, ("node_type", "EGRESS"), cluster], g.cpu_load);
    let mut requests = page.family("livekit_egress_requests", "", Kind::Gauge);
    for kind in ALL_TYPES {
        let running: u64 = g
            .requests
            .iter()
            .filter_map(|(other, count)| (*other == kind).then_some(*count))
            .sum();
        requests.sample(&[id, cluster, ("type", kind.label())], running as f64);
    }
    let mut ratio = page.family(
        "livekit_load_ratio",
        "Per-resource utilization ratio (0 = idle, can exceed 1 under overload)",
        Kind::Gauge,
    );
    for (kind, value) in [
        ("cpu", Some(g.load_ratio_cpu)),
        ("memory", g.load_ratio_memory),
        ("pulse", g.load_ratio_pulse),
    ] {
        if let Some(value) = value {
            ratio.sample(&[id, cluster, ("type", kind)], value);
        }
    }
}

/// Shown with 0 from the start, so that alerts can tell "none" from "unknown".
const ALL_TYPES: [RequestType; 7] = [
    RequestType::RoomComposite,
    RequestType::Web,
    RequestType::Participant,
    RequestType::TrackComposite,
    RequestType::Track,
    RequestType::Template,
    RequestType::Media,
];

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests;
