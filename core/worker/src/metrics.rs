//! The worker's own figures, ready for gauges (egress-behaviour.md §9.4). Names and text format are the driver's.

use recording::plan::RequestType;
use std::collections::BTreeMap;

/// How a recording ended, as the `result` label of `livekit_egress_handler_results_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ended {
    /// By itself or by StopEgress; also FAILED ones, as upstream.
    Completed,
    /// Before there was media, or before it was started.
    Aborted,
    /// Asked to stop because the CPU is exhausted.
    StoppedCpu,
    /// Killed because the CPU is exhausted.
    KilledCpu,
    /// Killed because memory is exhausted.
    KilledOom,
    /// Killed because the worker shuts down.
    KilledShutdown,
    /// The process ended in another way than it should.
    ProcessError,
    /// Another worker has taken the recording over.
    DuplicateIdentity,
}

impl Ended {
    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
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

/// What gauges and counters show now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gauges {
    /// No recording runs.
    pub available: bool,
    /// A web recording would be accepted.
    pub can_accept_request: bool,
    /// Nothing is accepted: a drain has begun, or nothing can be reported.
    pub is_disabled: bool,
    /// A drain has begun.
    pub is_terminating: bool,
    /// Running, by request.
    pub requests: BTreeMap<RequestType, u64>,
    /// Ended, by request and result; counted since the start.
    pub results: BTreeMap<(RequestType, Ended), u64>,
    /// 0 … 1 of all cores.
    pub cpu_load: f64,
    /// Cores nobody uses (the health page's `CpuLoad`).
    pub cpu_idle: f64,
    /// Cores a further request could have.
    pub cpu_free: f64,
    /// Cores promised to bids and to recordings that have just begun.
    pub cpu_reserved: f64,
    /// Load ÷ `max_cpu_utilization`.
    pub load_ratio_cpu: f64,
    /// Use ÷ `max_memory`; 0 without a limit.
    pub load_ratio_memory: f64,
    /// Σ RSS, GiB.
    pub proc_rss: f64,
    /// cgroup memory, GiB; `None`: unreadable.
    pub cgroup_memory: Option<f64>,
    /// The cgroup's figure would refuse a web recording.
    pub would_reject_cgroup: bool,
    /// Updates given up because a server answered them with an error.
    pub updates_given_up: u64,
}

/// Utilization ÷ limit; 0 when there is no limit. Can exceed 1.
#[must_use]
pub fn ratio(used: f64, limit: f64) -> f64 {
    if limit > 0.0 { used / limit } else { 0.0 }
}
