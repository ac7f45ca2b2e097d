//! Planning is total: whatever comes in, a plan or a refusal comes out, the same every time, and names stay harmless.

use crate::common::{envelope, now, policy, shown};
use proptest::prelude::*;
use recording::naming::late::{self, Joined};
use recording::plan::{Output, Outputs};
use recording::policy::Policy;
use recording::{Plan, cost, request};
use serde_json::json;
use wire::livekit::{self, start_egress_request as v2};
use wire::prost::Message as _;
use wire::rpc::StartEgressRequest;
use wire::rpc::start_egress_request::Request;

/// What every plan must be, whatever it was made of.
fn check(request: &StartEgressRequest, policy: &Policy) {
    let at = now();
    let first = request::plan(request, policy, at);
    let second = request::plan(request, policy, at);
    assert_eq!(first, second, "same input, same plan");
    let _cost = cost::of(request, &cost::Table::default());
    match first {
        Ok(plan) => {
            names_are_harmless(&plan.outputs);
            let joined = Joined {
                room_name: Some("../../x\n".into()),
                publisher_identity: Some(format!("/etc/../{}", "y".repeat(400))),
                track: None,
            };
            names_are_harmless(&late::resolve(&plan.outputs, &joined));
            let _shown = shown(&plan);
            let link = serde_json::to_vec(&plan).expect("plans travel over the link");
            let back: Plan = serde_json::from_slice(&link).expect("and arrive");
            assert_eq!(back, plan);
        }
        Err(refusal) => {
            assert!(!refusal.message.is_empty());
            assert!(
                refusal.message.len() < 3 * 4_096 + 512,
                "{} bytes",
                refusal.message.len()
            );
        }
    }
}

fn names_are_harmless(outputs: &Outputs) {
    for output in outputs.iter() {
        let paths: Vec<String> = match output {
            Output::File(file) => {
                assert!(!file.storage_path.is_empty() && !file.storage_path.ends_with('/'));
                vec![file.storage_path.clone()]
            }
            Output::Segments(s) => {
                let mut names = vec![&s.playlist, &s.prefix];
                names.extend(&s.live_playlist);
                names
                    .into_iter()
                    .map(|name| format!("{}{name}", s.storage_dir))
                    .collect()
            }
            Output::Images(images) => vec![format!("{}{}", images.storage_dir, images.prefix)],
            Output::Stream(_) | Output::WebSocket(_) => Vec::new(),
        };
        for path in paths {
            assert!(!path.chars().any(char::is_control), "{path:?}");
            for part in path.split('/') {
                assert!(part != ".." && part.len() <= 255, "{path:?}");
            }
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "", "r", "a/b", "../..", "/", "/out/", ".", "x.mp4", "{room_name}", "{retry}/{time}", "d/{publisher_identity}",
            "{track_id}{", "http://x/", "https://u:p@x/?token=y#z", "ws://h/x", "rtmp://h/a/k", "rtmps://h/a/b/k live=1",
            "srt://h:1?passphrase=x", "mux://k", "twitch://key", "rtmp://x.contribute.live-video.net/app/k", "ftp://x", "://",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-z/.{}:%\\\\]{0,40}",
        1 => prop::sample::select(vec![240_usize, 256, 4_097]).prop_map(|length| "ä".repeat(length)),
    ]
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![3 => 0..10, 2 => 10..4_000, 1 => any::<i32>()]
}

// Boxed: the tree of all these by value is more than a test thread's stack holds without optimisation.
fn upload() -> BoxedStrategy<livekit::storage_config::Provider> {
    use livekit::storage_config::Provider;
    (0..4, text(), text(), any::<bool>())
        .prop_map(|(kind, a, b, proxy)| {
            let proxy = proxy.then(|| livekit::ProxyConfig {
                url: a.clone(),
                username: b.clone(),
                password: a.clone(),
            });
            match kind {
                0 => Provider::S3(livekit::S3Upload {
                    access_key: a.clone(),
                    secret: b.clone(),
                    assume_role_arn: if a.len() % 7 == 0 { b } else { String::new() },
                    endpoint: a,
                    proxy,
                    ..Default::default()
                }),
                1 => Provider::Gcp(livekit::GcpUpload {
                    credentials: a,
                    bucket: b,
                    proxy,
                }),
                2 => Provider::Azure(livekit::AzureBlobUpload {
                    account_name: a.clone(),
                    account_key: b,
                    container_name: a,
                }),
                _ => Provider::AliOss(livekit::AliOssUpload {
                    access_key: a.clone(),
                    bucket: b,
                    endpoint: a,
                    ..Default::default()
                }),
            }
        })
        .boxed()
}

fn file() -> BoxedStrategy<livekit::EncodedFileOutput> {
    use livekit::encoded_file_output::Output;
    use livekit::storage_config::Provider;
    (number(), text(), any::<bool>(), prop::option::of(upload()))
        .prop_map(
            |(file_type, filepath, disable_manifest, upload)| livekit::EncodedFileOutput {
                file_type,
                filepath,
                disable_manifest,
                output: upload.map(|upload| match upload {
                    Provider::S3(upload) => Output::S3(upload),
                    Provider::Gcp(upload) => Output::Gcp(upload),
                    Provider::Azure(upload) => Output::Azure(upload),
                    Provider::AliOss(upload) => Output::AliOss(upload),
                }),
            },
        )
        .boxed()
}

fn stream() -> BoxedStrategy<livekit::StreamOutput> {
    (0..5, prop::collection::vec(text(), 0..4))
        .prop_map(|(protocol, urls)| livekit::StreamOutput { protocol, urls })
        .boxed()
}

fn segments() -> BoxedStrategy<livekit::SegmentedFileOutput> {
    (text(), text(), text(), number(), 0..3)
        .prop_map(
            |(filename_prefix, playlist_name, live_playlist_name, duration, filename_suffix)| {
                livekit::SegmentedFileOutput {
                    filename_prefix,
                    playlist_name,
                    live_playlist_name,
                    segment_duration: duration.unsigned_abs(),
                    filename_suffix,
                    ..Default::default()
                }
            },
        )
        .boxed()
}

fn images() -> BoxedStrategy<livekit::ImageOutput> {
    (text(), number(), number(), number(), 0..4, 0..3)
        .prop_map(
            |(filename_prefix, interval, width, height, filename_suffix, image_codec)| {
                livekit::ImageOutput {
                    filename_prefix,
                    capture_interval: interval.unsigned_abs(),
                    width: width % 4_500 * 2,
                    height,
                    filename_suffix,
                    image_codec,
                    ..Default::default()
                }
            },
        )
        .boxed()
}

fn options() -> BoxedStrategy<livekit::EncodingOptions> {
    (
        (number(), number(), number(), number()),
        (0..6, number(), 0..7, number()),
        prop_oneof![3 => 0.0..10.0, 1 => any::<f64>()],
    )
        .prop_map(
            |(
                (width, height, depth, framerate),
                (audio_codec, audio_bitrate, video_codec, video_bitrate),
                interval,
            )| {
                livekit::EncodingOptions {
                    width: width % 8_000 * 2,
                    height: height % 4_500 * 2,
                    depth: depth % 4 * 8,
                    framerate: framerate % 150,
                    audio_codec,
                    audio_bitrate,
                    video_codec,
                    video_bitrate,
                    key_frame_interval: interval,
                    ..Default::default()
                }
            },
        )
        .boxed()
}

fn some<S: Strategy>(strategy: S) -> impl Strategy<Value = Vec<S::Value>>
where
    S::Value: Clone,
{
    prop::collection::vec(strategy, 0..3)
}

fn v1() -> BoxedStrategy<Request> {
    (
        0..6,
        (text(), text(), text(), any::<bool>(), any::<bool>()),
        (
            some(file()),
            some(stream()),
            some(segments()),
            some(images()),
        ),
        prop::option::of(prop_oneof![(0..10).prop_map(Err), options().prop_map(Ok)]),
        0..4,
    )
        .prop_map(
            |(
                kind,
                (a, b, c, x, y),
                (file_outputs, stream_outputs, segment_outputs, image_outputs),
                options,
                mixing,
            )| {
                macro_rules! options {
                    ($module:ident) => {
                        options.map(|options| match options {
                            Ok(advanced) => livekit::$module::Options::Advanced(advanced),
                            Err(preset) => livekit::$module::Options::Preset(preset),
                        })
                    };
                }
                match kind {
                    0 => Request::RoomComposite(livekit::RoomCompositeEgressRequest {
                        room_name: a,
                        layout: b,
                        custom_base_url: if x { c } else { String::new() },
                        audio_only: x,
                        video_only: y,
                        audio_mixing: mixing,
                        file_outputs,
                        stream_outputs,
                        segment_outputs,
                        image_outputs,
                        options: options!(room_composite_egress_request),
                        ..Default::default()
                    }),
                    1 => Request::Web(livekit::WebEgressRequest {
                        url: if y { "http://x/".into() } else { a },
                        audio_only: x,
                        file_outputs,
                        stream_outputs,
                        segment_outputs,
                        image_outputs,
                        options: options!(web_egress_request),
                        ..Default::default()
                    }),
                    2 => Request::Participant(livekit::ParticipantEgressRequest {
                        room_name: a,
                        identity: b,
                        screen_share: x,
                        file_outputs,
                        stream_outputs,
                        segment_outputs,
                        image_outputs,
                        options: options!(participant_egress_request),
                        ..Default::default()
                    }),
                    3 => Request::TrackComposite(livekit::TrackCompositeEgressRequest {
                        room_name: a,
                        audio_track_id: b,
                        video_track_id: c,
                        file_outputs,
                        stream_outputs,
                        segment_outputs,
                        image_outputs,
                        options: options!(track_composite_egress_request),
                        ..Default::default()
                    }),
                    4 => Request::Track(livekit::TrackEgressRequest {
                        room_name: a,
                        track_id: b,
                        output: Some(livekit::track_egress_request::Output::WebsocketUrl(c)),
                        ..Default::default()
                    }),
                    _ => Request::Track(livekit::TrackEgressRequest {
                        room_name: a,
                        track_id: b,
                        output: Some(livekit::track_egress_request::Output::File(
                            livekit::DirectFileOutput {
                                filepath: c,
                                ..Default::default()
                            },
                        )),
                        ..Default::default()
                    }),
                }
            },
        )
        .boxed()
}

fn v2_output() -> BoxedStrategy<livekit::Output> {
    use livekit::output::Config;
    let config = prop_oneof![
        file().prop_map(|f| Config::File(livekit::FileOutput {
            file_type: f.file_type,
            filepath: f.filepath,
            disable_manifest: f.disable_manifest
        })),
        stream().prop_map(Config::Stream),
        segments().prop_map(Config::Segments),
        images().prop_map(Config::Images),
    ];
    (
        prop::option::weighted(0.95, config),
        prop::option::of(upload()),
    )
        .prop_map(|(config, provider)| livekit::Output {
            config,
            storage: provider.map(|provider| livekit::StorageConfig {
                provider: Some(provider),
            }),
        })
        .boxed()
}

fn v2_request() -> BoxedStrategy<Request> {
    use livekit::audio_route::Match;
    use livekit::media_source::Video;
    let route = (0..4, text(), 0..4).prop_map(|(kind, id, channel)| livekit::AudioRoute {
        channel,
        r#match: match kind {
            0 => Some(Match::TrackId(id)),
            1 => Some(Match::ParticipantIdentity(id)),
            2 => Some(Match::ParticipantKind(channel)),
            _ => None,
        },
    });
    let video = prop_oneof![
        text().prop_map(Video::VideoTrackId),
        text().prop_map(
            |identity| Video::ParticipantVideo(livekit::ParticipantVideo {
                identity,
                prefer_screen_share: false
            })
        ),
    ];
    let source = prop_oneof![
        (text(), any::<bool>(), any::<bool>()).prop_map(|(layout, audio_only, video_only)| {
            v2::Source::Template(livekit::TemplateSource {
                layout,
                audio_only,
                video_only,
                ..Default::default()
            })
        }),
        (text(), any::<bool>()).prop_map(|(url, audio_only)| v2::Source::Web(livekit::WebSource {
            url,
            audio_only,
            ..Default::default()
        })),
        (
            prop::option::of(video),
            prop::option::of((any::<bool>(), some(route)))
        )
            .prop_map(|(video, audio)| v2::Source::Media(livekit::MediaSource {
                video,
                audio: audio.map(|(capture_all, routes)| livekit::AudioConfig {
                    capture_all,
                    routes
                }),
            })),
    ];
    let encoding = prop_oneof![
        (0..10).prop_map(v2::Encoding::Preset),
        options().prop_map(v2::Encoding::Advanced)
    ];
    (
        text(),
        prop::option::weighted(0.95, source),
        prop::option::of(encoding),
        some(v2_output()),
    )
        .prop_map(|(room_name, source, encoding, outputs)| {
            Request::Egress(livekit::StartEgressRequest {
                room_name,
                source,
                encoding,
                outputs,
                ..Default::default()
            })
        })
        .boxed()
}

fn any_request() -> impl Strategy<Value = StartEgressRequest> {
    (
        text(),
        text(),
        number(),
        any::<f64>(),
        any::<bool>(),
        prop_oneof![v1(), v2_request()],
    )
        .prop_map(
            |(room_id, token, retry_count, estimated_cpu, id, request)| StartEgressRequest {
                egress_id: if id { "EG_x".into() } else { room_id.clone() },
                room_id,
                token,
                estimated_cpu,
                retry_count,
                request: Some(request),
                ..Default::default()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planning_is_total_and_repeatable(request in any_request()) {
        check(&request, &policy());
    }
}

/// xorshift64*: a seed that can be printed and repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound.max(1)
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        // Mostly in place and ASCII: most insertions break a length before anything interesting is read.
        match random.below(12) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(7),
            1..=8 if !bytes.is_empty() => bytes[at] = u8::try_from(random.below(128)).unwrap_or(0),
            9 => bytes.insert(at, u8::try_from(random.below(128)).unwrap_or(0)),
            10 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let end = (at + random.below(16)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
}

#[test]
fn broken_bytes_give_a_plan_or_a_refusal() {
    let seeds = [
        json!({"room_id": "RM", "retry_count": 1, "room_composite": {"room_name": "r", "layout": "grid", "advanced": {"width": 640, "key_frame_interval": 2.5},
            "file_outputs": [{"filepath": "a/{retry}.mp4", "s3": {"bucket": "b", "secret": "s", "metadata": {"k": "v"}}}], "stream_outputs": [{"urls": ["rtmp://h/a/k"]}],
            "segment_outputs": [{"filename_prefix": "{retry}"}], "image_outputs": [{"width": 64}]}}),
        json!({"web": {"url": "https://x/?a=b", "file": {"filepath": "x"}, "preset": "H264_1080P_60"}}),
        json!({"token": "t", "participant": {"room_name": "r", "identity": "p", "segment_outputs": [{"playlist_name": "a/b", "live_playlist_name": "a/c"}]}}),
        json!({"track_composite": {"room_name": "r", "audio_track_id": "A", "video_track_id": "V", "stream_outputs": [{"protocol": "SRT", "urls": ["srt://h:1?x=y"]}]}}),
        json!({"track": {"room_name": "r", "track_id": "T", "websocket_url": "ws://h/p?a=b"}}),
        json!({"egress": {"room_name": "r", "media": {"video_track_id": "V", "audio": {"routes": [{"track_id": "A"}]}}, "storage": {"gcp": {"bucket": "b"}},
            "outputs": [{"file": {"filepath": "f"}}, {"images": {}}, {"segments": {}}]}}),
    ]
    .map(|json| envelope(&json).encode_to_vec());
    let policy = policy();
    let (mut decoded, mut planned) = (0, 0);
    for round in 0..12_000_u64 {
        let mut random = Random((round + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, &mut random);
        let Ok(request) = StartEgressRequest::decode(bytes.as_slice()) else {
            continue;
        };
        decoded += 1;
        let outcome = std::panic::catch_unwind(|| check(&request, &policy));
        assert!(outcome.is_ok(), "round {round}: {request:?}");
        planned += usize::from(request::plan(&request, &policy, now()).is_ok());
    }
    assert!(
        decoded > 1_000 && planned > 200,
        "{decoded} decoded, {planned} planned"
    );
}
