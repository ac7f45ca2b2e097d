//! What the writer does with odd input, and what eight hours cost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use bytes::Bytes;
use container::mp4::{Audio, Config, Counts, Error, Step, Steps, Write, Writer};
use media::{AudioCodec, AudioFormat, Kind, MediaTime, Sample, VideoCodec, VideoFormat};
use std::time::Duration;
use support::{Disk, finish, parse, sample, write};

const MS: u64 = 1_000_000;

fn opus() -> Audio {
    Audio {
        format: AudioFormat {
            codec: AudioCodec::Opus,
            sample_rate: 48_000,
            channels: 2,
            config: Bytes::new(),
        },
        priming: Duration::ZERO,
    }
}

fn h264() -> VideoFormat {
    VideoFormat {
        codec: VideoCodec::H264,
        width: 1280,
        height: 720,
        config: Bytes::from_static(&[1, 66, 0, 31, 255, 0, 0]),
    }
}

fn video(ms: u64, key: bool) -> Sample {
    sample(Kind::Video, ms * MS, ms * MS, key, vec![ms as u8; 10])
}

fn audio(ms: u64) -> Sample {
    sample(Kind::Audio, ms * MS, ms * MS, true, vec![ms as u8; 10])
}

fn push_all(writer: &mut Writer, samples: &[Sample]) {
    samples.iter().for_each(|s| writer.push(s.clone()).unwrap());
}

#[test]
fn pictures_before_the_first_key_frame_are_dropped_and_counted() {
    let mut writer = Writer::new(Config::new(None, Some(h264()))).unwrap();
    push_all(
        &mut writer,
        &[
            video(0, false),
            video(33, false),
            video(66, true),
            video(100, false),
        ],
    );
    let counts = Counts {
        taken: 2,
        before_keyframe: 2,
        ..Counts::default()
    };
    assert_eq!(writer.counts(Kind::Video), counts);
    assert_eq!(writer.counts(Kind::Audio), Counts::default());
}

#[test]
fn time_that_goes_back_drops_sound_and_nudges_pictures() {
    let config = Config::new(Some(opus()), Some(h264()));
    let input = [
        video(0, true),
        audio(0),
        video(100, false),
        audio(100),
        video(50, false),
        audio(50),
        audio(100),
        video(200, false),
        audio(200),
    ];
    let mut writer = Writer::new(config.clone()).unwrap();
    push_all(&mut writer, &input);
    assert_eq!(writer.counts(Kind::Audio).late, 2);
    assert_eq!(writer.counts(Kind::Video).nudged, 1);
    let (disk, _) = write(&config, &input);
    let file = parse::file(&disk.bytes);
    let dts: Vec<_> = file
        .track(b"vide")
        .samples
        .iter()
        .map(|s| (s.dts, s.pts))
        .collect();
    assert_eq!(dts, [(0, 0), (9000, 9000), (9001, 9001), (18_000, 18_000)]);
    assert_eq!(file.track(b"soun").samples.len(), 3);
}

#[test]
fn samples_for_tracks_the_file_lacks_are_the_callers_mistake() {
    let mut writer = Writer::new(Config::new(Some(opus()), None)).unwrap();
    assert_eq!(
        writer.push(video(0, true)),
        Err(Error::NoTrack(Kind::Video))
    );
    assert_eq!(
        Writer::new(Config::new(None, None)).unwrap_err(),
        Error::NoTracks
    );
}

#[test]
fn formats_that_cannot_be_right_are_refused() {
    let with = |config: &'static [u8], codec| VideoFormat {
        config: Bytes::from_static(config),
        codec,
        ..h264()
    };
    let refused = |v| Writer::new(Config::new(None, Some(v))).is_err();
    assert!(refused(with(&[], VideoCodec::H264)));
    assert!(refused(with(
        &[0, 0, 0, 1, 0x67, 1, 2, 3],
        VideoCodec::H264
    )));
    assert!(refused(with(&[], VideoCodec::H265)));
    assert!(refused(with(&[], VideoCodec::Av1)));
    assert!(refused(with(&[], VideoCodec::Vp8)));
    assert!(refused(VideoFormat {
        width: 70_000,
        ..h264()
    }));
    let sound = |codec, config: &'static [u8]| {
        let mut audio = opus();
        (audio.format.codec, audio.format.config) = (codec, Bytes::from_static(config));
        Writer::new(Config::new(Some(audio), None)).is_err()
    };
    assert!(sound(AudioCodec::Mp3, &[]));
    assert!(sound(AudioCodec::Pcm, &[]));
    assert!(sound(AudioCodec::Aac, &[]));
    assert!(sound(AudioCodec::Opus, b"OpusTags"));
    assert!(!sound(AudioCodec::Opus, &[]));
}

#[test]
fn nothing_pushed_is_nothing_recorded() {
    let writer = Writer::new(Config::new(Some(opus()), None)).unwrap();
    let mut disk = Disk::default();
    assert_eq!(
        finish(&mut disk, &mut writer.finish()).unwrap_err(),
        Error::NothingRecorded
    );
}

#[test]
fn a_quiet_track_does_not_hold_its_last_sample_back_for_long() {
    // A slide shown at 0 s stays; sound goes on. A kill at 3 s must not cost the slide.
    let config = Config::new(Some(opus()), Some(h264()));
    let mut writer = Writer::new(config).unwrap();
    let mut disk = Disk::default();
    writer.push(video(0, true)).unwrap();
    for ms in (0..3000).step_by(20) {
        writer.push(audio(ms)).unwrap();
        while let Some(write) = writer.poll_write() {
            disk.take(write);
        }
    }
    let (_, summary) = support::repair(&disk.bytes).unwrap();
    assert!(
        summary
            .tracks
            .iter()
            .any(|t| t.kind == Kind::Video && t.samples == 1),
        "{summary:?}"
    );
    // The provisional duration gives way to the truth.
    writer.push(video(5000, false)).unwrap();
    finish(&mut disk, &mut writer.finish()).unwrap();
    let durations: Vec<_> = parse::file(&disk.bytes)
        .track(b"vide")
        .samples
        .iter()
        .map(|s| s.duration)
        .collect();
    assert_eq!(durations[0], 450_000);
}

#[test]
fn flush_puts_everything_pending_on_the_disk() {
    let mut writer = Writer::new(Config::new(None, Some(h264()))).unwrap();
    writer.push(video(0, true)).unwrap();
    writer.flush();
    let writes: Vec<_> = std::iter::from_fn(|| writer.poll_write()).collect();
    assert_eq!(writes.len(), 2);
    assert_eq!(writer.buffered(), 0);
    writer.flush();
    assert_eq!(writer.poll_write(), None);
}

#[test]
fn the_creation_time_counts_from_1904_and_survives_the_repair() {
    let mut config = Config::new(Some(opus()), None);
    config.created = Some(0);
    let (disk, _) = write(&config, &[audio(0), audio(20)]);
    assert_eq!(parse::file(&disk.bytes).created, 2_082_844_800);
}

#[test]
fn one_fragment_is_one_append_and_never_longer_than_asked() {
    let config = Config::new(Some(opus()), Some(h264()));
    let mut writer = Writer::new(config).unwrap();
    let mut appended = Vec::new();
    for ms in (0..10_000).step_by(20) {
        writer.push(audio(ms)).unwrap();
        if ms % 40 == 0 {
            writer.push(video(ms, ms % 2000 == 0)).unwrap();
        }
        appended.extend(std::iter::from_fn(|| writer.poll_write()).map(|_| ms));
    }
    assert_eq!(appended[0], 0, "the header comes first");
    assert!(
        appended[1..].windows(2).all(|w| w[1] - w[0] <= 1000),
        "{appended:?}"
    );
    assert!(appended.len() <= 12, "{appended:?}");
}

/// A file whose sample bytes are not kept: eight hours fit the test's memory.
#[derive(Default)]
struct Sparse {
    pieces: std::collections::BTreeMap<u64, Vec<u8>>,
    len: u64,
}

impl Sparse {
    /// Keeps of a fragment what a walk reads: the `moof` and the header of the `mdat`.
    fn append(&mut self, bytes: &[u8], whole: bool) {
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let keep = if whole { bytes.len() } else { size + 8 };
        self.pieces.insert(self.len, bytes[..keep].to_vec());
        self.len += bytes.len() as u64;
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let (at, piece) = self.pieces.range(..=offset).next_back().unwrap();
        let mut out = piece[(offset - at) as usize..].to_vec();
        out.resize(len, 0);
        out
    }
}

#[test]
fn eight_hours_cost_one_fragment_of_memory_and_finish_in_bounded_steps() {
    let seconds = 8 * 3600_u64;
    let mut writer = Writer::new(Config::new(Some(opus()), Some(h264()))).unwrap();
    let mut file = Sparse::default();
    let payload = Bytes::from(vec![0; 400]);
    let mut most = 0;
    let mut push = |writer: &mut Writer, file: &mut Sparse, kind, ns, keyframe| {
        let at = MediaTime::from_nanos(ns);
        let sample = Sample {
            kind,
            pts: at,
            dts: at,
            duration: Duration::ZERO,
            keyframe,
            data: payload.clone(),
        };
        writer.push(sample).unwrap();
        most = most.max(writer.buffered());
        while let Some(Write::Append(bytes)) = writer.poll_write() {
            let header = file.len == 0;
            file.append(&bytes, header);
        }
    };
    for tick in 0..seconds * 50 {
        push(&mut writer, &mut file, Kind::Audio, tick * 20 * MS, true);
        if tick % 5 < 3 {
            // 30 pictures a second, jittered: the worst case for run lengths.
            let jitter = (tick * 7919 % 13) * 100_000;
            push(
                &mut writer,
                &mut file,
                Kind::Video,
                tick * 20 * MS + jitter,
                tick % 100 == 0,
            );
        }
    }
    assert!(most < 100_000, "{most} bytes held while recording");
    let mut walk = writer.finish();
    let (mut reads, mut appended, mut largest, mut index) = (0_u64, 0_u64, 0, 0);
    let summary = loop {
        match walk.poll().unwrap() {
            Step::Read { offset, len } => {
                reads += 1;
                largest = largest.max(len);
                walk.supply(&file.read(offset, len));
            }
            Step::Write(Write::Append(bytes)) if &bytes[4..8] == b"moof" => {
                file.append(&bytes, false)
            }
            Step::Write(Write::Append(bytes)) => {
                index += 1;
                appended += bytes.len() as u64;
                largest = largest.max(bytes.len());
            }
            Step::Write(Write::At { bytes, .. }) => assert_eq!(bytes.len(), 16),
            Step::Truncate(_) => panic!("nothing to cut"),
            Step::Done(summary) => break summary,
        }
    };
    assert_eq!(summary.tracks[0].samples as u64, seconds * 30);
    assert_eq!(summary.tracks[1].samples as u64, seconds * 50);
    assert!((summary.duration.as_secs_f64() - seconds as f64).abs() < 0.1);
    assert!(largest <= 2 << 20, "{largest} bytes at once");
    assert!(appended > 10 << 20, "an index worth the name: {appended}");
    let passes = index + 1;
    let fragments = u64::from(summary.fragments);
    assert!(
        reads <= passes * fragments * 11 / 10,
        "{reads} reads for {fragments} fragments in {passes} passes"
    );
}

fn finished() -> Disk {
    let input: Vec<_> = (0..150).map(|n| video(n * 40, n % 25 == 0)).collect();
    write(&Config::new(None, Some(h264())), &input).0
}

#[test]
fn a_seal_without_its_index_is_undone_and_made_again() {
    // Only a lost power supply reorders writes like this.
    let whole = finished().bytes;
    let index = parse::file(&whole).boxes[2].1 as usize - 8;
    for cut in [index, index + 4, index + 30, whole.len() - 5] {
        let (again, summary) = support::repair(&whole[..cut]).unwrap();
        assert_eq!(again, whole, "cut at {cut}: {summary:?}");
    }
}

#[test]
fn a_finished_file_is_never_cut_even_if_its_fragments_are_damaged() {
    let mut bytes = finished().bytes;
    let at = bytes.windows(4).rposition(|w| w == b"trun").unwrap();
    bytes[at] = b'X';
    let (same, summary) = support::repair(&bytes).unwrap();
    assert_eq!(same, bytes);
    assert_eq!(summary.ending, container::mp4::Ending::Untouched);
}
