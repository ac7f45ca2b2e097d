//! Pages: what is recorded of them, and how they fail.

use crate::{
    life::{World, file_of},
    support::{
        client::{order, web},
        probe::{Probe, decodes_cleanly, frames, luma},
        until,
    },
};
use std::time::{Duration, Instant};
use wire::livekit::{
    EgressSourceType, EgressStatus, EncodingOptionsPreset, web_egress_request::Options,
};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn pictures_without_sound_move_and_lie_on_the_frame_grid() {
    // [R17]
    let world = World::new().await;
    let mut page = web(&world.pages.url("/"), &world.file("web_{time}"));
    page.video_only = true;
    let reply = world.server.start(&order(page)).await.unwrap();
    assert_eq!(
        (reply.source_type(), reply.room_name.as_str()),
        (EgressSourceType::Web, "")
    );
    let id = reply.egress_id;
    world.active(&id).await;
    let active = Instant::now();
    until("six seconds", SOON, || {
        (active.elapsed() > Duration::from_secs(6)).then_some(())
    })
    .await;
    world.server.stop(&id).await.unwrap();
    let end = world.server.ended(&id, SOON).await;
    let file = file_of(&end);
    decodes_cleanly(file);
    let probe = Probe::of(file);
    assert!(probe.format().contains("mp4") && probe.stream("audio").is_none());
    let video = probe.stream("video").expect("pictures");
    assert_eq!(
        (video.number("width") as u32, video.number("height") as u32),
        (1280, 720)
    );
    for (k, (pts, _)) in frames(file).iter().enumerate() {
        assert!((pts - k as f64 / 30.0).abs() < 0.0005, "frame {k} at {pts}");
    }
    let luma = luma(file);
    let (low, high) = luma
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, h), y| (l.min(*y), h.max(*y)));
    assert!(
        low > 16.5 && high - low > 1.0,
        "a blank or frozen picture: {luma:?}"
    );
}

#[tokio::test]
async fn presets_are_kept() {
    // [R27]
    let world = World::new().await;
    for number in 0..8 {
        let preset = EncodingOptionsPreset::try_from(number).unwrap();
        let (width, height, fps, kbps) = match preset {
            EncodingOptionsPreset::H264720p30 => (1280, 720, 30, 3000),
            EncodingOptionsPreset::H264720p60 => (1280, 720, 60, 4500),
            EncodingOptionsPreset::H2641080p30 => (1920, 1080, 30, 4500),
            EncodingOptionsPreset::H2641080p60 => (1920, 1080, 60, 6000),
            EncodingOptionsPreset::PortraitH264720p30 => (720, 1280, 30, 3000),
            EncodingOptionsPreset::PortraitH264720p60 => (720, 1280, 60, 4500),
            EncodingOptionsPreset::PortraitH2641080p30 => (1080, 1920, 30, 4500),
            EncodingOptionsPreset::PortraitH2641080p60 => (1080, 1920, 60, 6000),
            EncodingOptionsPreset::Passthrough => unreachable!("8 is not asked"),
        };
        let mut page = web(&world.pages.url("/"), &world.file(&format!("{number}.mp4")));
        page.options = Some(Options::Preset(number));
        let id = world.server.start(&order(page)).await.unwrap().egress_id;
        world.active(&id).await;
        let active = Instant::now();
        until("five seconds", SOON, || {
            (active.elapsed() > Duration::from_secs(5)).then_some(())
        })
        .await;
        world.server.stop(&id).await.unwrap();
        let end = world.server.ended(&id, SOON).await;
        assert_eq!(
            end.status(),
            EgressStatus::EgressComplete,
            "{}: {}",
            preset.as_str_name(),
            end.error
        );
        let probe = Probe::of(file_of(&end));
        let video = probe.stream("video").expect("pictures");
        assert_eq!(
            (video.number("width") as u32, video.number("height") as u32),
            (width, height)
        );
        let rate = video.frame_rate() / f64::from(fps);
        assert!(
            (0.8..=1.05).contains(&rate),
            "{}: {} frames/s",
            preset.as_str_name(),
            video.frame_rate()
        );
        assert!(
            video.number("bit_rate") < 1.05 * 1000.0 * f64::from(kbps),
            "{}",
            video.number("bit_rate")
        );
        assert!(
            probe.duration() > 4.0,
            "{}: {} s",
            preset.as_str_name(),
            probe.duration()
        );
        world.idle().await;
    }
}

#[tokio::test]
async fn pages_that_fail_say_why_and_leave_nothing() {
    // [L16]
    let world = World::new().await;
    let refused = format!("http://127.0.0.1:{}/", crate::support::free_port());
    for (url, error) in [
        (world.pages.url("/nothing"), "page load error: Not Found"),
        (refused, "page load error: net::ERR_CONNECTION_REFUSED"),
        (
            world.pages.url("/error"),
            "template error: the room does not exist",
        ),
    ] {
        let id = world
            .server
            .start(&order(web(&url, &world.file("e.mp4"))))
            .await
            .unwrap()
            .egress_id;
        let end = world.server.ended(&id, Duration::from_secs(60)).await;
        assert_eq!(
            (end.status(), end.error_code),
            (EgressStatus::EgressFailed, 400),
            "{end:?}"
        );
        assert_eq!(end.error, error);
        world.idle().await;
        assert!(crate::support::worker::is_empty(world.out.path()));
    }
}

#[tokio::test]
async fn a_page_decides_when_it_begins_and_ends() {
    // [L17]
    let world = World::new().await;
    let mut page = web(&world.pages.url("/?start=3&end=9"), &world.file("s.mp4"));
    page.await_start_signal = true;
    let asked = Instant::now();
    let id = world.server.start(&order(page)).await.unwrap().egress_id;
    let active = world
        .server
        .reported(&id, EgressStatus::EgressActive, SOON)
        .await;
    assert!(
        active.at - asked >= Duration::from_secs(3),
        "ACTIVE only after the signal"
    );
    let end = world.server.ended(&id, SOON).await;
    assert_eq!(
        (end.status(), end.details.as_str()),
        (EgressStatus::EgressComplete, "End reason: Source closed")
    );
    let duration = Probe::of(file_of(&end)).duration();
    assert!((duration - 6.0).abs() < 1.0, "{duration} s");
}

#[tokio::test]
async fn a_recording_that_is_stopped_while_it_starts_is_aborted() {
    let world = World::new().await;
    let mut page = web(&world.pages.url("/"), &world.file("s.mp4"));
    page.await_start_signal = true;
    let id = world.server.start(&order(page)).await.unwrap().egress_id;
    world.server.stop(&id).await.unwrap();
    let end = world.server.ended(&id, SOON).await;
    assert_eq!(
        (end.status(), end.error_code),
        (EgressStatus::EgressAborted, 412)
    );
    world.idle().await;
    assert!(crate::support::worker::is_empty(world.out.path()));
}
