//! Samples in, fragments out.
//!
//! ```text
//! push ─► order, rounding, first key frame ─► pending samples per track ─┐ a track's pending samples span ≥ `fragment`,
//!                                                                        │ or bytes or counts would pass their limits
//! poll_write ◄── Append(moof mdat) ◄── all pending but each track's newest, whose duration is not known yet
//!                                      (unless it is stale: then with a provisional one, put right when finishing)
//! ```
//!
//! What it does with bad input: a sound sample that does not advance is dropped, a picture that does not advance is
//! moved one tick past its predecessor (dropping it would break those that follow), pictures before the first key
//! frame are dropped, PTS before DTS becomes DTS. All of it is counted, none of it is an error.
//! Samples are kept by reference until their fragment is cut; the only copy is into that fragment.
//!
//! Knows nothing of what it wrote before: the index is re-read from the file by the [`Finisher`].

use super::config::{Config, Error, MAX_RUN, MAX_SAMPLE};
use super::drive::Write;
use super::finish::Finisher;
use super::init::{Movie, track_id};
use super::moof::{self, Pending, Run};
use super::moov::nanos;
use bytes::Bytes;
use media::{Kind, MediaTime, Sample};
use std::collections::VecDeque;
use std::time::Duration;

/// What happened to the samples of one track.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Taken into the file.
    pub taken: u64,
    /// Dropped: pictures before the first key frame.
    pub before_keyframe: u64,
    /// Dropped: sound that did not advance.
    pub late: u64,
    /// Dropped: empty, larger than 64 MiB, or a jump of more than 2³² ticks (13 hours of pictures).
    pub unusable: u64,
    /// Taken with a changed time: pictures that did not advance, PTS before DTS.
    pub nudged: u64,
}

/// One track on its way in.
#[derive(Debug)]
struct Lane {
    kind: Kind,
    timescale: u32,
    fragment_ticks: u64,
    /// In order; only the last one's duration may be unknown.
    pending: Vec<Pending>,
    last_dts: Option<u64>,
    /// Of the newest sample whose duration is known.
    last_duration: u32,
    /// Own duration of the newest pending sample, zero if it brought none.
    own_duration: u32,
    counts: Counts,
}

/// Writes one file. See the module for what it makes of its input.
#[derive(Debug)]
pub struct Writer {
    movie: Movie,
    hole: u64,
    header_len: u64,
    lanes: Vec<Lane>,
    fragment: Duration,
    max_bytes: usize,
    index_memory: usize,
    pending_bytes: usize,
    queue: VecDeque<Write>,
    queued_bytes: usize,
    written: u64,
    fragments: u32,
    /// Earliest PTS, latest end, latest DTS of what was taken.
    first: Option<MediaTime>,
    end: MediaTime,
    newest: MediaTime,
}

impl Writer {
    /// A writer whose first write is the file's header.
    ///
    /// # Errors
    /// No tracks, or a format that does not go into MP4.
    pub fn new(config: Config) -> Result<Self, Error> {
        let movie = Movie::new(&config)?;
        let (header, hole) = movie.header();
        let fragment = config.fragment.max(Duration::from_millis(10));
        let lanes = movie.tracks.iter().map(|t| Lane {
            kind: t.kind,
            timescale: t.timescale,
            fragment_ticks: MediaTime::ZERO.plus(fragment).in_timescale(t.timescale),
            pending: Vec::with_capacity(64),
            last_dts: None,
            last_duration: 0,
            own_duration: 0,
            counts: Counts::default(),
        });
        let mut writer = Self {
            hole,
            header_len: header.len() as u64,
            lanes: lanes.collect(),
            fragment,
            // Fragments have 32-bit sizes: stay a factor of 16 below.
            max_bytes: config.max_fragment_bytes.min(4 * MAX_SAMPLE),
            index_memory: config.index_memory,
            pending_bytes: 0,
            queue: VecDeque::with_capacity(4),
            queued_bytes: 0,
            written: 0,
            fragments: 0,
            first: None,
            end: MediaTime::ZERO,
            newest: MediaTime::ZERO,
            movie,
        };
        writer.emit(Bytes::from(header));
        Ok(writer)
    }

    /// Takes a sample. Afterwards [`poll_write`](Self::poll_write) until `None`, or memory grows.
    ///
    /// # Errors
    /// The file has no such track.
    pub fn push(&mut self, sample: Sample) -> Result<(), Error> {
        let at = self
            .lanes
            .iter()
            .position(|l| l.kind == sample.kind)
            .ok_or(Error::NoTrack(sample.kind))?;
        let Some(lane) = self.lanes.get_mut(at) else {
            return Ok(());
        };
        let Some(pending) = lane.admit(&sample) else {
            return Ok(());
        };
        let (len, own) = (pending.data.len(), lane.ticks(sample.duration));
        if lane.is_full_before(pending.dts)
            || self.pending_bytes.saturating_add(len) > self.max_bytes
        {
            self.cut(Cut::HoldNewest);
        }
        let pts = sample.pts.max(sample.dts);
        self.first = Some(self.first.map_or(pts, |f| f.min(pts)));
        self.end = self.end.max(pts.plus(sample.duration));
        self.newest = self.newest.max(sample.dts);
        self.pending_bytes += len;
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.own_duration = own;
            lane.pending.push(pending);
        }
        Ok(())
    }

    /// The next write, in order.
    pub fn poll_write(&mut self) -> Option<Write> {
        let write = self.queue.pop_front()?;
        self.queued_bytes -= write_len(&write);
        Some(write)
    }

    /// Cuts a fragment of everything pending now, for a source that may be silent for long (a kill would cost what is
    /// pending). Durations of the newest samples are provisional and put right when finishing.
    pub fn flush(&mut self) {
        self.cut(Cut::Everything);
    }

    /// No more samples. The walk it returns first writes what is left (writes not yet polled included), then the index.
    #[must_use]
    pub fn finish(mut self) -> Finisher {
        self.cut(Cut::Everything);
        Finisher::of_writer(
            self.movie,
            self.hole,
            self.header_len,
            self.written,
            self.queue,
            self.index_memory,
        )
    }

    /// Bytes handed out or queued so far: the file's length once all writes are done.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes held: samples waiting for their fragment, and writes not yet polled.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.pending_bytes + self.queued_bytes
    }

    /// Fragments cut so far.
    #[must_use]
    pub fn fragments(&self) -> u32 {
        self.fragments
    }

    /// From the earliest PTS taken to the latest end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |f| self.end.since(f))
    }

    /// What happened to the samples of a track so far; all zero if the file has no such track.
    #[must_use]
    pub fn counts(&self, kind: Kind) -> Counts {
        let lane = self.lanes.iter().find(|l| l.kind == kind);
        lane.map_or_else(Counts::default, |l| l.counts)
    }

    fn emit(&mut self, bytes: Bytes) {
        self.written += bytes.len() as u64;
        self.queued_bytes += bytes.len();
        self.queue.push_back(Write::Append(bytes));
    }

    fn cut(&mut self, cut: Cut) {
        let stale = self
            .newest
            .as_nanos()
            .saturating_sub(u64::try_from(self.fragment.as_nanos()).unwrap_or(u64::MAX));
        let mut ready = [0_usize; 2];
        for (lane, n) in self.lanes.iter_mut().zip(&mut ready) {
            *n = lane.settle(cut, stale);
        }
        let runs: Vec<Run<'_>> = self
            .lanes
            .iter()
            .enumerate()
            .zip(ready)
            .filter_map(|((i, lane), n)| {
                Some(Run {
                    track_id: track_id(i),
                    kind: lane.kind,
                    samples: lane.pending.get(..n).filter(|s| !s.is_empty())?,
                })
            })
            .collect();
        if runs.is_empty() {
            return;
        }
        self.fragments = self.fragments.wrapping_add(1);
        let bytes = moof::encode(self.fragments, &runs);
        self.emit(bytes);
        for (lane, n) in self.lanes.iter_mut().zip(ready) {
            let gone: usize = lane.pending.drain(..n).map(|s| s.data.len()).sum();
            self.pending_bytes -= gone;
        }
    }
}

/// How much of the pending samples goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// All but samples whose duration the next one will soon tell.
    HoldNewest,
    Everything,
}

impl Lane {
    fn ticks(&self, d: Duration) -> u32 {
        let ticks = MediaTime::ZERO.plus(d).in_timescale(self.timescale);
        u32::try_from(ticks).unwrap_or(0)
    }

    /// The sample as it goes into the file, if it does; tells its predecessor how long that one lasted.
    fn admit(&mut self, sample: &Sample) -> Option<Pending> {
        if sample.data.is_empty() || sample.data.len() > MAX_SAMPLE {
            self.counts.unusable += 1;
            return None;
        }
        let (mut dts, mut nudged) = (sample.dts.in_timescale(self.timescale), false);
        match (self.last_dts, self.kind) {
            (None, Kind::Video) if !sample.keyframe => {
                self.counts.before_keyframe += 1;
                return None;
            }
            (Some(last), Kind::Audio) if dts <= last => {
                self.counts.late += 1;
                return None;
            }
            (Some(last), Kind::Video) if dts <= last => {
                (dts, nudged) = (last + 1, true);
            }
            (None | Some(_), Kind::Audio | Kind::Video) => {}
        }
        if let Some(last) = self.last_dts {
            let Ok(duration) = u32::try_from(dts - last) else {
                self.counts.unusable += 1;
                return None;
            };
            self.last_duration = duration;
            if let Some(predecessor) = self.pending.last_mut() {
                predecessor.duration = duration;
            }
        }
        let pts = sample.pts.in_timescale(self.timescale);
        let offset = pts.checked_sub(dts).and_then(|d| i32::try_from(d).ok());
        let cts = match self.kind {
            Kind::Audio => 0,
            Kind::Video => offset.map_or(0, i32::unsigned_abs),
        };
        nudged |= self.kind == Kind::Video && offset.is_none();
        self.last_dts = Some(dts);
        self.counts.taken += 1;
        self.counts.nudged += u64::from(nudged);
        Some(Pending {
            dts,
            cts,
            duration: 0,
            key: self.kind == Kind::Audio || sample.keyframe,
            data: sample.data.clone(),
        })
    }

    /// Whether a fragment must be cut before a sample at `dts` is added.
    fn is_full_before(&self, dts: u64) -> bool {
        self.pending.first().is_some_and(|first| {
            dts.saturating_sub(first.dts) >= self.fragment_ticks || self.pending.len() >= MAX_RUN
        })
    }

    /// How many pending samples may go; gives the newest a duration if it is among them.
    fn settle(&mut self, cut: Cut, stale_nanos: u64) -> usize {
        let fallback = match (self.own_duration, self.last_duration) {
            (0, 0) => (self.timescale / 50).max(1),
            (0, known) | (known, _) => known,
        };
        let n = self.pending.len();
        let Some(newest) = self.pending.last_mut().filter(|s| s.duration == 0) else {
            return n;
        };
        let keep = cut == Cut::HoldNewest && nanos(newest.dts, self.timescale) > stale_nanos;
        if keep {
            return n - 1;
        }
        newest.duration = fallback;
        n
    }
}

fn write_len(write: &Write) -> usize {
    match write {
        Write::Append(bytes) | Write::At { bytes, .. } => bytes.len(),
    }
}
