//! The shared vectors: upstream's controller test and the table of runtime ends.

use crate::world::{World, drained, file, page, plan, room, rtmp};
use recording::crash::{self, ExitCause};
use recording::lifecycle::{
    MediaFact, OutputFact, SourceFact, StopReason, StreamChange, StreamFact,
};
use recording::plan::Output;
use recording::{Fault, fault};
use serde_json::Value;
use std::time::Duration;
use wire::livekit::{EgressInfo, EgressStatus};

const CONTROLLER_EOS: &str = include_str!("../vectors/controller_eos.json");
const REQUEST_VALIDATION: &str = include_str!("../vectors/request_validation.json");

#[test]
fn an_end_of_stream_that_precedes_the_stop_completes() {
    let vector: Value = serde_json::from_str(CONTROLLER_EOS).unwrap();
    let mut world = World::active(plan(room(), vec![file()]));
    world
        .pass(Duration::from_millis(500))
        .tell(drained(1))
        .stop(StopReason::SourceClosed)
        .close_and_store(1)
        .seconds(3);
    let info = world.ended();
    let status = EgressStatus::try_from(info.status).unwrap();
    assert_eq!(status.as_str_name(), vector["expect"]["status"]);
    assert_eq!(info.error, vector["expect"]["error"].as_str().unwrap());
    assert!(info.file_results[0].size > 0);
}

/// How each row comes about, and every info it may end with.
fn play(when: &str) -> Vec<EgressInfo> {
    let at_open = |fault: Fault| {
        let mut world = World::new(plan(page(false), vec![file()]));
        world.source(SourceFact::Failed(fault));
        vec![world.ended()]
    };
    let waiting = || {
        let mut world = World::new(plan(page(true), vec![file()]));
        world.source(SourceFact::Opened);
        world
    };
    let starting = || {
        let mut world = waiting();
        world.source(SourceFact::StartSignal);
        world
    };
    let active = |outputs: Vec<Output>| World::active(plan(room(), outputs));
    match when {
        "track id not in room within 30 s" => at_open(fault::track_not_found("<id>")),
        "participant identity not in room within 30 s" => {
            at_open(fault::participant_not_found("<identity>"))
        }
        "audio id given as video_track_id of track composite" => {
            at_open(fault::field("video_track_id"))
        }
        "web page answers >= 400" => at_open(fault::page_load("404 Not Found")),
        "page shows <div class=\"error\">text</div> right after load" => {
            at_open(fault::template("text"))
        }
        "StopEgress while STARTING" => [waiting(), starting()]
            .iter_mut()
            .map(|world| world.stop(StopReason::Api).ended())
            .collect(),
        "source ends before start signal" => [waiting(), starting()]
            .iter_mut()
            .map(|world| world.source(SourceFact::Ended).ended())
            .collect(),
        "duration or size limit" => {
            let mut limited = plan(room(), vec![file()]);
            limited.limits.max_duration = Some(Duration::from_secs(9));
            limited.limits.max_file_size = Some(1000);
            let mut by_time = World::active(limited);
            let mut by_size = by_time.clone();
            by_time.seconds(9).drain_and_store(9);
            by_size.output(0, OutputFact::Size(1000)).drain_and_store(9);
            vec![by_time.ended(), by_size.ended()]
        }
        "duration limit before start signal" => {
            let mut limited = plan(page(true), vec![file()]);
            limited.limits.max_duration = Some(Duration::from_secs(9));
            let mut world = World::new(limited);
            world.source(SourceFact::Opened);
            let mut signalled = world.clone();
            signalled.source(SourceFact::StartSignal);
            vec![world.seconds(9).ended(), signalled.seconds(9).ended()]
        }
        "upload fails and no backup" => {
            let mut world = active(vec![file()]);
            world
                .stop(StopReason::Api)
                .tell(drained(1))
                .output(0, crate::world::closed(1))
                .output(0, OutputFact::StoreFailed(fault::upload("S3", "403")));
            vec![world.ended()]
        }
        "all stream urls failed and no other output" => {
            let mut world = active(vec![rtmp(&["a"])]);
            world.stream(0, StreamFact::Failed(fault::stream("refused")));
            vec![world.ended()]
        }
        "room connection lost for good (SDK source)" => {
            let mut world = active(vec![file()]);
            world
                .source(SourceFact::Failed(fault::room_lost()))
                .drain_and_store(5);
            vec![world.ended()]
        }
        "kill request (worker SIGINT)" => {
            let mut world = active(vec![file()]);
            world
                .stop(StopReason::Kill(fault::shutting_down()))
                .drain_and_store(5);
            vec![world.ended()]
        }
        "handler process dies" => {
            let world = active(vec![file()]);
            let last = world.recording.info();
            vec![crash::failed(&last, world.now, &ExitCause::Signal(9), None)]
        }
        "stopped by API" => {
            let mut world = active(vec![file()]);
            vec![world.stop(StopReason::Api).drain_and_store(5).ended()]
        }
        "room/participant/track ended" => {
            let mut world = active(vec![file()]);
            vec![world.source(SourceFact::Ended).drain_and_store(5).ended()]
        }
        "all streams removed by UpdateStream" => {
            let mut world = active(vec![rtmp(&["a"])]);
            world
                .update(StreamChange {
                    remove: vec![crate::world::url("a").url],
                    ..StreamChange::default()
                })
                .expect("it is there");
            vec![world.drain_and_store(5).ended()]
        }
        other => panic!("a new row in the table: {other}"),
    }
}

#[test]
fn every_row_of_the_runtime_table_holds() {
    let vectors: Value = serde_json::from_str(REQUEST_VALIDATION).unwrap();
    let rows = vectors["runtime"].as_array().unwrap();
    assert_eq!(rows.len(), 17);
    for row in rows {
        let when = row["when"].as_str().unwrap();
        for info in play(when) {
            let status = EgressStatus::try_from(info.status).unwrap();
            let expected = format!("EGRESS_{}", row["status"].as_str().unwrap());
            assert_eq!(status.as_str_name(), expected, "{when}");
            if let Some(code) = row["error_code"].as_i64() {
                assert_eq!(i64::from(info.error_code), code, "{when}");
            }
            if let Some(error) = row["error"].as_str() {
                // Alternatives are joined by OR, remarks are in parentheses.
                assert!(
                    error.split(" OR ").any(|one| {
                        one.split(" (")
                            .next()
                            .is_some_and(|text| text == info.error)
                    }),
                    "{when}: {}",
                    info.error
                );
            }
            if let Some(prefix) = row["error_prefix"].as_str() {
                assert!(info.error.starts_with(prefix), "{when}: {}", info.error);
            }
            if let Some(part) = row["error_contains"].as_str() {
                assert!(info.error.contains(part), "{when}: {}", info.error);
            }
            if let Some(details) = row["details"].as_str() {
                assert_eq!(info.details, details, "{when}");
            }
            if row["file"].is_string() {
                assert!(info.file_results[0].size > 0, "{when}");
                assert_ne!(info.file_results[0].location, "", "{when}");
            }
        }
    }
}

#[test]
fn media_facts_out_of_season_are_ignored() {
    let mut world = World::new(plan(room(), vec![file()]));
    world.media(MediaFact::Playing).tell(drained(1));
    assert_eq!(world.status(), EgressStatus::EgressStarting);
    assert!(world.published().is_empty());
}
