//! One fragment: `moof` and the header of its `mdat`, written and read back.
//!
//! ```text
//! moof( mfhd  traf( tfhd tfdt trun )… )   mdat( samples of the first traf, samples of the second )
//! ```
//!
//! Reading accepts exactly what writing produces, and only if every length adds up: that is what tells a whole
//! fragment from a torn one. Knows nothing of other fragments.

use super::boxes::Reader;
use super::config::{MAX_MOOF, MAX_RUN};
use bytes::{BufMut, Bytes, BytesMut};
use media::Kind;
use std::ops::Range;

const TFHD_LEN: usize = 20;
const TFDT_LEN: usize = 20;
const TRUN_HEAD: usize = 20;
/// `moof` and `mfhd`.
const MOOF_HEAD: usize = 8 + 16;
const TRAF_HEAD: usize = 8 + TFHD_LEN + TFDT_LEN + TRUN_HEAD;
/// Header of the `mdat` that follows.
pub(super) const MDAT_HEAD: usize = 8;

/// default-base-is-moof, default-sample-flags.
const TFHD_FLAGS: u32 = 0x02_0020;
const TRUN_OFFSET: u32 = 0x001;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_CTS: u32 = 0x800;
/// Depends on nothing.
const SYNC: u32 = 0x0200_0000;
/// Depends on others, is not a sync sample.
const DELTA: u32 = 0x0101_0000;

/// Latest decoding time accepted when reading back: far beyond any clock, far below overflow.
const MAX_DTS: u64 = 1 << 61;

/// A sample on its way into a fragment; times in ticks of its track.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) dts: u64,
    /// PTS − DTS.
    pub(super) cts: u32,
    /// Zero while the next sample has not told.
    pub(super) duration: u32,
    pub(super) key: bool,
    pub(super) data: Bytes,
}

/// The samples of one track for one fragment; never empty, at most [`MAX_RUN`].
pub(super) struct Run<'a> {
    pub(super) track_id: u32,
    pub(super) kind: Kind,
    pub(super) samples: &'a [Pending],
}

impl Run<'_> {
    fn flags(&self) -> u32 {
        let plain = TRUN_OFFSET | TRUN_DURATION | TRUN_SIZE;
        match self.kind {
            Kind::Audio => plain,
            Kind::Video if self.samples.iter().any(|s| s.cts != 0) => plain | TRUN_FLAGS | TRUN_CTS,
            Kind::Video => plain | TRUN_FLAGS,
        }
    }
}

/// Bytes of one `trun` entry.
fn entry_len(flags: u32) -> usize {
    4 * (flags & (TRUN_DURATION | TRUN_SIZE | TRUN_FLAGS | TRUN_CTS)).count_ones() as usize
}

/// A 32-bit field of something whose limits keep it far below 32 bits.
fn field(v: usize) -> u32 {
    u32::try_from(v).unwrap_or(u32::MAX)
}

/// A whole fragment in one piece, ready for one write.
pub(super) fn encode(sequence: u32, runs: &[Run<'_>]) -> Bytes {
    let traf_len = |r: &Run<'_>| TRAF_HEAD + entry_len(r.flags()) * r.samples.len();
    let data_len = |r: &Run<'_>| r.samples.iter().map(|s| s.data.len()).sum::<usize>();
    let moof_len = MOOF_HEAD + runs.iter().map(traf_len).sum::<usize>();
    let mdat_len = MDAT_HEAD + runs.iter().map(data_len).sum::<usize>();
    let mut b = BytesMut::with_capacity(moof_len + mdat_len);

    b.put_u32(field(moof_len));
    b.put_slice(b"moof");
    b.put_u32(16);
    b.put_slice(b"mfhd");
    b.put_u32(0);
    b.put_u32(sequence);
    let mut data_at = moof_len + MDAT_HEAD;
    for run in runs {
        let flags = run.flags();
        b.put_u32(field(traf_len(run)));
        b.put_slice(b"traf");
        b.put_u32(field(TFHD_LEN));
        b.put_slice(b"tfhd");
        b.put_u32(TFHD_FLAGS);
        b.put_u32(run.track_id);
        b.put_u32(match run.kind {
            Kind::Audio => SYNC,
            Kind::Video => DELTA,
        });
        b.put_u32(field(TFDT_LEN));
        b.put_slice(b"tfdt");
        b.put_u32(1 << 24);
        b.put_u64(run.samples.first().map_or(0, |s| s.dts));
        b.put_u32(field(TRUN_HEAD + entry_len(flags) * run.samples.len()));
        b.put_slice(b"trun");
        b.put_u32(flags);
        b.put_u32(field(run.samples.len()));
        b.put_u32(field(data_at));
        for s in run.samples {
            b.put_u32(s.duration);
            b.put_u32(field(s.data.len()));
            if flags & TRUN_FLAGS != 0 {
                b.put_u32(if s.key { SYNC } else { DELTA });
            }
            if flags & TRUN_CTS != 0 {
                b.put_u32(s.cts);
            }
        }
        data_at += data_len(run);
    }
    b.put_u32(field(mdat_len));
    b.put_slice(b"mdat");
    for run in runs {
        run.samples.iter().for_each(|s| b.put_slice(&s.data));
    }
    b.freeze()
}

/// A fragment as read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fragment {
    pub(super) runs: [Option<Traf>; 2],
    /// Bytes of the `moof`.
    pub(super) moof_len: usize,
    /// Where the next fragment begins.
    pub(super) next: u64,
}

/// One track's part of a [`Fragment`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Traf {
    /// Index of the track.
    pub(super) track: usize,
    /// Decoding time of the first sample.
    pub(super) dts: u64,
    /// Decoding time of the last sample.
    pub(super) last_dts: u64,
    /// Where in the file the first sample's bytes are.
    pub(super) chunk: u64,
    /// Samples; never zero.
    pub(super) count: u32,
    /// The `trun` entries in the buffer that was parsed.
    entries: Range<usize>,
    flags: u32,
}

/// One sample as read back; times in ticks of its track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) dts: u64,
    pub(super) cts: u32,
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) key: bool,
}

impl Traf {
    /// The samples; `buf` is what was parsed.
    pub(super) fn samples<'a>(&self, buf: &'a [u8]) -> impl Iterator<Item = Entry> + use<'a> {
        let (flags, mut dts) = (self.flags, self.dts);
        let entries = buf.get(self.entries.clone()).unwrap_or(&[]);
        entries.chunks_exact(entry_len(flags)).filter_map(move |e| {
            let mut r = Reader(e);
            let (duration, size) = (r.u32()?, r.u32()?);
            let key = flags & TRUN_FLAGS == 0 || r.u32()? & 0x1_0000 == 0;
            let cts = if flags & TRUN_CTS == 0 { 0 } else { r.u32()? };
            let entry = Entry {
                dts,
                cts,
                duration,
                size,
                key,
            };
            dts += u64::from(duration);
            Some(entry)
        })
    }
}

/// What is at a place where a fragment may begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// This many bytes from there are needed to tell.
    More(usize),
    /// A whole fragment.
    Fragment(Fragment),
    /// Something else, or part of one.
    End,
}

/// Looks at the bytes from `at` on; the file ends at `limit`. `buf` may hold less than the file does.
pub(super) fn look(buf: &[u8], at: u64, limit: u64, tracks: usize) -> Look {
    let left = limit.saturating_sub(at);
    let mut r = Reader(buf);
    let (Some(size), Some(kind)) = (r.u32(), r.four_cc()) else {
        return if left < 8 { Look::End } else { Look::More(8) };
    };
    let need = size as usize + MDAT_HEAD;
    if &kind != b"moof" || size > MAX_MOOF || left < need as u64 {
        return Look::End;
    }
    if buf.len() < need {
        return Look::More(need);
    }
    parse(buf, size as usize, at, limit, tracks).map_or(Look::End, Look::Fragment)
}

fn parse(buf: &[u8], moof_len: usize, at: u64, limit: u64, tracks: usize) -> Option<Fragment> {
    let mut mdat = Reader(buf.get(moof_len..)?);
    let mdat_len = u64::from(mdat.u32()?);
    let next = at.checked_add(moof_len as u64)?.checked_add(mdat_len)?;
    (&mdat.four_cc()? == b"mdat" && mdat_len >= MDAT_HEAD as u64 && next <= limit).then_some(())?;

    let whole = buf.get(..moof_len)?;
    let mut r = Reader(whole);
    r.take(8)?;
    (r.body(b"mfhd")?.len() == 8).then_some(())?;
    let mut runs: [Option<Traf>; 2] = [None, None];
    let mut data_at = (moof_len + MDAT_HEAD) as u64;
    for slot in &mut runs {
        if r.0.is_empty() {
            break;
        }
        let traf = r.body(b"traf")?;
        let end = moof_len - r.0.len();
        let (run, bytes) = traf_body(traf, end, at, data_at)?;
        (run.track < tracks).then_some(())?;
        data_at += bytes;
        *slot = Some(run);
    }
    let distinct = match &runs {
        [Some(a), Some(b)] => a.track != b.track,
        [one, _] => one.is_some(),
    };
    (r.0.is_empty() && distinct && data_at == moof_len as u64 + mdat_len).then_some(Fragment {
        runs,
        moof_len,
        next,
    })
}

/// A `traf` that ends at `end` in the buffer and whose samples begin `data_at` bytes behind `at`.
fn traf_body(traf: &[u8], end: usize, at: u64, data_at: u64) -> Option<(Traf, u64)> {
    let mut r = Reader(traf);
    let mut tfhd = Reader(r.body(b"tfhd")?);
    (tfhd.0.len() == TFHD_LEN - 8 && tfhd.u32()? == TFHD_FLAGS).then_some(())?;
    let track = (tfhd.u32()? as usize).checked_sub(1)?;
    let mut tfdt = Reader(r.body(b"tfdt")?);
    (tfdt.0.len() == TFDT_LEN - 8 && tfdt.u32()? == 1 << 24).then_some(())?;
    let dts = tfdt.u64().filter(|t| *t < MAX_DTS)?;
    let mut trun = Reader(r.body(b"trun")?);
    r.0.is_empty().then_some(())?;
    let flags = trun.u32()?;
    let known = TRUN_OFFSET | TRUN_DURATION | TRUN_SIZE | TRUN_FLAGS | TRUN_CTS;
    let always = TRUN_OFFSET | TRUN_DURATION | TRUN_SIZE;
    (flags & !known == 0 && flags & always == always).then_some(())?;
    let count = trun.u32().filter(|n| (1..=field(MAX_RUN)).contains(n))?;
    (u64::from(trun.u32()?) == data_at).then_some(())?;
    (trun.0.len() == entry_len(flags) * count as usize).then_some(())?;
    let mut run = Traf {
        track,
        dts,
        last_dts: dts,
        chunk: at.checked_add(data_at)?,
        count,
        entries: 0..trun.0.len(),
        flags,
    };
    let mut bytes = 0_u64;
    for s in run.samples(trun.0) {
        (s.duration > 0).then_some(())?;
        run.last_dts = s.dts;
        bytes += u64::from(s.size);
    }
    run.entries = end - trun.0.len()..end;
    Some((run, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dts: u64, cts: u32, key: bool, len: usize) -> Pending {
        Pending {
            dts,
            cts,
            duration: 3000,
            key,
            data: Bytes::from(vec![0xab; len]),
        }
    }

    fn fragment() -> Bytes {
        let video = [sample(9000, 0, true, 500), sample(12_000, 6000, false, 7)];
        let audio = [sample(5, 0, true, 20)];
        encode(
            7,
            &[
                Run {
                    track_id: 1,
                    kind: Kind::Video,
                    samples: &video,
                },
                Run {
                    track_id: 2,
                    kind: Kind::Audio,
                    samples: &audio,
                },
            ],
        )
    }

    #[test]
    fn a_fragment_is_read_back_as_it_was_written() {
        let bytes = fragment();
        let Look::Fragment(f) = look(&bytes, 1000, 1000 + bytes.len() as u64, 2) else {
            panic!("not recognised");
        };
        assert_eq!(f.next, 1000 + bytes.len() as u64);
        let [Some(video), Some(audio)] = &f.runs else {
            panic!("two tracks");
        };
        let read: Vec<_> = video.samples(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].dts, read[0].cts, read[0].size, read[0].key),
            (9000, 0, 500, true)
        );
        assert_eq!(
            (read[1].dts, read[1].cts, read[1].size, read[1].key),
            (12_000, 6000, 7, false)
        );
        assert_eq!(video.chunk, 1000 + f.moof_len as u64 + 8);
        assert_eq!(audio.chunk, video.chunk + 507);
        assert!(audio.samples(&bytes).all(|s| s.key && s.size == 20));
    }

    #[test]
    fn a_torn_fragment_is_not_one() {
        let bytes = fragment();
        for cut in 0..bytes.len() {
            let limit = cut as u64;
            let mut have = cut.min(10);
            loop {
                match look(&bytes[..have], 0, limit, 2) {
                    Look::More(n) => {
                        assert!(n > have && n <= cut, "asks for what is there: {n} of {cut}");
                        have = n;
                    }
                    Look::End => break,
                    Look::Fragment(_) => panic!("cut at {cut} taken for whole"),
                }
            }
        }
    }

    #[test]
    fn a_flipped_length_is_noticed() {
        let bytes = fragment();
        let moof_len = bytes.len() - 8 - 527;
        for i in 0..moof_len + 8 {
            let mut bad = bytes.to_vec();
            bad[i] ^= 0x80;
            if let Look::Fragment(f) = look(&bad, 0, bad.len() as u64, 2) {
                assert_eq!(f.next, bad.len() as u64);
            }
        }
    }
}
