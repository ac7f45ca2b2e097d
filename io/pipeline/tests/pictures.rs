//! Synthetic pictures in, H.264 parsed back: grid, key frames, profile, bit rate, colours, back pressure.

mod common;

use common::{Take, config, finish, made, pictures, take, until, video, wait};
use media::MediaTime;
use pipeline::{Capture, Config, Events};
use recording::plan::{H264Profile, KeyFrames, VideoEncode};
use std::time::Duration;

fn of(pattern: &str, video: VideoEncode) -> Config {
    config(Some((made(pattern), video)), None)
}

fn assert_on_grid(take: &Take, fps: u64) {
    for (tick, sample) in (0u64..).zip(&take.video) {
        assert_eq!(
            sample.pts.as_nanos(),
            tick * 1_000_000_000 / fps,
            "tick {tick}"
        );
        assert_eq!(sample.dts, sample.pts);
        let next = (tick + 1) * 1_000_000_000 / fps;
        assert_eq!(
            u128::from(next - sample.pts.as_nanos()),
            sample.duration.as_nanos()
        );
    }
}

fn keyframes(take: &Take) -> Vec<usize> {
    (0..take.video.len())
        .filter(|n| take.video[*n].keyframe)
        .collect()
}

#[test]
fn pictures_lie_exactly_on_the_grid_and_all_come_out() {
    for fps in [24, 30, 60] {
        let take = take(&of("pattern=ball", video(320, 240, fps, 500)), |t| {
            t.video.len() >= 70
        });
        assert_on_grid(&take, u64::from(fps));
        assert_eq!(keyframes(&take)[0], 0);
        assert_eq!(take.playing, 1);
        assert_eq!(take.stats.pictures, take.video.len() as u64);
        let shown = take.stats.captured - take.stats.early - take.stats.dropped;
        assert_eq!(shown + take.stats.repeated, take.stats.pictures);
        assert_eq!(pictures(&take).len(), take.video.len());
        assert!(take.drain < Duration::from_secs(2), "{:?}", take.drain);
    }
}

#[test]
fn the_profile_is_in_the_parameter_sets() {
    for (profile, idc, constraint) in [
        (H264Profile::Baseline, 66, 0x40),
        (H264Profile::Main, 77, 0),
        (H264Profile::High, 100, 0),
    ] {
        for live in [false, true] {
            let video = VideoEncode {
                profile,
                live,
                ..video(320, 240, 30, 500)
            };
            let take = take(&of("pattern=smpte", video), |t| t.video.len() >= 20);
            let format = take.video_format();
            assert_eq!((format.width, format.height), (320, 240));
            assert_eq!(format.config[..2], [1, idc]);
            assert_eq!(format.config[2] & constraint, constraint);
            assert_eq!(format.config[4] & 3, 3, "four-byte lengths");
            assert!(take.video.iter().all(|s| lengths_fit(&s.data)));
        }
    }
}

fn lengths_fit(mut data: &[u8]) -> bool {
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        match rest.split_at_checked(u32::from_be_bytes(*length) as usize) {
            Some((_, rest)) => data = rest,
            None => return false,
        }
    }
    data.is_empty()
}

#[test]
fn key_frames_come_exactly_as_often_as_told() {
    // Every frame differs wholly from the one before: scene cuts must not add any.
    let every = KeyFrames::Every(Duration::from_millis(700));
    let video = VideoEncode {
        keyframes: every,
        ..video(160, 120, 30, 500)
    };
    let take = take(&of("pattern=blink", video), |t| t.video.len() >= 90);
    let want: Vec<usize> = (0..take.video.len()).step_by(21).collect();
    assert_eq!(keyframes(&take), want);
}

#[test]
fn key_frames_come_at_the_asked_media_time_and_nowhere_else() {
    let video = VideoEncode {
        keyframes: KeyFrames::Segments,
        ..video(160, 120, 30, 500)
    };
    let (capture, mut events) = Capture::build(&of("pattern=blink", video)).unwrap();
    capture.start().unwrap();
    for second in 1..=2 {
        capture.force_keyframe(Some(MediaTime::from_nanos(second * 1_000_000_000)));
    }
    let take = until(&mut events, Take::default(), &|t| t.video.len() >= 75);
    let take = finish(&capture, &mut events, take);
    assert_eq!(keyframes(&take), [0, 30, 60]);
}

#[test]
fn a_key_frame_asked_for_now_comes_soon() {
    let video = VideoEncode {
        live: true,
        keyframes: KeyFrames::Segments,
        ..video(160, 120, 30, 500)
    };
    let (capture, mut events) = Capture::build(&of("pattern=ball", video)).unwrap();
    capture.start().unwrap();
    let take = until(&mut events, Take::default(), &|t| t.video.len() >= 10);
    let asked = take.video.len();
    capture.force_keyframe(None);
    let take = until(&mut events, take, &|t| {
        t.video.iter().filter(|s| s.keyframe).count() >= 2
    });
    assert!(
        take.video.len() < asked + 15,
        "after {} frames",
        take.video.len() - asked
    );
}

#[test]
fn noise_stays_within_the_bit_rate() {
    let take = take(&of("pattern=snow", video(320, 240, 30, 600)), |t| {
        t.video.len() >= 8 * 30
    });
    assert!(take.kbps() < 630.0, "{} kbit/s", take.kbps());
    assert!(take.kbps() > 480.0, "{} kbit/s", take.kbps());
}

#[test]
fn live_streams_have_a_constant_bit_rate_and_no_lookahead() {
    let live = VideoEncode {
        live: true,
        ..video(320, 240, 30, 600)
    };
    let take = take(&of("pattern=ball", live), |t| t.video.len() >= 6 * 30);
    assert!(
        (540.0..630.0).contains(&take.kbps()),
        "{} kbit/s",
        take.kbps()
    );
}

#[test]
fn colours_come_back() {
    for rgb in [
        [0xff, 0xff, 0xff],
        [0, 0, 0],
        [0xd0, 0x30, 0x20],
        [0x20, 0xc0, 0x40],
        [0x30, 0x40, 0xe0],
        [0x80, 0x80, 0x80],
    ] {
        let [r, g, b] = rgb;
        let pattern = format!("pattern=solid-color foreground-color=0xff{r:02x}{g:02x}{b:02x}");
        let take = take(&of(&pattern, video(320, 240, 30, 500)), |t| {
            t.video.len() >= 12
        });
        let decoded = pictures(&take);
        let (_, last) = decoded.last().unwrap();
        common::assert_colour(last, 320, 240, rgb);
    }
}

#[test]
fn the_stream_says_which_colours_it_holds() {
    let take = take(&of("pattern=smpte", video(320, 240, 30, 500)), |t| {
        t.video.len() >= 5
    });
    let decoded = common::decode(
        &common::h264_caps(take.video_format()),
        "h264parse ! avdec_h264",
        &take.video,
    );
    let caps = decoded[0].1.to_string();
    assert!(caps.contains("colorimetry=(string)bt709"), "{caps}");
}

#[test]
fn a_receiver_that_stalls_loses_raw_pictures_only_and_hears_how_many() {
    // 100 Mbit/s of noise fill the budget in a second and a half.
    let mut config = of("pattern=snow", video(640, 480, 30, 100_000));
    config.encoder_threads = 2;
    let (capture, mut events) = Capture::build(&config).unwrap();
    capture.start().unwrap();
    wait("raw pictures dropped", || capture.stats().dropped > 5);
    let stalled_at = capture.stats().pictures as usize;
    let take = until(&mut events, Take::default(), &|t| {
        t.video.len() >= stalled_at + 30
    });
    let take = finish(&capture, &mut events, take);
    assert_eq!(take.dropped, take.stats.dropped);
    assert!(take.stats.dropped > 5);
    if take.stats.skipped == 0 {
        assert_on_grid(&take, 30);
    }
    assert!(take.video.windows(2).all(|w| w[0].pts < w[1].pts));
    assert_eq!(pictures(&take).len(), take.video.len());
}

#[test]
fn aborting_never_waits_for_a_receiver() {
    let (capture, events) = stalled();
    capture.abort();
    drop(events);
    let (capture, events) = stalled();
    drop(events);
    capture.abort();
}

fn stalled() -> (Capture, Events) {
    let mut config = of("pattern=snow", video(640, 480, 30, 100_000));
    config.encoder_threads = 2;
    let (capture, events) = Capture::build(&config).expect("builds");
    capture.start().expect("starts");
    wait("raw pictures dropped", || capture.stats().dropped > 0);
    (capture, events)
}

#[test]
fn the_graph_can_be_drawn_and_this_machine_has_everything() {
    assert_eq!(pipeline::plugins::probe().unwrap(), []);
    let (capture, _events) = Capture::build(&of("pattern=ball", video(320, 240, 30, 500))).unwrap();
    assert!(capture.dot().contains("video_encoder"));
    assert_eq!(capture.position(), None);
}
