//! The part of a file before its first fragment: written by the writer, read back by the repair.
//!
//! ```text
//! ftyp | free(16) or mdat(64-bit) | moov( mvhd  trak…(tkhd [edts] mdia(mdhd hdlr minf(… stbl(stsd, empty)))) mvex )
//! ```
//!
//! Everything the final `moov` needs beyond the samples is in here, so a torn file can be finished by itself.

use super::boxes::{Builder, FourCc, Reader, child};
use super::config::{Audio, Config, Error};
use super::entry;
use media::{AudioCodec, Kind, VideoFormat};

/// Ticks per second of `mvhd`, `tkhd` and edit durations; equal to the video clock.
pub(super) const MOVIE_TIMESCALE: u32 = 90_000;
/// Seconds from 1904, the epoch of the format, to 1970.
const EPOCH: u64 = 2_082_844_800;
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// Length of the box that becomes the header of the file's `mdat`.
pub(super) const HOLE: u64 = 16;

/// What holds for the whole file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Movie {
    /// Seconds since 1904; zero if unknown.
    pub(super) created: u64,
    /// Track `n` has the id `n + 1`. One or two, of different kinds.
    pub(super) tracks: Vec<Track>,
}

/// What holds for a whole track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Track {
    pub(super) kind: Kind,
    /// Ticks per second. Never zero.
    pub(super) timescale: u32,
    /// The `stsd` box, header included.
    pub(super) stsd: Vec<u8>,
    /// Pixels; zero for sound.
    pub(super) width: u16,
    /// Pixels; zero for sound.
    pub(super) height: u16,
    /// Ticks to skip at the start of the decoded stream.
    pub(super) priming: u32,
}

impl Movie {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let mut tracks = Vec::with_capacity(2);
        if let Some(format) = &config.video {
            tracks.push(Track::video(format)?);
        }
        if let Some(audio) = &config.audio {
            tracks.push(Track::audio(audio)?);
        }
        if tracks.is_empty() {
            return Err(Error::NoTracks);
        }
        Ok(Self {
            created: config.created.map_or(0, |s| s.saturating_add(EPOCH)),
            tracks,
        })
    }

    /// Everything before the first fragment, and where in it the 16-byte hole is.
    pub(super) fn header(&self) -> (Vec<u8>, u64) {
        let mut b: Builder<()> = Builder::new();
        b.nest(b"ftyp", |b| {
            b.bytes(b"isom");
            b.u32(0x200);
            b.bytes(b"isomiso6mp42mp41");
        });
        let hole = b.len();
        b.bytes(&free());
        b.nest(b"moov", |b| {
            mvhd(b, self, 0);
            for (i, track) in self.tracks.iter().enumerate() {
                trak(b, i, self.created, track);
            }
            b.nest(b"mvex", |b| {
                for (i, _) in self.tracks.iter().enumerate() {
                    b.full(b"trex", 0, 0, |b| {
                        b.u32(track_id(i));
                        b.u32(1); // sample description
                        b.zeros(12);
                    });
                }
            });
        });
        (b.into_parts().0, hole)
    }
}

impl Track {
    fn video(format: &VideoFormat) -> Result<Self, Error> {
        Ok(Self {
            kind: Kind::Video,
            timescale: 90_000,
            stsd: entry::video(format)?,
            width: u16::try_from(format.width).unwrap_or(u16::MAX),
            height: u16::try_from(format.height).unwrap_or(u16::MAX),
            priming: 0,
        })
    }

    fn audio(audio: &Audio) -> Result<Self, Error> {
        let stsd = entry::audio(&audio.format)?;
        let timescale = match audio.format.codec {
            AudioCodec::Opus => 48_000,
            AudioCodec::Aac | AudioCodec::Mp3 | AudioCodec::Pcm => audio.format.sample_rate,
        };
        let priming =
            (audio.priming.as_nanos() * u128::from(timescale) + 500_000_000) / 1_000_000_000;
        Ok(Self {
            kind: Kind::Audio,
            timescale,
            stsd,
            width: 0,
            height: 0,
            priming: u32::try_from(priming)
                .map_err(|_too_long| Error::Format("priming is longer than a day"))?,
        })
    }

    /// The four characters of the sample entry.
    pub(super) fn entry(&self) -> Option<&[u8]> {
        self.stsd.get(20..24)
    }
}

/// The id of a track.
pub(super) fn track_id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

/// The hole as it is while recording.
pub(super) fn free() -> [u8; 16] {
    let mut h = [0; 16];
    h[3] = 16;
    h[4..8].copy_from_slice(b"free");
    h
}

/// The hole as it is once the file is finished: the header of everything up to the final `moov`.
pub(super) fn mdat(len: u64) -> [u8; 16] {
    let mut h = [0; 16];
    h[3] = 1;
    h[4..8].copy_from_slice(b"mdat");
    h[8..].copy_from_slice(&len.to_be_bytes());
    h
}

pub(super) fn mvhd<T>(b: &mut Builder<T>, movie: &Movie, duration: u64) {
    b.full(b"mvhd", 1, 0, |b| {
        b.u64(movie.created);
        b.u64(movie.created);
        b.u32(MOVIE_TIMESCALE);
        b.u64(duration);
        b.u32(0x1_0000); // rate
        b.u16(0x100); // volume
        b.zeros(10);
        MATRIX.iter().for_each(|v| b.u32(*v));
        b.zeros(24);
        b.u32(track_id(movie.tracks.len()));
    });
}

pub(super) fn tkhd<T>(
    b: &mut Builder<T>,
    index: usize,
    created: u64,
    track: &Track,
    duration: u64,
) {
    b.full(b"tkhd", 1, 3, |b| {
        b.u64(created);
        b.u64(created);
        b.u32(track_id(index));
        b.u32(0);
        b.u64(duration);
        b.zeros(8);
        b.u16(0); // layer
        b.u16(0); // alternate group
        b.u16(match track.kind {
            Kind::Audio => 0x100,
            Kind::Video => 0,
        });
        b.u16(0);
        MATRIX.iter().for_each(|v| b.u32(*v));
        b.u32(u32::from(track.width) << 16);
        b.u32(u32::from(track.height) << 16);
    });
}

/// One edit list: (duration in movie ticks, media time in track ticks or −1 for an empty stretch).
pub(super) fn edts<T>(b: &mut Builder<T>, edits: &[(u64, i64)]) {
    b.nest(b"edts", |b| {
        b.full(b"elst", 1, 0, |b| {
            b.u32(u32::try_from(edits.len()).unwrap_or(0));
            for (duration, media_time) in edits {
                b.u64(*duration);
                b.bytes(&media_time.to_be_bytes());
                b.u32(0x1_0000); // rate
            }
        });
    });
}

/// `mdia` with `stbl` as the caller fills it (after `stsd`).
pub(super) fn mdia<T>(
    b: &mut Builder<T>,
    created: u64,
    track: &Track,
    duration: u64,
    stbl: impl FnOnce(&mut Builder<T>),
) {
    b.nest(b"mdia", |b| {
        b.full(b"mdhd", 1, 0, |b| {
            b.u64(created);
            b.u64(created);
            b.u32(track.timescale);
            b.u64(duration);
            b.u16(0x55c4); // und
            b.u16(0);
        });
        let (handler, name): (&FourCc, &[u8]) = match track.kind {
            Kind::Audio => (b"soun", b"SoundHandler\0"),
            Kind::Video => (b"vide", b"VideoHandler\0"),
        };
        b.full(b"hdlr", 0, 0, |b| {
            b.u32(0);
            b.bytes(handler);
            b.zeros(12);
            b.bytes(name);
        });
        b.nest(b"minf", |b| {
            match track.kind {
                Kind::Audio => b.full(b"smhd", 0, 0, |b| b.u32(0)),
                Kind::Video => b.full(b"vmhd", 0, 1, |b| b.zeros(8)),
            }
            b.nest(b"dinf", |b| {
                b.full(b"dref", 0, 0, |b| {
                    b.u32(1);
                    b.full(b"url ", 0, 1, |_| {});
                });
            });
            b.nest(b"stbl", |b| {
                b.bytes(&track.stsd);
                stbl(b);
            });
        });
    });
}

fn trak(b: &mut Builder<()>, index: usize, created: u64, track: &Track) {
    b.nest(b"trak", |b| {
        tkhd(b, index, created, track, 0);
        if track.priming > 0 {
            edts(b, &[(0, i64::from(track.priming))]);
        }
        mdia(b, created, track, 0, |b| {
            for table in [b"stts", b"stsc", b"stco"] {
                b.full(table, 0, 0, |b| b.u32(0));
            }
            b.full(b"stsz", 0, 0, |b| b.u64(0));
        });
    });
}

/// What the first bytes of a file say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) movie: Movie,
    /// Where the 16-byte hole is.
    pub(super) hole: u64,
    /// Where the `mdat` that the hole has become ends; `None` while it is still `free`.
    pub(super) finished: Option<u64>,
    /// Where the first fragment begins.
    pub(super) fragments: u64,
}

/// Reads the first bytes ([`HEAD`](super::config::HEAD) or the whole file) of a file of ours.
pub(super) fn parse(head: &[u8]) -> Result<Head, Error> {
    let mut r = Reader(head);
    let consumed = |r: &Reader<'_>| (head.len() - r.0.len()) as u64;
    expect(&mut r, b"ftyp", "no ftyp")?;
    let hole = consumed(&r);
    let mut h = Reader(r.take(16).ok_or(Error::NothingRecorded)?);
    let finished = match (h.u32(), h.four_cc(), h.u64()) {
        (Some(16), Some(kind), Some(0)) if &kind == b"free" => None,
        (Some(1), Some(kind), Some(len)) if &kind == b"mdat" => Some(hole.saturating_add(len)),
        _ => return Err(Error::Foreign("no room for an mdat header behind ftyp")),
    };
    let moov = expect(&mut r, b"moov", "no moov behind the first 16 bytes")?;
    let movie = movie(moov).ok_or(Error::Foreign("moov is not of our making"))?;
    Ok(Head {
        movie,
        hole,
        finished,
        fragments: consumed(&r),
    })
}

/// The box that must come next. A file that ends inside it was torn before anything was recorded.
fn expect<'a>(
    r: &mut Reader<'a>,
    kind: &FourCc,
    otherwise: &'static str,
) -> Result<&'a [u8], Error> {
    if let Some(body) = r.body(kind) {
        return Ok(body);
    }
    let mut ahead = *r;
    match (ahead.u32(), ahead.four_cc()) {
        (None, _) | (_, None) => Err(Error::NothingRecorded),
        (Some(size), Some(found))
            if &found == kind && (8..=super::config::HEAD).contains(&size.into()) =>
        {
            Err(Error::NothingRecorded)
        }
        (Some(_), Some(_)) => Err(Error::Foreign(otherwise)),
    }
}

fn movie(moov: &[u8]) -> Option<Movie> {
    let mut mvhd = Reader(child(moov, b"mvhd")?);
    (mvhd.u32()? == 1 << 24).then_some(())?;
    let created = mvhd.u64()?;
    child(moov, b"mvex")?;
    let mut tracks: Vec<Track> = Vec::with_capacity(2);
    let mut r = Reader(moov);
    while let Some((kind, body)) = r.next_box() {
        if &kind == b"trak" {
            let track = track(body, tracks.len())?;
            if tracks.len() == 2 || tracks.iter().any(|t| t.kind == track.kind) {
                return None;
            }
            tracks.push(track);
        }
    }
    (!tracks.is_empty()).then_some(Movie { created, tracks })
}

fn track(trak: &[u8], index: usize) -> Option<Track> {
    let mut tkhd = Reader(child(trak, b"tkhd")?);
    (tkhd.u32()? >> 24 == 1).then_some(())?;
    tkhd.take(16)?;
    (tkhd.u32()? == track_id(index)).then_some(())?;
    tkhd.take(4 + 8 + 8 + 8 + 36)?;
    let (width, height) = (tkhd.u32()? >> 16, tkhd.u32()? >> 16);
    let priming = match child(trak, b"edts").and_then(|e| child(e, b"elst")) {
        None => 0,
        Some(elst) => {
            let mut r = Reader(elst);
            r.take(16)?;
            u32::try_from(r.u64()?).ok()?
        }
    };
    let mdia = child(trak, b"mdia")?;
    let mut mdhd = Reader(child(mdia, b"mdhd")?);
    (mdhd.u32()? == 1 << 24).then_some(())?;
    mdhd.take(16)?;
    let timescale = mdhd.u32().filter(|t| (1..=192_000).contains(t))?;
    let mut hdlr = Reader(child(mdia, b"hdlr")?);
    hdlr.take(8)?;
    let kind = match &hdlr.four_cc()? {
        b"vide" => Kind::Video,
        b"soun" => Kind::Audio,
        _ => return None,
    };
    let stbl = child(child(mdia, b"minf")?, b"stbl")?;
    let body = child(stbl, b"stsd")?;
    let mut stsd = u32::try_from(body.len() + 8).ok()?.to_be_bytes().to_vec();
    stsd.extend(b"stsd");
    stsd.extend(body);
    (stsd.len() >= 24).then_some(())?;
    Some(Track {
        kind,
        timescale,
        stsd,
        width: u16::try_from(width).ok()?,
        height: u16::try_from(height).ok()?,
        priming,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{AudioFormat, VideoCodec};
    use std::time::Duration;

    fn movie() -> Movie {
        let mut config = Config::new(
            Some(Audio {
                format: AudioFormat {
                    codec: AudioCodec::Aac,
                    sample_rate: 44_100,
                    channels: 2,
                    config: Bytes::from_static(&[0x12, 0x10]),
                },
                priming: Duration::from_nanos(23_219_955), // 1024 samples
            }),
            Some(VideoFormat {
                codec: VideoCodec::H264,
                width: 1280,
                height: 720,
                config: Bytes::from_static(&[1, 66, 0, 31, 255, 225, 0]),
            }),
        );
        config.created = Some(1_700_000_000);
        Movie::new(&config).unwrap()
    }

    #[test]
    fn the_header_is_read_back_whole() {
        let movie = movie();
        let (bytes, hole) = movie.header();
        let head = parse(&bytes).unwrap();
        assert_eq!(head.movie, movie);
        assert_eq!(head.hole, hole);
        assert_eq!(head.fragments, bytes.len() as u64);
        assert_eq!(head.finished, None);
        assert_eq!(head.movie.tracks[1].priming, 1024);
        let mut finished = bytes.clone();
        finished[hole as usize..hole as usize + 16].copy_from_slice(&mdat(5000));
        assert_eq!(parse(&finished).unwrap().finished, Some(hole + 5000));
    }

    #[test]
    fn a_header_cut_anywhere_holds_no_recording_and_is_not_called_foreign() {
        let (bytes, _) = movie().header();
        for cut in 0..bytes.len() {
            assert_eq!(
                parse(&bytes[..cut]),
                Err(Error::NothingRecorded),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn other_files_are_foreign() {
        let foreign = |b: &[u8]| matches!(parse(b), Err(Error::Foreign(_)));
        assert!(foreign(b"OggS\0\0\0\0\0\0\0\0 not an mp4 file at all"));
        let mut progressive = movie().header().0[..32].to_vec();
        progressive.extend(b"\0\0\0\x08free\0\0\x10\0mdat.........");
        assert!(foreign(&progressive));
    }
}
