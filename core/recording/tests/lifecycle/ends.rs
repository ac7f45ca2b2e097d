//! How recordings end: egress-behaviour.md §8.3, §8.4, §8.6, Appendix D.

use crate::world::{
    REQUESTED_AT, SECOND, World, broken, closed, drained, file, images, page, plan, room, rtmp,
    segments, stored, websocket,
};
use recording::lifecycle::{
    Effect, Exit, Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact, StopReason,
    StreamFact, Wait,
};
use recording::{Code, fault, info};
use std::time::Duration;
use wire::livekit::{EgressStatus, egress_info};

#[test]
fn a_stopped_recording_goes_active_ending_complete() {
    let mut world = World::new(plan(room(), vec![file()]));
    world.source(SourceFact::Opened);
    assert!(
        world.published().is_empty(),
        "nothing is said while STARTING"
    );
    world
        .source(SourceFact::StartSignal)
        .seconds(1)
        .media(MediaFact::Playing)
        .seconds(10)
        .stop(StopReason::Api);
    assert_eq!(world.status(), EgressStatus::EgressEnding);
    assert_eq!(world.recording.info().error, "");
    world.drain_and_store(11);
    let info = world.ended();
    assert_eq!(
        world.published(),
        [
            EgressStatus::EgressActive,
            EgressStatus::EgressEnding,
            EgressStatus::EgressComplete
        ]
    );
    assert_eq!(info.details, "End reason: StopEgress API");
    assert_eq!((info.error.as_str(), info.error_code), ("", 0));
    assert_eq!(info.started_at, REQUESTED_AT);
    assert_eq!(info.manifest_location, "/out/EG_test.json");
    let file = &info.file_results[0];
    assert_eq!(file.filename, "out/a.ogg");
    assert_eq!(file.location, "/out/a.ogg");
    assert_eq!(file.size, 11_000);
    assert_eq!(file.started_at, REQUESTED_AT, "time 0 is the first packet");
    assert_eq!(file.duration, 11 * SECOND);
    assert_eq!(file.ended_at, REQUESTED_AT + 11 * SECOND);
}

#[test]
fn effects_come_in_the_order_drivers_need() {
    let mut world = World::new(plan(room(), vec![file()]));
    world
        .source(SourceFact::Opened)
        .source(SourceFact::StartSignal)
        .media(MediaFact::Playing)
        .stop(StopReason::Api)
        .drain_and_store(1);
    let order: Vec<_> = world
        .effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::Publish(_)))
        .cloned()
        .collect();
    assert_eq!(
        order,
        [
            Effect::OpenSource,
            Effect::StartMedia,
            Effect::StopMedia,
            Effect::CloseOutputs,
            Effect::CloseSource,
            Effect::Store(OutputId(0)),
            Effect::StoreManifest(OutputId(0)),
            Effect::Exit(Exit::Reported),
        ]
    );
}

#[test]
fn a_page_counts_from_playing_to_the_stop() {
    let mut world = World::new(plan(page(false), vec![file()]));
    world
        .seconds(2)
        .source(SourceFact::Opened)
        .seconds(1)
        .media(MediaFact::Playing)
        .seconds(20)
        .stop(StopReason::Api)
        .seconds(1)
        .drain_and_store(20);
    let file = world.ended().file_results[0].clone();
    assert_eq!(file.started_at, REQUESTED_AT + 3 * SECOND);
    assert_eq!(file.ended_at, REQUESTED_AT + 23 * SECOND);
    assert_eq!(file.duration, 20 * SECOND);
}

#[test]
fn good_ends_say_why() {
    for (reason, details) in [
        (StopReason::Api, "End reason: StopEgress API"),
        (StopReason::SourceClosed, "End reason: Source closed"),
        (
            StopReason::AllStreamsStopped,
            "End reason: All streams stopped",
        ),
        (StopReason::CpuExhausted, "End reason: CPU exhausted"),
        (StopReason::ProcessKilled, "End reason: Process killed"),
    ] {
        let mut world = World::active(plan(room(), vec![file()]));
        world.stop(reason).drain_and_store(1);
        let info = world.ended();
        assert_eq!(info.status, EgressStatus::EgressComplete as i32);
        assert_eq!(info.details, details);
    }
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.stop(StopReason::Api);
    let before = world.recording.info();
    world.effects.clear();
    world.stop(StopReason::CpuExhausted);
    assert!(world.effects.is_empty());
    assert_eq!(world.recording.info(), before);
}

#[test]
fn a_stop_before_media_aborts() {
    let cases: [(&[SourceFact], bool, &str); 4] = [
        (&[], true, "Start signal not received"),
        (&[SourceFact::Opened], true, "Start signal not received"),
        (&[], false, "Stop called before pipeline could start"),
        (
            &[SourceFact::Opened, SourceFact::StartSignal],
            true,
            "Stop called before pipeline could start",
        ),
    ];
    for (facts, awaits, text) in cases {
        let mut world = World::new(plan(page(awaits), vec![file()]));
        for fact in facts {
            world.source(fact.clone());
        }
        world.stop(StopReason::Api);
        let info = world.ended();
        assert_eq!(info.status, EgressStatus::EgressAborted as i32);
        assert_eq!((info.error.as_str(), info.error_code), (text, 412));
        assert_eq!(info.details, "End reason: StopEgress API");
        let file = &info.file_results[0];
        assert_eq!(file.started_at, file.ended_at, "it never started");
        assert_eq!(file.location, "");
    }
}

#[test]
fn end_recording_before_start_recording_aborts() {
    let mut world = World::new(plan(page(true), vec![file()]));
    world.source(SourceFact::Opened).source(SourceFact::Ended);
    let info = world.ended();
    assert_eq!(info.status, EgressStatus::EgressAborted as i32);
    assert_eq!(info.error, "Start signal not received");
    assert_eq!(info.details, "End reason: Source closed");
    assert!(!world.did(&Effect::StartMedia));
}

#[test]
fn a_start_signal_that_comes_before_the_page_is_open_counts() {
    let mut world = World::new(plan(page(true), vec![file()]));
    world
        .source(SourceFact::StartSignal)
        .source(SourceFact::Opened);
    assert!(world.did(&Effect::StartMedia));
}

#[test]
fn a_duration_limit_drains_and_stores_without_ending() {
    let mut plan = plan(room(), vec![file()]);
    plan.limits.max_duration = Some(Duration::from_secs(60));
    let mut world = World::active(plan);
    world.seconds(59);
    assert_eq!(world.status(), EgressStatus::EgressActive);
    world.seconds(1).seconds(5).drain_and_store(60);
    let info = world.ended();
    assert_eq!(world.published(), [EgressStatus::EgressLimitReached]);
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("Session limit reached", 413)
    );
    assert_eq!(info.details, "End reason: Session limit reached");
    assert_eq!(
        info.ended_at,
        REQUESTED_AT + 60 * SECOND,
        "when the limit hit"
    );
    assert_eq!(info.file_results[0].location, "/out/a.ogg");
    assert_ne!(info.manifest_location, "");
}

#[test]
fn a_size_limit_counts_all_outputs_together() {
    let mut plan = plan(room(), vec![file(), segments()]);
    plan.limits.max_file_size = Some(300_000);
    let mut world = World::active(plan);
    world
        .output(0, OutputFact::Size(200_000))
        .output(1, OutputFact::Size(99_999));
    assert_eq!(world.recording.waiting(), Wait::Recording);
    world.output(1, OutputFact::Size(100_000));
    assert_eq!(world.recording.waiting(), Wait::Drain);
    world.drain_and_store(9);
    assert_eq!(
        world.ended().status,
        EgressStatus::EgressLimitReached as i32
    );
}

#[test]
fn a_limit_that_meets_a_failed_upload_is_failed() {
    let mut plan = plan(room(), vec![file()]);
    plan.limits.max_duration = Some(Duration::from_secs(1));
    let mut world = World::active(plan);
    world
        .seconds(1)
        .tell(drained(1))
        .output(0, closed(1))
        .output(0, OutputFact::StoreFailed(fault::upload("S3", "no")));
    let info = world.ended();
    assert_eq!(info.status, EgressStatus::EgressFailed as i32);
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("S3 upload failed: no", 400)
    );
    assert_eq!(info.details, "End reason: Session limit reached");
    assert_eq!(info.file_results[0].location, "");
}

#[test]
fn a_limit_or_a_start_timeout_while_waiting_aborts_without_details() {
    for (max_duration, start_timeout) in [(Some(20), None), (None, Some(20)), (Some(30), Some(20))]
    {
        let mut plan = plan(room(), vec![file()]);
        plan.limits.max_duration = max_duration.map(Duration::from_secs);
        plan.limits.start_timeout = start_timeout.map(Duration::from_secs);
        let mut world = World::new(plan);
        world.seconds(5).source(SourceFact::Opened).seconds(19);
        assert_eq!(world.recording.waiting(), Wait::StartSignal);
        world.seconds(1);
        let info = world.ended();
        assert_eq!(info.status, EgressStatus::EgressAborted as i32);
        assert_eq!(info.error, "Start signal not received");
        assert_eq!(info.details, "");
    }
}

#[test]
fn a_limit_while_media_starts_aborts() {
    let mut plan = plan(room(), vec![file()]);
    plan.limits.max_duration = Some(Duration::from_secs(3));
    let mut world = World::new(plan);
    world
        .source(SourceFact::Opened)
        .source(SourceFact::StartSignal)
        .seconds(3);
    let info = world.ended();
    assert_eq!(info.error, "Session limit reached before start signal");
    assert_eq!(info.error_code, 412);
    assert!(world.did(&Effect::DiscardMedia));
}

#[test]
fn without_limits_the_start_signal_is_awaited_for_ever() {
    let mut world = World::new(plan(page(true), vec![file()]));
    world.source(SourceFact::Opened);
    assert_eq!(world.recording.poll_timeout(), None);
    world.seconds(7 * 24 * 3600);
    assert_eq!(world.status(), EgressStatus::EgressStarting);
}

#[test]
fn a_source_that_does_not_open_fails_in_time() {
    let mut world = World::new(plan(page(false), vec![file()]));
    world.seconds(164);
    assert_eq!(world.recording.waiting(), Wait::SourceOpen);
    world.seconds(1);
    let info = world.ended();
    assert_eq!(info.status, EgressStatus::EgressFailed as i32);
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("page load error: timed out", 400)
    );
    assert_eq!(info.details, "End reason: Failure");

    let mut world = World::new(plan(room(), vec![file()]));
    world.seconds(75);
    assert_eq!(world.ended().status, EgressStatus::EgressFailed as i32);
}

#[test]
fn media_that_does_not_play_is_frozen() {
    let mut world = World::new(plan(page(false), vec![file()]));
    world.source(SourceFact::Opened).seconds(14);
    assert_eq!(world.recording.waiting(), Wait::MediaStart);
    world.seconds(1);
    let info = world.ended();
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("pipeline frozen", 500)
    );
}

#[test]
fn media_that_does_not_drain_is_frozen_and_its_file_is_kept() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.seconds(9).stop(StopReason::Api).seconds(30);
    assert!(world.did(&Effect::CloseOutputs));
    world.close_and_store(8);
    let info = world.ended();
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("pipeline frozen", 500)
    );
    assert_eq!(info.details, "End reason: StopEgress API");
    let file = &info.file_results[0];
    assert_eq!((file.size, file.duration), (8000, 8 * SECOND));
    assert_eq!(file.location, "/out/a.ogg");
    assert_eq!(
        info.manifest_location, "",
        "broken recordings have no manifest"
    );
}

#[test]
fn a_stream_that_does_not_drain_is_not_a_failure() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"])]));
    world.stop(StopReason::Api).seconds(30).seconds(30);
    assert_eq!(world.ended().status, EgressStatus::EgressComplete as i32);

    let mut world = World::active(plan(room(), vec![websocket()]));
    world
        .stop(StopReason::Api)
        .media(MediaFact::Failed(broken("late")))
        .stream(0, StreamFact::Closed);
    assert_eq!(world.ended().status, EgressStatus::EgressComplete as i32);
}

#[test]
fn an_output_that_does_not_close_does_not_take_the_others_with_it() {
    let mut world = World::active(plan(room(), vec![file(), segments()]));
    world
        .stop(StopReason::Api)
        .tell(drained(4))
        .output(0, closed(4))
        .output(0, stored(4));
    assert_eq!(world.recording.waiting(), Wait::Close);
    world.seconds(30);
    let info = world.ended();
    assert_eq!(info.error, "pipeline frozen");
    assert_eq!(info.file_results[0].location, "/out/a.ogg");
}

#[test]
fn a_broken_encoder_fails_with_the_file_so_far() {
    let mut world = World::active(plan(page(false), vec![file()]));
    world
        .seconds(100)
        .media(MediaFact::Failed(broken("x264: boom")));
    assert!(!world.did(&Effect::StopMedia), "there is nothing to drain");
    world.close_and_store(100);
    let info = world.ended();
    assert_eq!(world.published(), [EgressStatus::EgressFailed]);
    assert_eq!((info.error.as_str(), info.error_code), ("x264: boom", 500));
    assert_eq!(info.details, "End reason: Failure");
    let file = &info.file_results[0];
    assert_eq!((file.size, file.location.as_str()), (100_000, "/out/a.ogg"));
    assert_eq!(file.duration, 100 * SECOND);
}

#[test]
fn a_lost_room_drains_and_fails_with_file_and_manifest() {
    let mut world = World::active(plan(room(), vec![file()]));
    world
        .seconds(10)
        .source(SourceFact::Failed(fault::room_lost()))
        .drain_and_store(10);
    let info = world.ended();
    assert_eq!(
        world.published(),
        [EgressStatus::EgressEnding, EgressStatus::EgressFailed]
    );
    assert_eq!(
        info.error,
        "recording ended early: connection to room failed"
    );
    assert_eq!(info.error_code, 503);
    assert_eq!(info.details, "End reason: Source closed");
    assert_eq!(info.file_results[0].location, "/out/a.ogg");
    assert_ne!(info.manifest_location, "");
}

#[test]
fn a_crashed_browser_fails_with_the_file_so_far() {
    let mut world = World::active(plan(page(false), vec![file()]));
    world
        .seconds(10)
        .source(SourceFact::Failed(fault::page_crashed("browser crashed")))
        .drain_and_store(10);
    let info = world.ended();
    assert_eq!(info.error, "recording ended early: browser crashed");
    assert_eq!(info.details, "End reason: Failure");
    assert_eq!(info.file_results[0].size, 10_000);
}

#[test]
fn a_kill_fails_but_keeps_the_file() {
    let mut world = World::active(plan(room(), vec![file()]));
    world
        .stop(StopReason::Kill(fault::cpu_exhausted(3.456)))
        .drain_and_store(1);
    let info = world.ended();
    assert_eq!(info.error, "CPU exhausted: 3.46 cores used");
    assert_eq!(
        (info.error_code, info.details.as_str()),
        (403, "End reason: Process killed")
    );
    assert_eq!(info.file_results[0].location, "/out/a.ogg");
    assert_eq!(info.manifest_location, "");
}

#[test]
fn a_kill_after_a_graceful_stop_keeps_the_first_reason() {
    let mut world = World::active(plan(room(), vec![file()]));
    world
        .stop(StopReason::CpuExhausted)
        .stop(StopReason::Kill(fault::cpu_exhausted(3.0)))
        .drain_and_store(1);
    let info = world.ended();
    assert_eq!(info.status, EgressStatus::EgressFailed as i32);
    assert_eq!(
        (info.error_code, info.details.as_str()),
        (403, "End reason: CPU exhausted")
    );
}

#[test]
fn a_kill_before_media_fails_at_once() {
    let mut world = World::new(plan(room(), vec![file()]));
    world.stop(StopReason::Kill(fault::shutting_down()));
    let info = world.ended();
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("server is shutting down", 403)
    );
    assert_eq!(info.details, "End reason: Process killed");
}

#[test]
fn without_its_worker_a_recording_finalises_and_goes() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.stop(StopReason::WorkerGone).drain_and_store(5);
    let info = world.ended();
    assert_eq!(info.status, EgressStatus::EgressFailed as i32);
    assert_eq!(info.file_results[0].location, "/out/a.ogg");
    assert_ne!(info.manifest_location, "", "the media is whole");
}

#[test]
fn a_duplicate_identity_leaves_without_a_word() {
    for stop_first in [false, true] {
        let mut world = World::active(plan(room(), vec![file()]));
        if stop_first {
            world
                .stop(StopReason::Api)
                .tell(drained(1))
                .output(0, closed(1));
        }
        world.effects.clear();
        world.stop(StopReason::DuplicateIdentity);
        assert!(world.published().is_empty());
        assert!(world.did(&Effect::DiscardMedia));
        assert_eq!(world.witness.exited(), Some(Exit::Silent));
        world.effects.clear();
        world.stop(StopReason::Api).tell(drained(1)).seconds(1000);
        assert!(world.effects.is_empty());
    }
}

#[test]
fn a_failing_output_ends_the_recording_and_the_others_are_stored() {
    let mut world = World::active(plan(room(), vec![file(), segments()]));
    world
        .output(0, OutputFact::Failed(broken("disk full")))
        .tell(drained(3))
        .output(0, closed(2))
        .output(1, closed(3))
        .output(0, stored(2))
        .output(1, stored(3));
    let info = world.ended();
    assert_eq!((info.error.as_str(), info.error_code), ("disk full", 500));
    assert_eq!(info.details, "End reason: Failure");
    assert_eq!(info.file_results[0].size, 2000);
    assert_eq!(info.segment_results[0].playlist_location, "/out/a.ogg");
}

#[test]
fn an_output_that_cannot_be_opened_fails_the_start() {
    let mut world = World::new(plan(room(), vec![file()]));
    world
        .source(SourceFact::Opened)
        .source(SourceFact::StartSignal)
        .output(0, OutputFact::Failed(fault::upload("S3", "bad client")));
    assert_eq!(world.ended().error_code, 400);
    assert!(world.did(&Effect::DiscardMedia));
}

#[test]
fn a_segment_that_cannot_be_stored_ends_the_recording() {
    let mut world = World::active(plan(room(), vec![segments()]));
    world
        .output(0, OutputFact::StoreFailed(fault::upload("GCP", "gone")))
        .drain_and_store(3);
    let info = world.ended();
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("GCP upload failed: gone", 400)
    );
    assert_eq!(info.details, "End reason: Failure");
}

#[test]
fn an_empty_file_is_not_stored() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.stop(StopReason::Api).tell(drained(0)).output(
        0,
        OutputFact::Closed {
            size: 0,
            duration: None,
        },
    );
    assert!(!world.did(&Effect::Store(OutputId(0))));
    assert_eq!(world.ended().file_results[0].location, "");
}

#[test]
fn a_manifest_that_hangs_or_fails_is_no_failure() {
    for hangs in [true, false] {
        let mut world = World::active(plan(room(), vec![file()]));
        world
            .stop(StopReason::Api)
            .tell(drained(1))
            .output(0, closed(1))
            .output(0, stored(1));
        assert_eq!(world.recording.waiting(), Wait::Manifest);
        if hangs {
            world.seconds(120);
        } else {
            world.tell(Input::Manifest(OutputId(0), ManifestFact::Failed));
        }
        let info = world.ended();
        assert_eq!(info.status, EgressStatus::EgressComplete as i32);
        assert_eq!(info.manifest_location, "");
    }
}

#[test]
fn the_backup_store_is_told_and_brings_a_manifest() {
    let mut world = World::active(plan(room(), vec![segments()]));
    world
        .output(
            0,
            OutputFact::Piece {
                size: 500,
                backup: true,
            },
        )
        .stop(StopReason::Api)
        .tell(drained(4))
        .output(0, closed(4))
        .output(0, stored(4));
    assert!(world.did(&Effect::StoreManifest(OutputId(0))));
    assert!(world.recording.info().backup_storage_used);
}

#[test]
fn segments_and_images_are_counted() {
    let mut world = World::active(plan(room(), vec![segments(), images()]));
    for _ in 0..3 {
        world.output(
            0,
            OutputFact::Piece {
                size: 700,
                backup: false,
            },
        );
        world.output(
            1,
            OutputFact::Piece {
                size: 10,
                backup: false,
            },
        );
    }
    world.output(
        0,
        OutputFact::Playlist {
            location: "/out/live.m3u8".to_owned(),
            live: true,
            backup: false,
        },
    );
    let info = world.recording.info();
    let segments = &info.segment_results[0];
    assert_eq!((segments.segment_count, segments.size), (3, 2100));
    assert_eq!(segments.playlist_name, "hls/p.m3u8");
    assert_eq!(segments.live_playlist_name, "hls/live.m3u8");
    assert_eq!(segments.live_playlist_location, "/out/live.m3u8");
    assert_eq!(info.image_results[0].image_count, 3);
    assert_eq!(info.image_results[0].filename_prefix, "img/i");
    assert_eq!(info.result, None, "two kinds have no deprecated result");
}

#[test]
fn active_carries_the_final_names() {
    let mut world = World::new(plan(room(), vec![file()]));
    world
        .source(SourceFact::Opened)
        .output(
            0,
            OutputFact::Named {
                name: "out/TR_1.ogg".to_owned(),
                live: None,
            },
        )
        .source(SourceFact::StartSignal)
        .media(MediaFact::Playing);
    let info = world.witness.last().expect("ACTIVE");
    assert_eq!(info.file_results[0].filename, "out/TR_1.ogg");
}

#[test]
fn the_initial_info_is_starting_with_an_entry_per_output() {
    let info = info::initial(&plan(
        room(),
        vec![file(), rtmp(&["a", "b"]), segments(), images()],
    ));
    assert_eq!(info.status, EgressStatus::EgressStarting as i32);
    assert_eq!(info.source_type, 1);
    assert_eq!(
        (info.started_at, info.updated_at),
        (REQUESTED_AT, REQUESTED_AT)
    );
    assert_eq!((info.egress_id.as_str(), info.retry_count), ("EG_test", 2));
    assert_eq!(info.file_results.len(), 1);
    assert_eq!(info.stream_results.len(), 2);
    assert_eq!(info.stream_results[1].url, "rtmp://localhost/live/{b}");
    assert_eq!(info.segment_results.len(), 1);
    assert_eq!(info.image_results.len(), 1);
    assert_eq!(info.result, None);
}

#[test]
#[expect(deprecated, reason = "clients still read it")]
fn one_kind_of_output_also_has_the_deprecated_result() {
    let result = |output| info::initial(&plan(room(), vec![output])).result;
    assert!(matches!(result(file()), Some(egress_info::Result::File(_))));
    assert!(matches!(
        result(rtmp(&["a"])),
        Some(egress_info::Result::Stream(_))
    ));
    assert!(matches!(
        result(segments()),
        Some(egress_info::Result::Segments(_))
    ));
    assert_eq!(result(images()), None);
}

#[test]
fn a_clock_that_is_set_back_does_not_show() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.seconds(10);
    world.now.wall -= Duration::from_secs(3600);
    world.stop(StopReason::Api).drain_and_store(10);
    let info = world.ended();
    assert!(info.ended_at >= REQUESTED_AT + 10 * SECOND);
    assert!(info.updated_at >= info.ended_at);
}

#[test]
fn drops_are_counted_and_change_nothing() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.media(MediaFact::Dropped {
        output: None,
        frames: 4,
    });
    assert!(world.effects.is_empty());
    assert_eq!(world.recording.dropped(), 4);
}

#[test]
fn codes_are_the_http_numbers_clients_know() {
    assert_eq!(fault::limit_reached().code.http(), 413);
    assert_eq!(fault::join("x").code, Code::Unknown);
    assert_eq!(fault::join("x").code.http(), 0);
    assert_eq!(fault::out_of_memory(1.5).message, "OOM: 1.50 GB used");
}
