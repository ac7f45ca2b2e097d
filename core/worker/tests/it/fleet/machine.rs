//! One machine: a worker, its recorders, and the server end of psrpc (who was bid for, who was granted).

use super::recorder::Recorder;
use recording::EgressId;
use recording::cost::Cost;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use worker::{ChildId, RequestId, Worker};

/// psrpc's server: a request between its arrival and its answer.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) egress: EgressId,
    pub(super) need: Cost,
    pub(super) expires: Duration,
    pub(super) granted: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) worker: Worker,
    pub(super) cores: f64,
    /// SIGKILL: nothing of it counts any more.
    pub(super) crashed: bool,
    pub(super) exited: bool,
    pub(super) accepting: bool,
    pub(super) pending: BTreeMap<RequestId, Pending>,
    pub(super) recorders: BTreeMap<ChildId, Recorder>,
    pub(super) runs: BTreeMap<ChildId, EgressId>,
    pub(super) registered: BTreeSet<EgressId>,
    /// Stops that were not answered yet: when they were asked.
    pub(super) stops: BTreeMap<RequestId, Duration>,
    /// When the last message on the bus arrives.
    pub(super) latest_message: Duration,
    pub(super) wakes: Option<Instant>,
    pub(super) ticks_at: (Duration, u32),
}

impl Machine {
    pub(super) fn new(worker: Worker, cores: f64) -> Self {
        Self {
            worker,
            cores,
            crashed: false,
            exited: false,
            accepting: true,
            pending: BTreeMap::new(),
            recorders: BTreeMap::new(),
            runs: BTreeMap::new(),
            registered: BTreeSet::new(),
            stops: BTreeMap::new(),
            latest_message: Duration::ZERO,
            wakes: None,
            ticks_at: (Duration::ZERO, 0),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !self.crashed && !self.exited
    }
}
