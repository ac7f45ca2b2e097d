//! The link: whole messages out of any pieces, and nothing out of garbage.

use crate::world::{World, broken, file, page, plan, room, rtmp, url};
use proptest::prelude::*;
use recording::lifecycle::{Ask, StopReason, StreamChange};
use recording::link::{
    BackupWrites, Command, Decoder, Error, Hello, MAX_FRAME, Report, Stats, Uploads, encode,
};
use recording::{Code, EgressId, Refusal, settings};

fn id() -> EgressId {
    EgressId::new("EG_test").expect("usable")
}

fn commands() -> Vec<Command> {
    vec![
        Command::Hello(Hello::ours()),
        Command::Start {
            plan: Box::new(plan(page(true), vec![file(), rtmp(&["k"])])),
            settings: Box::new(settings::Recorder {
                chrome_flags: [(
                    "lang".to_owned(),
                    settings::ChromeFlag::Value("de".to_owned()),
                )]
                .into(),
                ..settings::Recorder::default()
            }),
        },
        Command::Stop {
            egress_id: id(),
            reason: StopReason::Kill(broken("why")),
            ask: Some(Ask(3)),
        },
        Command::UpdateStream {
            egress_id: id(),
            ask: Ask(4),
            change: StreamChange {
                add: vec![url("n")],
                remove: vec![url("o").url],
                refused: vec![Refusal::field("stream url")],
            },
        },
        Command::Shutdown { reason: None },
    ]
}

fn reports() -> Vec<Report> {
    let info = World::active(plan(room(), vec![file()])).recording.info();
    vec![
        Report::Hello(Hello::ours()),
        Report::Ready { egress_id: id() },
        Report::Info {
            egress_id: id(),
            info: info.clone().into(),
        },
        Report::Answer {
            egress_id: id(),
            ask: Ask(u64::MAX),
            outcome: Ok(info.clone().into()),
        },
        Report::Answer {
            egress_id: id(),
            ask: Ask(0),
            outcome: Err(Refusal::new(Code::NotFound, "stream x not found")),
        },
        Report::Stats {
            egress_id: id(),
            stats: Stats {
                bytes_written: 1,
                drops: 2,
                uploads: vec![Uploads {
                    kind: "file".to_owned(),
                    status: "4xx".to_owned(),
                    custom_endpoint: true,
                    count: 1,
                    total_ms: 250,
                }],
                backup_writes: vec![BackupWrites::default()],
                ..Stats::default()
            },
        },
        Report::Finished {
            egress_id: id(),
            info: Some(info.into()),
        },
        Report::Finished {
            egress_id: id(),
            info: None,
        },
    ]
}

#[test]
fn every_command_and_report_comes_through() {
    let mut decoder = Decoder::<Command>::new();
    for command in commands() {
        decoder.feed(&encode(&command).unwrap());
        assert_eq!(decoder.pop().unwrap(), Some(command));
    }
    decoder.finish().unwrap();
    let mut decoder = Decoder::<Report>::new();
    for report in reports() {
        decoder.feed(&encode(&report).unwrap());
        assert_eq!(decoder.pop().unwrap(), Some(report));
    }
    assert_eq!(decoder.pop().unwrap(), None);
    decoder.finish().unwrap();
}

#[test]
fn secrets_travel_but_are_not_shown() {
    let start = commands().swap_remove(1);
    let shown = format!("{start:?}");
    assert!(
        !shown.contains("page-token") && !shown.contains("live/k"),
        "{shown}"
    );
    let sent = encode(&start).unwrap();
    assert!(String::from_utf8_lossy(&sent).contains("page-token"));
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
    let mut decoder = Decoder::<Report>::new();
    decoder.feed(&u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes());
    assert!(matches!(decoder.pop(), Err(Error::Oversize { size }) if size == MAX_FRAME + 1));
    decoder.feed(&encode(&Report::Ready { egress_id: id() }).unwrap());
    assert!(
        matches!(decoder.pop(), Ok(None)),
        "the stream has lost its meaning"
    );
}

#[test]
fn a_message_that_is_too_long_is_not_made() {
    assert!(matches!(
        encode(&"x".repeat(MAX_FRAME)),
        Err(Error::Oversize { size }) if size == MAX_FRAME + 2
    ));
}

#[test]
fn an_end_inside_a_frame_is_told() {
    let frame = encode(&Report::Ready { egress_id: id() }).unwrap();
    let mut decoder = Decoder::<Report>::new();
    decoder.feed(&frame[..frame.len() - 3]);
    assert!(matches!(decoder.pop(), Ok(None)));
    assert!(matches!(
        decoder.finish(),
        Err(Error::Truncated { missing: 3 })
    ));
}

#[test]
fn another_version_is_refused() {
    let theirs = Hello {
        version: 0,
        build: "old".to_owned(),
    };
    assert!(matches!(theirs.check(), Err(Error::Version { theirs: 0 })));
    Hello::ours().check().unwrap();
}

proptest! {
    #[test]
    fn pieces_do_not_matter(cuts in prop::collection::vec(1usize..97, 1..40)) {
        let all = reports();
        let bytes: Vec<u8> = all.iter().flat_map(|report| encode(report).expect("small")).collect();
        let mut decoder = Decoder::<Report>::new();
        let mut got = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            decoder.feed(piece);
            rest = left;
            while let Some(report) = decoder.pop().expect("well-formed") {
                got.push(report);
            }
        }
        decoder.finish().expect("whole");
        prop_assert_eq!(got, all);
    }

    #[test]
    fn garbage_is_an_error_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::<Command>::new();
        decoder.feed(&bytes);
        prop_assert!(matches!(decoder.pop(), Ok(None) | Err(_)));
        prop_assert!(matches!(decoder.pop(), Ok(None) | Err(_)));
    }

    #[test]
    fn a_damaged_message_is_never_a_panic(which in 0usize..8, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut frame = encode(&reports()[which]).expect("small");
        let place = at.index(frame.len());
        frame[place] = byte;
        let mut decoder = Decoder::<Report>::new();
        decoder.feed(&frame);
        let outcome = decoder.pop();
        prop_assert!(outcome.is_ok() || decoder.pop().is_ok_and(|more| more.is_none()));
    }
}
