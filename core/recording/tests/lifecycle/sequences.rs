//! Every short sequence of inputs: whatever happens in whatever order, the promises hold.

use crate::world::{
    World, broken, closed, drained, file, page, plan, room, rtmp, segments, stored, url,
};
use recording::Plan;
use recording::lifecycle::{
    Ask, Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact, StopReason,
    StreamChange, StreamFact, StreamId, Wait,
};
use std::time::Duration;

/// How long time may pass in one step: longer than any wait.
const LONG: Duration = Duration::from_secs(1000);

#[derive(Clone)]
enum Step {
    Tell(Input),
    /// Time passes to the deadline, if there is one.
    Deadline,
}

fn alphabet() -> Vec<Step> {
    let output = |fact| Step::Tell(Input::Output(OutputId(0), fact));
    let stream = |fact| Step::Tell(Input::Stream(StreamId(0), fact));
    let source = |fact| Step::Tell(Input::Source(fact));
    vec![
        source(SourceFact::Opened),
        source(SourceFact::StartSignal),
        source(SourceFact::Ended),
        source(SourceFact::Failed(broken("source"))),
        Step::Tell(Input::Media(MediaFact::Playing)),
        Step::Tell(drained(2)),
        Step::Tell(Input::Media(MediaFact::Failed(broken("media")))),
        output(closed(2)),
        output(OutputFact::Failed(broken("output"))),
        output(stored(2)),
        output(OutputFact::StoreFailed(broken("store"))),
        stream(StreamFact::Failed(broken("stream"))),
        stream(StreamFact::Closed),
        Step::Tell(Input::UpdateStream(
            Ask(1),
            StreamChange {
                add: vec![url("b")],
                remove: vec![url("a").url],
                refused: Vec::new(),
            },
        )),
        Step::Tell(Input::Stop(StopReason::Api)),
        Step::Tell(Input::Stop(StopReason::Kill(broken("kill")))),
        Step::Tell(Input::Stop(StopReason::DuplicateIdentity)),
        Step::Deadline,
    ]
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Tell(input) => {
            world.pass(Duration::from_millis(10)).tell(input.clone());
        }
        Step::Deadline => {
            if let Some(at) = world.recording.poll_timeout() {
                world.pass(at.duration_since(world.now.mono));
            }
        }
    }
}

/// Each state is left by its deadline or is one of the documented open waits.
fn has_a_way_out(world: &World) {
    let wait = world.recording.waiting();
    match wait {
        Wait::SourceOpen | Wait::MediaStart | Wait::Drain | Wait::Close | Wait::Manifest => {
            assert!(world.recording.poll_timeout().is_some(), "{wait:?} is open");
        }
        Wait::StartSignal | Wait::Recording | Wait::Store => {}
        Wait::Nothing => assert!(world.recording.is_finished()),
    }
    assert_eq!(
        world.recording.is_finished(),
        world.witness.exited().is_some()
    );
}

/// A stop, failing uploads and time are enough to end anything.
fn can_be_ended(world: &World) {
    let mut world = world.clone();
    world.stop(StopReason::Api);
    for _ in 0..8 {
        if world.recording.is_finished() {
            return;
        }
        if world.recording.waiting() == Wait::Store {
            for index in 0..world.recording.plan().outputs.iter().count() {
                world.output(index, OutputFact::StoreFailed(broken("gone")));
            }
        } else {
            world.pass(LONG);
        }
    }
    panic!("never ends: {:?}", world.recording.waiting());
}

fn explore(world: &World, alphabet: &[Step], depth: usize, seen: &mut u64) {
    *seen += 1;
    has_a_way_out(world);
    if depth == 0 || world.recording.is_finished() {
        can_be_ended(world);
        if world.recording.is_finished() {
            // Nothing comes out any more, whatever goes in: the witness would object.
            let mut over = world.clone();
            over.effects.clear();
            alphabet.iter().for_each(|step| take(&mut over, step));
            over.tell(Input::Manifest(OutputId(0), ManifestFact::Failed));
            assert!(over.effects.is_empty());
            assert_eq!(over.recording.info(), world.recording.info());
        }
        return;
    }
    for step in alphabet {
        let mut next = world.clone();
        next.effects.clear();
        take(&mut next, step);
        explore(&next, alphabet, depth - 1, seen);
    }
}

fn all(plan: Plan, depth: usize) {
    let mut seen = 0;
    explore(&World::new(plan), &alphabet(), depth, &mut seen);
    assert!(seen > 1000, "{seen} states");
}

#[test]
fn all_short_lives_of_a_room_file() {
    all(plan(room(), vec![file()]), 4);
}

#[test]
fn all_short_lives_of_a_page_with_segments_and_a_stream() {
    all(plan(page(true), vec![segments(), rtmp(&["a"])]), 4);
}

#[test]
fn all_short_lives_of_a_stream() {
    all(plan(room(), vec![rtmp(&["a"])]), 4);
}

#[test]
fn all_short_lives_from_active_on() {
    for outputs in [vec![file()], vec![rtmp(&["a"])], vec![rtmp(&["a"]), file()]] {
        let mut limited = plan(room(), outputs);
        limited.limits.max_duration = Some(Duration::from_secs(60));
        let mut seen = 0;
        explore(&World::active(limited), &alphabet(), 4, &mut seen);
    }
}

#[test]
fn all_short_ends() {
    let mut world = World::active(plan(room(), vec![file()]));
    world.stop(StopReason::Api);
    let mut seen = 0;
    explore(&world, &alphabet(), 5, &mut seen);
    assert!(seen > 10_000, "{seen} states");
}
