//! Other people's programs: ffmpeg makes real media and judges files, GStreamer's qtdemux judges them again.
//! Neither is optional: a machine without them fails the tests.

use super::parse;
use bytes::Bytes;
use container::mp4::Audio;
use media::{AudioCodec, AudioFormat, Kind, MediaTime, Sample, VideoCodec, VideoFormat};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::NamedTempFile;

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("`{program}` must be installed for these tests: {e}"))
}

pub(crate) fn temp(bytes: &[u8]) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Runs ffmpeg on the file; its complaints, if any.
pub(crate) fn complaints(bytes: &[u8], before: &[&str], after: &[&str]) -> Result<(), String> {
    let file = temp(bytes);
    let path = file.path().to_str().unwrap();
    let args = [
        &["-v", "error", "-xerror"],
        before,
        &["-i", path],
        after,
        &["-f", "null", "-"],
    ]
    .concat();
    let out = run("ffmpeg", &args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if out.status.success() && said.is_empty() {
        Ok(())
    } else {
        Err(said)
    }
}

/// Every frame of the file decodes without a word.
#[track_caller]
pub(crate) fn decodes(bytes: &[u8]) {
    if let Err(said) = complaints(bytes, &[], &["-map", "0"]) {
        panic!("ffmpeg complains: {said}");
    }
}

/// ffprobe's answer, lines of `key=value` or bare values.
pub(crate) fn probe(bytes: &[u8], args: &[&str]) -> Vec<String> {
    let file = temp(bytes);
    let args = [&["-v", "error"], args, &[file.path().to_str().unwrap()]].concat();
    let out = run("ffprobe", &args);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// PTS of every packet of a stream (`v` or `a`), seconds, in order of presentation.
pub(crate) fn packet_times(bytes: &[u8], stream: &str) -> Vec<f64> {
    let args = [
        "-select_streams",
        stream,
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
    ];
    let mut times: Vec<f64> = probe(bytes, &args)
        .iter()
        .filter_map(|l| l.trim_end_matches(',').parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

pub(crate) fn duration(bytes: &[u8]) -> f64 {
    probe(
        bytes,
        &["-show_entries", "format=duration", "-of", "csv=p=0"],
    )[0]
    .parse()
    .unwrap()
}

/// qtdemux takes the whole file and finds these pads.
#[track_caller]
pub(crate) fn qtdemux_accepts(bytes: &[u8], pads: &[&str]) {
    let file = temp(bytes);
    let location = format!("location={}", file.path().display());
    let mut args = vec!["-q", "filesrc", &location, "!", "qtdemux", "name=d"];
    let pads: Vec<String> = pads.iter().map(|p| format!("d.{p}")).collect();
    for pad in &pads {
        args.extend([pad.as_str(), "!", "queue", "!", "fakesink", "sync=false"]);
    }
    let out = run("gst-launch-1.0", &args);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && !said.contains("ERROR") && !said.contains("WARN"),
        "qtdemux: {said}"
    );
}

/// Real media: formats and samples in order of decoding.
pub(crate) struct Media {
    pub(crate) audio: Option<AudioFormat>,
    pub(crate) video: Option<VideoFormat>,
    pub(crate) samples: Vec<Sample>,
}

impl Media {
    pub(crate) fn config(&self) -> container::mp4::Config {
        let audio = self.audio.clone().map(|format| Audio {
            format,
            priming: Duration::ZERO,
        });
        container::mp4::Config::new(audio, self.video.clone())
    }
}

const PICTURES: [&str; 2] = ["-f", "lavfi"];

/// Encodes `seconds` of a test picture with these codec arguments.
pub(crate) fn pictures(seconds: u32, codec: &[&str]) -> Media {
    let source = format!("testsrc2=size=320x180:rate=30:duration={seconds}");
    encode(&[&PICTURES[..], &["-i", &source], codec].concat())
}

/// Encodes `seconds` of a tone with these codec arguments.
pub(crate) fn tone(seconds: u32, codec: &[&str]) -> Media {
    let source = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    encode(&[&["-f", "lavfi", "-i", &source, "-ac", "2"], codec].concat())
}

/// H.264 without B-frames, a key frame a second, and AAC.
pub(crate) fn h264_aac(seconds: u32) -> Media {
    let mut media = pictures(
        seconds,
        &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-bf",
            "0",
            "-g",
            "30",
            "-threads",
            "1",
        ],
    );
    media.merge(tone(seconds, &["-c:a", "aac"]));
    media
}

impl Media {
    pub(crate) fn merge(&mut self, other: Media) {
        self.audio = self.audio.take().or(other.audio);
        self.video = self.video.take().or(other.video);
        self.samples.extend(other.samples);
        self.samples.sort_by_key(|s| s.dts);
    }
}

fn encode(args: &[&str]) -> Media {
    let mut file = temp(&[]);
    let path = file.path().to_str().unwrap().to_owned();
    let args = [
        &["-y", "-v", "error"],
        args,
        &["-bitexact", "-strict", "-2", "-f", "mp4", &path],
    ]
    .concat();
    let out = run("ffmpeg", &args);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mut bytes = Vec::new();
    // ffmpeg rewrote the file under the same inode.
    std::io::Seek::rewind(file.as_file_mut()).unwrap();
    file.as_file_mut().read_to_end(&mut bytes).unwrap();
    extract(&bytes)
}

/// The samples of a file that ffmpeg made, read by our second reader.
fn extract(bytes: &[u8]) -> Media {
    let parsed = parse::file(bytes);
    let mut media = Media {
        audio: None,
        video: None,
        samples: Vec::new(),
    };
    for t in &parsed.tracks {
        let video = |codec, config: Vec<u8>| VideoFormat {
            codec,
            width: t.width,
            height: t.height,
            config: config.into(),
        };
        let audio = |codec, config: Vec<u8>| AudioFormat {
            codec,
            sample_rate: u32::try_from(t.timescale).unwrap(),
            channels: 2,
            config: config.into(),
        };
        match &t.entry {
            b"avc1" => media.video = Some(video(VideoCodec::H264, t.config(b"avcC"))),
            b"hev1" | b"hvc1" => media.video = Some(video(VideoCodec::H265, t.config(b"hvcC"))),
            b"av01" => media.video = Some(video(VideoCodec::Av1, t.config(b"av1C"))),
            b"vp09" => media.video = Some(video(VideoCodec::Vp9, t.config(b"vpcC"))),
            b"mp4a" => {
                let esds = t.config(b"esds");
                // DecoderSpecificInfo, its length in one or four bytes.
                let at = esds
                    .windows(4)
                    .position(|w| w == [5, 0x80, 0x80, 0x80])
                    .unwrap()
                    + 4;
                let asc = esds[at + 1..at + 1 + usize::from(esds[at])].to_vec();
                media.audio = Some(audio(AudioCodec::Aac, asc));
            }
            b"Opus" => {
                let d = t.config(b"dOps");
                let mut head = b"OpusHead\x01".to_vec();
                head.extend([d[1], d[3], d[2], d[7], d[6], d[5], d[4], d[9], d[8], d[10]]);
                media.audio = Some(audio(AudioCodec::Opus, head));
            }
            other => panic!("{other:?}"),
        }
        let kind = if &t.handler == b"vide" {
            Kind::Video
        } else {
            Kind::Audio
        };
        let ns = |ticks: u64| {
            MediaTime::from_nanos((ticks * 1_000_000_000 + t.timescale / 2) / t.timescale)
        };
        media.samples.extend(t.samples.iter().map(|s| Sample {
            kind,
            pts: ns(s.pts),
            dts: ns(s.dts),
            duration: Duration::ZERO,
            keyframe: s.key,
            data: Bytes::copy_from_slice(&bytes[s.offset as usize..(s.offset + s.size) as usize]),
        }));
    }
    media.samples.sort_by_key(|s| s.dts);
    media
}
