//! What plans look like: sources, media, outputs, limits; what a build refuses; names on this machine.

use crate::common::{envelope, now, plan, plan_with, policy, shown, wall};
use recording::manifest::{self, Manifest};
use recording::naming::{late, local};
use recording::plan::{
    AudioPath, Channel, Container, Destination, Media, MediaAudio, MediaVideo, Mixing, Output,
    Plan, RequestType, Route, RouteMatch, S3, Source, Store, Subject, VideoPath,
};
use recording::policy::{Policy, SessionLimits};
use recording::support::{self, Built};
use recording::{Code, Secret, request};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use wire::livekit::egress_info;

fn to(store: Store, prefix: &str) -> Destination {
    Destination {
        store,
        prefix: prefix.into(),
        presign: false,
        backup: None,
    }
}

fn subject(plan: &Plan) -> &Subject {
    match &plan.source {
        Source::Room(room) => &room.subject,
        Source::Page(page) => panic!("a page: {page:?}"),
    }
}

fn page_url(plan: &Plan) -> &str {
    match &plan.source {
        Source::Page(page) => page.url.reveal(),
        Source::Room(room) => panic!("a room: {room:?}"),
    }
}

fn ok(json: Value) -> Plan {
    plan(&json).unwrap_or_else(|refusal| panic!("{refusal}: {json}"))
}

fn room(extra: Value) -> Plan {
    let mut request = json!({"room_name": "r", "file_outputs": [{}]});
    for (key, value) in extra.as_object().expect("as written in the test") {
        request[key] = value.clone();
    }
    ok(json!({"room_composite": request}))
}

fn v2(source: Value, outputs: Value) -> Plan {
    let mut request = json!({"room_name": "r", "outputs": outputs});
    for (key, value) in source.as_object().expect("as written in the test") {
        request[key] = value.clone();
    }
    ok(json!({"egress": request}))
}

#[test]
fn the_envelope_is_repeated() {
    let plan = ok(
        json!({"egress_id": "EG_1", "room_id": "RM_1", "room_name": "envelope", "retry_count": 2,
        "web": {"url": "http://x/", "file_outputs": [{"filepath": "{retry}"}]}}),
    );
    let identity = &plan.identity;
    assert_eq!(identity.egress_id.as_str(), "EG_1");
    assert_eq!(
        (identity.room_id.as_str(), identity.room_name.as_str()),
        ("RM_1", "envelope")
    );
    assert_eq!(
        (identity.retry_count, identity.requested_at),
        (2, 1_700_000_000_042_000_000)
    );
    assert_eq!(identity.request_type, RequestType::Web);
    assert!(matches!(shown(&plan), egress_info::Request::Web(_)));
    let overwritten = ok(json!({"room_name": "envelope", "token": "t",
        "participant": {"identity": "p", "file_outputs": [{}]}}));
    assert_eq!(
        overwritten.identity.room_name, "",
        "v1's own room name wins, even empty"
    );
    let kept =
        ok(json!({"room_name": "envelope", "egress": {"template": {}, "outputs": [{"file": {}}]}}));
    assert_eq!(
        kept.identity.room_name, "envelope",
        "v2's only when there is one"
    );
}

#[test]
fn room_composites_choose_between_browser_and_seat() {
    let seat = room(json!({"audio_only": true, "audio_mixing": "DUAL_CHANNEL_ALTERNATE"}));
    assert_eq!(
        subject(&seat),
        &Subject::RoomAudio {
            mixing: Mixing::DualChannelAlternate
        }
    );
    for extra in [
        json!({}),
        json!({"audio_only": true, "layout": "grid"}),
        json!({"audio_only": true, "custom_base_url": "https://x/"}),
        json!({"video_only": true}),
    ] {
        let plan = room(extra);
        let Source::Page(page) = &plan.source else {
            panic!("a page expected")
        };
        assert!(page.await_start_signal);
    }
    let url = room(json!({"layout": "speaker", "custom_base_url": "https://x/p?keep=1"}));
    let url = page_url(&url);
    assert!(
        url.starts_with("https://x/p?keep=1&layout=speaker&token="),
        "{url}"
    );
    assert!(url.ends_with("&url=ws%3A%2F%2F127.0.0.1%3A7880"), "{url}");
}

#[test]
fn envelope_token_and_url_come_first() {
    let plan = ok(json!({"token": "given", "ws_url": "wss://given",
        "participant": {"identity": "p", "screen_share": true, "file_outputs": [{}]}}));
    let Source::Room(room) = &plan.source else {
        panic!("a room expected")
    };
    assert_eq!(
        (room.ws_url.as_str(), room.token.reveal().as_str()),
        ("wss://given", "given")
    );
    assert_eq!(
        room.subject,
        Subject::Participant {
            identity: "p".into(),
            screen_share: true
        }
    );
    assert!(matches!(plan.media, Media::Both { .. }), "always both");
}

#[test]
fn web_pages_are_opened_as_given() {
    let url = "https://u:p@x/a?b=c&token=d#e";
    let without = Policy::default();
    let plan = plan_with(
        &json!({"web": {"url": url, "await_start_signal": true, "file_outputs": [{}]}}),
        &without,
    )
    .expect("web egress needs no server");
    assert_eq!(page_url(&plan), url);
    assert!(matches!(&plan.source, Source::Page(page) if page.await_start_signal));
}

#[test]
fn images_alone_need_no_sound() {
    let plan = room(
        json!({"file_outputs": [], "image_outputs": [{"capture_interval": 0}, {"width": 640}]}),
    );
    assert!(matches!(plan.media, Media::Video(_)));
    let Output::Images(first) = &plan.outputs.first else {
        panic!("images expected")
    };
    assert_eq!(
        (first.width, first.height),
        (Some(1280), Some(720)),
        "of the encoding"
    );
    assert_eq!(first.interval, Duration::from_secs(10));
    assert_eq!(first.user_prefix, "");
    assert_eq!(first.prefix, "r-2023-11-14T221320");
    let tracks = ok(
        json!({"track_composite": {"room_name": "r", "audio_track_id": "A", "video_track_id": "V",
        "image_outputs": [{"filename_prefix": "d/{room_name}"}]}}),
    );
    assert_eq!(
        subject(&tracks),
        &Subject::Tracks {
            audio: None,
            video: Some("V".into())
        }
    );
    let Output::Images(images) = &tracks.outputs.first else {
        panic!("images expected")
    };
    assert_eq!(
        (images.width, images.height),
        (None, None),
        "of the publisher"
    );
    assert_eq!(
        (
            images.storage_dir.as_str(),
            images.prefix.as_str(),
            images.user_prefix.as_str()
        ),
        ("d/", "r", "d/r")
    );
}

#[test]
fn a_websocket_takes_pcm_and_no_pictures() {
    let plan = v2(
        json!({"media": {"video_track_id": "V", "audio": {"capture_all": true}}}),
        json!([{"stream": {"urls": ["wss://h/x?token=t"]}}]),
    );
    let Media::Audio(AudioPath::Transcode(audio)) = &plan.media else {
        panic!("sound only expected: {:?}", plan.media)
    };
    assert_eq!(
        (audio.codec, audio.sample_rate),
        (media::AudioCodec::Pcm, 48_000)
    );
    assert_eq!(
        subject(&plan),
        &Subject::Media {
            video: None,
            audio: Some(MediaAudio::All)
        }
    );
    let track =
        ok(json!({"track": {"room_name": "r", "track_id": "T", "websocket_url": "ws://h"}}));
    assert!(
        matches!(&track.media, Media::Audio(AudioPath::Transcode(audio)) if audio.codec == media::AudioCodec::Pcm)
    );
}

#[test]
fn copies_know_their_medium_as_far_as_the_request_does() {
    let track = ok(json!({"track": {"room_name": "r", "track_id": "T", "file": {}}}));
    assert_eq!(
        track.media,
        Media::Both {
            audio: AudioPath::Copy,
            video: VideoPath::Copy
        }
    );
    let audio = v2(
        json!({"preset": "PASSTHROUGH", "media": {"audio": {"routes": [{"track_id": "A"}]}}}),
        json!([{"file": {}}]),
    );
    assert_eq!(audio.media, Media::Audio(AudioPath::Copy));
    assert_eq!(subject(&audio), &Subject::Track { sid: "A".into() });
    assert_eq!(audio.identity.request_type, RequestType::Track);
    assert!(
        matches!(&audio.outputs.first, Output::File(file) if file.container == Container::ByTrack)
    );
}

#[test]
fn media_routes_are_taken_over() {
    let plan = v2(
        json!({"media": {"participant_video": {"identity": "p2", "prefer_screen_share": true}, "audio": {"routes": [
            {"track_id": "T", "channel": "AUDIO_CHANNEL_LEFT"}, {"participant_identity": "p1", "channel": "AUDIO_CHANNEL_RIGHT"},
            {"participant_kind": "AGENT"}, {}]}}}),
        json!([{"file": {"file_type": "MP4"}}]),
    );
    let route = |matcher, channel| Route { matcher, channel };
    assert_eq!(
        subject(&plan),
        &Subject::Media {
            video: Some(MediaVideo::Participant {
                identity: "p2".into(),
                screen_share: true
            }),
            audio: Some(MediaAudio::Routes(vec![
                route(Some(RouteMatch::Track("T".into())), Channel::Left),
                route(Some(RouteMatch::Identity("p1".into())), Channel::Right),
                route(Some(RouteMatch::Kind(4)), Channel::Both),
                route(None, Channel::Both),
            ]))
        }
    );
}

#[test]
fn outputs_come_in_order_and_deprecated_ones_count() {
    let plan = ok(
        json!({"web": {"url": "http://x/", "file": {"filepath": "x"},
        "stream_outputs": [{"urls": ["rtmp://h/a/k"]}], "segment_outputs": [{}], "image_outputs": [{}]}}),
    );
    let kinds: Vec<&str> = plan
        .outputs
        .iter()
        .map(|output| match output {
            Output::File(_) => "file",
            Output::Stream(_) => "stream",
            Output::Segments(_) => "segments",
            Output::WebSocket(_) => "websocket",
            Output::Images(_) => "images",
        })
        .collect();
    assert_eq!(kinds, ["file", "stream", "segments", "images"]);
}

#[test]
fn a_stream_without_urls_is_no_stream_until_one_is_added() {
    let plan = v2(
        json!({"template": {}}),
        json!([{"stream": {"protocol": "SRT"}}, {"file": {}}]),
    );
    assert!(
        plan.outputs
            .iter()
            .any(|output| matches!(output, Output::Stream(stream) if stream.urls.is_empty()))
    );
}

#[test]
fn segments_beside_a_stream_follow_the_key_frames() {
    for (interval, expect) in [(2.0, 2), (0.5, 1), (9.0, 4)] {
        let plan = ok(
            json!({"web": {"url": "http://x/", "advanced": {"key_frame_interval": interval},
            "stream_outputs": [{"urls": ["srt://h:1"]}], "segment_outputs": [{}]}}),
        );
        let again = ok(
            json!({"egress": {"web": {"url": "http://x/"}, "advanced": {"key_frame_interval": interval},
            "outputs": [{"segments": {}}, {"stream": {"urls": ["srt://h:1"]}}]}}),
        );
        for plan in [plan, again] {
            let duration = plan.outputs.iter().find_map(|output| match output {
                Output::Segments(segments) => Some(segments.duration),
                Output::File(_) | Output::Stream(_) | Output::WebSocket(_) | Output::Images(_) => {
                    None
                }
            });
            assert_eq!(duration, Some(Duration::from_secs(expect)), "{interval}");
        }
    }
}

#[test]
fn v2_storage_is_the_outputs_the_requests_or_the_services() {
    let policy = Policy {
        storage: Some(to(
            Store::S3(S3 {
                bucket: "service".into(),
                ..S3::default()
            }),
            "",
        )),
        backup: Some(to(Store::Local, "late")),
        ..policy()
    };
    let bucket = |storage: Value, own: Value| {
        let request = json!({"egress": {"room_name": "r", "template": {}, "storage": storage,
            "outputs": [{"segments": {"s3": {"bucket": "ignored"}}, "storage": own}]}});
        let plan = plan_with(&request, &policy).unwrap();
        let Output::Segments(segments) = &plan.outputs.first else {
            panic!("segments expected")
        };
        let backup = segments.destination.backup.as_ref().expect("a backup");
        assert_eq!(
            (&backup.store, backup.prefix.as_str()),
            (&Store::Local, "late")
        );
        match &segments.destination.store {
            Store::S3(s3) => s3.bucket.clone(),
            other @ (Store::Local | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_)) => {
                panic!("{other:?}")
            }
        }
    };
    let s3 = |bucket: &str| json!({"s3": {"bucket": bucket}});
    assert_eq!(bucket(s3("request"), s3("output")), "output");
    assert_eq!(bucket(s3("request"), Value::Null), "request");
    assert_eq!(bucket(Value::Null, Value::Null), "service");
}

#[test]
fn the_smallest_limit_of_the_outputs_present_counts() {
    let limits = SessionLimits {
        file: Some(Duration::from_secs(30)),
        stream: Some(Duration::from_secs(10)),
        segments: Some(Duration::ZERO),
        images: None,
        file_size: Some(300_000),
        start_timeout: Some(Duration::from_secs(60)),
    };
    let policy = Policy { limits, ..policy() };
    let of = |json: Value| plan_with(&json, &policy).unwrap().limits;
    let file =
        of(json!({"web": {"url": "http://x/", "file_outputs": [{}], "segment_outputs": [{}]}}));
    assert_eq!(
        (file.max_duration, file.max_file_size, file.start_timeout),
        (limits.file, Some(300_000), limits.start_timeout)
    );
    let both = of(
        json!({"web": {"url": "http://x/", "file_outputs": [{}], "stream_outputs": [{"urls": ["srt://h:1"]}]}}),
    );
    assert_eq!(both.max_duration, limits.stream);
    let websocket =
        of(json!({"track": {"room_name": "r", "track_id": "T", "websocket_url": "ws://h"}}));
    assert_eq!(
        (websocket.max_duration, websocket.max_file_size),
        (limits.stream, None)
    );
    let segments = of(json!({"web": {"url": "http://x/", "segment_outputs": [{}]}}));
    assert_eq!(segments.max_duration, None);
}

#[test]
fn a_build_names_what_it_lacks() {
    let built = Built {
        web: true,
        mp4: true,
        local: true,
        ..Built::default()
    };
    let web = |extra: Value| {
        let mut request = json!({"url": "http://x/"});
        for (key, value) in extra.as_object().unwrap() {
            request[key] = value.clone();
        }
        json!({"web": request})
    };
    assert_eq!(
        support::check(
            &ok(web(json!({"file_outputs": [{"filepath": "/out/x.mp4"}]}))),
            &built
        ),
        Ok(())
    );
    for (request, what) in [
        (
            json!({"participant": {"room_name": "r", "identity": "p", "file_outputs": [{}]}}),
            "participant egress",
        ),
        (
            json!({"room_composite": {"room_name": "r", "file_outputs": [{}]}}),
            "room composite egress",
        ),
        (
            json!({"room_composite": {"room_name": "r", "audio_only": true, "file_outputs": [{}]}}),
            "audio-only room composite egress",
        ),
        (
            json!({"track": {"room_name": "r", "track_id": "T", "file": {}}}),
            "track egress",
        ),
        (
            json!({"track_composite": {"room_name": "r", "audio_track_id": "T", "file_outputs": [{}]}}),
            "track composite egress",
        ),
        (
            json!({"egress": {"room_name": "r", "template": {}, "outputs": [{"file": {}}]}}),
            "template egress",
        ),
        (
            json!({"egress": {"room_name": "r", "media": {"video_track_id": "V"}, "outputs": [{"file": {}}]}}),
            "media egress",
        ),
        (
            web(json!({"stream_outputs": [{"urls": ["rtmp://h/a/k"]}]})),
            "RTMP output",
        ),
        (
            web(json!({"stream_outputs": [{"urls": ["srt://h:1"]}]})),
            "SRT output",
        ),
        (
            web(json!({"segment_outputs": [{}]})),
            "segmented file output",
        ),
        (web(json!({"image_outputs": [{}]})), "image output"),
        (
            web(json!({"audio_only": true, "file_outputs": [{}]})),
            "OGG file output",
        ),
        (
            web(json!({"file_outputs": [{"s3": {"bucket": "b"}}]})),
            "S3 storage",
        ),
        (
            web(json!({"file_outputs": [{"azure": {"container_name": "b"}}]})),
            "Azure storage",
        ),
    ] {
        let plan = ok(request);
        let refusal = support::check(&plan, &built).unwrap_err();
        assert_eq!(refusal.code, Code::Unimplemented);
        assert_eq!(
            refusal.message,
            format!("{what} is not implemented in this version")
        );
        assert_eq!(support::check(&plan, &Built::ALL), Ok(()));
    }
}

#[test]
fn names_that_need_the_room_are_filled_in_after_joining() {
    let plan = ok(
        json!({"room_id": "RM_x", "token": "t", "egress": {"media": {"video_track_id": "V"}, "outputs": [
        {"file": {"filepath": "{room_name}/{room_id}-{publisher_identity}"}},
        {"segments": {"playlist_name": "{room_name}/p"}}, {"images": {"filename_prefix": "{room_name}/i"}}]}}),
    );
    let joined = late::Joined {
        room_name: Some("late".into()),
        ..late::Joined::default()
    };
    let outputs = late::resolve(&plan.outputs, &joined);
    let names: Vec<String> = outputs
        .iter()
        .map(|output| match output {
            Output::File(file) => file.storage_path.clone(),
            Output::Segments(segments) => format!("{}{}", segments.storage_dir, segments.playlist),
            Output::Images(images) => images.user_prefix.clone(),
            Output::Stream(_) | Output::WebSocket(_) => String::new(),
        })
        .collect();
    assert_eq!(
        names,
        [
            "late/{room_id}-{publisher_identity}.mp4",
            "late/p.m3u8",
            "late/i"
        ]
    );
    let participant = ok(
        json!({"participant": {"room_name": "r", "identity": "david",
        "file_outputs": [{"filepath": "{publisher_identity}"}]}}),
    );
    assert!(
        matches!(&participant.outputs.first, Output::File(file) if file.storage_path == "david.mp4"),
        "known at once"
    );
}

#[test]
fn a_planned_file_has_its_places_on_this_machine() {
    let plan = ok(
        json!({"egress_id": "EG_1", "web": {"url": "http://x/", "file_outputs": [{"filepath": "/out/x.mp4"}]}}),
    );
    let Output::File(file) = &plan.outputs.first else {
        panic!("a file expected")
    };
    let places = local::file(
        file,
        &plan.identity.egress_id,
        Path::new("/tmp/egress"),
        Path::new("/"),
    );
    assert_eq!(places.part, Path::new("/out/.x.mp4.EG_1.part"));
    assert_eq!(places.finished, Path::new("/out/x.mp4"));
}

#[test]
fn manifests_say_what_the_plan_knows() {
    let of = |json: Value| -> Value {
        let rendered = manifest::render(&Manifest::new(&ok(json)), 7);
        serde_json::from_slice(&rendered).unwrap()
    };
    let web = of(json!({"web": {"url": "http://x/?t=1", "file_outputs": [{}]}}));
    assert_eq!(web["url"], "http://x/?t=1");
    assert_eq!(
        (web["ended_at"].as_i64(), web["started_at"].as_i64()),
        (Some(7), Some(1_700_000_000_042_000_000))
    );
    let composite = of(json!({"room_composite": {"room_name": "r", "file_outputs": [{}]}}));
    assert!(
        composite["url"].is_null(),
        "a template's URL carries a token"
    );
    let participant =
        of(json!({"participant": {"room_name": "r", "identity": "p", "file_outputs": [{}]}}));
    assert_eq!(participant["publisher_identity"], "p");
    let tracks = of(
        json!({"track_composite": {"room_name": "r", "audio_track_id": "A", "video_track_id": "V", "file_outputs": [{}]}}),
    );
    assert_eq!(
        (
            tracks["audio_track_id"].as_str(),
            tracks["video_track_id"].as_str()
        ),
        (Some("A"), Some("V"))
    );
    let track = ok(json!({"track": {"room_name": "r", "track_id": "T", "file": {}}}));
    let mut filled = Manifest::new(&track);
    filled.joined(&late::Joined {
        track: Some(late::Track {
            sid: "T".into(),
            kind: late::TrackKind::Video,
            source: "camera".into(),
            format: recording::codecs::Format::Mp4,
        }),
        ..late::Joined::default()
    });
    filled.add_image(manifest::Image {
        filename: "i_00000.jpeg".into(),
        timestamp: manifest::timestamp(wall(), &jiff::tz::TimeZone::UTC),
        location: String::new(),
    });
    let text = String::from_utf8(manifest::render(&filled, 0)).unwrap();
    assert!(text.contains(r#""track_id":"T","track_kind":"video","track_source":"camera","images":[{"filename":"i_00000.jpeg","timestamp":"2023-11-14T22:13:20.042Z"}]"#), "{text}");
}

#[test]
fn no_secret_shows_in_a_plan_or_in_what_peers_see() {
    const MARK: &str = "MARKER9secret9MARKER";
    let policy = Policy {
        api_key: "devkey".into(),
        api_secret: Secret::new(MARK.into()),
        storage: Some(to(
            Store::S3(S3 {
                access_key: Secret::new(MARK.into()),
                secret: Secret::new(MARK.into()),
                ..S3::default()
            }),
            "",
        )),
        ..policy()
    };
    assert!(!format!("{policy:?}").contains(MARK));
    let proxy =
        json!({"url": format!("http://u:{MARK}@p?x={MARK}"), "username": MARK, "password": MARK});
    let s3 = json!({"access_key": MARK, "secret": MARK, "session_token": MARK, "assume_role_external_id": MARK, "proxy": proxy});
    let gcp = json!({"credentials": MARK, "proxy": proxy});
    let azure = json!({"account_name": MARK, "account_key": MARK});
    let oss = json!({"access_key": MARK, "secret": MARK});
    let streams = json!([{"urls": [format!("rtmp://u:{MARK}@h/app/{MARK}"), format!("mux://{MARK}"),
        format!("twitch://{MARK}"), format!("rtmps://h/app/{MARK} live=1")]}]);
    let srt = json!([{"urls": [format!("srt://h:1?passphrase={MARK}&streamid={MARK}")]}]);
    let page = format!("https://u:{MARK}@h/p?token={MARK}&apiKey={MARK}#/x?auth={MARK}");
    let images = json!([{"s3": s3}, {"gcp": gcp}, {"azure": azure}, {"aliOSS": oss}]);
    let requests = [
        json!({"token": MARK, "room_composite": {"room_name": "r", "custom_base_url": page, "file_outputs": [{"s3": s3}],
            "stream_outputs": streams, "segment_outputs": [{"gcp": gcp}], "image_outputs": images}}),
        json!({"web": {"url": page, "file": {"azure": azure}, "stream_outputs": srt, "segment_outputs": [{"aliOSS": oss}],
            "image_outputs": images}}),
        json!({"web": {"url": page, "segments": {"s3": s3}}}),
        json!({"web": {"url": page, "stream": srt[0]}}),
        json!({"participant": {"room_name": "r", "identity": "p", "stream_outputs": streams, "image_outputs": images}}),
        json!({"token": MARK, "track_composite": {"room_name": "r", "audio_track_id": "A", "file": {"gcp": gcp}, "stream_outputs": srt}}),
        json!({"track": {"room_name": "r", "track_id": "T", "file": {"s3": s3}}}),
        json!({"track": {"room_name": "r", "track_id": "T", "websocket_url": format!("ws://u:{MARK}@h/?token={MARK}")}}),
        json!({"egress": {"room_name": "r", "template": {"custom_base_url": page}, "storage": {"s3": s3}, "outputs": [
            {"file": {}, "storage": {"gcp": gcp}}, {"stream": streams[0]}, {"segments": {"s3": s3}}, {"images": {"azure": azure}}]}}),
        json!({"egress": {"room_name": "r", "web": {"url": page}, "storage": {"aliOSS": oss}, "outputs": [{"stream": srt[0]}]}}),
        json!({"egress": {"room_name": "r", "web": {"url": page}, "outputs": [{"stream": {"urls": [format!("ws://h/?t={MARK}")]}}]}}),
    ];
    for json in requests {
        let plan = request::plan(&envelope(&json), &policy, now())
            .unwrap_or_else(|refusal| panic!("{refusal}: {json}"));
        let debug = format!("{plan:?}");
        assert!(!debug.contains(MARK), "{debug}");
        let seen = format!("{:?}", shown(&plan));
        assert!(!seen.contains(MARK), "{seen}");
        let bytes = String::from_utf8_lossy(&plan.identity.redacted_request).into_owned();
        assert!(!bytes.contains(MARK));
    }
}

#[test]
fn webhooks_stay_for_the_server() {
    let plan = ok(json!({"web": {"url": "http://x/", "file_outputs": [{}],
        "webhooks": [{"url": "https://hook", "signing_key": "APIkey"}]}}));
    let egress_info::Request::Web(copy) = shown(&plan) else {
        panic!("a web request expected")
    };
    assert_eq!(
        (
            copy.webhooks[0].url.as_str(),
            copy.webhooks[0].signing_key.as_str()
        ),
        ("https://hook", "APIkey")
    );
}
