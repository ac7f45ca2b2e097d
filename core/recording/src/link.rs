//! What worker and recorder say to each other over their socket pair.
//!
//! ```text
//! worker ── Command ──► recorder      frame: length u32, big endian | that many bytes of JSON
//!        ◄── Report ───
//!
//! worker   Hello  Start{plan, settings}   Stop{reason}   UpdateStream   Shutdown
//! recorder Hello  Ready  Info*  Answer*  Stats*  Finished
//! ```
//!
//! Both begin with a [`Hello`]. After `Finished` nothing more is said about that egress id. The end of the stream means
//! that the other side is gone: the worker finishes the story ([`crate::crash`]), the recorder stops with
//! [`StopReason::WorkerGone`]. A plan's secrets travel in clear (the pair is private to the two processes); `Debug` masks them.
//!
//! No IO: [`encode`] makes bytes, a [`Decoder`] takes them in whatever pieces they come.

use crate::lifecycle::{Ask, StopReason, StreamChange};
use crate::{EgressId, Plan, Refusal, settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::marker::PhantomData;
use wire::livekit::EgressInfo;

/// Raised when a message changes its shape.
pub const VERSION: u32 = 1;

/// Longest body of a frame, bytes.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

const HEADER: usize = 4;

/// Worker → recorder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// First of all.
    Hello(Hello),
    /// Record this. Answered by [`Report::Ready`], then [`Report::Finished`] in the end.
    Start {
        /// What.
        plan: Box<Plan>,
        /// How.
        settings: Box<settings::Recorder>,
    },
    /// End it; a second time changes nothing. Answered at once when there is an `ask`.
    Stop {
        /// Which.
        egress_id: EgressId,
        /// Why.
        reason: StopReason,
        /// The question to answer with the current info.
        ask: Option<Ask>,
    },
    /// Add and remove stream targets. Always answered.
    UpdateStream {
        /// Which.
        egress_id: EgressId,
        /// The question to answer.
        ask: Ask,
        /// What to add and remove.
        change: StreamChange,
    },
    /// Take no new recordings and exit when the last one is over.
    Shutdown {
        /// Also end the running ones.
        reason: Option<StopReason>,
    },
}

/// Recorder → worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Report {
    /// First of all.
    Hello(Hello),
    /// The recording was taken up (not: media flows).
    Ready {
        /// Which.
        egress_id: EgressId,
    },
    /// For IOInfo.UpdateEgress.
    Info {
        /// Which.
        egress_id: EgressId,
        /// Whole, newest.
        info: Info,
    },
    /// Answer to a question.
    Answer {
        /// Which.
        egress_id: EgressId,
        /// The question.
        ask: Ask,
        /// For the RPC's caller.
        outcome: Result<Info, Refusal>,
    },
    /// Counters, about once a second and before [`Report::Finished`].
    Stats {
        /// Which.
        egress_id: EgressId,
        /// Since the recording began.
        stats: Stats,
    },
    /// It is over; the working directory is gone.
    Finished {
        /// Which.
        egress_id: EgressId,
        /// The terminal info for the last update. `None`: say nothing (duplicate identity).
        info: Option<Info>,
    },
}

/// Who is speaking.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the speaker.
    pub version: u32,
    /// Version of the speaker's program, for the log.
    pub build: String,
}

impl Hello {
    /// Ours.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            version: VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Can we talk?
    ///
    /// # Errors
    /// [`Error::Version`] when the other side speaks another version.
    pub const fn check(&self) -> Result<(), Error> {
        if self.version == VERSION {
            Ok(())
        } else {
            Err(Error::Version {
                theirs: self.version,
            })
        }
    }
}

/// An `EgressInfo`; on the link its protobuf bytes in base64.
#[derive(Clone, PartialEq, Debug)]
pub struct Info(pub EgressInfo);

impl Info {
    /// Its protobuf bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}

impl From<EgressInfo> for Info {
    fn from(info: EgressInfo) -> Self {
        Self(info)
    }
}

impl Serialize for Info {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.encode_to_vec()))
    }
}

impl<'de> Deserialize<'de> for Info {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        EgressInfo::decode(bytes.as_slice())
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// Counters since the recording began.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// To local disk, bytes.
    pub bytes_written: u64,
    /// To stream peers, bytes.
    pub bytes_streamed: u64,
    /// Pictures that reached the outputs.
    pub frames: u64,
    /// Pictures and sound buffers that were thrown away.
    pub drops: u64,
    /// Uploads by label, for `livekit_egress_pipeline_uploads`.
    pub uploads: Vec<Uploads>,
    /// Bytes that went to the backup store instead.
    pub backup_writes: Vec<BackupWrites>,
}

/// Uploads with the same labels.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Uploads {
    /// Content type: `video/mp4`, `application/json`, …
    pub kind: String,
    /// `success`, `4xx`, `5xx`, `internal`.
    pub status: String,
    /// The store has an endpoint of its own.
    pub custom_endpoint: bool,
    /// How many.
    pub count: u64,
    /// How long they took together, milliseconds.
    pub total_ms: u64,
}

/// Things stored in the backup store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BackupWrites {
    /// As [`Uploads::kind`].
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// The two sides do not understand each other.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A frame announces, or a message needs, more than [`MAX_FRAME`].
    #[error("frame of {size} bytes exceeds {MAX_FRAME}")]
    Oversize {
        /// Bytes.
        size: usize,
    },
    /// A frame's body is not a message.
    #[error("malformed message")]
    Malformed(#[source] serde_json::Error),
    /// The stream ended inside a frame.
    #[error("stream ended inside a frame, {missing} bytes missing")]
    Truncated {
        /// Bytes that are known to be missing.
        missing: usize,
    },
    /// The other side speaks another version.
    #[error("link version {theirs}, expected {VERSION}")]
    Version {
        /// Theirs.
        theirs: u32,
    },
}

/// One message as a frame.
///
/// # Errors
/// [`Error::Oversize`]; [`Error::Malformed`] for a type that JSON cannot hold (none of this module).
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message).map_err(Error::Malformed)?;
    let size = frame.len() - HEADER;
    let length = u32::try_from(size)
        .ok()
        .filter(|_| size <= MAX_FRAME)
        .ok_or(Error::Oversize { size })?;
    frame[..HEADER].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Takes bytes in any pieces, gives messages.
///
/// After an error the stream has no meaning any more: drop the connection. [`pop`](Self::pop) gives nothing from then on.
#[derive(Debug)]
pub struct Decoder<T> {
    buffer: Vec<u8>,
    at: usize,
    broken: bool,
    message: PhantomData<fn() -> T>,
}

impl<T> Default for Decoder<T> {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            broken: false,
            message: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Decoder<T> {
    /// At the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message. Call until it gives `None`.
    ///
    /// # Errors
    /// [`Error::Oversize`] before a body that is too long is even read; [`Error::Malformed`].
    pub fn pop(&mut self) -> Result<Option<T>, Error> {
        let Some(size) = self.announced() else {
            return Ok(None);
        };
        if size > MAX_FRAME {
            self.poison();
            return Err(Error::Oversize { size });
        }
        let start = self.at + HEADER;
        let Some(body) = self.buffer.get(start..start + size) else {
            return Ok(None);
        };
        match serde_json::from_slice(body) {
            Ok(message) => {
                self.at = start + size;
                Ok(Some(message))
            }
            Err(error) => {
                self.poison();
                Err(Error::Malformed(error))
            }
        }
    }

    /// The stream ended here.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it ended inside a frame. Pop everything first.
    pub fn finish(&self) -> Result<(), Error> {
        let have = self.buffer.len() - self.at;
        if self.broken || have == 0 {
            return Ok(());
        }
        let need = HEADER + self.announced().unwrap_or(0);
        Err(Error::Truncated {
            missing: need.saturating_sub(have),
        })
    }

    fn announced(&self) -> Option<usize> {
        let header: [u8; HEADER] = self
            .buffer
            .get(self.at..self.at + HEADER)?
            .try_into()
            .ok()?;
        usize::try_from(u32::from_be_bytes(header)).ok()
    }

    fn poison(&mut self) {
        self.broken = true;
        self.at = 0;
        self.buffer = Vec::new();
    }
}
