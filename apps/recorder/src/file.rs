//! One file output: samples from the hub, through the container, to disk. A thread of its own, because disks stall.
//!
//! ```text
//! hub ──► pop ──► mp4::Writer ──► PartFile      Closed{size, duration} | Failed(fault) ──► run
//! ```
//!
//! After a failed write the file is finished as far as the disk allows, so that what was recorded stays playable.

use crate::media::Tap;
use container::mp4;
use recording::{Fault, fault, lifecycle::OutputFact};
use std::{path::Path, time::Duration};
use storage::PartFile;

/// A part file as the container sees it.
#[derive(Debug)]
pub(crate) struct Disk(pub(crate) PartFile);

impl mp4::Storage for Disk {
    type Error = storage::Error;

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, storage::Error> {
        self.0.read_at(offset, buf)?;
        Ok(buf.len())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), storage::Error> {
        self.0.append(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), storage::Error> {
        self.0.write_at(offset, bytes)
    }

    fn truncate(&mut self, len: u64) -> Result<(), storage::Error> {
        self.0.truncate(len)
    }
}

/// Makes the file; everything that can be refused early is refused here.
pub(crate) fn create(part: &Path) -> Result<PartFile, Fault> {
    PartFile::create(part).map_err(|e| local_fault(&e))
}

/// Runs until the hub ends. `said` is called with every fact; the last are `Closed`, with what can be kept, and, when
/// something is wrong with it, `Failed`.
pub(crate) fn run(
    file: PartFile,
    config: mp4::Config,
    tap: &Tap,
    mut said: impl FnMut(OutputFact),
) {
    let mut disk = Disk(file);
    let mut writer = match mp4::Writer::new(config) {
        Ok(writer) => writer,
        Err(error) => return said(OutputFact::Failed(Fault::internal(format!("mp4: {error}")))),
    };
    if let Err(fault) = record(&mut disk, &mut writer, tap, &mut said) {
        tracing::warn!(%fault, "the file takes no more samples");
        said(OutputFact::Failed(fault));
        // Until all outputs are closed; what still comes is thrown away.
        while tap.next().is_some() {}
    }
    let so_far = writer.duration();
    match finish(&mut disk, writer) {
        Ok((0, _)) => {
            if let Err(error) = std::fs::remove_file(disk.0.path()) {
                tracing::warn!(file = %disk.0.path().display(), %error, "could not remove an empty file");
            }
            said(OutputFact::Closed {
                size: 0,
                duration: None,
            });
        }
        Ok((size, duration)) => said(OutputFact::Closed {
            size,
            duration: Some(duration),
        }),
        Err(fault) => {
            // Without its index it still plays.
            said(OutputFact::Closed {
                size: disk.0.len(),
                duration: Some(so_far),
            });
            said(OutputFact::Failed(fault));
        }
    }
}

fn record(
    disk: &mut Disk,
    writer: &mut mp4::Writer,
    tap: &Tap,
    said: &mut impl FnMut(OutputFact),
) -> Result<(), Fault> {
    flush(disk, writer, said)?;
    while let Some(sample) = tap.next() {
        writer
            .push(sample)
            .map_err(|e| Fault::internal(format!("mp4: {e}")))?;
        flush(disk, writer, said)?;
    }
    Ok(())
}

fn flush(
    disk: &mut Disk,
    writer: &mut mp4::Writer,
    said: &mut impl FnMut(OutputFact),
) -> Result<(), Fault> {
    let before = disk.0.len();
    while let Some(write) = writer.poll_write() {
        put(disk, write).map_err(|e| local_fault(&e))?;
    }
    if disk.0.len() != before {
        said(OutputFact::Size(disk.0.len()));
    }
    Ok(())
}

fn put(disk: &mut Disk, write: mp4::Write) -> Result<(), storage::Error> {
    match write {
        mp4::Write::Append(bytes) => disk.0.append(&bytes),
        mp4::Write::At { offset, bytes } => disk.0.write_at(offset, &bytes),
    }
}

fn finish(disk: &mut Disk, writer: mp4::Writer) -> Result<(u64, Duration), Fault> {
    let mut walk = writer.finish();
    match mp4::drive(&mut walk, disk) {
        Ok(summary) => Ok((summary.size, summary.duration)),
        Err(mp4::DriveError::Walk(mp4::Error::NothingRecorded)) => Ok((0, Duration::ZERO)),
        Err(mp4::DriveError::Walk(error)) => Err(Fault::internal(format!("mp4: {error}"))),
        Err(mp4::DriveError::Storage(error)) => Err(local_fault(&error)),
    }
}

/// As upstream words it for local disk (egress-behaviour.md §13.1).
pub(crate) fn local_fault(error: &storage::Error) -> Fault {
    fault::upload("Local", error)
}
