//! The sample tables of one track, produced entry by entry from the samples in order.
//!
//! The same code runs with a sink that only counts (so that sizes are known before the first byte) and with sinks
//! that keep what falls in their window; whatever the length of the recording, it holds a few numbers per track.
//! Knows the meaning of the tables, not where they end up.

use super::config::Error;
use super::moof::{Entry, Traf};

/// A sample table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Stts,
    Ctts,
    Stss,
    Stsc,
    Stsz,
    Co64,
}

impl Table {
    /// Bytes of one entry.
    pub(super) const fn width(self) -> u64 {
        match self {
            Self::Stss | Self::Stsz => 4,
            Self::Stts | Self::Ctts | Self::Co64 => 8,
            Self::Stsc => 12,
        }
    }
}

/// Takes table entries. Entries of one table come in order.
pub(super) trait Sink {
    /// Entry `index` of `table` of the track with this index.
    fn put(&mut self, track: usize, table: Table, index: u32, words: &[u32]);
}

/// Takes nothing: the indexer's own counts are what is wanted.
pub(super) struct CountOnly;

impl Sink for CountOnly {
    fn put(&mut self, _: usize, _: Table, _: u32, _: &[u32]) {}
}

/// Equal neighbours as one entry.
#[derive(Clone, Default, Debug)]
struct Runs {
    entries: u32,
    value: u32,
    length: u32,
}

impl Runs {
    /// The run that `value` ends, if it does.
    fn add(&mut self, value: u32) -> Option<(u32, [u32; 2])> {
        if self.length > 0 && self.value == value {
            self.length += 1; // bounded by the count of samples
            return None;
        }
        let ended = self.flush();
        (self.value, self.length) = (value, 1);
        ended
    }

    fn flush(&mut self) -> Option<(u32, [u32; 2])> {
        let length = std::mem::take(&mut self.length);
        (length > 0).then(|| {
            let index = self.entries;
            self.entries += 1;
            (index, [length, self.value])
        })
    }
}

/// Indexes one track.
#[derive(Clone, Debug)]
pub(super) struct Indexer {
    track: usize,
    samples: u32,
    keys: u32,
    chunks: u32,
    per_chunk: Option<u32>,
    stsc: u32,
    stts: Runs,
    ctts: Runs,
    reorders: bool,
    bytes: u64,
    first_dts: u64,
    last: Option<(u64, u32)>,
    first_pts: u64,
    end_pts: u64,
}

impl Indexer {
    pub(super) fn new(track: usize) -> Self {
        Self {
            track,
            samples: 0,
            keys: 0,
            chunks: 0,
            per_chunk: None,
            stsc: 0,
            stts: Runs::default(),
            ctts: Runs::default(),
            reorders: false,
            bytes: 0,
            first_dts: 0,
            last: None,
            first_pts: u64::MAX,
            end_pts: 0,
        }
    }

    /// Whether the times of `run` continue this track's.
    pub(super) fn continues(&self, run: &Traf) -> bool {
        match self.last {
            None => true,
            Some((last, _)) => run
                .dts
                .checked_sub(last)
                .is_some_and(|gap| gap > 0 && u32::try_from(gap).is_ok()),
        }
    }

    /// Adds a run that [`continues`](Self::continues) the track; `buf` is what it was parsed from.
    pub(super) fn add(
        &mut self,
        run: &Traf,
        buf: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        self.samples
            .checked_add(run.count)
            .filter(|n| *n < u32::MAX)
            .ok_or(Error::TooLong)?;
        let chunk = self.chunks;
        self.chunks += 1;
        let (high, low) = halves(run.chunk);
        sink.put(self.track, Table::Co64, chunk, &[high, low]);
        if self.per_chunk != Some(run.count) {
            self.per_chunk = Some(run.count);
            sink.put(
                self.track,
                Table::Stsc,
                self.stsc,
                &[self.chunks, run.count, 1],
            );
            self.stsc += 1;
        }
        for s in run.samples(buf) {
            self.sample(s, sink);
        }
        Ok(())
    }

    fn sample(&mut self, s: Entry, sink: &mut impl Sink) {
        match self.last {
            None => self.first_dts = s.dts,
            // What a fragment says of its last sample is provisional; where the next one begins is the truth.
            Some((last, _)) => self.delta(u32::try_from(s.dts - last).unwrap_or(u32::MAX), sink),
        }
        self.last = Some((s.dts, s.duration));
        if let Some((i, words)) = self.ctts.add(s.cts) {
            sink.put(self.track, Table::Ctts, i, &words);
        }
        self.reorders |= s.cts != 0;
        sink.put(self.track, Table::Stsz, self.samples, &[s.size]);
        self.samples += 1;
        if s.key {
            sink.put(self.track, Table::Stss, self.keys, &[self.samples]);
            self.keys += 1;
        }
        self.bytes += u64::from(s.size);
        let pts = s.dts + u64::from(s.cts);
        self.first_pts = self.first_pts.min(pts);
        self.end_pts = self.end_pts.max(pts + u64::from(s.duration));
    }

    fn delta(&mut self, delta: u32, sink: &mut impl Sink) {
        if let Some((i, words)) = self.stts.add(delta) {
            sink.put(self.track, Table::Stts, i, &words);
        }
    }

    /// No more samples: closes the open runs.
    pub(super) fn close(&mut self, sink: &mut impl Sink) {
        if let Some((_, duration)) = self.last {
            self.delta(duration, sink);
        }
        if let Some((i, words)) = self.stts.flush() {
            sink.put(self.track, Table::Stts, i, &words);
        }
        if let Some((i, words)) = self.ctts.flush() {
            sink.put(self.track, Table::Ctts, i, &words);
        }
    }

    /// Entries of a table, once closed; `None` if the track does without it.
    pub(super) fn entries(&self, table: Table) -> Option<u32> {
        match table {
            Table::Stts => Some(self.stts.entries),
            Table::Ctts => self.reorders.then_some(self.ctts.entries),
            Table::Stss => (self.keys < self.samples).then_some(self.keys),
            Table::Stsc => Some(self.stsc),
            Table::Stsz => Some(self.samples),
            Table::Co64 => Some(self.chunks),
        }
    }

    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    pub(super) fn keys(&self) -> u32 {
        self.keys
    }

    /// Bytes of all samples.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ticks from the first decoding time to the end of the last sample.
    pub(super) fn decode_duration(&self) -> u64 {
        self.last.map_or(0, |(dts, duration)| {
            dts + u64::from(duration) - self.first_dts
        })
    }

    /// Earliest presentation time, ticks. Zero if there are no samples.
    pub(super) fn first_pts(&self) -> u64 {
        if self.samples == 0 { 0 } else { self.first_pts }
    }

    /// Ticks from the first decoding time to the earliest presentation time.
    pub(super) fn reorder_delay(&self) -> u64 {
        self.first_pts().saturating_sub(self.first_dts)
    }

    /// Ticks from the earliest presentation to the end of the latest.
    pub(super) fn presented(&self) -> u64 {
        self.end_pts.saturating_sub(self.first_pts())
    }
}

fn halves(v: u64) -> (u32, u32) {
    (
        u32::try_from(v >> 32).unwrap_or(u32::MAX),
        u32::try_from(v & 0xffff_ffff).unwrap_or(u32::MAX),
    )
}
