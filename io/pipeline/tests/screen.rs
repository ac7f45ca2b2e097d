//! The real path: a private X server and a private sound server, played to by GStreamer's own sinks.

mod common;

use common::{
    Running, audio, config, decode, onsets, pictures, pulseaudio, take, video, words, xvfb,
};
use media::AudioCodec;
use pipeline::{Capture, Error, Picture, Pulse, Sound, X11};
use std::{
    process::{Command, Stdio},
    time::Instant,
};

fn screen(name: &str, width: u32, height: u32) -> Picture {
    Picture::X11(X11 {
        name: name.into(),
        width,
        height,
    })
}

fn play(display: &str, pulse: &str, graph: &str) -> Running {
    let child = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(graph.split_whitespace())
        .env("DISPLAY", display)
        .env("PULSE_SERVER", pulse)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gst-launch-1.0 is installed");
    Running(child)
}

#[test]
fn colours_of_a_screen_come_back() {
    let (_server, display) = xvfb(320, 240);
    let _painter = play(
        &display,
        "",
        "videotestsrc pattern=solid-color foreground-color=0xffd03020 is-live=true ! video/x-raw,width=320,height=240 ! videoconvert ! ximagesink",
    );
    // The painter needs a moment; whatever was on the screen before is black.
    let begun = Instant::now();
    loop {
        let config = config(
            Some((screen(&display, 320, 240), video(320, 240, 30, 500))),
            None,
        );
        let take = take(&config, |t| t.video.len() >= 30);
        for (tick, sample) in (0u64..).zip(&take.video) {
            assert_eq!(sample.pts.as_nanos(), tick * 1_000_000_000 / 30);
        }
        assert_eq!(take.stats.dropped, 0);
        let decoded = pictures(&take);
        let (_, last) = decoded.last().expect("pictures");
        let red = common::rgb(last, 320, 240, 160, 120)[0] > 100.0;
        if red || begun.elapsed() > common::PATIENCE {
            common::assert_colour(last, 320, 240, [0xd0, 0x30, 0x20]);
            break;
        }
    }
}

#[test]
fn flash_and_beep_agree_through_x_and_pulse() {
    let dir = tempfile::tempdir().unwrap();
    let (_screen, display) = xvfb(160, 120);
    let (_sound, server) = pulseaudio(dir.path());
    // One pipeline, one clock: white at every even half second, a beep at every full second.
    let _player = play(
        &display,
        &server,
        "videotestsrc pattern=blink is-live=true ! video/x-raw,width=160,height=120,framerate=2/1 ! videoconvert ! ximagesink \
         audiotestsrc is-live=true wave=ticks freq=1000 sine-periods-per-tick=10 tick-interval=1000000000 volume=1 \
         ! audio/x-raw,rate=48000,channels=2 ! pulsesink device=page buffer-time=60000 latency-time=10000",
    );
    let pulse = Sound::Pulse(Pulse {
        server,
        source: "page.monitor".into(),
    });
    let take = take(
        &config(
            Some((screen(&display, 160, 120), video(160, 120, 30, 500))),
            Some((pulse, audio(AudioCodec::Aac))),
        ),
        |t| t.video.len() >= 30 * 9 && t.audio.len() > 43 * 9,
    );
    assert_eq!(take.playing, 1);
    assert!(take.audio[0].pts.as_nanos() < 1_000_000);

    let mut flashes = Vec::new();
    let mut dark = true;
    for (pts, luma) in pictures(&take) {
        let bright = luma[160 * 60 + 80] > 128;
        if bright && dark && pts.as_nanos() > 0 {
            // A change is seen at the next tick: half a frame late on average.
            flashes.push(pts.as_secs_f64() - 1.0 / 60.0);
        }
        dark = !bright;
    }
    let (format, _) = take.audio_format();
    let caps = gstreamer::Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("stream-format", "raw")
        .field("framed", true)
        .field("rate", 44_100)
        .field("channels", 2)
        .field(
            "codec_data",
            gstreamer::Buffer::from_slice(format.config.to_vec()),
        )
        .build();
    let pcm: Vec<u8> = decode(
        &caps,
        "avdec_aac ! audioconvert ! audio/x-raw,format=S16LE,channels=2",
        &take.audio,
    )
    .into_iter()
    .flat_map(|(_, _, data)| data)
    .collect();
    let beeps = onsets(&words(&pcm), 44_100, 0.010);
    // Either phase of the blinking may be the white one: the nearest edge counts, modulo half a second.
    let mut offsets: Vec<f64> = beeps
        .iter()
        .filter_map(|beep| {
            flashes
                .iter()
                .map(|flash| {
                    let d = (beep - flash).rem_euclid(0.5);
                    if d > 0.25 { d - 0.5 } else { d }
                })
                .min_by(|a, b| a.abs().total_cmp(&b.abs()))
        })
        .collect();
    offsets.sort_by(f64::total_cmp);
    assert!(offsets.len() >= 5, "beeps {beeps:?}, flashes {flashes:?}");
    let median = offsets[offsets.len() / 2];
    println_offset(&offsets);
    assert!(
        median.abs() <= 0.040,
        "sound is {:.1} ms after the picture: {offsets:?}",
        median * 1e3
    );
}

#[expect(
    clippy::print_stdout,
    reason = "a measurement to be read with --nocapture"
)]
fn println_offset(offsets: &[f64]) {
    let ms: Vec<String> = offsets.iter().map(|o| format!("{:.1}", o * 1e3)).collect();
    println!("sound after picture, ms: {}", ms.join(" "));
}

#[test]
fn no_display_is_an_error_that_says_where() {
    let config = config(
        Some((screen(":64999", 320, 240), video(320, 240, 30, 500))),
        None,
    );
    let failed = Capture::build(&config).and_then(|(capture, _events)| capture.start());
    match failed {
        Err(Error::Element { element, text }) => {
            assert_eq!(element, "screen");
            assert!(!text.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_sound_server_is_an_error_that_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let pulse = Sound::Pulse(Pulse {
        server: format!("unix:{}", dir.path().join("nobody").display()),
        source: "page.monitor".into(),
    });
    let config = config(None, Some((pulse, audio(AudioCodec::Aac))));
    let failed = Capture::build(&config).and_then(|(capture, _events)| capture.start());
    match failed {
        Err(Error::Element { element, text }) => {
            assert_eq!(element, "sound");
            assert!(!text.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_screen_of_another_size_is_an_error() {
    let (_server, display) = xvfb(320, 240);
    // The plan says the screen is 640×480, but it is not.
    let config = config(
        Some((screen(&display, 640, 480), video(640, 480, 30, 500))),
        None,
    );
    assert!(Capture::build(&config).is_err());
}
