//! What a recording wants done, and what it is waiting for.

use super::input::{Ask, OutputId, StreamId};
use crate::Refusal;
use crate::plan::StreamUrl;
use wire::livekit::EgressInfo;

/// One thing to do. Effects are carried out in order; their results come back as [`Input`](super::Input)s.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Open the page or join the room. Facts: `Source(Opened | StartSignal | Ended | Failed)`.
    OpenSource,
    /// Make samples and open all outputs of the plan. Facts: `Media(Playing | Failed)`, `Output(_, Opened | Failed)`,
    /// `Stream(_, Opened | Failed)`.
    StartMedia,
    /// Let everything captured so far reach the outputs, then end. Fact: `Media(Drained | Failed)`.
    StopMedia,
    /// Throw the media and the local bytes away and cancel what is being stored; no facts are expected.
    DiscardMedia,
    /// No more samples come: close every output and stream target. Outputs that failed before are
    /// asked, too, and keep what they can. Facts: `Output(_, Closed | Failed)` for files, segments and
    /// images, `Stream(_, Closed | Failed)` for stream targets.
    CloseOutputs,
    /// Add a stream target. Facts: `Stream(_, Opened | Failed)`.
    OpenStream(StreamId, StreamUrl),
    /// End a stream target. Fact: `Stream(_, Closed | Failed)`.
    CloseStream(StreamId),
    /// Bring what this output wrote to where the plan says. Facts: `Output(_, Stored | StoreFailed)`.
    Store(OutputId),
    /// Write and store the manifest of this output. Fact: `Manifest(_, …)`.
    StoreManifest(OutputId),
    /// Close the page and its browser, or leave the room. No facts are expected; the driver bounds it.
    CloseSource,
    /// Tell the world. The terminal one comes exactly once (never after a duplicate identity).
    Publish(Box<EgressInfo>),
    /// The answer to [`Input::UpdateStream`](super::Input::UpdateStream).
    Answer(Ask, Box<Result<EgressInfo, Refusal>>),
    /// The recording is over: remove the working directory and forget it. Nothing comes after.
    Exit(Exit),
}

/// How a recording leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The terminal info was published.
    Reported,
    /// Without a word: another worker owns the egress.
    Silent,
}

/// What a recording is waiting for. The name and the reason of its one deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// The source to open. Bounded.
    SourceOpen,
    /// The start signal or the first packet. Bounded by the session limit and the start timeout when there are any, else open (as
    /// upstream): StopEgress and the end of the source are its causes to end.
    StartSignal,
    /// The media to play. Bounded.
    MediaStart,
    /// The recording itself. Bounded by the session limit if there is one.
    Recording,
    /// The media to drain. Bounded.
    Drain,
    /// The outputs to close. Bounded.
    Close,
    /// Uploads. Open: the storage driver owns retries and gives up with `StoreFailed`.
    Store,
    /// Manifests. Bounded.
    Manifest,
    /// Nothing: it is over.
    Nothing,
}
