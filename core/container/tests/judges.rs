//! What ffmpeg, qtdemux and a third reader say about real media: finished, torn at every block, repaired.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use container::mp4::{Audio, Config, Ending, Error};
use media::{Kind, MediaTime};
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};
use std::time::Duration;
use support::judge::{self, Media, decodes, h264_aac, pictures, qtdemux_accepts, tone};
use support::{Disk, finish, parse, record, repair, write};

/// Small windows, so that the index takes several appends.
fn config(media: &Media) -> Config {
    let mut config = media.config();
    config.index_memory = 1024;
    config
}

fn count(media: &Media, kind: Kind) -> usize {
    media.samples.iter().filter(|s| s.kind == kind).count()
}

/// Every judge takes the file and sees what went in.
#[track_caller]
fn approved(bytes: &[u8], media: &Media) {
    decodes(bytes);
    let mut pads = Vec::new();
    for (kind, stream, pad) in [(Kind::Video, "v", "video_0"), (Kind::Audio, "a", "audio_0")] {
        let n = count(media, kind);
        assert_eq!(judge::packet_times(bytes, stream).len(), n, "{kind:?}");
        if n > 0 {
            pads.push(pad);
        }
    }
    qtdemux_accepts(bytes, &pads);
    third_reader(bytes, media);
}

fn third_reader(bytes: &[u8], media: &Media) {
    let mut demuxer = Mp4FileDemuxer::new();
    while let Some(wanted) = demuxer.required_input() {
        let from = wanted.position as usize;
        let to = wanted
            .size
            .map_or(bytes.len(), |n| (from + n).min(bytes.len()));
        demuxer.handle_input(Input {
            position: wanted.position,
            data: &bytes[from..to],
        });
    }
    assert_eq!(
        demuxer.tracks().unwrap().len(),
        usize::from(media.audio.is_some()) + usize::from(media.video.is_some())
    );
    let mut seen = 0;
    while let Some(sample) = demuxer.next_sample().unwrap() {
        assert!(sample.data_offset as usize + sample.data_size <= bytes.len());
        seen += 1;
    }
    assert_eq!(seen, media.samples.len());
}

#[test]
fn h264_and_aac_satisfy_every_judge() {
    let media = h264_aac(6);
    let (disk, summary) = write(&config(&media), &media.samples);
    approved(&disk.bytes, &media);
    assert_eq!(summary.ending, Ending::Finished { cut: 0 });
    assert!((judge::duration(&disk.bytes) - summary.duration.as_secs_f64()).abs() < 0.002);
    assert!(
        (summary.duration.as_secs_f64() - 6.0).abs() < 0.05,
        "{summary:?}"
    );
    let kinds: Vec<_> = parse::file(&disk.bytes).boxes.iter().map(|b| b.0).collect();
    assert_eq!(kinds, [*b"ftyp", *b"mdat", *b"moov"]);
}

#[test]
fn every_codec_satisfies_every_judge() {
    let cases = [
        (
            "H.264 with B-frames",
            pictures(
                3,
                &[
                    "-c:v", "libx264", "-preset", "fast", "-bf", "3", "-g", "45", "-threads", "1",
                ],
            ),
        ),
        (
            "H.265",
            pictures(
                2,
                &[
                    "-c:v",
                    "libx265",
                    "-preset",
                    "ultrafast",
                    "-tag:v",
                    "hvc1",
                    "-x265-params",
                    "log-level=error:pools=1",
                ],
            ),
        ),
        (
            "AV1",
            pictures(
                1,
                &["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"],
            ),
        ),
        (
            "VP9",
            pictures(
                2,
                &[
                    "-c:v",
                    "libvpx-vp9",
                    "-deadline",
                    "realtime",
                    "-cpu-used",
                    "8",
                ],
            ),
        ),
        ("AAC", tone(3, &["-c:a", "aac"])),
        ("Opus", tone(3, &["-c:a", "libopus"])),
    ];
    for (name, media) in cases {
        let (disk, summary) = write(&config(&media), &media.samples);
        assert_eq!(summary.tracks.len(), 1, "{name}");
        approved(&disk.bytes, &media);
        let mut torn = disk.after(disk.ops.len() - 1);
        torn.pop();
        let (again, summary) = repair(&torn).unwrap();
        assert_eq!(again, disk.bytes, "{name}: {summary:?}");
    }
}

#[test]
fn a_seek_lands_where_it_should() {
    let media = h264_aac(6);
    let (disk, _) = write(&config(&media), &media.samples);
    for at in ["0.5", "2.7", "5.1"] {
        judge::complaints(&disk.bytes, &["-ss", at], &[]).unwrap();
    }
    let args = [
        "-read_intervals",
        "3.5%+#1",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
    ];
    assert_eq!(
        judge::probe(&disk.bytes, &args)[0].trim_end_matches(','),
        "3.000000"
    );
}

#[test]
fn killed_at_any_operation_the_file_plays_and_the_repair_makes_it_whole() {
    let media = h264_aac(5);
    let (recorded, mut walk) = record(&config(&media), &media.samples);
    let mut disk = recorded.clone();
    finish(&mut disk, &mut walk).unwrap();
    assert!(
        disk.ops.len() > recorded.ops.len() + 3,
        "the index takes several appends"
    );
    let mut before = 0;
    for n in 2..=disk.ops.len() {
        let bytes = disk.after(n);
        let whole_index = n + 1 >= disk.ops.len();
        if n <= recorded.ops.len() || whole_index {
            decodes(&bytes);
            qtdemux_accepts(&bytes, &["video_0", "audio_0"]);
        } else {
            // A torn index behind the last fragment: players may mention it, but play everything.
            let times = judge::packet_times(&bytes, "v");
            assert!(times.len() >= before, "{n}: {} of {before}", times.len());
        }
        before = before.max(judge::packet_times(&bytes, "v").len());
        let (repaired, summary) = repair(&bytes).unwrap();
        decodes(&repaired);
        if n > recorded.ops.len() {
            assert_eq!(repaired, disk.bytes, "after operation {n}: {summary:?}");
        }
        assert_eq!(repair(&repaired).unwrap().1.ending, Ending::Untouched);
    }
    assert_eq!(before, count(&media, Kind::Video));
}

#[test]
fn torn_at_any_byte_the_repair_loses_at_most_one_fragment() {
    let media = h264_aac(5);
    let (disk, _) = record(&config(&media), &media.samples);
    let mut ends: Vec<usize> = (1..=disk.ops.len()).map(|n| disk.after(n).len()).collect();
    let header = ends.remove(0);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..24 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let cut = header + (seed >> 33) as usize % (disk.bytes.len() - header);
        let whole = ends.iter().filter(|e| **e <= cut).count();
        let torn = &disk.bytes[..cut];
        if whole == 0 {
            assert_eq!(repair(torn).unwrap_err(), Error::NothingRecorded);
            continue;
        }
        let (repaired, summary) = repair(torn).unwrap();
        assert_eq!(summary.fragments as usize, whole, "cut at {cut}");
        assert_eq!(
            summary.ending,
            Ending::Finished {
                cut: (cut - ends[whole - 1]) as u64
            }
        );
        decodes(&repaired);
        qtdemux_accepts(&repaired, &["video_0", "audio_0"]);
        assert!(judge::duration(&repaired) > whole as f64 - 0.2);
        let mut again = Disk::holding(&repaired);
        let untouched = finish(
            &mut again,
            &mut container::mp4::Repair::new(repaired.len() as u64),
        )
        .unwrap();
        assert_eq!(untouched.duration, summary.duration);
    }
}

#[test]
fn tracks_that_begin_apart_stay_apart() {
    let mut media = h264_aac(4);
    for s in &mut media.samples {
        let late = Duration::from_millis(if s.kind == Kind::Video { 2500 } else { 1750 });
        (s.pts, s.dts) = (s.pts.plus(late), s.dts.plus(late));
    }
    media.samples.sort_by_key(|s| s.dts);
    let (disk, summary) = write(&config(&media), &media.samples);
    approved(&disk.bytes, &media);
    assert_eq!(summary.origin, MediaTime::from_nanos(1_750_000_000));
    let (v, a) = (
        judge::packet_times(&disk.bytes, "v")[0],
        judge::packet_times(&disk.bytes, "a")[0],
    );
    assert!((v - a - 0.75).abs() < 0.001, "video {v} audio {a}");
    assert!(
        a.abs() < 0.001,
        "the presentation begins with its first sample: {a}"
    );
}

#[test]
fn priming_is_skipped_whole_and_torn() {
    let media = h264_aac(3);
    let mut config = config(&media);
    config.audio = media.audio.clone().map(|format| Audio {
        format,
        priming: Duration::from_nanos(21_333_333),
    });
    let (disk, _) = write(&config, &media.samples);
    decodes(&disk.bytes);
    qtdemux_accepts(&disk.bytes, &["video_0", "audio_0"]);
    let parsed = parse::file(&disk.bytes);
    assert_eq!(parsed.track(b"soun").edits[0].1, 1024);
    let first = judge::packet_times(&disk.bytes, "a")[0];
    assert!(
        (first + 0.021_333).abs() < 0.001,
        "the first packet is before zero: {first}"
    );
    let (recorded, _) = record(&config, &media.samples);
    decodes(&recorded.bytes);
    let first = judge::packet_times(&recorded.bytes, "a")[0];
    assert!(
        (first + 0.021_333).abs() < 0.001,
        "while recording too: {first}"
    );
    let (repaired, _) = repair(&recorded.bytes).unwrap();
    assert_eq!(parse::file(&repaired).track(b"soun").edits[0].1, 1024);
}

#[test]
fn a_silent_stretch_keeps_both_tracks_in_time() {
    let mut media = h264_aac(6);
    // No pictures from 2 s to 4 s, no sound from 3 s to 5 s.
    let gone = |s: &media::Sample| match s.kind {
        Kind::Video => (2_000_000_000..4_000_000_000).contains(&s.dts.as_nanos()),
        Kind::Audio => (3_000_000_000..5_000_000_000).contains(&s.dts.as_nanos()),
    };
    media.samples.retain(|s| !gone(s));
    let (disk, _) = write(&config(&media), &media.samples);
    approved(&disk.bytes, &media);
    for (stream, kind) in [("v", Kind::Video), ("a", Kind::Audio)] {
        let times = judge::packet_times(&disk.bytes, stream);
        let expected = media
            .samples
            .iter()
            .filter(|s| s.kind == kind)
            .map(|s| s.pts.as_nanos() as f64 / 1e9);
        for (got, want) in times.iter().zip(expected) {
            assert!((got - want).abs() < 0.001, "{stream}: {got} for {want}");
        }
    }
}
