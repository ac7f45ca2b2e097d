//! Hybrid MP4: fragments while recording, an ordinary file at the end, playable at every instant between.
//!
//! ```text
//! recording   ftyp | free(16) | moov(no samples, mvex) | moof mdat | moof mdat | …
//!                                                        └ one append each, ≤ 1 s ┘
//! finishing   ftyp | free(16) | moov(no samples, mvex) | moof mdat | … | moov      appended in windows
//! finished    ftyp | mdat(64-bit size) ······································ | moov
//!                    └ only these 16 bytes were overwritten
//! ```
//!
//! * [`Writer`] turns [`Sample`](media::Sample)s into appends. It holds one fragment, never an index.
//! * [`Finisher`] re-reads the `moof` boxes and appends the final `moov` through a window of bounded memory.
//! * [`Repair`] does the same to the file of a process that was killed, at any byte.
//! * [`drive()`] runs either over anything that implements [`Storage`].
//!
//! One sample entry per track: parameter sets that change mid-track stay in the samples, where every decoder
//! in use finds them; a change of codec needs a new file.
//!
//! Knows no clock, no file, no encoder; `moof` is parsed only as this module writes it.

mod boxes;
mod config;
mod drive;
mod entry;
mod finish;
mod index;
mod init;
mod moof;
mod moov;
mod repair;
mod writer;

pub use config::{Audio, Config, Error};
pub use drive::{DriveError, Ending, Step, Steps, Storage, Summary, TrackSummary, Write, drive};
pub use finish::Finisher;
pub use repair::Repair;
pub use writer::{Counts, Writer};
