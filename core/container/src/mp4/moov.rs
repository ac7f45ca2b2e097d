//! The final `moov`: laid out from counts alone, rendered through a window.
//!
//! ```text
//! counts ─► Plan ─► window 0 ─► window 1 ─► …      each window: the fixed parts in it, then one walk over the
//!                                                  fragments that fills the table entries in it
//! ```
//!
//! So that an 8-hour recording with millions of samples is finished in the memory of one window, in order, by
//! appending only. Knows where tables go; what is in them comes from [`index`](super::index).

use super::boxes::{Builder, Hole};
use super::config::Error;
use super::index::{Indexer, Sink, Table};
use super::init::{self, MOVIE_TIMESCALE, Movie, Track};
use media::Kind;

/// Whose entries fill a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    track: usize,
    table: Table,
}

/// The `moov` with holes for its tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    fixed: Vec<u8>,
    holes: Vec<Hole<Slot>>,
    size: u64,
}

/// What a player makes of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Timing {
    /// Nanoseconds of media time at which the presentation begins.
    pub(super) origin: u64,
    /// Movie ticks.
    pub(super) duration: u64,
}

/// Nanoseconds of `ticks`.
pub(super) fn nanos(ticks: u64, timescale: u32) -> u64 {
    let n = (u128::from(ticks) * 1_000_000_000 + u128::from(timescale) / 2)
        / u128::from(timescale.max(1));
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn movie_ticks(ticks: u64, timescale: u32) -> u64 {
    let scale = u128::from(timescale.max(1));
    let n = (u128::from(ticks) * u128::from(MOVIE_TIMESCALE) + scale / 2) / scale;
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// When a track begins and how long it lasts, in movie ticks, relative to the origin.
fn span(track: &Track, index: &Indexer, origin: u64) -> (u64, u64) {
    let delay = nanos(index.first_pts(), track.timescale).saturating_sub(origin);
    let length = index.presented().saturating_sub(u64::from(track.priming));
    (
        movie_ticks(delay, 1_000_000_000),
        movie_ticks(length, track.timescale),
    )
}

/// Tracks with samples, with their indexers.
fn filled<'a>(
    movie: &'a Movie,
    indexers: &'a [Indexer],
) -> impl Iterator<Item = (usize, &'a Track, &'a Indexer)> {
    let all = movie.tracks.iter().zip(indexers).enumerate();
    all.map(|(i, (t, x))| (i, t, x))
        .filter(|(_, _, x)| x.samples() > 0)
}

/// When the presentation begins and how long it lasts.
pub(super) fn timing(movie: &Movie, indexers: &[Indexer]) -> Timing {
    let starts = filled(movie, indexers).map(|(_, t, x)| nanos(x.first_pts(), t.timescale));
    let origin = starts.min().unwrap_or(0);
    let ends = filled(movie, indexers).map(|(_, t, x)| {
        let (delay, length) = span(t, x, origin);
        delay.saturating_add(length)
    });
    Timing {
        origin,
        duration: ends.max().unwrap_or(0),
    }
}

/// Lays out the `moov` for tracks whose indexers are closed. Tracks without samples are left out.
pub(super) fn plan(movie: &Movie, indexers: &[Indexer]) -> Result<Plan, Error> {
    let timing = timing(movie, indexers);
    let mut b = Builder::new();
    b.nest(b"moov", |b| {
        init::mvhd(b, movie, timing.duration);
        for (i, track, index) in filled(movie, indexers) {
            b.nest(b"trak", |b| {
                trak(b, i, movie.created, track, index, timing.origin)
            });
        }
    });
    let (fixed, holes, size) = b.into_parts();
    if u32::try_from(size).is_err() {
        return Err(Error::TooLong);
    }
    Ok(Plan { fixed, holes, size })
}

fn trak(
    b: &mut Builder<Slot>,
    i: usize,
    created: u64,
    track: &Track,
    index: &Indexer,
    origin: u64,
) {
    let (delay, length) = span(track, index, origin);
    init::tkhd(b, i, created, track, delay.saturating_add(length));
    let skip = index
        .reorder_delay()
        .saturating_add(u64::from(track.priming));
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    match (delay, skip) {
        (0, 0) => {}
        (0, skip) => init::edts(b, &[(length, skip)]),
        (delay, skip) => init::edts(b, &[(delay, -1), (length, skip)]),
    }
    init::mdia(b, created, track, index.decode_duration(), |b| {
        let table = |b: &mut Builder<Slot>, kind: &[u8; 4], table: Table| {
            let Some(entries) = index.entries(table) else {
                return;
            };
            b.full(kind, 0, 0, |b| {
                if table == Table::Stsz {
                    b.u32(0); // sizes differ
                }
                b.u32(entries);
                b.hole(u64::from(entries) * table.width(), Slot { track: i, table });
            });
        };
        table(b, b"stts", Table::Stts);
        table(b, b"ctts", Table::Ctts);
        if track.kind == Kind::Video {
            table(b, b"stss", Table::Stss);
        }
        table(b, b"stsc", Table::Stsc);
        table(b, b"stsz", Table::Stsz);
        table(b, b"co64", Table::Co64);
        if track.entry() == Some(b"Opus") {
            preroll(b, index.samples());
        }
    });
}

/// Opus needs 80 ms of decoding before a seek sounds right: four packets of 20 ms.
fn preroll(b: &mut Builder<Slot>, samples: u32) {
    b.full(b"sgpd", 1, 0, |b| {
        b.bytes(b"roll");
        b.u32(2);
        b.u32(1);
        b.bytes(&(-4_i16).to_be_bytes());
    });
    b.full(b"sbgp", 0, 0, |b| {
        b.bytes(b"roll");
        b.u32(1);
        b.u32(samples);
        b.u32(1);
    });
}

impl Plan {
    /// Bytes of the whole box.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The window of at most `len` bytes that begins at `start`, with everything in it but table entries.
    pub(super) fn window(&self, start: u64, len: usize) -> Window {
        let len =
            usize::try_from(self.size.saturating_sub(start)).map_or(len, |left| left.min(len));
        let mut window = Window {
            start,
            data: vec![0; len],
            bases: [[None; 6]; 2],
        };
        let (mut at, mut rest) = (0_u64, &self.fixed[..]);
        for hole in &self.holes {
            let n = usize::try_from(hole.at - at)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let (piece, tail) = rest.split_at(n);
            window.copy(at, piece);
            (at, rest) = (hole.at + hole.len, tail);
            if let Some(base) = window
                .bases
                .get_mut(hole.tag.track)
                .and_then(|t| t.get_mut(hole.tag.table as usize))
            {
                let end = start + len as u64;
                *base = (hole.at < end && start < at).then_some(hole.at);
            }
        }
        window.copy(at, rest);
        window
    }
}

/// A stretch of the `moov` being rendered.
#[derive(Debug)]
pub(super) struct Window {
    start: u64,
    data: Vec<u8>,
    /// Where each table of each track begins, if any of it is in the window.
    bases: [[Option<u64>; 6]; 2],
}

impl Window {
    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Copies what of `bytes`, which belong at `at`, is in the window.
    fn copy(&mut self, at: u64, bytes: &[u8]) {
        let end = self.start + self.data.len() as u64;
        let (from, to) = (at.max(self.start), (at + bytes.len() as u64).min(end));
        if from >= to {
            return;
        }
        // Differences of offsets inside slices that exist.
        let source = (from - at) as usize..(to - at) as usize;
        let target = (from - self.start) as usize..(to - self.start) as usize;
        if let (Some(target), Some(source)) = (self.data.get_mut(target), bytes.get(source)) {
            target.copy_from_slice(source);
        }
    }
}

impl Sink for Window {
    fn put(&mut self, track: usize, table: Table, index: u32, words: &[u32]) {
        let Some(base) = self.bases.get(track).and_then(|t| t[table as usize]) else {
            return;
        };
        let mut at = base + u64::from(index) * table.width();
        for word in words {
            self.copy(at, &word.to_be_bytes());
            at += 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_any_size_add_up_to_the_whole() {
        let slot = |table| Slot { track: 0, table };
        let plan = Plan {
            fixed: (0..20).collect(),
            holes: vec![
                Hole {
                    at: 5,
                    len: 40,
                    tag: slot(Table::Stts),
                },
                Hole {
                    at: 47,
                    len: 12,
                    tag: slot(Table::Stsz),
                },
            ],
            size: 72,
        };
        let render = |len: usize| {
            let mut out = Vec::new();
            while out.len() < 72 {
                let mut w = plan.window(out.len() as u64, len);
                for i in 0..5 {
                    w.put(
                        0,
                        Table::Stts,
                        i,
                        &[0x0101_0101 * (i + 1), 0x1111_1111 * (i + 1)],
                    );
                }
                for i in 0..3 {
                    w.put(0, Table::Stsz, i, &[0xf0f1_f2f3 + i]);
                }
                w.put(1, Table::Stsz, 0, &[9]);
                w.put(0, Table::Co64, 0, &[9, 9]);
                out.extend(w.into_data());
            }
            out
        };
        let whole = render(72);
        assert_eq!(&whole[..5], &[0, 1, 2, 3, 4]);
        assert_eq!(&whole[5..13], &[1, 1, 1, 1, 0x11, 0x11, 0x11, 0x11]);
        assert_eq!(&whole[45..51], &[5, 6, 0xf0, 0xf1, 0xf2, 0xf3]);
        assert_eq!(whole[71], 19);
        for len in 1..72 {
            assert_eq!(render(len), whole, "window of {len}");
        }
    }
}
