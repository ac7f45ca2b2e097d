//! Captures a display and a sound source, and says what it cost.
//!
//! ```sh
//! cargo run --release -p pipeline --example capture -- :7 unix:/tmp/pulse/native sink.monitor 1280x720@30 3000 10 [out.h264 out.aac]
//! ```
//!
//! An empty display or server leaves that stream out; `made` as either takes a synthetic source. The two files hold
//! plain Annex B and ADTS, for any player.

use pipeline::{Capture, Config, Event, Picture, Pulse, Sound, X11};
use recording::plan::{
    AudioEncode, AudioPath, H264Profile, KeyFrames, Media, VideoEncode, VideoPath,
};
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::Write,
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |n: usize, default: &str| args.get(n).cloned().unwrap_or_else(|| default.to_owned());
    let (display, server, source) = (arg(0, "made"), arg(1, ""), arg(2, ""));
    let shape = arg(3, "1280x720@30");
    let numbers: Vec<u32> = shape
        .split(['x', '@'])
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let &[width, height, framerate] = numbers.as_slice() else {
        return Err("want WIDTHxHEIGHT@FPS".into());
    };
    let span = Duration::from_secs(arg(5, "10").parse()?);

    let video = VideoPath::Transcode(VideoEncode {
        profile: H264Profile::Main,
        width,
        height,
        depth: 24,
        framerate,
        bitrate_kbps: arg(4, "3000").parse()?,
        keyframes: KeyFrames::Encoder,
        live: std::env::var_os("LIVE").is_some(),
    });
    let audio = AudioPath::Transcode(AudioEncode {
        codec: media::AudioCodec::Aac,
        bitrate_kbps: 128,
        sample_rate: 44_100,
    });
    let picture = match display.as_str() {
        "" => None,
        "made" => Some(Picture::Made(
            "videotestsrc is-live=true pattern=ball".into(),
        )),
        name => Some(Picture::X11(X11 {
            name: name.into(),
            width,
            height,
        })),
    };
    let sound = match server.as_str() {
        "" => None,
        "made" => Some(Sound::Made("audiotestsrc is-live=true wave=ticks".into())),
        _ => Some(Sound::Pulse(Pulse { server, source })),
    };
    let media = match (&picture, &sound) {
        (Some(_), Some(_)) => Media::Both { audio, video },
        (Some(_), None) => Media::Video(video),
        (None, _) => Media::Audio(audio),
    };
    let encoder_threads = std::env::var("THREADS").map_or(Ok(0), |t| t.parse())?;
    let (capture, mut events) = Capture::build(&Config {
        picture,
        sound,
        media,
        encoder_threads,
    })?;

    let mut files = (
        args.get(6).map(fs::File::create).transpose()?,
        args.get(7).map(fs::File::create).transpose()?,
    );
    let mut say = std::io::stdout().lock();
    capture.start()?;
    let begun = Instant::now();
    let (mut before, mut settled, mut stopped) = (None, None, None);
    let mut bytes = 0usize;
    let mut avcc = Vec::new();
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Sample(sample) => {
                if sample.kind == media::Kind::Video {
                    bytes += sample.data.len();
                    if let Some(file) = &mut files.0 {
                        if sample.keyframe {
                            file.write_all(&avcc)?;
                        }
                        file.write_all(&annex_b(&sample.data))?;
                    }
                } else if let Some(file) = &mut files.1 {
                    file.write_all(&adts(sample.data.len()))?;
                    file.write_all(&sample.data)?;
                }
            }
            Event::Format {
                format: media::Format::Video(video),
                ..
            } => {
                avcc = parameter_sets(&video.config);
            }
            Event::End => break,
            Event::Error { element, text } => return Err(format!("{element}: {text}").into()),
            other @ (Event::Format { .. } | Event::Playing | Event::Dropped { .. }) => {
                writeln!(say, "{:6.3} s {other:?}", begun.elapsed().as_secs_f64())?;
            }
        }
        // The first two seconds are not measured.
        if before.is_none() && begun.elapsed() > Duration::from_secs(2) {
            before = Some((Instant::now(), threads()));
            bytes = 0;
        }
        if stopped.is_none() && begun.elapsed() > span {
            settled = before
                .take()
                .map(|(from, was)| (from.elapsed(), was, threads(), bytes));
            stopped = Some(Instant::now());
            capture.stop();
        }
    }
    if let Some(at) = stopped {
        writeln!(say, "drained in {:.0} ms", at.elapsed().as_secs_f64() * 1e3)?;
    }
    if let Some((wall, was, now, bytes)) = settled {
        let seconds = wall.as_secs_f64();
        let mut sum = 0.0;
        for (name, nanos) in &now {
            let cores = (nanos - was.get(name).unwrap_or(&0)) as f64 / 1e9 / seconds;
            sum += cores;
            writeln!(say, "{name:20} {cores:.4} core")?;
        }
        writeln!(
            say,
            "{:20} {sum:.4} core, video {:.0} kbit/s",
            "sum",
            bytes as f64 * 8e-3 / seconds
        )?;
    }
    let memory = fs::read_to_string("/proc/self/smaps_rollup")?;
    writeln!(
        say,
        "{}",
        memory
            .lines()
            .find(|l| l.starts_with("Pss:"))
            .unwrap_or_default()
    )?;
    writeln!(say, "{:?}", capture.stats())?;
    Ok(())
}

/// Nanoseconds on a CPU, by thread name.
fn threads() -> BTreeMap<String, u64> {
    let mut by_name = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |f: &str| fs::read_to_string(task.path().join(f)).unwrap_or_default();
        let nanos: u64 = read("schedstat")
            .split(' ')
            .next()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        *by_name.entry(read("comm").trim().to_owned()).or_insert(0) += nanos;
    }
    by_name
}

fn annex_b(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (nal, rest) = rest.split_at((u32::from_be_bytes(*length) as usize).min(rest.len()));
        out.extend([0, 0, 0, 1]);
        out.extend(nal);
        data = rest;
    }
    out
}

fn parameter_sets(avcc: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = avcc.get(5..).unwrap_or_default();
    for _sets in 0..2 {
        let Some((count, mut tail)) = rest.split_first() else {
            break;
        };
        for _set in 0..count & 31 {
            let Some((length, body)) = tail.split_first_chunk::<2>() else {
                break;
            };
            let (set, after) =
                body.split_at(usize::from(u16::from_be_bytes(*length)).min(body.len()));
            out.extend([0, 0, 0, 1]);
            out.extend(set);
            tail = after;
        }
        rest = tail;
    }
    out
}

/// 44.1 kHz stereo AAC-LC.
fn adts(payload: usize) -> [u8; 7] {
    let length = (payload + 7) as u32;
    [
        0xff,
        0xf1,
        0x50,
        0x80 | (length >> 11) as u8 & 3,
        (length >> 3) as u8,
        (length << 5) as u8 | 0x1f,
        0xfc,
    ]
}
