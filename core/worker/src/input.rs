//! Facts the driver tells the worker.
//!
//! Every effect that asks for something is answered exactly once (the effect says with what); facts about children come in
//! any order, a child's exit and its link's end are two facts.

use crate::child::Exit;
use crate::id::{Attempt, ChildId, RequestId};
use crate::measure::Sample;
use crate::report::Failure;
use crate::snapshot::Snapshot;
use recording::cost::Cost;
use recording::lifecycle::Ask;
use recording::{EgressId, Plan, Refusal};
use std::time::Instant;

/// StartEgress, granted to this worker and parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Which attempt.
    pub request: RequestId,
    /// When its caller stops waiting.
    pub expires: Instant,
    /// What to record.
    pub plan: Box<Plan>,
    /// What it is expected to need; the same as when it was bid for.
    pub need: Cost,
    /// The state to announce and to answer with: STARTING, redacted.
    pub first: Snapshot,
}

/// A drain, by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// SIGTERM, SIGQUIT: let recordings end by themselves. Twice is once: supervisors like to repeat themselves.
    Terminate,
    /// SIGINT: end them now. Any signal after it shortens every wait to seconds.
    Interrupt,
}

/// A fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody asks who takes a recording. Answered by [`Bid`](crate::Effect::Bid) or [`Decline`](crate::Effect::Decline),
    /// unless it is lost first.
    BidAsked {
        /// Which attempt.
        request: RequestId,
        /// Which recording.
        egress: EgressId,
        /// What it is expected to need.
        need: Cost,
    },
    /// The bid came to nothing: granted to another, expired, or the request turned out to be invalid. Also before it was made.
    BidLost {
        /// Which attempt.
        request: RequestId,
    },
    /// It was granted to us. Answered by [`Started`](crate::Effect::Started).
    StartRequested(Box<Start>),
    /// Answer to [`Register`](crate::Effect::Register): the bus confirmed the recording's topics, or did not.
    Registered {
        /// Which.
        egress: EgressId,
        /// What went wrong.
        result: Result<(), String>,
    },
    /// Answer to [`Create`](crate::Effect::Create) and [`Update`](crate::Effect::Update).
    Reported {
        /// As in the effect.
        attempt: Attempt,
        /// What came back.
        result: Result<(), Failure>,
    },
    /// Answer to [`Probe`](crate::Effect::Probe).
    Probed {
        /// Anybody answered, be it with an error.
        answered: bool,
    },
    /// A former process of this machine still owed this to IOInfo.
    Owed {
        /// Which.
        egress: EgressId,
        /// Its terminal state.
        snapshot: Snapshot,
    },
    /// [`Spawn`](crate::Effect::Spawn) did not work: there is no such process. Otherwise nothing is said until it speaks.
    SpawnFailed {
        /// Which.
        child: ChildId,
        /// Why not.
        error: String,
    },
    /// The child took the recording up.
    Ready {
        /// Which.
        egress: EgressId,
    },
    /// The child has a new state for everybody to know.
    Info {
        /// Which.
        egress: EgressId,
        /// The state; never terminal.
        snapshot: Snapshot,
    },
    /// The child answers the question of a [`Stop`](crate::Effect::Stop).
    Answered {
        /// Which.
        egress: EgressId,
        /// The question.
        ask: Ask,
        /// For the caller of the RPC.
        result: Result<Snapshot, Refusal>,
    },
    /// The child is through with the recording.
    Finished {
        /// Which.
        egress: EgressId,
        /// The terminal state. `None`: say nothing more, another worker has taken it over.
        snapshot: Option<Snapshot>,
    },
    /// The child was waited for.
    Exited {
        /// Which.
        child: ChildId,
        /// How it ended.
        exit: Exit,
    },
    /// The child's link ended: nothing will be said any more.
    Closed {
        /// Which.
        child: ChildId,
    },
    /// Answer to [`Tell`](crate::Effect::Tell): the story of a recording whose child cannot tell it any more.
    Told {
        /// Which.
        egress: EgressId,
        /// The terminal state.
        snapshot: Snapshot,
    },
    /// StopEgress. Answered by [`Stopped`](crate::Effect::Stopped).
    StopRequested {
        /// Which attempt.
        request: RequestId,
        /// Which recording.
        egress: EgressId,
    },
    /// ListActiveEgress. Answered by [`Listed`](crate::Effect::Listed).
    ListRequested {
        /// Which attempt.
        request: RequestId,
    },
    /// Use of the machine, once a second.
    Measured(Sample),
    /// A signal.
    Drain(Drain),
    /// Time passed.
    Tick,
}
