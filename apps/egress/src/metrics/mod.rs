//! Metrics in the names and label sets upstream has (egress-behaviour.md §9.4): dashboards and autoscalers know them.
//!
//! ```text
//! worker::metrics::Gauges ───┐
//! counters, histograms ──────┼─► Metrics::render ─► text format 0.0.4
//! /proc/self ────────────────┘
//! ```
//!
//! Not shown, because there is no shared sound server: `livekit_egress_pulse_sinks`, `livekit_load_ratio{type="pulse"}`.
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
use worker::metrics::Gauges;

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
    const GIB: f64 = 1_073_741_824.0;
    let flag = |on: bool| f64::from(u8::from(on));
    for (name, help, value) in [
        ("livekit_egress_available", "", flag(g.available)),
        (
            "livekit_egress_can_accept_request",
            "",
            flag(g.can_accept_request),
        ),
        ("livekit_egress_is_disabled", "", flag(g.is_disabled)),
        ("livekit_egress_is_terminating", "", flag(g.is_terminating)),
        (
            "livekit_egress_cgroup_memory_bytes",
            "Cgroup memory usage in bytes",
            g.cgroup_memory.unwrap_or(0.0) * GIB,
        ),
        (
            "livekit_egress_cgroup_read_success",
            "Whether cgroup memory read succeeded (1) or failed (0)",
            flag(g.cgroup_memory.is_some()),
        ),
        (
            "livekit_egress_proc_rss_bytes",
            "Per-process RSS sum in bytes",
            g.proc_rss * GIB,
        ),
        (
            "livekit_egress_would_reject_cgroup",
            "Whether request would be rejected using cgroup mode (1) or not (0)",
            flag(g.would_reject_cgroup),
        ),
        // Not upstream's: what to look at when a request was declined.
        (
            "livekit_egress_cpu_free_cores",
            "Cores a further request could have",
            g.cpu_free,
        ),
        (
            "livekit_egress_cpu_reserved_cores",
            "Cores promised to bids and to recordings that have just begun",
            g.cpu_reserved,
        ),
    ] {
        page.family(name, help, Kind::Gauge).sample(node, value);
    }
    page.family(
        "livekit_egress_updates_given_up_total",
        "Updates that a server answered with an error",
        Kind::Counter,
    )
    .sample(node, g.updates_given_up as f64);

    let [id, cluster] = *node;
    page.family("livekit_node_cpu_load", "", Kind::Gauge)
        .sample(&[id, ("node_type", "EGRESS"), cluster], g.cpu_load);
    let mut requests = page.family("livekit_egress_requests", "", Kind::Gauge);
    for kind in ALL_TYPES {
        let running = g.requests.get(&kind).copied().unwrap_or(0);
        requests.sample(&[id, cluster, ("type", kind.label())], running as f64);
    }
    if !g.results.is_empty() {
        let mut results = page.family(
            "livekit_egress_handler_results_total",
            "Total number of egress handler outcomes, by result",
            Kind::Counter,
        );
        for ((kind, ended), count) in &g.results {
            let labels = [
                id,
                cluster,
                ("type", kind.label()),
                ("result", ended.label()),
            ];
            results.sample(&labels, *count as f64);
        }
    }
    let mut ratio = page.family(
        "livekit_load_ratio",
        "Per-resource utilization ratio (0 = idle, can exceed 1 under overload)",
        Kind::Gauge,
    );
    ratio.sample(&[id, cluster, ("type", "cpu")], g.load_ratio_cpu);
    // 0 is "no limit": memory is never entirely unused. Upstream does not show the series then.
    if g.load_ratio_memory > 0.0 {
        ratio.sample(&[id, cluster, ("type", "memory")], g.load_ratio_memory);
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
