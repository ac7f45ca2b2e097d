//! What happened so far, in the words of `EgressInfo`: the state that [`crate::info`] projects.
//!
//! Only [`Recording`](super::Recording) writes it. Knows no phases, deadlines or effects; times are Unix nanoseconds.

use super::input::{OutputId, StopReason, StreamId};
use crate::plan::{Output, StreamProtocol, StreamUrl};
use crate::{Fault, Plan};
use std::time::Duration;

/// `EgressStatus`, and what belongs to each end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Starting,
    Active,
    Ending,
    Complete,
    Failed(Fault),
    Aborted(Fault),
    LimitReached(Fault),
}

/// What `EgressInfo.details` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndReason {
    Api,
    SourceClosed,
    AllStreamsStopped,
    CpuExhausted,
    Killed,
    Limit,
    Failure,
}

impl EndReason {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Api => "StopEgress API",
            Self::SourceClosed => "Source closed",
            Self::AllStreamsStopped => "All streams stopped",
            Self::CpuExhausted => "CPU exhausted",
            Self::Killed => "Process killed",
            Self::Limit => "Session limit reached",
            Self::Failure => "Failure",
        }
    }
}

impl From<&StopReason> for EndReason {
    fn from(reason: &StopReason) -> Self {
        match reason {
            StopReason::Api => Self::Api,
            StopReason::SourceClosed | StopReason::DuplicateIdentity => Self::SourceClosed,
            StopReason::AllStreamsStopped => Self::AllStreamsStopped,
            StopReason::CpuExhausted => Self::CpuExhausted,
            StopReason::ProcessKilled | StopReason::Kill(_) | StopReason::WorkerGone => {
                Self::Killed
            }
        }
    }
}

/// Everything `EgressInfo` tells beside the plan.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Story {
    pub(crate) status: Status,
    pub(crate) updated_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) reason: Option<EndReason>,
    /// When the media began and ended.
    pub(crate) media_started: Option<i64>,
    pub(crate) media_ended: Option<i64>,
    pub(crate) outputs: Vec<OutputStory>,
    pub(crate) streams: Vec<StreamStory>,
    pub(crate) manifest_location: Option<String>,
    pub(crate) backup_used: bool,
}

/// One output. For stream outputs only the place matters.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct OutputStory {
    pub(crate) progress: Progress,
    /// Final names, when they differ from the plan's.
    pub(crate) name: Option<String>,
    pub(crate) live_name: Option<String>,
    /// On local disk, bytes.
    pub(crate) on_disk: u64,
    /// Bytes of the result.
    pub(crate) size: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) pieces: u64,
    pub(crate) pieces_size: u64,
    pub(crate) location: String,
    pub(crate) live_location: String,
}

/// How far an output has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Progress {
    /// Takes samples, or will.
    #[default]
    Open,
    /// Complete on local disk.
    Closed,
    /// On its way.
    Storing,
    /// Where it belongs.
    Stored,
    /// Nothing (more) will come of it.
    Lost,
}

/// One stream target.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct StreamStory {
    pub(crate) output: OutputId,
    pub(crate) url: StreamUrl,
    pub(crate) outcome: StreamOutcome,
    /// RTMP: when the peer accepted. Others: when it was added, then when the media began.
    pub(crate) started_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) retries: u32,
    pub(crate) last_retry_at: Option<i64>,
    /// The driver has nothing to do with it any more.
    pub(crate) gone: bool,
}

/// `StreamInfo.status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum StreamOutcome {
    Active,
    Finished,
    Failed(String),
}

impl Story {
    /// A recording that was just asked for.
    pub(crate) fn new(plan: &Plan) -> Self {
        let requested_at = plan.identity.requested_at;
        Self {
            status: Status::Starting,
            updated_at: requested_at,
            ended_at: None,
            reason: None,
            media_started: None,
            media_ended: None,
            outputs: plan
                .outputs
                .iter()
                .map(|_| OutputStory::default())
                .collect(),
            streams: planned_streams(plan)
                .map(|(_, output, url)| StreamStory {
                    output,
                    url: url.clone(),
                    outcome: StreamOutcome::Active,
                    started_at: starts_on_creation(plan, output).then_some(requested_at),
                    ended_at: None,
                    retries: 0,
                    last_retry_at: None,
                    gone: false,
                })
                .collect(),
            manifest_location: None,
            backup_used: false,
        }
    }
}

impl StreamStory {
    pub(crate) fn is_active(&self) -> bool {
        self.outcome == StreamOutcome::Active
    }

    /// Ends an active stream target; others keep their end.
    pub(crate) fn end(&mut self, at: i64, outcome: StreamOutcome) {
        if !self.is_active() {
            return;
        }
        let started = *self.started_at.get_or_insert(at);
        self.ended_at = Some(at.max(started));
        self.outcome = outcome;
    }
}

/// The stream targets of a plan with their ids, in the order of `EgressInfo.stream_results`, and the output each belongs to.
pub fn planned_streams(plan: &Plan) -> impl Iterator<Item = (StreamId, OutputId, &StreamUrl)> {
    plan.outputs
        .iter()
        .enumerate()
        .flat_map(|(index, output)| {
            let urls: &[StreamUrl] = match output {
                Output::Stream(stream) => &stream.urls,
                Output::WebSocket(socket) => std::slice::from_ref(&socket.url),
                Output::File(_) | Output::Segments(_) | Output::Images(_) => &[],
            };
            urls.iter().map(move |url| (OutputId(index), url))
        })
        .enumerate()
        .map(|(id, (output, url))| (StreamId(id), output, url))
}

/// Only RTMP tells when a peer accepted; the others count from their creation (egress-behaviour.md §5.2).
pub(crate) fn starts_on_creation(plan: &Plan, output: OutputId) -> bool {
    match plan.outputs.iter().nth(output.0) {
        Some(Output::Stream(stream)) => match stream.protocol {
            StreamProtocol::Rtmp => false,
            StreamProtocol::Srt => true,
        },
        Some(Output::WebSocket(_)) => true,
        Some(Output::File(_) | Output::Segments(_) | Output::Images(_)) | None => false,
    }
}

/// Stream targets live in `streams`, everything else in `outputs`.
pub(crate) const fn is_stream(output: &Output) -> bool {
    match output {
        Output::Stream(_) | Output::WebSocket(_) => true,
        Output::File(_) | Output::Segments(_) | Output::Images(_) => false,
    }
}
