//! How the worker finishes what a recorder left.

use crate::world::{REQUESTED_AT, SECOND, World, file, images, later, plan, room, rtmp, segments};
use recording::crash::{ExitCause, Partial, failed, orphaned};
use recording::lifecycle::{StopReason, StreamFact};
use recording::{fault, info};
use std::time::Duration;
use wire::livekit::{EgressStatus, egress_info};

fn partial() -> Partial {
    Partial {
        location: "/out/a.ogg".to_owned(),
        size: 4321,
        duration: Some(Duration::from_secs(29)),
    }
}

#[test]
fn a_killed_recorder_leaves_failed_and_names_the_partial_file() {
    let world = World::active(plan(room(), vec![file()]));
    let last = world.recording.info();
    let now = later(world.now, Duration::from_secs(30));
    let info = failed(&last, now, &ExitCause::Signal(9), Some(&partial()));
    assert_eq!(info.status, EgressStatus::EgressFailed as i32);
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("signal: killed", 500)
    );
    assert_eq!(info.ended_at, REQUESTED_AT + 30 * SECOND);
    assert_eq!(info.updated_at, info.ended_at);
    let file = &info.file_results[0];
    assert_eq!(file.filename, "out/a.ogg");
    assert_eq!((file.location.as_str(), file.size), ("/out/a.ogg", 4321));
    assert_eq!(file.duration, 29 * SECOND);
    assert_eq!(file.ended_at, file.started_at + 29 * SECOND);
    #[expect(deprecated, reason = "clients still read it")]
    let same = info.result == Some(egress_info::Result::File(file.clone()));
    assert!(same, "the deprecated result agrees");
}

#[test]
fn a_terminal_info_is_never_touched() {
    let mut world = World::active(plan(room(), vec![file()]));
    let done = world.stop(StopReason::Api).drain_and_store(1).ended();
    let now = later(world.now, Duration::from_secs(9));
    assert_eq!(
        failed(&done, now, &ExitCause::Signal(9), Some(&partial())),
        done
    );
    assert_eq!(orphaned(&done, now, None), done);
}

#[test]
fn texts_are_the_ones_clients_know() {
    for (cause, text) in [
        (ExitCause::Signal(9), "signal: killed"),
        (ExitCause::Signal(11), "signal: segmentation fault"),
        (ExitCause::Signal(40), "signal: signal 40"),
        (ExitCause::Code(1), "exit status 1"),
        (
            ExitCause::Code(0),
            "handler exited without reporting the end",
        ),
        (ExitCause::Lost, "connection to handler lost"),
        (ExitCause::NeverReady, "handler failed to start"),
    ] {
        assert_eq!(cause.fault().message, text);
        assert_eq!(cause.fault().code.http(), 500);
    }
    let forced = ExitCause::Forced(fault::out_of_memory(8.0)).fault();
    assert_eq!(
        (forced.message.as_str(), forced.code.http()),
        ("OOM: 8.00 GB used", 403)
    );
}

#[test]
fn everything_that_had_no_end_gets_one() {
    let outputs = vec![file(), rtmp(&["a", "b"]), segments(), images()];
    let mut world = World::active(plan(room(), outputs));
    world
        .stream(0, StreamFact::Failed(fault::stream("earlier")))
        .seconds(10);
    let info = failed(
        &world.recording.info(),
        world.now,
        &ExitCause::Code(2),
        None,
    );
    assert_eq!(info.stream_results[0].error, "earlier");
    assert_eq!(
        (
            info.stream_results[1].status,
            info.stream_results[1].error.as_str()
        ),
        (2, "exit status 2")
    );
    assert_eq!(info.file_results[0].duration, 10 * SECOND);
    assert_eq!(info.segment_results[0].duration, 10 * SECOND);
    assert_eq!(info.image_results[0].ended_at, info.ended_at);
    assert_eq!(info.details, "End reason: Failure");
}

#[test]
fn a_recorder_that_never_reported_ends_what_was_never_begun() {
    let last = info::initial(&plan(room(), vec![file()]));
    let now = later(crate::world::start(), Duration::from_secs(10));
    let info = failed(&last, now, &ExitCause::NeverReady, None);
    let file = &info.file_results[0];
    assert_eq!(
        (file.started_at, file.ended_at, file.duration),
        (info.ended_at, info.ended_at, 0)
    );
}

#[test]
fn an_orphan_that_was_ending_keeps_its_reason() {
    let mut world = World::active(plan(room(), vec![file()]));
    let last = world.stop(StopReason::Api).recording.info();
    let mut now = world.now;
    now.wall -= Duration::from_secs(3600);
    let info = orphaned(&last, now, Some(&partial()));
    assert_eq!(info.status, EgressStatus::EgressFailed as i32);
    assert_eq!(info.details, "End reason: StopEgress API");
    assert!(info.ended_at >= info.started_at && info.updated_at >= last.updated_at);
    assert_eq!(info.file_results[0].size, 4321);
}
