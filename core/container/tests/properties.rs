//! Any input, any cut: what is read back is what went in, and no bytes make the repair misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use bytes::Bytes;
use container::mp4::{Audio, Config, Ending, Error, Writer};
use media::{AudioCodec, AudioFormat, Kind, Sample, VideoCodec, VideoFormat};
use proptest::prelude::*;
use std::time::Duration;
use support::{finish, parse, record, repair, sample, write};

fn config() -> Config {
    let mut config = Config::new(
        Some(Audio {
            format: AudioFormat {
                codec: AudioCodec::Aac,
                sample_rate: 48_000,
                channels: 2,
                config: Bytes::from_static(&[0x11, 0x90]),
            },
            priming: Duration::ZERO,
        }),
        Some(VideoFormat {
            codec: VideoCodec::H264,
            width: 640,
            height: 360,
            config: Bytes::from_static(&[1, 66, 0, 31, 255, 0, 0]),
        }),
    );
    config.index_memory = 1024;
    config
}

/// Plausible but irregular: jitter, gaps, reordering, sizes from 1 byte up.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let one = (
        any::<bool>(),
        1_u64..80,
        0_u64..4,
        prop::bool::weighted(0.2),
        1_usize..400,
        prop::bool::weighted(0.02),
    );
    (prop::collection::vec(one, 1..400), 0_u64..5_000).prop_map(|(steps, start)| {
        let (mut clock, mut keyed) = ([start * 1_000_000; 2], false);
        let mut out = Vec::new();
        for (i, (video, ms, reorder, key, len, gap)) in steps.into_iter().enumerate() {
            let kind = if video { Kind::Video } else { Kind::Audio };
            let at = &mut clock[usize::from(video)];
            *at += ms * 1_000_000 + 123_457 + if gap { 7_000_000_000 } else { 0 };
            let keyframe = !video || key || !keyed;
            keyed |= video;
            let pts = *at + if video { reorder * 33_000_000 } else { 0 };
            out.push(sample(kind, pts, *at, keyframe, vec![i as u8; len]));
        }
        out.sort_by_key(|s| s.dts);
        // The first picture after sorting is still the first one made.
        out
    })
}

/// The finished file says what the samples said, to the tick.
fn same(bytes: &[u8], samples: &[Sample]) -> Result<(), TestCaseError> {
    let file = parse::file(bytes);
    let tops: Vec<_> = file.boxes.iter().map(|b| b.0).collect();
    prop_assert_eq!(tops, vec![*b"ftyp", *b"mdat", *b"moov"]);
    let first = |kind| {
        samples
            .iter()
            .filter(move |s: &&Sample| s.kind == kind)
            .map(|s| s.pts)
            .min()
    };
    let origin = samples.iter().map(|s| s.pts).min().unwrap();
    let mut tracks = 0;
    for (kind, handler) in [(Kind::Video, b"vide"), (Kind::Audio, b"soun")] {
        let sent: Vec<_> = samples.iter().filter(|s| s.kind == kind).collect();
        let Some(start) = first(kind) else { continue };
        tracks += 1;
        let track = file.track(handler);
        let scale = u32::try_from(track.timescale).unwrap();
        prop_assert_eq!(track.samples.len(), sent.len());
        let zero = sent[0].dts.in_timescale(scale);
        for (got, want) in track.samples.iter().zip(&sent) {
            prop_assert_eq!(
                &bytes[got.offset as usize..(got.offset + got.size) as usize],
                &want.data[..]
            );
            prop_assert_eq!(got.dts + zero, want.dts.in_timescale(scale));
            prop_assert_eq!(got.pts + zero, want.pts.in_timescale(scale));
            prop_assert_eq!(got.key, want.keyframe);
        }
        let length: u64 = track.samples.iter().map(|s| s.duration).sum();
        prop_assert_eq!(track.media_duration, length);
        let delay = start.since(origin).as_nanos() as f64;
        prop_assert!((track.start(&file) - delay).abs() < 1e9 / f64::from(scale) + 1e9 / 90_000.0);
        let media_time = track
            .edits
            .iter()
            .map(|e| e.1)
            .find(|t| *t >= 0)
            .unwrap_or(0);
        prop_assert_eq!(media_time as u64, start.in_timescale(scale) - zero);
        let edits: u64 = track.edits.iter().map(|e| e.0).sum();
        prop_assert!(track.edits.is_empty() || edits == track.duration);
        prop_assert!(track.duration <= file.duration);
    }
    prop_assert_eq!(file.tracks.len(), tracks);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_finished_file_holds_what_went_in(samples in samples(), bytes in 500_usize..20_000, ms in 10_u64..2_000) {
        let mut config = config();
        (config.max_fragment_bytes, config.fragment) = (bytes, Duration::from_millis(ms));
        let (disk, summary) = write(&config, &samples);
        same(&disk.bytes, &samples)?;
        prop_assert_eq!(summary.size, disk.bytes.len() as u64);
        let parsed = parse::file(&disk.bytes);
        prop_assert!((summary.duration.as_secs_f64() - parsed.duration as f64 / 90_000.0).abs() < 1e-6);
        prop_assert!(disk.largest_write <= 1024 || disk.ops.len() <= 2 || disk.largest_write <= bytes + 4096);
    }

    #[test]
    fn any_prefix_is_repaired_to_what_its_whole_fragments_held(samples in samples(), cut in 0.0_f64..1.0) {
        let (disk, mut walk) = record(&config(), &samples);
        let mut finished = disk.clone();
        finish(&mut finished, &mut walk).unwrap();
        // Cut the bytes as they were before the last operation, which overwrites the hole.
        let bytes = finished.after(finished.ops.len() - 1);
        let cut = (bytes.len() as f64 * cut) as usize;
        let appends = finished.ops.iter().map(|op| match op { support::Op::Append(b) => b.len(), support::Op::At(..) | support::Op::Truncate(_) => 0 });
        let mut ends: Vec<usize> = appends.scan(0, |at, n| { *at += n; Some(*at) }).collect();
        let header = ends.remove(0);
        match repair(&bytes[..cut]) {
            Err(error) => {
                prop_assert_eq!(error, Error::NothingRecorded);
                prop_assert!(cut < ends[0]);
            }
            Ok((repaired, summary)) => {
                prop_assert!(cut >= header);
                let kept: usize = summary.tracks.iter().map(|t| t.samples as usize).sum();
                // Fragments interleave two tracks, so what was kept is a prefix of each, not of the whole.
                let mut left: std::collections::BTreeMap<Kind, usize> =
                    summary.tracks.iter().map(|t| (t.kind, t.samples as usize)).collect();
                let prefix: Vec<Sample> = samples.iter().filter(|s| match left.get_mut(&s.kind) {
                    Some(n) if *n > 0 => { *n -= 1; true }
                    Some(_) | None => false,
                }).cloned().collect();
                prop_assert_eq!(prefix.len(), kept);
                same(&repaired, &prefix)?;
                let (again, untouched) = repair(&repaired).unwrap();
                prop_assert_eq!(again, repaired);
                prop_assert_eq!(untouched.ending, Ending::Untouched);
                prop_assert_eq!(untouched.duration, summary.duration);
                prop_assert_eq!(untouched.tracks, summary.tracks);
            }
        }
    }

    #[test]
    fn killed_while_repairing_is_repaired_as_well(samples in samples(), cut in 0.3_f64..1.0, kill in 0.0_f64..1.0) {
        let (disk, _) = record(&config(), &samples);
        let torn = &disk.bytes[..(disk.bytes.len() as f64 * cut) as usize];
        if let Ok((whole, _)) = repair(torn) {
            let mut first = support::Disk::holding(torn);
            finish(&mut first, &mut container::mp4::Repair::new(torn.len() as u64).index_memory(1024)).unwrap();
            let mut killed = support::Disk::holding(torn);
            let n = (first.ops.len() as f64 * kill) as usize;
            first.ops[..n].iter().for_each(|op| killed.apply(op.clone()));
            prop_assert_eq!(repair(&killed.bytes).unwrap().0, whole);
        }
    }

    #[test]
    fn flipped_bytes_never_panic_and_what_comes_out_parses(samples in samples(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), finished in any::<bool>()) {
        let (mut disk, mut walk) = record(&config(), &samples);
        if finished {
            finish(&mut disk, &mut walk).unwrap();
        }
        let mut bytes = disk.bytes;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok((repaired, summary)) = repair(&bytes) && summary.ending != Ending::Untouched {
            parse::file(&repaired);
        }
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(matches!(repair(&noise), Err(Error::Foreign(_) | Error::NothingRecorded)));
    }

    #[test]
    fn hostile_times_neither_panic_nor_break_the_file(steps in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u64>(), any::<bool>(), 0_usize..50, any::<bool>()), 1..60)) {
        let samples: Vec<_> = steps.into_iter().map(|(video, pts, dts, key, len, near)| {
            let shift = if near { 34 } else { 0 };
            sample(if video { Kind::Video } else { Kind::Audio }, pts >> shift, dts >> shift, key, vec![1; len])
        }).collect();
        let mut writer = Writer::new(config()).unwrap();
        let mut disk = support::Disk::default();
        for s in &samples {
            writer.push(s.clone()).unwrap();
        }
        let taken = writer.counts(Kind::Video).taken + writer.counts(Kind::Audio).taken;
        match finish(&mut disk, &mut writer.finish()) {
            Ok(_) => {
                let held: usize = parse::file(&disk.bytes).tracks.iter().map(|t| t.samples.len()).sum();
                prop_assert_eq!(held as u64, taken);
            }
            Err(error) => {
                prop_assert_eq!(error, Error::NothingRecorded);
                prop_assert_eq!(taken, 0);
            }
        }
    }
}
