//! One recording as the worker sees it: how its start goes, who waits for it, what is left to do when its child is gone.
//!
//! ```text
//! start:  Pending ── child ready, topics live, CreateEgress acked ──► Answered { in time? }
//!            └───── any of them failed, or too late ─────────────────► Failed
//! end:    Recording ── child finished ──► Over ── child gone ──► removed
//!            └─ child gone without a word ──► Telling ── told ──► removed
//! ```
//!
//! Knows its own parts; the order of effects is [`crate::worker`]'s.

use crate::child::Child;
use crate::id::{ChildId, RequestId};
use crate::metrics::Ended;
use crate::snapshot::{Snapshot, Status};
use recording::lifecycle::Ask;
use recording::plan::RequestType;
use recording::{Code, Fault};
use std::time::Instant;

/// Somebody who waits for StartEgress.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) expires: Instant,
}

/// How the start goes.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    Pending {
        callers: Vec<Caller>,
        decide_by: Instant,
    },
    /// `in_time`: at least one caller was still there when it was answered.
    Answered {
        in_time: bool,
    },
    Failed,
}

/// What CreateEgress came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    Pending,
    Yes,
    No,
}

/// How the end goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Recording,
    Over,
    Telling,
}

/// Somebody who waits for StopEgress.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    pub(crate) request: RequestId,
    pub(crate) ask: Ask,
    pub(crate) overdue: Instant,
}

/// One recording.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) child_id: ChildId,
    pub(crate) child: Child,
    pub(crate) kind: RequestType,
    pub(crate) first: Snapshot,
    pub(crate) last: Snapshot,
    pub(crate) start: Start,
    pub(crate) created: Created,
    pub(crate) registered: bool,
    pub(crate) ready: bool,
    pub(crate) end: End,
    pub(crate) stoppers: Vec<Stopper>,
    /// What we ended it for; the story's fault when the child cannot tell.
    pub(crate) fault: Option<Fault>,
    pub(crate) ended: Option<Ended>,
}

impl Job {
    /// It is neither over nor will it ever be started.
    pub(crate) fn is_active(&self) -> bool {
        self.end == End::Recording && !matches!(self.start, Start::Failed)
    }

    /// It was killed, whatever for.
    pub(crate) fn is_killed(&self) -> bool {
        self.fault.is_some()
    }

    /// Its child is gone, nobody waits for its start, and its end is told.
    pub(crate) fn is_removable(&self) -> bool {
        self.child.is_gone()
            && self.end == End::Over
            && !matches!(self.start, Start::Pending { .. })
    }

    /// What happened to a child that did not say so itself.
    pub(crate) fn story(&self) -> Fault {
        if let Some(fault) = &self.fault {
            return fault.clone();
        }
        match self.child.exit() {
            Some(exit) if !exit.is_clean() => Fault::new(Code::Internal, exit.to_string()),
            Some(_) => Fault::new(Code::Internal, "recorder ended without a final report"),
            None => Fault::new(Code::Internal, "handler failed to start"),
        }
    }

    /// The `result` label.
    pub(crate) fn result(&self) -> Ended {
        if let Some(ended) = self.ended {
            return ended;
        }
        let clean = self.child.exit().is_some_and(|exit| exit.is_clean());
        if matches!(self.start, Start::Failed) {
            Ended::Aborted
        } else if !clean {
            Ended::ProcessError
        } else if self.last.status == Status::Aborted {
            Ended::Aborted
        } else {
            Ended::Completed
        }
    }

    /// The earliest of its deadlines.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let start = match &self.start {
            Start::Pending { decide_by, .. } => Some(*decide_by),
            Start::Answered { .. } | Start::Failed => None,
        };
        let stops = self.stoppers.iter().map(|stopper| stopper.overdue);
        stops.chain(start).chain(self.child.deadline()).min()
    }
}
