//! The hub against a model: outputs of any speed, joining and leaving, pauses, key frames now and then.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use media::hub::{Budget, Error, Formats, Gap, Hub, Item, Join, OutputId, PerKind, Stats};
use media::{AudioCodec, AudioFormat, Kind, MediaTime, Sample, VideoCodec, VideoFormat};
use proptest::prelude::*;
use std::time::Duration;

const MS: u64 = 1_000_000;

fn formats(audio: bool, video: bool) -> Formats {
    Formats {
        audio: audio.then_some(AudioFormat {
            codec: AudioCodec::Opus,
            sample_rate: 48_000,
            channels: 2,
            config: Bytes::new(),
        }),
        video: video.then_some(VideoFormat {
            codec: VideoCodec::H264,
            width: 16,
            height: 16,
            config: Bytes::new(),
        }),
    }
}

/// The number is the first 8 bytes: how the tests tell samples apart.
fn sample(kind: Kind, ms: u64, keyframe: bool, number: u64, len: usize) -> Sample {
    let mut data = number.to_be_bytes().to_vec();
    data.resize(8 + len, 0);
    Sample {
        kind,
        pts: MediaTime::from_nanos(ms * MS),
        dts: MediaTime::from_nanos(ms * MS),
        duration: Duration::ZERO,
        keyframe,
        data: data.into(),
    }
}

fn number(s: &Sample) -> u64 {
    u64::from_be_bytes(s.data[..8].try_into().unwrap())
}

fn video(ms: u64, keyframe: bool) -> Sample {
    sample(Kind::Video, ms, keyframe, ms, 92)
}

fn audio(ms: u64) -> Sample {
    sample(Kind::Audio, ms, true, ms, 0)
}

fn join(bytes: usize, ms: u64, patience: u64) -> Join {
    Join {
        budget: Budget {
            bytes,
            duration: Duration::from_millis(ms),
        },
        patience: Duration::from_millis(patience),
    }
}

fn drain(hub: &mut Hub, id: OutputId) -> Vec<Item> {
    std::iter::from_fn(|| hub.pop(id)).collect()
}

/// `v0 a20 K100 gap(1a,2v) end`, times in ms.
fn shown(items: &[Item]) -> String {
    let one = |item: &Item| match item {
        Item::Sample(s) => {
            let letter = match (s.kind, s.keyframe) {
                (Kind::Audio, _) => 'a',
                (Kind::Video, true) => 'K',
                (Kind::Video, false) => 'v',
            };
            format!("{letter}{}", s.dts.as_nanos() / MS)
        }
        Item::Gap(g) => format!("gap({}a,{}v)", g.lost.audio, g.lost.video),
        Item::End => "end".to_owned(),
    };
    items.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn push_all(hub: &mut Hub, samples: impl IntoIterator<Item = Sample>) {
    samples.into_iter().for_each(|s| hub.push(s).unwrap());
}

#[test]
fn an_output_that_joins_live_begins_at_a_key_frame_and_asks_for_one() {
    let mut hub = Hub::new(formats(true, true));
    push_all(&mut hub, [video(0, true), audio(0), video(40, false)]);
    let id = hub.join(join(10_000, 5000, 2000));
    assert!(hub.keyframe_wanted());
    push_all(
        &mut hub,
        [audio(60), video(80, false), audio(80), video(120, true)],
    );
    assert!(!hub.keyframe_wanted());
    // Sound from before the key frame that comes after it is from before the beginning.
    push_all(&mut hub, [audio(100), audio(120), video(160, false)]);
    hub.end();
    assert_eq!(shown(&drain(&mut hub, id)), "K120 a120 v160 end");
    assert_eq!(
        hub.stats(id).unwrap().skipped,
        PerKind { audio: 3, video: 1 }
    );
}

#[test]
fn sound_does_not_wait_for_pictures_for_ever() {
    let mut hub = Hub::new(formats(true, true));
    let (file, stream) = (
        hub.join(join(10_000, 5000, 0)),
        hub.join(join(10_000, 5000, 50)),
    );
    push_all(
        &mut hub,
        [
            audio(0),
            audio(20),
            audio(40),
            audio(60),
            video(70, false),
            video(80, true),
        ],
    );
    push_all(&mut hub, [audio(70)]);
    assert_eq!(shown(&drain(&mut hub, file)), "a0 a20 a40 a60 K80 a70");
    assert_eq!(shown(&drain(&mut hub, stream)), "a60 K80 a70");
}

#[test]
fn a_slow_output_goes_on_at_the_freshest_key_frame_it_can() {
    let mut hub = Hub::new(formats(true, true));
    let id = hub.join(join(usize::MAX, 200, 0));
    for ms in (0..=500).step_by(50) {
        push_all(&mut hub, [video(ms, ms % 150 == 0), audio(ms)]);
    }
    assert_eq!(
        shown(&drain(&mut hub, id)),
        "gap(6a,6v) K300 a300 v350 a350 v400 a400 K450 a450 v500 a500"
    );
    let stats = hub.stats(id).unwrap();
    assert_eq!(stats.dropped, PerKind { audio: 6, video: 6 });
    assert_eq!(stats.delivered, PerKind { audio: 5, video: 5 });
}

#[test]
fn one_long_group_loses_its_tail_up_to_the_next_key_frame() {
    let mut hub = Hub::new(formats(false, true));
    let id = hub.join(join(300, 10_000, 0));
    push_all(
        &mut hub,
        [
            video(0, true),
            video(1, false),
            video(2, false),
            video(3, false),
        ],
    );
    assert!(hub.keyframe_wanted(), "only a key frame helps");
    assert_eq!(shown(&[hub.pop(id).unwrap()]), "K0");
    push_all(&mut hub, [video(4, false), video(5, true), video(6, false)]);
    hub.end();
    // There is room again for 4, but it needs 3. With 6 it is too much: all before the key frame at 5 goes.
    assert_eq!(shown(&drain(&mut hub, id)), "gap(0a,4v) K5 v6 end");
}

#[test]
fn sound_alone_loses_its_oldest() {
    let mut hub = Hub::new(formats(true, false));
    let id = hub.join(join(24, 10_000, 1000));
    push_all(&mut hub, (0..6).map(|n| audio(n * 20)));
    assert_eq!(shown(&drain(&mut hub, id)), "gap(3a,0v) a60 a80 a100");
    assert!(!hub.keyframe_wanted());
}

#[test]
fn a_sample_larger_than_the_budget_is_lost_and_nothing_else() {
    let mut hub = Hub::new(formats(true, true));
    let id = hub.join(join(1000, 10_000, 0));
    push_all(
        &mut hub,
        [
            sample(Kind::Video, 0, true, 0, 5000),
            video(40, false),
            video(80, true),
            audio(80),
        ],
    );
    assert_eq!(shown(&drain(&mut hub, id)), "gap(0a,2v) K80 a80");
}

#[test]
fn a_pause_leaves_no_jump_in_time() {
    let mut hub = Hub::new(formats(true, true));
    let id = hub.join(Join::file());
    push_all(
        &mut hub,
        [
            video(0, true),
            audio(0),
            audio(20),
            video(40, false),
            audio(40),
        ],
    );
    hub.pause();
    push_all(&mut hub, [video(80, false), audio(60), video(5000, true)]);
    assert!(!hub.keyframe_wanted());
    hub.resume();
    assert!(hub.keyframe_wanted());
    push_all(
        &mut hub,
        [
            video(9000, false),
            audio(9000),
            video(9040, true),
            audio(9030),
            audio(9050),
            video(9080, false),
        ],
    );
    // The last picture lasted 40 ms: the next one is at 80.
    assert_eq!(
        shown(&drain(&mut hub, id)),
        "K0 a0 a20 v40 a40 K80 a90 v120"
    );
    assert_eq!(hub.paused(), PerKind { audio: 3, video: 3 });
    assert_eq!(hub.stats(id).unwrap().dropped, PerKind::default());
}

#[test]
fn pausing_twice_and_resuming_without_a_pause_change_nothing() {
    let mut hub = Hub::new(formats(true, false));
    let id = hub.join(Join::file());
    hub.resume();
    push_all(&mut hub, [audio(0), audio(20)]);
    hub.pause();
    hub.pause();
    push_all(&mut hub, [audio(40)]);
    hub.resume();
    hub.resume();
    push_all(&mut hub, [audio(1000), audio(1020)]);
    hub.pause();
    hub.resume();
    push_all(&mut hub, [audio(2000)]);
    assert_eq!(shown(&drain(&mut hub, id)), "a0 a20 a40 a60 a80");
}

#[test]
fn the_end_flushes_is_told_once_and_is_final() {
    let mut hub = Hub::new(formats(true, false));
    let id = hub.join(Join::stream());
    push_all(&mut hub, [audio(0)]);
    hub.end();
    hub.end();
    assert_eq!(hub.push(audio(20)), Err(Error::Ended));
    assert_eq!(shown(&drain(&mut hub, id)), "a0 end");
    assert_eq!(hub.pop(id), None);
    let late = hub.join(Join::stream());
    assert_eq!(shown(&drain(&mut hub, late)), "end");
}

#[test]
fn unknown_outputs_and_streams_are_told_apart() {
    let mut hub = Hub::new(formats(true, false));
    assert_eq!(hub.push(video(0, true)), Err(Error::NoStream(Kind::Video)));
    let id = hub.join(Join::stream());
    assert!(hub.leave(id).is_some());
    assert_eq!(
        (hub.leave(id), hub.pop(id), hub.stats(id)),
        (None, None, None)
    );
    assert_ne!(hub.join(Join::stream()), id, "ids are not used again");
}

/// What the model does.
#[derive(Clone, Debug)]
enum Op {
    Video {
        ms: u64,
        key: bool,
        len: usize,
    },
    Audio {
        ms: u64,
    },
    Pop {
        output: usize,
        n: usize,
    },
    Join {
        bytes: usize,
        ms: u64,
        patience: u64,
    },
    Leave {
        output: usize,
    },
    Pause,
    Resume,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => (1_u64..60, prop::bool::weighted(0.15), 0_usize..300).prop_map(|(ms, key, len)| Op::Video { ms, key, len }),
        12 => (1_u64..40).prop_map(|ms| Op::Audio { ms }),
        8 => (0_usize..6, 1_usize..12).prop_map(|(output, n)| Op::Pop { output, n }),
        2 => (8_usize..4000, 0_u64..1500, 0_u64..300).prop_map(|(bytes, ms, patience)| Op::Join { bytes, ms, patience }),
        1 => (0_usize..6).prop_map(|output| Op::Leave { output }),
        1 => Just(Op::Pause),
        1 => Just(Op::Resume),
    ];
    prop::collection::vec(op, 1..300)
}

/// One output as the model sees it.
struct Seen {
    join: Join,
    id: OutputId,
    joined_at: usize,
    items: Vec<Item>,
    /// What the gate had let through when it joined, and what it let through until it left.
    passed: (PerKind, PerKind),
    left: Option<Stats>,
}

/// Runs the operations; only output `only` exists if given. Output `n` is the n-th that joins.
fn run(
    ops: &[Op],
    streams: (bool, bool),
    only: Option<usize>,
) -> Result<Vec<Option<Seen>>, TestCaseError> {
    let mut hub = Hub::new(formats(streams.0, streams.1));
    let mut outputs: Vec<Option<Seen>> = Vec::new();
    let mut clock = [0_u64; 2];
    let mut pushed = PerKind::default();
    let file = Op::Join {
        bytes: usize::MAX,
        ms: u64::MAX / MS,
        patience: 0,
    };
    for (at, op) in std::iter::once(&file).chain(ops).enumerate() {
        match op {
            Op::Video { ms, key, len } if streams.1 => {
                clock[1] += ms;
                pushed.video += 1;
                hub.push(sample(Kind::Video, clock[1], *key, at as u64, *len))
                    .unwrap();
            }
            Op::Audio { ms } if streams.0 => {
                clock[0] += ms;
                pushed.audio += 1;
                hub.push(sample(Kind::Audio, clock[0], true, at as u64, 0))
                    .unwrap();
            }
            Op::Video { .. } | Op::Audio { .. } => {}
            Op::Join {
                bytes,
                ms,
                patience,
            } => {
                let wanted = only.is_none_or(|n| n == outputs.len());
                let terms = join(*bytes, *ms, *patience);
                outputs.push(wanted.then(|| Seen {
                    join: terms,
                    id: hub.join(terms),
                    joined_at: at,
                    items: Vec::new(),
                    passed: (less(pushed, hub.paused()), PerKind::default()),
                    left: None,
                }));
            }
            Op::Pop { output, n } => {
                if let Some(Some(seen)) = outputs.get_mut(*output) {
                    for _ in 0..*n {
                        seen.items.extend(hub.pop(seen.id));
                    }
                }
            }
            Op::Leave { output } => {
                if let Some(Some(seen)) = outputs.get_mut(*output)
                    && *output > 0
                    && seen.left.is_none()
                {
                    seen.left = hub.leave(seen.id);
                    seen.passed.1 = less(pushed, hub.paused());
                }
            }
            Op::Pause => hub.pause(),
            Op::Resume => hub.resume(),
        }
        for seen in outputs.iter().flatten() {
            if let Some(stats) = hub.stats(seen.id) {
                prop_assert!(stats.queued_bytes <= seen.join.budget.bytes);
                prop_assert!(stats.behind <= seen.join.budget.duration);
            }
        }
    }
    hub.end();
    for seen in outputs.iter_mut().flatten() {
        let rest = drain(&mut hub, seen.id);
        seen.items.extend(rest);
        if seen.left.is_none() {
            seen.left = hub.leave(seen.id);
            seen.passed.1 = less(pushed, hub.paused());
            prop_assert_eq!(seen.items.last(), Some(&Item::End));
        }
    }
    Ok(outputs)
}

fn less(a: PerKind, b: PerKind) -> PerKind {
    PerKind {
        audio: a.audio - b.audio,
        video: a.video - b.video,
    }
}

fn samples(items: &[Item]) -> impl Iterator<Item = &Sample> {
    items.iter().filter_map(|i| match i {
        Item::Sample(s) => Some(s),
        Item::Gap(_) | Item::End => None,
    })
}

fn lost(items: &[Item]) -> PerKind {
    let add = |a: PerKind, g: &Gap| PerKind {
        audio: a.audio + g.lost.audio,
        video: a.video + g.lost.video,
    };
    items.iter().fold(PerKind::default(), |sum, i| match i {
        Item::Gap(g) => add(sum, g),
        Item::Sample(_) | Item::End => sum,
    })
}

fn count<'a>(samples: impl Iterator<Item = &'a Sample>) -> PerKind {
    samples.fold(PerKind::default(), |mut n, s| {
        match s.kind {
            Kind::Audio => n.audio += 1,
            Kind::Video => n.video += 1,
        }
        n
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn outputs_of_any_speed(ops in ops(), streams in prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))]) {
        let outputs = run(&ops, streams, None)?;
        let all: Vec<&Sample> = samples(&outputs[0].as_ref().unwrap().items).collect();

        // The file with its boundless budget lost nothing, and its time never jumps.
        let file = outputs[0].as_ref().unwrap();
        prop_assert_eq!(file.left.unwrap().dropped, PerKind::default());
        for kind in [Kind::Audio, Kind::Video] {
            let times: Vec<u64> = all.iter().filter(|s| s.kind == kind).map(|s| s.dts.as_nanos()).collect();
            prop_assert!(times.windows(2).all(|w| w[0] < w[1]), "{:?} goes back", kind);
        }

        for (n, seen) in outputs.iter().enumerate() {
            let seen = seen.as_ref().unwrap();
            // Alone it would have got exactly the same: nobody holds it back.
            let alone = run(&ops, streams, Some(n))?;
            prop_assert_eq!(&seen.items, &alone[n].as_ref().unwrap().items);

            // In order, nothing twice, nothing invented, times as everybody else's.
            let got: Vec<&Sample> = samples(&seen.items).collect();
            let numbers: Vec<u64> = got.iter().map(|s| number(s)).collect();
            prop_assert!(numbers.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(numbers.iter().all(|n| *n > seen.joined_at as u64));
            for s in &got {
                prop_assert!(all.contains(s), "{:?}", s);
            }

            // Every picture is a key frame or follows the one it was coded from.
            let pictures: Vec<u64> = all.iter().filter(|s| s.kind == Kind::Video).map(|s| number(s)).collect();
            let mut previous = None;
            for s in got.iter().filter(|s| s.kind == Kind::Video) {
                let at = pictures.iter().position(|p| *p == number(s)).unwrap();
                prop_assert!(s.keyframe || previous.is_some_and(|p| p + 1 == at));
                previous = Some(at);
            }

            // Every sample is accounted for, and every loss was told.
            let stats = seen.left.unwrap();
            prop_assert_eq!(stats.delivered, count(got.iter().copied()));
            if stats.queued == PerKind::default() && seen.items.last() == Some(&Item::End) {
                prop_assert_eq!(stats.dropped, lost(&seen.items));
                prop_assert_eq!(stats.queued_bytes, 0);
                prop_assert_eq!(stats.behind, Duration::ZERO);
            }
            let offered = less(seen.passed.1, seen.passed.0);
            let sum = |of: fn(PerKind) -> u64| of(stats.delivered) + of(stats.dropped) + of(stats.queued) + of(stats.skipped);
            prop_assert_eq!((sum(|p| p.audio), sum(|p| p.video)), (offered.audio, offered.video));
        }
    }

    #[test]
    fn pauses_leave_no_jump(steps in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.1)), 10..200)) {
        // Pictures every 40 ms, sound every 20, a key frame every 400; pauses of any length at any place.
        let mut hub = Hub::new(formats(true, true));
        let id = hub.join(Join::file());
        let mut paused = false;
        for (n, (_, toggle)) in steps.iter().enumerate() {
            if *toggle {
                paused = !paused;
                if paused { hub.pause() } else { hub.resume() }
            }
            let ms = n as u64 * 40;
            push_all(&mut hub, [video(ms, n % 10 == 0), audio(ms), audio(ms + 20)]);
        }
        let items = drain(&mut hub, id);
        for (kind, step) in [(Kind::Video, 40), (Kind::Audio, 20)] {
            let times: Vec<u64> = samples(&items).filter(|s| s.kind == kind).map(|s| s.dts.as_nanos() / MS).collect();
            for w in times.windows(2) {
                prop_assert!((step..=step + 40).contains(&(w[1] - w[0])), "{:?}: {} after {}", kind, w[1], w[0]);
            }
        }
    }
}
