//! Stream targets: egress-behaviour.md §5.2, §5.4, §5.6.

use crate::world::{REQUESTED_AT, SECOND, World, file, plan, room, rtmp, segments, url, websocket};
use recording::lifecycle::{
    Effect, Exit, MediaFact, OutputFact, SourceFact, StopReason, StreamChange, StreamFact, StreamId,
};
use recording::{Code, Fault, Refusal};
use wire::livekit::EgressStatus;

fn refused_by_peer() -> Fault {
    Fault::internal("connection refused")
}

fn add(names: &[&str]) -> StreamChange {
    StreamChange {
        add: names.iter().map(|name| url(name)).collect(),
        ..StreamChange::default()
    }
}

fn remove(names: &[&str]) -> StreamChange {
    StreamChange {
        remove: names.iter().map(|name| url(name).url).collect(),
        ..StreamChange::default()
    }
}

#[test]
fn active_does_not_wait_for_the_peers() {
    let world = World::active(plan(room(), vec![rtmp(&["a"])]));
    let info = world.recording.info();
    assert_eq!(info.stream_results[0].started_at, 0);
    assert_eq!(info.stream_results[0].status, 0);
}

#[test]
fn a_bad_url_beside_a_good_one_is_one_more_active_update() {
    let mut world = World::active(plan(room(), vec![rtmp(&["good", "bad"])]));
    world
        .seconds(1)
        .stream(1, StreamFact::Failed(refused_by_peer()));
    assert!(world.published().is_empty(), "good has not started yet");
    world.seconds(1).stream(0, StreamFact::Opened);
    assert_eq!(world.published(), [EgressStatus::EgressActive]);
    let info = world.recording.info();
    assert_eq!(info.stream_results[0].started_at, REQUESTED_AT + 2 * SECOND);
    assert_eq!(info.stream_results[1].error, "connection refused");
    assert_eq!(
        info.stream_results[1].started_at,
        info.stream_results[1].ended_at
    );
    assert_eq!(info.stream_results[1].duration, 0);
}

#[test]
fn the_last_failed_stream_fails_the_recording_at_once() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a", "b"])]));
    world.stream(0, StreamFact::Failed(Fault::internal("first")));
    assert_eq!(world.status(), EgressStatus::EgressActive);
    world.stream(1, StreamFact::Failed(refused_by_peer()));
    let info = world.ended();
    assert_eq!(
        (info.error.as_str(), info.error_code),
        ("connection refused", 503)
    );
    assert_eq!(info.details, "End reason: Failure");
    assert_eq!(world.published(), [EgressStatus::EgressFailed]);
}

#[test]
fn failed_streams_do_not_end_what_else_is_recorded() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"]), segments()]));
    world.stream(0, StreamFact::Failed(refused_by_peer()));
    assert_eq!(world.published(), [EgressStatus::EgressActive]);
    world.stop(StopReason::Api).drain_and_store(4);
    assert_eq!(world.ended().status, EgressStatus::EgressComplete as i32);
}

#[test]
fn a_broken_muxer_fails_all_its_streams() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a", "b"]), segments()]));
    world.output(0, OutputFact::Failed(Fault::internal("mux")));
    let info = world.recording.info();
    assert!(
        info.stream_results
            .iter()
            .all(|s| s.status == 2 && s.error == "mux")
    );
    assert_eq!(info.status, EgressStatus::EgressActive as i32);
}

#[test]
fn a_websocket_that_cannot_be_dialled_keeps_its_code() {
    let mut world = World::new(plan(room(), vec![websocket()]));
    world
        .source(SourceFact::Opened)
        .source(SourceFact::StartSignal)
        .stream(
            0,
            StreamFact::Failed(Fault::new(Code::InvalidArgument, "dial: no")),
        );
    let info = world.ended();
    assert_eq!((info.error.as_str(), info.error_code), ("dial: no", 400));
}

#[test]
fn a_websocket_starts_with_the_media() {
    let mut world = World::new(plan(room(), vec![websocket()]));
    world
        .source(SourceFact::Opened)
        .seconds(3)
        .source(SourceFact::StartSignal)
        .media(MediaFact::Playing)
        .seconds(5)
        .stop(StopReason::Api)
        .drain_and_store(5);
    let stream = world.ended().stream_results[0].clone();
    assert_eq!(stream.started_at, REQUESTED_AT + 3 * SECOND);
    assert_eq!(stream.duration, 5 * SECOND);
    assert_eq!(stream.status, 1);
}

#[test]
fn urls_are_added_and_removed_while_recording() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"])]));
    world.stream(0, StreamFact::Opened);
    world.effects.clear();
    let info = world.update(add(&["b"])).unwrap();
    assert_eq!(info.stream_results.len(), 2);
    assert_eq!(info.stream_results[1].url, "rtmp://localhost/live/{b}");
    assert!(world.did(&Effect::OpenStream(StreamId(1), url("b"))));
    assert!(world.published().is_empty(), "told when it has started");
    world.stream(1, StreamFact::Opened);
    assert_eq!(world.published(), [EgressStatus::EgressActive]);

    let info = world.seconds(20).update(remove(&["a"])).unwrap();
    assert_eq!(info.stream_results[0].status, 1);
    assert_eq!(info.stream_results[0].duration, 20 * SECOND);
    assert!(world.did(&Effect::CloseStream(StreamId(0))));
    world.stream(0, StreamFact::Failed(refused_by_peer()));
    assert_eq!(
        world.recording.info().stream_results[0].error,
        "",
        "it was finished"
    );
}

#[test]
fn adding_an_active_url_again_is_no_second_stream() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"])]));
    let info = world.update(add(&["a", "b", "b"])).unwrap();
    assert_eq!(info.stream_results.len(), 2);
}

#[test]
fn removing_the_last_url_ends_well() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a", "b"])]));
    world.stream(1, StreamFact::Failed(refused_by_peer()));
    let info = world.update(remove(&["a"])).unwrap();
    assert_eq!(info.status, EgressStatus::EgressEnding as i32);
    world.drain_and_store(3);
    let info = world.ended();
    assert_eq!(info.status, EgressStatus::EgressComplete as i32);
    assert_eq!(info.details, "End reason: All streams stopped");
    assert_eq!(
        (info.stream_results[0].status, info.stream_results[1].status),
        (1, 2)
    );
}

#[test]
fn removing_the_last_url_beside_a_file_changes_nothing_else() {
    let mut world = World::active(plan(room(), vec![file(), rtmp(&["a"])]));
    let info = world.update(remove(&["a"])).unwrap();
    assert_eq!(info.status, EgressStatus::EgressActive as i32);
}

#[test]
fn removing_the_last_url_before_media_aborts_and_answers_first() {
    let mut world = World::new(plan(room(), vec![rtmp(&["a"])]));
    let info = world.update(remove(&["a"])).unwrap();
    assert_eq!(info.status, EgressStatus::EgressAborted as i32);
    assert_eq!(world.witness.exited(), Some(Exit::Reported));
}

#[test]
fn refusals_are_joined_and_what_worked_is_kept() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"])]));
    let refusal = world
        .update(StreamChange {
            add: vec![url("b")],
            remove: vec![url("x").url, url("y").url],
            refused: vec![Refusal::new(Code::InvalidArgument, "invalid url z")],
        })
        .unwrap_err();
    assert_eq!(refusal.code, Code::InvalidArgument);
    assert_eq!(
        refusal.message,
        "invalid url z\nstream rtmp://localhost/live/x not found\nstream rtmp://localhost/live/y not found"
    );
    assert_eq!(world.recording.info().stream_results.len(), 2);
}

#[test]
fn streams_changed_before_media_are_changed_after_it_was_started() {
    let mut world = World::new(plan(room(), vec![rtmp(&["a"]), file()]));
    world.update(add(&["b"])).unwrap();
    world.update(remove(&["a"])).unwrap();
    assert_eq!(world.effects, [Effect::OpenSource]);
    world
        .source(SourceFact::Opened)
        .source(SourceFact::StartSignal);
    assert_eq!(
        world.effects[1..],
        [
            Effect::StartMedia,
            Effect::OpenStream(StreamId(1), url("b")),
            Effect::CloseStream(StreamId(0)),
        ]
    );
}

#[test]
fn an_ending_recording_takes_no_urls() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"])]));
    world.stop(StopReason::Api);
    let refusal = world.update(add(&["b"])).unwrap_err();
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert_eq!(
        refusal.message,
        "egress with status EGRESS_ENDING cannot be updated"
    );
}

#[test]
fn reconnects_are_told_at_most_once_a_minute() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"])]));
    world.stream(0, StreamFact::Opened);
    world.effects.clear();
    for _ in 0..12 {
        world.stream(0, StreamFact::Retrying).seconds(10);
    }
    assert_eq!(world.published().len(), 2);
    let stream = world.recording.info().stream_results[0].clone();
    assert_eq!(stream.retries, 12);
    assert_eq!(stream.last_retry_at, REQUESTED_AT + 110 * SECOND);
}

#[test]
fn streams_left_at_a_failed_end_are_failed() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"]), file()]));
    world
        .stream(0, StreamFact::Opened)
        .media(MediaFact::Failed(Fault::internal("boom")))
        .close_and_store(1);
    let info = world.ended();
    assert_eq!(info.stream_results[0].status, 2);
    assert_eq!(info.stream_results[0].error, "boom");
}

#[test]
fn a_slow_goodbye_of_a_peer_does_not_hold_back_the_upload() {
    let mut world = World::active(plan(room(), vec![rtmp(&["a"]), file()]));
    world
        .stop(StopReason::Api)
        .tell(crate::world::drained(1))
        .output(1, crate::world::closed(1));
    assert!(world.did(&Effect::Store(recording::lifecycle::OutputId(1))));
    world.output(1, crate::world::stored(1)).seconds(30);
    assert!(world.did(&Effect::StoreManifest(recording::lifecycle::OutputId(1))));
}
