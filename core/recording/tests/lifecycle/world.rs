//! Plans to record, and a world that plays the drivers.

use recording::lifecycle::{
    Ask, Effect, Exit, Input, MediaFact, OutputFact, OutputId, Recording, SourceFact, StopReason,
    StreamChange, StreamFact,
};
use recording::plan::{
    AudioEncode, AudioPath, Container, Destination, FileOutput, Identity, ImageSuffix,
    ImagesOutput, Limits, Media, Mixing, Output, Outputs, Page, RequestType, Room, SegmentSuffix,
    SegmentsOutput, Source, Store, StreamOutput, StreamProtocol, StreamUrl, Subject,
    WebSocketOutput,
};
use recording::{EgressId, Fault, Now, Plan, Refusal, Secret};
use std::time::{Duration, Instant, UNIX_EPOCH};
use wire::livekit::{EgressInfo, EgressStatus};

pub(crate) const REQUESTED_AT: i64 = 1_700_000_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other origin; only differences are used"
)]
pub(crate) fn start() -> Now {
    Now {
        mono: Instant::now(),
        wall: UNIX_EPOCH + Duration::from_nanos(REQUESTED_AT.unsigned_abs()),
    }
}

pub(crate) fn later(now: Now, by: Duration) -> Now {
    Now {
        mono: now.mono + by,
        wall: now.wall + by,
    }
}

pub(crate) fn plan(source: Source, outputs: Vec<Output>) -> Plan {
    let mut outputs = outputs.into_iter();
    Plan {
        identity: Identity {
            egress_id: EgressId::new("EG_test").expect("usable"),
            room_id: "RM_1".to_owned(),
            room_name: "room".to_owned(),
            retry_count: 2,
            requested_at: REQUESTED_AT,
            request_type: RequestType::RoomComposite,
            redacted_request: Vec::new(),
        },
        source,
        media: Media::Audio(AudioPath::Transcode(AudioEncode {
            codec: media::AudioCodec::Opus,
            bitrate_kbps: 128,
            sample_rate: 48_000,
        })),
        outputs: Outputs {
            first: outputs.next().expect("an output"),
            rest: outputs.collect(),
        },
        limits: Limits::default(),
    }
}

pub(crate) fn room() -> Source {
    Source::Room(Room {
        ws_url: "ws://localhost:7880".to_owned(),
        token: Secret::new("room-token".to_owned()),
        subject: Subject::RoomAudio {
            mixing: Mixing::Default,
        },
    })
}

pub(crate) fn page(await_start_signal: bool) -> Source {
    Source::Page(Page {
        url: Secret::new("http://localhost:7980/?token=page-token".to_owned()),
        await_start_signal,
    })
}

pub(crate) fn destination() -> Destination {
    Destination {
        store: Store::Local,
        prefix: String::new(),
        presign: false,
        backup: None,
    }
}

pub(crate) fn file() -> Output {
    Output::File(FileOutput {
        container: Container::Ogg,
        storage_path: "out/a.ogg".to_owned(),
        destination: destination(),
        manifest: true,
    })
}

pub(crate) fn segments() -> Output {
    Output::Segments(SegmentsOutput {
        storage_dir: "hls/".to_owned(),
        playlist: "hls/p.m3u8".to_owned(),
        live_playlist: Some("hls/live.m3u8".to_owned()),
        prefix: "hls/p".to_owned(),
        suffix: SegmentSuffix::Index,
        duration: Duration::from_secs(4),
        destination: destination(),
        manifest: false,
    })
}

pub(crate) fn images() -> Output {
    Output::Images(ImagesOutput {
        storage_dir: "img/".to_owned(),
        user_prefix: "img/i".to_owned(),
        prefix: "img/i".to_owned(),
        suffix: ImageSuffix::Index,
        interval: Duration::from_secs(5),
        width: None,
        height: None,
        destination: destination(),
        manifest: false,
    })
}

pub(crate) fn url(name: &str) -> StreamUrl {
    StreamUrl {
        url: Secret::new(format!("rtmp://localhost/live/{name}")),
        redacted: format!("rtmp://localhost/live/{{{name}}}"),
    }
}

pub(crate) fn rtmp(names: &[&str]) -> Output {
    Output::Stream(StreamOutput {
        protocol: StreamProtocol::Rtmp,
        urls: names.iter().map(|name| url(name)).collect(),
    })
}

pub(crate) fn websocket() -> Output {
    Output::WebSocket(WebSocketOutput {
        url: StreamUrl {
            url: Secret::new("ws://localhost/sink".to_owned()),
            redacted: "ws://localhost/sink".to_owned(),
        },
    })
}

pub(crate) fn closed(seconds: u64) -> OutputFact {
    OutputFact::Closed {
        size: 1000 * seconds,
        duration: Some(Duration::from_secs(seconds)),
    }
}

pub(crate) fn stored(seconds: u64) -> OutputFact {
    OutputFact::Stored {
        location: "/out/a.ogg".to_owned(),
        size: 1000 * seconds,
        backup: false,
    }
}

pub(crate) fn drained(seconds: u64) -> Input {
    Input::Media(MediaFact::Drained {
        position: Some(Duration::from_secs(seconds)),
    })
}

/// Everything that must hold for any sequence of inputs, checked as effects come.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    last: Option<EgressInfo>,
    terminal: bool,
    exited: Option<Exit>,
    source_closed: bool,
    media_started: bool,
}

fn rank(status: i32) -> u8 {
    match EgressStatus::try_from(status).expect("a known status") {
        EgressStatus::EgressStarting => 0,
        EgressStatus::EgressActive => 1,
        EgressStatus::EgressEnding => 2,
        EgressStatus::EgressComplete
        | EgressStatus::EgressFailed
        | EgressStatus::EgressAborted
        | EgressStatus::EgressLimitReached => 3,
    }
}

impl Witness {
    pub(crate) fn see(&mut self, effect: &Effect) {
        assert!(self.exited.is_none(), "{effect:?} after the exit");
        if self.terminal {
            assert!(
                matches!(effect, Effect::CloseSource | Effect::Exit(Exit::Reported)),
                "{effect:?} after the terminal update"
            );
        }
        match effect {
            Effect::Publish(info) => self.publish(info),
            Effect::Exit(exit) => {
                assert_eq!(*exit == Exit::Reported, self.terminal);
                assert!(self.source_closed, "left with the source open");
                self.exited = Some(*exit);
            }
            Effect::CloseSource => {
                assert!(!self.source_closed, "closed the source twice");
                self.source_closed = true;
            }
            Effect::StartMedia => {
                assert!(!self.media_started, "started media twice");
                self.media_started = true;
            }
            Effect::StopMedia
            | Effect::CloseOutputs
            | Effect::DiscardMedia
            | Effect::OpenStream(..)
            | Effect::CloseStream(_)
            | Effect::Store(_)
            | Effect::StoreManifest(_) => assert!(self.media_started, "{effect:?} before media"),
            Effect::OpenSource | Effect::Answer(..) => {}
        }
    }

    fn publish(&mut self, info: &EgressInfo) {
        assert_ne!(info.status, EgressStatus::EgressStarting as i32);
        if let Some(last) = &self.last {
            assert!(
                rank(info.status) >= rank(last.status),
                "status went backwards"
            );
            assert!(info.updated_at >= last.updated_at, "updated_at went back");
        }
        self.last = Some(info.clone());
        self.terminal = rank(info.status) == 3;
        assert_eq!(info.ended_at != 0, self.terminal);
        if self.terminal {
            assert!(info.ended_at >= info.started_at);
            let complete = info.status == EgressStatus::EgressComplete as i32;
            assert_eq!(info.error.is_empty(), complete);
            for stream in &info.stream_results {
                assert_ne!(stream.status, 0, "a stream still active at the end");
                assert!(stream.started_at > 0 && stream.ended_at >= stream.started_at);
            }
            for file in &info.file_results {
                assert!(file.started_at > 0 && file.ended_at >= file.started_at);
            }
        } else {
            assert!(info.error.is_empty());
        }
        for stream in &info.stream_results {
            assert_eq!(!stream.error.is_empty(), stream.status == 2);
        }
    }

    pub(crate) fn exited(&self) -> Option<Exit> {
        self.exited
    }

    pub(crate) fn last(&self) -> Option<&EgressInfo> {
        self.last.as_ref()
    }
}

/// A recording and the world around it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) recording: Recording,
    pub(crate) now: Now,
    /// Effects since last taken.
    pub(crate) effects: Vec<Effect>,
    pub(crate) witness: Witness,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let now = start();
        let mut world = Self {
            recording: Recording::new(plan, now),
            now,
            effects: Vec::new(),
            witness: Witness::default(),
        };
        world.drain();
        world
    }

    fn drain(&mut self) {
        while let Some(effect) = self.recording.poll_effect() {
            self.witness.see(&effect);
            self.effects.push(effect);
        }
    }

    pub(crate) fn tell(&mut self, input: Input) -> &mut Self {
        self.recording.handle(self.now, input);
        self.drain();
        self
    }

    pub(crate) fn source(&mut self, fact: SourceFact) -> &mut Self {
        self.tell(Input::Source(fact))
    }

    pub(crate) fn media(&mut self, fact: MediaFact) -> &mut Self {
        self.tell(Input::Media(fact))
    }

    pub(crate) fn output(&mut self, index: usize, fact: OutputFact) -> &mut Self {
        self.tell(Input::Output(OutputId(index), fact))
    }

    pub(crate) fn stream(&mut self, index: usize, fact: StreamFact) -> &mut Self {
        self.tell(Input::Stream(recording::lifecycle::StreamId(index), fact))
    }

    pub(crate) fn stop(&mut self, reason: StopReason) -> &mut Self {
        self.tell(Input::Stop(reason))
    }

    pub(crate) fn update(&mut self, change: StreamChange) -> Result<EgressInfo, Refusal> {
        self.tell(Input::UpdateStream(Ask(7), change));
        let answers: Vec<_> = self
            .effects
            .iter()
            .filter_map(|effect| {
                if let Effect::Answer(Ask(7), outcome) = effect {
                    Some((**outcome).clone())
                } else {
                    None
                }
            })
            .collect();
        self.effects
            .retain(|effect| !matches!(effect, Effect::Answer(..)));
        assert_eq!(answers.len(), 1, "one answer to one question");
        answers.into_iter().next().expect("just counted")
    }

    /// Time passes without anything happening.
    pub(crate) fn pass(&mut self, by: Duration) -> &mut Self {
        self.now = later(self.now, by);
        self.tell(Input::Tick)
    }

    pub(crate) fn seconds(&mut self, seconds: u64) -> &mut Self {
        self.pass(Duration::from_secs(seconds))
    }

    /// Up to ACTIVE.
    pub(crate) fn active(plan: Plan) -> Self {
        let mut world = Self::new(plan);
        world
            .source(SourceFact::Opened)
            .source(SourceFact::StartSignal)
            .media(MediaFact::Playing);
        assert_eq!(world.status(), EgressStatus::EgressActive);
        world.effects.clear();
        world
    }

    /// The rest of a good end: everything drains, closes and is stored after `seconds` of media.
    pub(crate) fn drain_and_store(&mut self, seconds: u64) -> &mut Self {
        self.tell(drained(seconds));
        self.close_and_store(seconds)
    }

    pub(crate) fn close_and_store(&mut self, seconds: u64) -> &mut Self {
        let plan = self.recording.plan().clone();
        for (index, output) in plan.outputs.iter().enumerate() {
            if !matches!(output, Output::Stream(_) | Output::WebSocket(_)) {
                self.output(index, closed(seconds));
            }
        }
        for index in 0..self.recording.info().stream_results.len() {
            self.stream(index, StreamFact::Closed);
        }
        for (index, output) in plan.outputs.iter().enumerate() {
            if !matches!(output, Output::Stream(_) | Output::WebSocket(_)) {
                self.output(index, stored(seconds));
            }
        }
        for index in 0..plan.outputs.iter().count() {
            self.tell(Input::Manifest(
                OutputId(index),
                recording::lifecycle::ManifestFact::Stored {
                    location: "/out/EG_test.json".to_owned(),
                    backup: false,
                },
            ));
        }
        self
    }

    pub(crate) fn status(&self) -> EgressStatus {
        EgressStatus::try_from(self.recording.info().status).expect("a known status")
    }

    /// The terminal info, after the exit.
    pub(crate) fn ended(&self) -> EgressInfo {
        assert!(self.recording.is_finished(), "not finished");
        assert_eq!(self.witness.exited(), Some(Exit::Reported));
        let info = self.recording.info();
        assert_eq!(
            self.witness.last(),
            Some(&info),
            "the last word is the info"
        );
        info
    }

    /// Statuses that were published since the effects were last cleared.
    pub(crate) fn published(&self) -> Vec<EgressStatus> {
        self.effects
            .iter()
            .filter_map(|effect| {
                if let Effect::Publish(info) = effect {
                    EgressStatus::try_from(info.status).ok()
                } else {
                    None
                }
            })
            .collect()
    }

    pub(crate) fn did(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }
}

pub(crate) fn broken(text: &str) -> Fault {
    Fault::internal(text)
}
