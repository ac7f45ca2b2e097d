//! The steps a walk over a file asks for, and a plain loop that takes them.
//!
//! ```text
//!          poll                       poll
//! walk ──────────► Read(offset,len) ─────────► Write · Truncate ─ … ─► Done(summary)
//!        supply ◄──┘ exactly len bytes
//! ```
//!
//! Knows no file: whoever has one implements [`Storage`] in a few lines.

use super::config::Error;
use bytes::Bytes;
use media::{Kind, MediaTime};
use std::time::Duration;

/// Bytes to put into the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// At its end, in one write: a kill may cost this piece, never an earlier one.
    Append(Bytes),
    /// Over what is there.
    At {
        /// Bytes from the start of the file.
        offset: u64,
        /// What to put there.
        bytes: Bytes,
    },
}

/// What a walk wants next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Read exactly this stretch, which the file has, and [`supply`](Steps::supply) it.
    Read {
        /// Bytes from the start of the file.
        offset: u64,
        /// Bytes.
        len: usize,
    },
    /// Write this.
    Write(Write),
    /// Cut the file to this length.
    Truncate(u64),
    /// Nothing more to do.
    Done(Summary),
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Its index was written now.
    Finished {
        /// Bytes of a torn end that were cut off first.
        cut: u64,
    },
    /// It had been finished before and was not touched.
    Untouched,
}

/// What is in a finished file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// How it got finished.
    pub ending: Ending,
    /// Bytes.
    pub size: u64,
    /// What a player shows as its length.
    pub duration: Duration,
    /// The media time at which its presentation begins.
    pub origin: MediaTime,
    /// Fragments it was recorded in.
    pub fragments: u32,
    /// Tracks with at least one sample.
    pub tracks: Vec<TrackSummary>,
}

/// What is in one track of a finished file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackSummary {
    /// Which.
    pub kind: Kind,
    /// Samples.
    pub samples: u32,
    /// Of these, decodable by themselves.
    pub keyframes: u32,
    /// Bytes of all samples.
    pub bytes: u64,
    /// From the beginning of the presentation of its first sample.
    pub start: Duration,
    /// From its first presentation to the end of its last.
    pub duration: Duration,
}

/// A walk over a file.
pub trait Steps {
    /// The next step. After [`Step::Read`], only once the bytes were supplied; after [`Step::Done`], that again.
    ///
    /// # Errors
    /// The file cannot be finished; it stays as playable as it was.
    fn poll(&mut self) -> Result<Step, Error>;

    /// The bytes that the last [`Step::Read`] asked for.
    fn supply(&mut self, bytes: &[u8]);
}

/// Where a file's bytes are.
pub trait Storage {
    /// Why it failed.
    type Error;

    /// Fills `buf` from `offset` on; returns how much there was.
    ///
    /// # Errors
    /// Whatever the storage says.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Self::Error>;

    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Whatever the storage says.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Overwrites all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Whatever the storage says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// Whatever the storage says.
    fn truncate(&mut self, len: u64) -> Result<(), Self::Error>;
}

/// Why [`drive`] stopped early.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DriveError<E> {
    /// The walk gave up.
    #[error(transparent)]
    Walk(Error),
    /// The storage failed.
    #[error("storage failed: {0}")]
    Storage(E),
}

/// Takes every step of `walk` on `storage`.
///
/// # Errors
/// The first failure of either.
pub fn drive<S: Storage>(
    walk: &mut impl Steps,
    storage: &mut S,
) -> Result<Summary, DriveError<S::Error>> {
    let mut buf = Vec::new();
    loop {
        match walk.poll().map_err(DriveError::Walk)? {
            Step::Read { offset, len } => {
                buf.resize(len, 0);
                let n = storage
                    .read_at(offset, &mut buf)
                    .map_err(DriveError::Storage)?;
                walk.supply(buf.get(..n).unwrap_or(&buf));
            }
            Step::Write(Write::Append(bytes)) => {
                storage.append(&bytes).map_err(DriveError::Storage)?
            }
            Step::Write(Write::At { offset, bytes }) => {
                storage
                    .write_at(offset, &bytes)
                    .map_err(DriveError::Storage)?;
            }
            Step::Truncate(len) => storage.truncate(len).map_err(DriveError::Storage)?,
            Step::Done(summary) => return Ok(summary),
        }
    }
}
