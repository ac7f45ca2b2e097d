//! What a child said about its recording: kept, passed on, never looked into.
//!
//! The bytes are a serialized `EgressInfo`. `EgressInfo` is computed from state by whoever has it (the recorder, or
//! `recording`'s story of a crash); the worker only needs to know how far it is.

use std::fmt;
use std::sync::Arc;

/// `EgressStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Accepted, no media yet.
    Starting,
    /// Recording.
    Active,
    /// Finishing.
    Ending,
    /// Done.
    Complete,
    /// Went wrong.
    Failed,
    /// Ended before there was media.
    Aborted,
    /// Ended by a limit.
    LimitReached,
}

/// One state of one recording. Cheap to clone; prints no content.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// How far it is.
    pub status: Status,
    /// Nothing follows. (A limit may be reached, status and all, long before everything is uploaded.)
    pub terminal: bool,
    /// The serialized `EgressInfo`.
    pub bytes: Arc<[u8]>,
}

impl Snapshot {
    /// One that something follows.
    #[must_use]
    pub fn new(status: Status, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            terminal: false,
            bytes: bytes.into(),
        }
    }

    /// The last one.
    #[must_use]
    pub fn last(status: Status, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            terminal: true,
            bytes: bytes.into(),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("status", &self.status)
            .field("terminal", &self.terminal)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
