//! A second reader of finished MP4 files, sharing nothing with the writer: it knows only the standard.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// Ticks from the start of the track.
    pub(crate) dts: u64,
    pub(crate) pts: u64,
    pub(crate) duration: u64,
    pub(crate) key: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) handler: [u8; 4],
    pub(crate) timescale: u64,
    pub(crate) entry: [u8; 4],
    /// The `stsd` body.
    pub(crate) stsd: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) media_duration: u64,
    /// Movie ticks.
    pub(crate) duration: u64,
    /// (movie ticks, media time)
    pub(crate) edits: Vec<(u64, i64)>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) boxes: Vec<([u8; 4], u64, u64)>,
    pub(crate) timescale: u64,
    pub(crate) duration: u64,
    pub(crate) created: u64,
    pub(crate) tracks: Vec<Track>,
}

fn u32_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32::from_be_bytes(b[at..at + 4].try_into().unwrap()))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(b[at..at + 8].try_into().unwrap())
}

fn boxes(b: &[u8]) -> Vec<([u8; 4], usize, usize)> {
    let (mut at, mut out) = (0, Vec::new());
    while at < b.len() {
        assert!(b.len() - at >= 8, "stray bytes at {at} of {}", b.len());
        let kind: [u8; 4] = b[at + 4..at + 8].try_into().unwrap();
        let (head, size) = match u32_at(b, at) {
            1 => (16, u64_at(b, at + 8) as usize),
            n => (8, n as usize),
        };
        assert!(
            size >= head && at + size <= b.len(),
            "{kind:?} at {at} of size {size}"
        );
        out.push((kind, at + head, at + size));
        at += size;
    }
    out
}

fn kids(b: &[u8]) -> BTreeMap<[u8; 4], &[u8]> {
    boxes(b)
        .into_iter()
        .map(|(k, s, e)| (k, &b[s..e]))
        .collect()
}

/// Times of a full box whose version decides their width: the numbers after creation and modification.
fn versioned(b: &[u8], short: &[usize], long: &[(usize, usize)]) -> Vec<u64> {
    match b[0] {
        0 => short.iter().map(|at| u32_at(b, *at)).collect(),
        _ => long
            .iter()
            .map(|(at, w)| {
                if *w == 8 {
                    u64_at(b, *at)
                } else {
                    u32_at(b, *at)
                }
            })
            .collect(),
    }
}

pub(crate) fn file(bytes: &[u8]) -> File {
    let top = boxes(bytes);
    let (_, s, e) = top.iter().find(|(k, _, _)| k == b"moov").expect("a moov");
    let moov = &bytes[*s..*e];
    let mvhd = kids(moov)[b"mvhd"];
    let head = versioned(mvhd, &[4, 12, 16], &[(4, 8), (20, 4), (24, 8)]);
    let tracks = boxes(moov)
        .into_iter()
        .filter(|(k, _, _)| k == b"trak")
        .map(|(_, s, e)| track(&moov[s..e]))
        .collect();
    File {
        boxes: top
            .iter()
            .map(|(k, s, e)| (*k, *s as u64, *e as u64))
            .collect(),
        created: head[0],
        timescale: head[1],
        duration: head[2],
        tracks,
    }
}

fn track(trak: &[u8]) -> Track {
    let trak = kids(trak);
    let tkhd = trak[b"tkhd"];
    let duration = versioned(tkhd, &[20], &[(28, 8)])[0];
    let size_at = tkhd.len() - 8;
    let edits = trak.get(b"edts").map_or(Vec::new(), |edts| {
        let elst = kids(edts)[b"elst"];
        (0..u32_at(elst, 4) as usize)
            .map(|i| match elst[0] {
                0 => (
                    u32_at(elst, 8 + 12 * i),
                    u32_at(elst, 12 + 12 * i) as u32 as i32 as i64,
                ),
                _ => (u64_at(elst, 8 + 20 * i), u64_at(elst, 16 + 20 * i) as i64),
            })
            .collect()
    });
    let mdia = kids(trak[b"mdia"]);
    let mdhd = versioned(mdia[b"mdhd"], &[12, 16], &[(20, 4), (24, 8)]);
    let stbl = kids(kids(mdia[b"minf"])[b"stbl"]);
    Track {
        handler: mdia[b"hdlr"][8..12].try_into().unwrap(),
        timescale: mdhd[0],
        media_duration: mdhd[1],
        entry: stbl[b"stsd"][12..16].try_into().unwrap(),
        stsd: stbl[b"stsd"].to_vec(),
        width: (u32_at(tkhd, size_at) >> 16) as u32,
        height: (u32_at(tkhd, size_at + 4) >> 16) as u32,
        duration,
        edits,
        samples: samples(&stbl),
    }
}

fn runs(table: Option<&&[u8]>) -> Vec<u64> {
    table.map_or(Vec::new(), |t| {
        let entries = u32_at(t, 4) as usize;
        assert_eq!(t.len(), 8 + 8 * entries);
        (0..entries)
            .flat_map(|i| {
                let n = u32_at(t, 8 + 8 * i) as usize;
                assert!(n > 0);
                std::iter::repeat_n(u32_at(t, 12 + 8 * i), n)
            })
            .collect()
    })
}

fn samples(stbl: &BTreeMap<[u8; 4], &[u8]>) -> Vec<Sample> {
    let stsz = stbl[b"stsz"];
    let count = u32_at(stsz, 8) as usize;
    let fixed = u32_at(stsz, 4);
    let size = |i: usize| {
        if fixed > 0 {
            fixed
        } else {
            u32_at(stsz, 12 + 4 * i)
        }
    };
    let durations = runs(stbl.get(b"stts"));
    assert_eq!(durations.len(), count, "stts covers every sample");
    let offsets = runs(stbl.get(b"ctts"));
    assert!(offsets.is_empty() || offsets.len() == count);
    let keys: Option<Vec<u64>> = stbl.get(b"stss").map(|t| {
        let n = u32_at(t, 4) as usize;
        (0..n).map(|i| u32_at(t, 8 + 4 * i)).collect()
    });
    let chunks: Vec<u64> = match (stbl.get(b"co64"), stbl.get(b"stco")) {
        (Some(t), _) => (0..u32_at(t, 4) as usize)
            .map(|i| u64_at(t, 8 + 8 * i))
            .collect(),
        (None, Some(t)) => (0..u32_at(t, 4) as usize)
            .map(|i| u32_at(t, 8 + 4 * i))
            .collect(),
        (None, None) => panic!("no chunk offsets"),
    };
    let stsc = stbl[b"stsc"];
    let spans: Vec<(u64, u64)> = (0..u32_at(stsc, 4) as usize)
        .map(|i| (u32_at(stsc, 8 + 12 * i), u32_at(stsc, 12 + 12 * i)))
        .collect();
    let (mut out, mut dts) = (Vec::with_capacity(count), 0);
    for (c, chunk) in chunks.iter().enumerate() {
        let per = spans
            .iter()
            .rev()
            .find(|(first, _)| *first <= c as u64 + 1)
            .unwrap()
            .1;
        let mut offset = *chunk;
        for _ in 0..per {
            let i = out.len();
            out.push(Sample {
                offset,
                size: size(i),
                dts,
                pts: dts + offsets.get(i).copied().unwrap_or(0),
                duration: durations[i],
                key: keys
                    .as_ref()
                    .is_none_or(|k| k.binary_search(&(i as u64 + 1)).is_ok()),
            });
            offset += size(i);
            dts += durations[i];
        }
    }
    assert_eq!(out.len(), count, "stsc covers every sample");
    out
}

impl File {
    pub(crate) fn track(&self, handler: &[u8; 4]) -> &Track {
        self.tracks
            .iter()
            .find(|t| &t.handler == handler)
            .expect("the track")
    }
}

impl Track {
    /// When the first sample is presented, in nanoseconds of the movie, its priming skipped.
    pub(crate) fn start(&self, file: &File) -> f64 {
        let empty: u64 = self.edits.iter().filter(|e| e.1 < 0).map(|e| e.0).sum();
        empty as f64 * 1e9 / file.timescale as f64
    }

    /// The codec configuration: the body of this box in the sample entry.
    pub(crate) fn config(&self, kind: &[u8; 4]) -> Vec<u8> {
        let at = self
            .stsd
            .windows(4)
            .position(|w| w == kind)
            .expect("the configuration");
        let size = u32_at(&self.stsd, at - 4) as usize;
        self.stsd[at + 4..at - 4 + size].to_vec()
    }
}
