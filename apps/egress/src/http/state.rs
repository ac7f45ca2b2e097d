//! What the HTTP surfaces show, as the worker hands it out.

use recording::EgressId;
use std::sync::Arc;
use wire::livekit::egress_info::Request;
use worker::metrics::Gauges;

/// Takes a snapshot; called once per request, must not block.
pub type State = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// The worker at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// Would it take work?
    pub readiness: Readiness,
    /// Cores available as in admission (egress-behaviour.md §6.7); upstream calls it `CpuLoad`.
    pub available_cpu: f64,
    /// Recordings in progress.
    pub active: Vec<Active>,
    /// For the metrics page.
    pub gauges: Gauges,
}

/// A recording in progress.
#[derive(Clone, PartialEq, Debug)]
pub struct Active {
    /// `EG_…`.
    pub egress_id: EgressId,
    /// The **redacted** request: health is open to the network.
    pub request: Option<Request>,
}

/// Would it take work?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Readiness {
    /// Not yet: still starting.
    #[default]
    Starting,
    /// Yes.
    Ready,
    /// No: finishing what runs, then gone.
    Draining,
    /// Nobody could ask: Redis is out of reach.
    BusDown,
}

impl Readiness {
    /// The word `/readyz` answers with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::BusDown => "redis is out of reach",
        }
    }
}
