//! What a recording is told: facts from the drivers, wishes from the worker.
//!
//! Facts say what happened, never what to do about it. Facts that come late, twice or out of order are legal and at worst
//! ignored: drivers need not know the state.

use crate::plan::StreamUrl;
use crate::{Fault, Refusal, Secret};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The page or the seat in the room.
    Source(SourceFact),
    /// What makes samples: capture, decoders, encoders.
    Media(MediaFact),
    /// One output of the plan, by its place in `Plan::outputs`.
    Output(OutputId, OutputFact),
    /// One stream target (RTMP, SRT, WebSocket).
    Stream(StreamId, StreamFact),
    /// The manifest of this output was stored, or could not be.
    Manifest(OutputId, ManifestFact),
    /// Somebody or something wants the end.
    Stop(StopReason),
    /// `UpdateStream`; answered by [`Effect::Answer`](super::Effect::Answer).
    UpdateStream(Ask, StreamChange),
    /// The time of `poll_timeout` came.
    Tick,
}

/// Place of an output in `Plan::outputs.iter()`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OutputId(pub usize);

/// Place of a stream target in `EgressInfo.stream_results`: the plan's URLs in the order of its outputs (a WebSocket output is
/// one URL), then those that UpdateStream added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StreamId(pub usize);

/// Names a question of the worker, so that its answer finds back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Ask(pub u64);

/// Facts about the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceFact {
    /// The page is loaded; the room is joined and everything named is there.
    Opened,
    /// Page: `START_RECORDING` (not needed when the plan does not await it). Room: the first packet was accepted; this
    /// moment is time 0 of the recording.
    StartSignal,
    /// Nothing more will come, in good order: `END_RECORDING`, room closed, participant or tracks gone.
    Ended,
    /// It never opened, or it broke: page errors, browser crash, connection to the room lost for good.
    Failed(Fault),
}

/// Facts about what makes samples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MediaFact {
    /// Samples flow to the outputs.
    Playing,
    /// Everything that was captured has reached the outputs. Comes after
    /// [`Effect::StopMedia`](super::Effect::StopMedia), or by itself when the end of stream came from the source.
    Drained {
        /// Media time at the end (highest end PTS), when known.
        position: Option<Duration>,
    },
    /// No more samples will come: encoder, capture or graph broke.
    Failed(Fault),
    /// Samples were thrown away because something was too slow; counted.
    Dropped {
        /// The output that was too slow; `None`: before the hub.
        output: Option<OutputId>,
        /// How many frames since the last report.
        frames: u64,
    },
}

/// Facts about one output. For a [`Stream`](crate::plan::Output::Stream) or WebSocket output only `Opened` and `Failed` apply (its targets
/// have [`StreamFact`]s).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutputFact {
    /// The names are final: templates that needed the room are filled in.
    Named {
        /// `FileInfo.filename`, `SegmentsInfo.playlist_name` or `ImagesInfo.filename_prefix`.
        name: String,
        /// `SegmentsInfo.live_playlist_name`.
        live: Option<String>,
    },
    /// It takes samples.
    Opened,
    /// What it occupies on local disk now, bytes; compared with `Limits::max_file_size`.
    Size(u64),
    /// One more segment or image is where it belongs.
    Piece {
        /// Its length, bytes.
        size: u64,
        /// It went to the backup store.
        backup: bool,
    },
    /// A playlist is where it belongs (it may be written again).
    Playlist {
        /// Where.
        location: String,
        /// The live playlist instead of the main one.
        live: bool,
        /// It went to the backup store.
        backup: bool,
    },
    /// The local bytes are complete and closed.
    Closed {
        /// Bytes; 0: nothing was recorded.
        size: u64,
        /// Length of the media in it, when known.
        duration: Option<Duration>,
    },
    /// It takes no more samples: disk, muxer.
    Failed(Fault),
    /// Answer to [`Effect::Store`](super::Effect::Store): everything of this output is where it belongs.
    Stored {
        /// Of the file or main playlist; empty for images.
        location: String,
        /// Bytes of a file, all segments of a playlist.
        size: u64,
        /// Some of it went to the backup store.
        backup: bool,
    },
    /// Something could not be stored, nor in the backup store.
    StoreFailed(Fault),
}

/// Facts about one stream target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamFact {
    /// The peer accepted the connection (RTMP: `createStream` is being sent).
    Opened,
    /// The connection was lost and is being made anew.
    Retrying,
    /// Given up.
    Failed(Fault),
    /// Answer to [`Effect::CloseStream`](super::Effect::CloseStream) or [`Effect::CloseOutputs`](super::Effect::CloseOutputs): said goodbye.
    Closed,
}

/// Facts about a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManifestFact {
    /// It is there.
    Stored {
        /// Where.
        location: String,
        /// It went to the backup store.
        backup: bool,
    },
    /// It is not; the recording does not fail for it.
    Failed,
}

/// Why a recording shall end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StopReason {
    /// StopEgress.
    Api,
    /// Whatever was recorded is over.
    SourceClosed,
    /// The last output was removed by UpdateStream.
    AllStreamsStopped,
    /// The worker needs the processor; the recording was over its share.
    CpuExhausted,
    /// SIGINT to the recorder.
    ProcessKilled,
    /// The operator or a resource guard ended it: FAILED with this fault (permission_denied), files are kept.
    Kill(Fault),
    /// The link is closed: nobody listens any more; finalise and go.
    WorkerGone,
    /// Another worker sits in the room under our name: not a word more, nothing is stored.
    DuplicateIdentity,
}

/// What UpdateStream wants.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StreamChange {
    /// To add, parsed.
    pub add: Vec<StreamUrl>,
    /// To remove: complete URLs, expanded as on adding.
    pub remove: Vec<Secret<String>>,
    /// What was already refused while parsing; joined with the refusals found here.
    pub refused: Vec<Refusal>,
}
