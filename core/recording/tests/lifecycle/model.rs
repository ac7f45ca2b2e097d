//! Random lives with random times, against a small model of what must come out.

use crate::world::{
    World, broken, closed, drained, file, images, page, plan, room, rtmp, segments, stored, url,
    websocket,
};
use proptest::prelude::*;
use recording::lifecycle::{
    Ask, Effect, Exit, Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact,
    StopReason, StreamChange, StreamFact, StreamId,
};
use recording::plan::{Output, Source};
use recording::{Plan, fault};
use std::time::Duration;
use wire::livekit::EgressStatus;

fn any_plan() -> impl Strategy<Value = Plan> {
    let source = prop_oneof![Just(room()), Just(page(false)), Just(page(true))];
    let output = prop_oneof![
        Just(vec![file()]),
        Just(vec![segments()]),
        Just(vec![images()]),
        Just(vec![websocket()]),
        Just(vec![rtmp(&["a", "c"])]),
        Just(vec![file(), rtmp(&[])]),
        Just(vec![file(), rtmp(&["a"]), segments(), images()]),
    ];
    let seconds = || prop::option::of((1u64..200).prop_map(Duration::from_secs));
    (
        source,
        output,
        seconds(),
        seconds(),
        prop::option::of(1u64..5000),
    )
        .prop_map(
            |(source, outputs, max_duration, start_timeout, max_file_size)| {
                let mut plan = plan(source, outputs);
                plan.limits.max_duration = max_duration;
                plan.limits.start_timeout = start_timeout;
                plan.limits.max_file_size = max_file_size;
                plan
            },
        )
}

fn any_input() -> impl Strategy<Value = Input> {
    let source = prop_oneof![
        4 => Just(SourceFact::Opened),
        4 => Just(SourceFact::StartSignal),
        1 => Just(SourceFact::Ended),
        1 => Just(SourceFact::Failed(fault::room_lost())),
    ];
    let media = prop_oneof![
        6 => Just(Input::Media(MediaFact::Playing)),
        2 => (0u64..300).prop_map(drained),
        1 => Just(Input::Media(MediaFact::Failed(broken("media")))),
        1 => Just(Input::Media(MediaFact::Dropped { output: None, frames: 3 })),
    ];
    let output = prop_oneof![
        Just(OutputFact::Opened),
        (0u64..4000).prop_map(OutputFact::Size),
        any::<bool>().prop_map(|backup| OutputFact::Piece { size: 10, backup }),
        (0u64..300).prop_map(closed),
        Just(OutputFact::Failed(broken("output"))),
        (0u64..300).prop_map(stored),
        Just(OutputFact::StoreFailed(broken("store"))),
    ];
    let stream = prop_oneof![
        Just(StreamFact::Opened),
        Just(StreamFact::Retrying),
        Just(StreamFact::Failed(broken("stream"))),
        Just(StreamFact::Closed),
    ];
    let change = prop_oneof![
        Just((vec![url("b")], vec![])),
        Just((vec![], vec![url("a").url])),
        Just((vec![url("a")], vec![url("b").url, url("c").url])),
    ];
    let stop = prop_oneof![
        Just(StopReason::Api),
        Just(StopReason::CpuExhausted),
        Just(StopReason::ProcessKilled),
        Just(StopReason::WorkerGone),
        Just(StopReason::Kill(fault::shutting_down())),
        Just(StopReason::DuplicateIdentity),
    ];
    prop_oneof![
        4 => source.prop_map(Input::Source),
        4 => media,
        6 => (0usize..5, output).prop_map(|(id, fact)| Input::Output(OutputId(id), fact)),
        4 => (0usize..4, stream).prop_map(|(id, fact)| Input::Stream(StreamId(id), fact)),
        1 => (0usize..3).prop_map(|id| Input::Manifest(OutputId(id), ManifestFact::Failed)),
        1 => change.prop_map(|(add, remove)| {
            Input::UpdateStream(Ask(1), StreamChange { add, remove, refused: Vec::new() })
        }),
        1 => stop.prop_map(Input::Stop),
        2 => Just(Input::Tick),
    ]
}

/// What must be true of the last info, judged from what was told and done only.
fn judge(world: &World, told: &[Input]) {
    let killed = told
        .iter()
        .any(|input| matches!(input, Input::Stop(StopReason::Kill(_))));
    let Some(exit) = world.witness.exited() else {
        return;
    };
    if exit == Exit::Silent {
        assert!(told.contains(&Input::Stop(StopReason::DuplicateIdentity)));
        return;
    }
    let info = world.ended();
    let status = EgressStatus::try_from(info.status).expect("known");
    let played = world
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Publish(info) if info.status == 1));
    match status {
        EgressStatus::EgressAborted => {
            assert!(!played, "aborted after it was active");
            assert_eq!(info.error_code, 412);
            assert!(
                info.file_results
                    .iter()
                    .all(|file| file.location.is_empty() || file.size > 0)
            );
        }
        EgressStatus::EgressComplete => {
            assert!(played, "complete without media");
            assert_eq!(
                (info.error_code, killed && info.error_code == 403),
                (0, false)
            );
        }
        EgressStatus::EgressLimitReached => {
            assert!(played);
            assert_eq!(info.error_code, 413);
        }
        EgressStatus::EgressFailed => assert_ne!(info.error, ""),
        EgressStatus::EgressStarting | EgressStatus::EgressActive | EgressStatus::EgressEnding => {
            panic!("the last word is {status:?}");
        }
    }
    // Whatever was handed to storage has an answer before the end.
    let store = |effect: &&Effect| matches!(effect, Effect::Store(_));
    let discarded = world.did(&Effect::DiscardMedia);
    if world.effects.iter().any(|effect| store(&effect)) && !discarded {
        assert!(world.did(&Effect::CloseOutputs));
    }
    if world.did(&Effect::StopMedia) && !discarded {
        assert!(world.did(&Effect::CloseOutputs), "drained and never closed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_the_promises(
        plan in any_plan(),
        steps in prop::collection::vec((0u64..40_000, any_input()), 0..40),
        set_back in prop::option::of(0usize..40),
    ) {
        let mut world = World::new(plan);
        let mut told = Vec::new();
        for (index, (millis, input)) in steps.into_iter().enumerate() {
            // The driver wakes at every deadline on the way.
            let target = world.now.mono + Duration::from_millis(millis);
            while let Some(at) = world.recording.poll_timeout() {
                if at > target || at < world.now.mono {
                    break;
                }
                let before = world.recording.waiting();
                world.pass(at.duration_since(world.now.mono));
                prop_assert_ne!(before, world.recording.waiting(), "a deadline that does nothing");
            }
            if let Some(left) = target.checked_duration_since(world.now.mono) {
                world.pass(left);
            }
            if set_back == Some(index) {
                world.now.wall -= Duration::from_secs(600);
            }
            told.push(input.clone());
            world.tell(input);
        }
        judge(&world, &told);
        world.stop(StopReason::Api);
        // A stop that is obeyed ends every life within the sum of the waits.
        for _ in 0..6 {
            for index in 0..world.recording.plan().outputs.iter().count() {
                world.output(index, stored(1));
            }
            if world.recording.is_finished() {
                break;
            }
            world.seconds(200);
        }
        prop_assert!(world.recording.is_finished(), "{:?}", world.recording.waiting());
        told.push(Input::Stop(StopReason::Api));
        judge(&world, &told);
    }

    #[test]
    fn the_results_of_a_good_life_are_its_times(
        paged in any::<bool>(),
        open in 0u64..60_000, start in 0u64..60_000, play in 0u64..15_000, run in 0u64..100_000, drain in 0u64..30_000,
    ) {
        let source = if paged { page(true) } else { room() };
        let rooms = matches!(source, Source::Room(_));
        let mut world = World::new(plan(source, vec![file()]));
        let millis = Duration::from_millis;
        world.pass(millis(open)).source(SourceFact::Opened);
        world.pass(millis(start)).source(SourceFact::StartSignal);
        // One below: a fact that comes with its deadline still counts, but the tick before it does not.
        world.now = crate::world::later(world.now, millis(play));
        world.media(MediaFact::Playing);
        world.pass(millis(run)).stop(StopReason::Api);
        world.now = crate::world::later(world.now, millis(drain));
        let length = millis(if rooms { run + play } else { run });
        world.tell(Input::Media(MediaFact::Drained { position: Some(length) }));
        world.output(0, OutputFact::Closed { size: 5, duration: None });
        world.output(0, stored(1));
        world.tell(Input::Manifest(OutputId(0), ManifestFact::Failed));
        let info = world.ended();
        prop_assert_eq!(info.status, EgressStatus::EgressComplete as i32);
        let file = &info.file_results[0];
        prop_assert_eq!(file.duration, file.ended_at - file.started_at);
        prop_assert_eq!(u128::from(file.duration.unsigned_abs()), length.as_nanos());
        let zero = info.started_at
            + i64::try_from(millis(open + start + if rooms { 0 } else { play }).as_nanos()).expect("small");
        prop_assert_eq!(file.started_at, zero);
    }
}

#[test]
fn outputs_of_a_plan_are_never_confused_with_streams() {
    let plan = plan(room(), vec![file(), rtmp(&["a", "c"]), segments()]);
    let streams: Vec<_> = recording::lifecycle::planned_streams(&plan)
        .map(|(id, output, url)| (id.0, output.0, url.redacted.clone()))
        .collect();
    assert_eq!(
        streams,
        [
            (0, 1, "rtmp://localhost/live/{a}".to_owned()),
            (1, 1, "rtmp://localhost/live/{c}".to_owned()),
        ]
    );
    assert!(matches!(
        plan.outputs.iter().nth(2),
        Some(Output::Segments(_))
    ));
}
