//! Synthetic sound in, every codec decoded back: where the beeps are, and whether sound and pictures agree.

mod common;

use common::{audio, config, decode, made, onsets, take, ticks, video, words};
use gstreamer as gst;
use media::{AudioCodec, AudioFormat};
use std::time::Duration;

fn caps(format: &AudioFormat) -> gst::Caps {
    let (rate, channels) = (format.sample_rate as i32, i32::from(format.channels));
    let config = gst::Buffer::from_slice(format.config.to_vec());
    match format.codec {
        AudioCodec::Aac => gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4)
            .field("stream-format", "raw")
            .field("framed", true)
            .field("rate", rate)
            .field("channels", channels)
            .field("codec_data", config)
            .build(),
        AudioCodec::Mp3 => gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 1)
            .field("layer", 3)
            .build(),
        AudioCodec::Opus => gst::Caps::builder("audio/x-opus")
            .field("channel-mapping-family", 0)
            .field("rate", rate)
            .field("channels", channels)
            .build(),
        AudioCodec::Pcm => gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", rate)
            .field("channels", channels)
            .build(),
    }
}

/// Captures two and a half seconds of beeps: when they are heard.
fn beeps(codec: AudioCodec, decoder: &str) -> Vec<f64> {
    let take = take(&config(None, Some((ticks(), audio(codec)))), |t| {
        t.audio
            .last()
            .is_some_and(|s| s.pts.as_nanos() > 2_300_000_000)
    });
    let (format, priming) = take.audio_format();
    assert_eq!((format.codec, format.channels), (codec, 2));
    let want_rate = match codec {
        AudioCodec::Aac | AudioCodec::Mp3 => 44_100,
        AudioCodec::Opus | AudioCodec::Pcm => 48_000,
    };
    assert_eq!(format.sample_rate, want_rate);
    assert!(
        take.audio[0].pts.as_nanos() < 1000,
        "{codec:?} begins at zero"
    );
    for pair in take.audio.windows(2) {
        let end = pair[0].pts.plus(pair[0].duration).as_nanos();
        assert!(
            end.abs_diff(pair[1].pts.as_nanos()) < 1_000_000,
            "{codec:?}: a hole after {:?}",
            pair[0].pts
        );
    }
    let chain = format!("{decoder} ! audio/x-raw,format=S16LE,channels=2");
    let pcm: Vec<u8> = decode(&caps(format), &chain, &take.audio)
        .into_iter()
        .flat_map(|(_, _, data)| data)
        .collect();
    onsets(&words(&pcm), format.sample_rate, 0.010)
        .into_iter()
        .map(|t| t - priming.as_secs_f64())
        .filter(|t| *t > 0.25)
        .collect()
}

#[test]
fn beeps_are_where_they_were_in_every_codec() {
    // The first capture of a process starts late and would move the reference: that one is only to warm up.
    drop(beeps(AudioCodec::Pcm, "identity"));
    let raw = beeps(AudioCodec::Pcm, "identity");
    assert!(raw.len() >= 4, "{raw:?}");
    for (codec, decoder) in [
        (AudioCodec::Aac, "avdec_aac ! audioconvert"),
        (AudioCodec::Opus, "opusdec ! audioconvert"),
        (AudioCodec::Mp3, "avdec_mp3 ! audioconvert"),
    ] {
        let heard = beeps(codec, decoder);
        assert!(heard.len() >= 4, "{codec:?}: {heard:?}");
        for (at, was) in heard.iter().zip(&raw) {
            let error = at - was;
            assert!(
                error.abs() < 0.005,
                "{codec:?} is {:.1} ms late: {heard:?}",
                error * 1e3
            );
        }
    }
}

#[test]
fn opus_tells_its_head() {
    let take = take(
        &config(None, Some((ticks(), audio(AudioCodec::Opus)))),
        |t| t.audio.len() > 10,
    );
    let (format, priming) = take.audio_format();
    assert!(
        format.config.starts_with(b"OpusHead\x01\x02"),
        "{:?}",
        format.config
    );
    assert_eq!(priming, Duration::from_micros(6500));
}

#[test]
fn aac_tells_its_config_and_keeps_its_bit_rate() {
    let noise = pipeline::Sound::Made("audiotestsrc is-live=true wave=pink-noise".into());
    let take = take(&config(None, Some((noise, audio(AudioCodec::Aac)))), |t| {
        t.audio.len() > 130
    });
    let (format, priming) = take.audio_format();
    // AAC-LC, 44.1 kHz, two channels.
    assert_eq!(format.config[..2], [0x12, 0x10]);
    assert_eq!(priming, Duration::ZERO);
    let bytes: usize = take.audio.iter().map(|s| s.data.len()).sum();
    let kbps = bytes as f64 * 8e-3 / (take.audio.len() as f64 * 1024.0 / 44_100.0);
    assert!((100.0..140.0).contains(&kbps), "{kbps} kbit/s");
}

#[test]
fn sound_and_pictures_begin_at_zero_and_end_together() {
    let take = take(
        &config(
            Some((made("pattern=ball"), video(320, 240, 30, 500))),
            Some((ticks(), audio(AudioCodec::Aac))),
        ),
        |t| t.video.len() >= 60,
    );
    assert_eq!(take.playing, 1);
    assert_eq!(take.video[0].pts.as_nanos(), 0);
    assert_eq!(take.audio[0].pts.as_nanos(), 0);
    let end = |samples: &[media::Sample]| {
        samples
            .last()
            .map(|s| s.pts.plus(s.duration).as_nanos() as f64 / 1e9)
            .unwrap_or(0.0)
    };
    let (v, a) = (end(&take.video), end(&take.audio));
    assert!((v - a).abs() < 0.15, "pictures end at {v}, sound at {a}");
}
