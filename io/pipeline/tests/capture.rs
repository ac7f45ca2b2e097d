//! Synthetic sources through real encoders: what comes out is on the grid, in order, of the right kind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use media::{AudioCodec, Format, Kind, Sample};
use pipeline::capture::{Capture, Config, Event, Pictures, Sound};
use recording::plan::{
    AudioEncode, AudioPath, H264Profile, KeyFrames, Media, VideoEncode, VideoPath,
};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

fn encode(framerate: u32) -> VideoEncode {
    VideoEncode {
        profile: H264Profile::Main,
        width: 320,
        height: 180,
        depth: 24,
        framerate,
        bitrate_kbps: 500,
        keyframes: KeyFrames::Encoder,
        live: false,
    }
}

fn aac() -> AudioEncode {
    AudioEncode {
        codec: AudioCodec::Aac,
        bitrate_kbps: 128,
        sample_rate: 44_100,
    }
}

fn config(media: Media) -> Config {
    Config {
        display: Some(Pictures::Test),
        sound: Some(Sound::Test),
        media,
        encoder_threads: 0,
    }
}

#[derive(Default)]
struct Got {
    formats: Vec<(Format, Duration)>,
    samples: Vec<Sample>,
    playing: usize,
    ended: bool,
}

impl Got {
    fn of(&self, kind: Kind) -> Vec<&Sample> {
        self.samples.iter().filter(|s| s.kind == kind).collect()
    }
}

/// Records until `enough`, then stops and takes what still comes.
async fn record(media: Media, enough: impl Fn(&Got) -> bool) -> Got {
    let (capture, mut events) = Capture::build(&config(media)).unwrap();
    capture.start().unwrap();
    let mut got = Got::default();
    while !enough(&got) {
        take(&mut got, &mut events).await;
    }
    capture.stop();
    while !got.ended {
        take(&mut got, &mut events).await;
    }
    capture.shut().await.unwrap();
    got
}

async fn take(got: &mut Got, events: &mut Receiver<Event>) {
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv())
        .await
        .expect("something within 20 s");
    match event.expect("an end before the channel closes") {
        Event::Format { format, priming } => got.formats.push((format, priming)),
        Event::Sample(sample) => got.samples.push(sample),
        Event::Playing => got.playing += 1,
        Event::Dropped { .. } => {}
        Event::Error(fault) => panic!("{fault}"),
        Event::End => got.ended = true,
    }
}

#[tokio::test]
async fn pictures_and_sound_begin_together_and_stay_in_order() {
    let media = Media::Both {
        audio: AudioPath::Transcode(aac()),
        video: VideoPath::Transcode(encode(30)),
    };
    let got = record(media, |g| g.of(Kind::Video).len() >= 45).await;
    assert_eq!((got.formats.len(), got.playing), (2, 1));
    let (video, audio) = (got.of(Kind::Video), got.of(Kind::Audio));
    assert_eq!(video[0].pts.as_nanos(), 0);
    assert!(video[0].keyframe);
    assert!(
        audio[0].pts.as_nanos() < 60_000_000,
        "sound begins at {:?}",
        audio[0].pts
    );
    for stream in [&video, &audio] {
        assert!(stream.windows(2).all(|w| w[0].dts < w[1].dts));
    }
    let end = |s: &[&Sample]| s.last().unwrap().pts.as_nanos();
    assert!(
        end(&video).abs_diff(end(&audio)) < 300_000_000,
        "{:?} {:?}",
        end(&video),
        end(&audio)
    );
}

#[tokio::test]
async fn pictures_lie_on_the_frame_grid() {
    let got = record(Media::Video(VideoPath::Transcode(encode(25))), |g| {
        g.samples.len() >= 40
    })
    .await;
    for (k, sample) in got.samples.iter().enumerate() {
        let grid = k as u64 * 40_000_000;
        assert!(
            sample.pts.as_nanos().abs_diff(grid) <= 1,
            "frame {k} at {:?}",
            sample.pts
        );
    }
}

#[tokio::test]
async fn key_frames_come_exactly_as_often_as_asked() {
    let every = VideoEncode {
        keyframes: KeyFrames::Every(Duration::from_millis(500)),
        ..encode(30)
    };
    let got = record(Media::Video(VideoPath::Transcode(every)), |g| {
        g.samples.len() >= 50
    })
    .await;
    let keys: Vec<usize> = got
        .samples
        .iter()
        .enumerate()
        .filter(|(_, s)| s.keyframe)
        .map(|(k, _)| k)
        .collect();
    assert_eq!(keys[..4], [0, 15, 30, 45]);
}

#[tokio::test]
async fn profiles_are_those_of_the_stream() {
    for (profile, idc) in [
        (H264Profile::Baseline, 66),
        (H264Profile::Main, 77),
        (H264Profile::High, 100),
    ] {
        let media = Media::Video(VideoPath::Transcode(VideoEncode {
            profile,
            ..encode(30)
        }));
        let got = record(media, |g| !g.samples.is_empty()).await;
        let Format::Video(format) = &got.formats[0].0 else {
            panic!("{:?}", got.formats)
        };
        assert_eq!((format.width, format.height), (320, 180));
        // avcC: version, profile_idc, …
        assert_eq!(format.config[..2], [1, idc]);
    }
}

#[tokio::test]
async fn sound_alone_comes_in_every_codec() {
    for (codec, rate) in [
        (AudioCodec::Aac, 44_100),
        (AudioCodec::Opus, 48_000),
        (AudioCodec::Mp3, 44_100),
        (AudioCodec::Pcm, 48_000),
    ] {
        let encode = AudioEncode {
            codec,
            bitrate_kbps: 96,
            sample_rate: rate,
        };
        let got = record(Media::Audio(AudioPath::Transcode(encode)), |g| {
            g.samples.len() >= 20
        })
        .await;
        let (Format::Audio(format), priming) = &got.formats[0] else {
            panic!("{:?}", got.formats)
        };
        assert_eq!(
            (format.codec, format.sample_rate, format.channels),
            (codec, rate, 2)
        );
        assert_eq!(
            format.config.is_empty(),
            matches!(codec, AudioCodec::Mp3 | AudioCodec::Pcm)
        );
        assert_eq!(
            priming.is_zero(),
            matches!(codec, AudioCodec::Mp3 | AudioCodec::Pcm)
        );
    }
}

#[test]
fn a_display_that_is_not_there_is_an_error_when_starting() {
    let display = Some(Pictures::X11(":59999".to_owned()));
    let media = Media::Video(VideoPath::Transcode(encode(30)));
    let config = Config {
        display,
        sound: None,
        media,
        encoder_threads: 0,
    };
    let (capture, _events) = Capture::build(&config).unwrap();
    let error = capture.start().unwrap_err();
    assert!(error.message.contains("display"), "{error}");
}
