//! What the driver has to do.

use crate::bid::Decline;
use crate::child::Signal;
use crate::id::{Attempt, ChildId, RequestId};
use crate::snapshot::Snapshot;
use recording::lifecycle::{Ask, StopReason};
use recording::{EgressId, Fault, Plan, Refusal};
use std::time::Duration;

/// The answer to StopEgress.
#[derive(Debug, Clone, PartialEq)]
pub enum Stopping {
    /// This is how it stands.
    Now(Snapshot),
    /// The child has not answered yet and the caller cannot wait: the last known state, to be shown as ENDING. It will
    /// end, by itself or by the ladder.
    Overdue(Snapshot),
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make the bid, now.
    Bid {
        /// Which attempt.
        request: RequestId,
        /// How good it is; 1 is taken at once.
        affinity: f32,
    },
    /// Stay silent and forget the attempt; log why.
    Decline {
        /// Which attempt.
        request: RequestId,
        /// Why.
        reason: Decline,
    },
    /// Answer StartEgress.
    Started {
        /// Which attempt.
        request: RequestId,
        /// `EgressInfo` or error.
        result: Result<Snapshot, Refusal>,
    },
    /// Answer StopEgress.
    Stopped {
        /// Which attempt.
        request: RequestId,
        /// `EgressInfo` or error.
        result: Result<Stopping, Refusal>,
    },
    /// Answer ListActiveEgress.
    Listed {
        /// Which attempt.
        request: RequestId,
        /// Recordings that are not over.
        egresses: Vec<EgressId>,
    },
    /// Serve StopEgress and UpdateStream of this recording; say [`Registered`](crate::Input::Registered) when the bus
    /// has confirmed it.
    Register {
        /// Which.
        egress: EgressId,
    },
    /// Stop serving them.
    Deregister {
        /// Which.
        egress: EgressId,
    },
    /// `IOInfo.CreateEgress`; answer with [`Reported`](crate::Input::Reported).
    Create {
        /// For the answer.
        attempt: Attempt,
        /// Which.
        egress: EgressId,
        /// What to send.
        snapshot: Snapshot,
        /// How long to wait.
        timeout: Duration,
    },
    /// `IOInfo.UpdateEgress`; answer with [`Reported`](crate::Input::Reported).
    Update {
        /// For the answer.
        attempt: Attempt,
        /// Which.
        egress: EgressId,
        /// What to send.
        snapshot: Snapshot,
        /// How long to wait.
        timeout: Duration,
    },
    /// Ask IOInfo anything harmless (GetEgress of an unknown id); answer with [`Probed`](crate::Input::Probed).
    Probe,
    /// Start a recorder in a process group of its own and give it the plan.
    Spawn {
        /// What to call it.
        child: ChildId,
        /// Which recording.
        egress: EgressId,
        /// What to record.
        plan: Box<Plan>,
    },
    /// Tell the child to end a recording. Before it is ready, too: the link keeps the order.
    Stop {
        /// Which child.
        child: ChildId,
        /// Which recording.
        egress: EgressId,
        /// Why.
        reason: StopReason,
        /// The question to answer.
        ask: Option<Ask>,
    },
    /// Send a signal to the child's process group. After its exit, too: nothing it started may outlive it (a group that is
    /// empty already is no error).
    Signal {
        /// Which.
        child: ChildId,
        /// What.
        signal: Signal,
    },
    /// The child is gone but something holds the other end of its link: drop ours, no [`Closed`](crate::Input::Closed) is needed.
    DropLink {
        /// Which.
        child: ChildId,
    },
    /// The child is gone and has not told the end: make the terminal state from the last one
    /// (recording's `crash`) and say [`Told`](crate::Input::Told).
    Tell {
        /// Which.
        egress: EgressId,
        /// The last state that is known.
        last: Snapshot,
        /// What happened.
        fault: Fault,
    },
    /// Everything of this recording is over: remove what is left of it on disk, forget the child.
    CleanUp {
        /// Which.
        egress: EgressId,
        /// Its child.
        child: ChildId,
    },
    /// Serve StartEgress no more.
    CloseAdmission,
    /// The process may end. Nothing follows.
    Exit {
        /// Terminal states nobody has acknowledged: write them down, the next process says [`Owed`](crate::Input::Owed).
        unreported: Vec<(EgressId, Snapshot)>,
    },
}
