//! A disk that remembers every operation, a second reader of MP4, and the judges (ffmpeg, GStreamer).
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod judge;
pub(crate) mod parse;

use container::mp4::{
    Config, Ending, Error, Finisher, Repair, Steps, Storage, Summary, Write, Writer, drive,
};
use media::{Kind, MediaTime, Sample};
use std::convert::Infallible;
use std::time::Duration;

/// One operation on a disk.
#[derive(Clone)]
pub(crate) enum Op {
    Append(Vec<u8>),
    At(u64, Vec<u8>),
    Truncate(u64),
}

/// A file in memory and how it came to be.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ops: Vec<Op>,
    pub(crate) reads: usize,
    pub(crate) largest_read: usize,
    pub(crate) largest_write: usize,
}

impl Disk {
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn apply(&mut self, op: Op) {
        match &op {
            Op::Append(b) => self.bytes.extend_from_slice(b),
            Op::At(at, b) => self.bytes[*at as usize..*at as usize + b.len()].copy_from_slice(b),
            Op::Truncate(len) => self.bytes.truncate(*len as usize),
        }
        self.ops.push(op);
    }

    pub(crate) fn take(&mut self, write: Write) {
        self.apply(match write {
            Write::Append(b) => Op::Append(b.to_vec()),
            Write::At { offset, bytes } => Op::At(offset, bytes.to_vec()),
        });
    }

    /// The file after the first `n` operations.
    pub(crate) fn after(&self, n: usize) -> Vec<u8> {
        let mut disk = Self::default();
        self.ops[..n].iter().for_each(|op| disk.apply(op.clone()));
        disk.bytes
    }
}

impl Storage for Disk {
    type Error = Infallible;

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Infallible> {
        self.reads += 1;
        self.largest_read = self.largest_read.max(buf.len());
        let from = self.bytes.get(offset as usize..).unwrap_or(&[]);
        let n = from.len().min(buf.len());
        buf[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.largest_write = self.largest_write.max(bytes.len());
        self.apply(Op::Append(bytes.to_vec()));
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
        self.apply(Op::At(offset, bytes.to_vec()));
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> Result<(), Infallible> {
        assert!(len <= self.bytes.len() as u64);
        self.apply(Op::Truncate(len));
        Ok(())
    }
}

/// Records `samples`; the disk as it is when the recording ends, and the walk that finishes it.
pub(crate) fn record(config: &Config, samples: &[Sample]) -> (Disk, Finisher) {
    let mut writer = Writer::new(config.clone()).unwrap();
    let mut disk = Disk::default();
    for sample in samples {
        writer.push(sample.clone()).unwrap();
        while let Some(write) = writer.poll_write() {
            disk.take(write);
        }
    }
    (disk, writer.finish())
}

pub(crate) fn finish(disk: &mut Disk, walk: &mut impl Steps) -> Result<Summary, Error> {
    drive(walk, disk).map_err(|e| match e {
        container::mp4::DriveError::Walk(e) => e,
        container::mp4::DriveError::Storage(never) => match never {},
    })
}

/// Records and finishes.
pub(crate) fn write(config: &Config, samples: &[Sample]) -> (Disk, Summary) {
    let (mut disk, mut walk) = record(config, samples);
    let summary = finish(&mut disk, &mut walk).unwrap();
    (disk, summary)
}

/// Repairs a copy of `bytes`.
pub(crate) fn repair(bytes: &[u8]) -> Result<(Vec<u8>, Summary), Error> {
    let mut disk = Disk::holding(bytes);
    let summary = finish(&mut disk, &mut Repair::new(bytes.len() as u64))?;
    assert_eq!(summary.size, disk.bytes.len() as u64);
    if summary.ending == Ending::Untouched {
        assert!(disk.ops.is_empty());
    }
    Ok((disk.bytes, summary))
}

pub(crate) fn sample(
    kind: Kind,
    pts_ns: u64,
    dts_ns: u64,
    keyframe: bool,
    data: Vec<u8>,
) -> Sample {
    Sample {
        kind,
        pts: MediaTime::from_nanos(pts_ns),
        dts: MediaTime::from_nanos(dts_ns),
        duration: Duration::ZERO,
        keyframe,
        data: data.into(),
    }
}
