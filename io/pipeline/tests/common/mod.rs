//! Runs a capture to a given length and parses what came out with decoders that are not ours.
#![expect(dead_code, reason = "every test file uses its part of this")]

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use media::{AudioFormat, Format, Kind, Sample, VideoFormat};
use pipeline::{Capture, Config, Event, Events, Picture, Sound, Stats};
use recording::plan::{
    AudioEncode, AudioPath, H264Profile, KeyFrames, Media, VideoEncode, VideoPath,
};
use std::{
    io::{BufRead, BufReader},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything a capture said.
#[derive(Default)]
pub(crate) struct Take {
    pub(crate) formats: Vec<(Format, Duration)>,
    pub(crate) video: Vec<Sample>,
    pub(crate) audio: Vec<Sample>,
    pub(crate) playing: usize,
    pub(crate) dropped: u64,
    pub(crate) errors: Vec<String>,
    pub(crate) ended: bool,
    pub(crate) stats: Stats,
    pub(crate) drain: Duration,
}

impl Take {
    pub(crate) fn hear(&mut self, event: Event) {
        match event {
            Event::Format { format, priming } => self.formats.push((format, priming)),
            Event::Sample(sample) => {
                let known = self.formats.iter().any(|(format, _)| match format {
                    Format::Audio(_) => sample.kind == Kind::Audio,
                    Format::Video(_) => sample.kind == Kind::Video,
                });
                assert!(known, "sample before its format");
                match sample.kind {
                    Kind::Audio => self.audio.push(sample),
                    Kind::Video => self.video.push(sample),
                }
            }
            Event::Playing => self.playing += 1,
            Event::Dropped { count, .. } => self.dropped += count,
            Event::Error { element, text } => self.errors.push(format!("{element}: {text}")),
            Event::End => self.ended = true,
        }
    }

    pub(crate) fn video_format(&self) -> &VideoFormat {
        self.formats
            .iter()
            .find_map(|(format, _)| match format {
                Format::Video(video) => Some(video),
                Format::Audio(_) => None,
            })
            .expect("a picture format was told")
    }

    pub(crate) fn audio_format(&self) -> (&AudioFormat, Duration) {
        self.formats
            .iter()
            .find_map(|(format, priming)| match format {
                Format::Audio(audio) => Some((audio, *priming)),
                Format::Video(_) => None,
            })
            .expect("a sound format was told")
    }

    pub(crate) fn kbps(&self) -> f64 {
        let bytes: usize = self.video.iter().map(|s| s.data.len()).sum();
        let last = self.video.last().expect("pictures");
        let seconds = (Duration::from_nanos(last.pts.as_nanos()) + last.duration).as_secs_f64();
        bytes as f64 * 8e-3 / seconds
    }
}

/// Captures until `enough`, then stops and hears it out.
pub(crate) fn take(config: &Config, enough: impl Fn(&Take) -> bool) -> Take {
    let (capture, mut events) = Capture::build(config).expect("builds");
    capture.start().expect("starts");
    let take = until(&mut events, Take::default(), &enough);
    finish(&capture, &mut events, take)
}

/// Hears events until `enough`.
pub(crate) fn until(events: &mut Events, mut take: Take, enough: &dyn Fn(&Take) -> bool) -> Take {
    let begun = Instant::now();
    while !enough(&take) {
        assert!(begun.elapsed() < PATIENCE, "no end after {PATIENCE:?}");
        assert_eq!(take.errors, Vec::<String>::new());
        take.hear(next(events).expect("capture lives"));
    }
    take
}

/// The next event, or a failed test.
pub(crate) fn next(events: &mut Events) -> Option<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, events.recv()).await })
        .expect("an event in time")
}

/// Hears events until an error or the end.
pub(crate) fn error(events: &mut Events) -> Option<String> {
    while let Some(event) = next(events) {
        match event {
            Event::Error { element, text } => return Some(format!("{element}: {text}")),
            Event::End => return None,
            Event::Format { .. } | Event::Sample(_) | Event::Playing | Event::Dropped { .. } => {}
        }
    }
    None
}

/// Stops and hears the rest.
pub(crate) fn finish(capture: &Capture, events: &mut Events, take: Take) -> Take {
    let begun = Instant::now();
    capture.stop();
    let mut take = until(events, take, &|take| take.ended);
    take.drain = begun.elapsed();
    take.stats = capture.stats();
    take
}

pub(crate) fn video(width: u32, height: u32, framerate: u32, bitrate_kbps: u32) -> VideoEncode {
    VideoEncode {
        profile: H264Profile::Main,
        width,
        height,
        depth: 24,
        framerate,
        bitrate_kbps,
        keyframes: KeyFrames::Encoder,
        live: false,
    }
}

pub(crate) fn audio(codec: media::AudioCodec) -> AudioEncode {
    AudioEncode {
        codec,
        bitrate_kbps: 128,
        sample_rate: 44_100,
    }
}

pub(crate) fn config(
    picture: Option<(Picture, VideoEncode)>,
    sound: Option<(Sound, AudioEncode)>,
) -> Config {
    let (picture, video) = picture.unzip();
    let (sound, audio) = sound.unzip();
    let media = match (
        video.map(VideoPath::Transcode),
        audio.map(AudioPath::Transcode),
    ) {
        (Some(video), Some(audio)) => Media::Both { audio, video },
        (Some(video), None) => Media::Video(video),
        (None, Some(audio)) => Media::Audio(audio),
        (None, None) => panic!("a test that wants nothing"),
    };
    Config {
        picture,
        sound,
        media,
        encoder_threads: 0,
    }
}

pub(crate) fn made(pattern: &str) -> Picture {
    Picture::Made(format!("videotestsrc is-live=true {pattern}"))
}

/// A 1 kHz beep of 10 ms at the start and every half second.
pub(crate) fn ticks() -> Sound {
    Sound::Made(
        "audiotestsrc is-live=true samplesperbuffer=480 wave=ticks freq=1000 sine-periods-per-tick=10 tick-interval=500000000 volume=1"
            .into(),
    )
}

/// Decodes to `format` (RGB or S16LE …): caps and the raw buffers with their PTS.
pub(crate) fn decode(
    caps: &gst::Caps,
    chain: &str,
    samples: &[Sample],
) -> Vec<(Duration, gst::Caps, Vec<u8>)> {
    let text = format!("appsrc name=in format=time ! {chain} ! appsink name=out sync=false");
    let pipeline = gst::parse::launch(&text)
        .expect(chain)
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    let source = pipeline
        .by_name("in")
        .and_then(|e| e.downcast::<AppSrc>().ok())
        .expect("appsrc");
    let sink = pipeline
        .by_name("out")
        .and_then(|e| e.downcast::<AppSink>().ok())
        .expect("appsink");
    source.set_caps(Some(caps));
    source.set_max_bytes(0);
    pipeline
        .set_state(gst::State::Playing)
        .expect("decoder plays");
    for sample in samples {
        let mut buffer = gst::Buffer::from_slice(sample.data.to_vec());
        let header = buffer.get_mut().expect("a fresh buffer");
        header.set_pts(gst::ClockTime::from_nseconds(sample.pts.as_nanos()));
        header.set_dts(gst::ClockTime::from_nseconds(sample.dts.as_nanos()));
        source.push_buffer(buffer).expect("decoder takes it");
    }
    source.end_of_stream().expect("decoder takes the end");
    let mut out = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("buffer");
        let pts = Duration::from(buffer.pts().expect("PTS"));
        let data = buffer.map_readable().expect("readable").to_vec();
        out.push((pts, sample.caps().expect("caps").to_owned(), data));
    }
    let bus = pipeline.bus().expect("bus");
    if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
        panic!("decoder: {message:?}");
    }
    pipeline.set_state(gst::State::Null).expect("decoder ends");
    out
}

pub(crate) fn h264_caps(format: &VideoFormat) -> gst::Caps {
    gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field(
            "codec_data",
            gst::Buffer::from_slice(format.config.to_vec()),
        )
        .build()
}

/// Decoded pictures as I420 without padding: use widths that are multiples of eight.
pub(crate) fn pictures(take: &Take) -> Vec<(Duration, Vec<u8>)> {
    decode(
        &h264_caps(take.video_format()),
        "h264parse ! avdec_h264 max-threads=1 ! videoconvert ! video/x-raw,format=I420",
        &take.video,
    )
    .into_iter()
    .map(|(pts, _caps, data)| (pts, data))
    .collect()
}

/// A pixel of an I420 picture by the book of BT.709 (`videoconvert` to RGB is off by up to four).
pub(crate) fn rgb(picture: &[u8], width: usize, height: usize, x: usize, y: usize) -> [f64; 3] {
    let quarter = (y / 2) * (width / 2) + x / 2;
    let luma = (f64::from(picture[y * width + x]) - 16.0) * 255.0 / 219.0;
    let chroma = |plane: usize| {
        (f64::from(picture[width * height + plane * width * height / 4 + quarter]) - 128.0) * 255.0
            / 224.0
    };
    let (cb, cr) = (chroma(0), chroma(1));
    [
        luma + 1.5748 * cr,
        luma - 0.187_324 * cb - 0.468_124 * cr,
        luma + 1.8556 * cb,
    ]
}

/// Every pixel within three of a colour.
pub(crate) fn assert_colour(picture: &[u8], width: usize, height: usize, want: [u8; 3]) {
    for y in 0..height {
        for x in 0..width {
            let got = rgb(picture, width, height, x, y);
            let close = got
                .iter()
                .zip(want)
                .all(|(a, b)| (a - f64::from(b)).abs() <= 3.0);
            assert!(close, "{got:?} at {x},{y}, want {want:?}");
        }
    }
}

/// When beeps of `length` seconds begin: 50 ms of silence part them, and the middle of their energy places them (where
/// they pass some level says little: codecs smear sound to the front).
pub(crate) fn onsets(pcm: &[i16], rate: u32, length: f64) -> Vec<f64> {
    let silence = rate as usize / 20;
    let mut beeps: Vec<(usize, f64, f64)> = Vec::new();
    for (n, frame) in pcm.chunks_exact(2).enumerate() {
        if frame[0].unsigned_abs() > 1500 {
            let energy = f64::from(frame[0]).powi(2);
            let at = n as f64 * energy;
            match beeps.last_mut() {
                Some((last, energies, moment)) if n - *last <= silence => {
                    (*last, *energies, *moment) = (n, *energies + energy, *moment + at);
                }
                Some(_) | None => beeps.push((n, energy, at)),
            }
        }
    }
    beeps
        .into_iter()
        .map(|(_, energy, moment)| moment / energy / f64::from(rate) - length / 2.0)
        .collect()
}

pub(crate) fn words(bytes: &[u8]) -> Vec<i16> {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|b| i16::from_le_bytes(*b))
        .collect()
}

/// A process that dies with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("wait");
    }
}

/// A private X server; `:n` once it is ready.
pub(crate) fn xvfb(width: u32, height: u32) -> (Running, String) {
    let mut child = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0"])
        .arg(format!("{width}x{height}x24"))
        .args(["-ac", "-nolisten", "tcp"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb is installed");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("Xvfb says its display");
    (Running(child), format!(":{}", line.trim()))
}

/// A private sound server with one null sink `page`; its address once it listens. Without `norewinds` an idle null sink
/// works in blocks of two seconds, and a capture of it begins with up to that much silence (measured: 1.6 to 1.8 s).
pub(crate) fn pulseaudio(dir: &Path) -> (Running, String) {
    let socket = dir.join("native");
    let child = Command::new("pulseaudio")
        .args([
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
        ])
        .arg("-L")
        .arg("module-null-sink sink_name=page rate=48000 norewinds=1")
        .arg("-L")
        .arg(format!(
            "module-native-protocol-unix auth-anonymous=1 socket={}",
            socket.display()
        ))
        .env("HOME", dir)
        .env("XDG_RUNTIME_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pulseaudio is installed");
    let running = Running(child);
    wait("pulseaudio", || UnixStream::connect(&socket).is_ok());
    (running, format!("unix:{}", socket.display()))
}

/// Waits until something is so.
pub(crate) fn wait(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
