//! Upstream's tables, row by row: presets, codecs, names, URLs, redaction, labels, costs, locations.

use crate::common::{envelope, plan, plan_with, policy, rows, shown, text, vectors, wall};
use recording::codecs::{self, Ask, Format, Mime, Wish};
use recording::naming::{self, late};
use recording::plan::{
    AudioPath, Destination, FileOutput, Media, Output, Plan, Store, StreamProtocol, VideoPath,
};
use recording::policy::Policy;
use recording::request::labels;
use recording::{cost, location, plan as contract, redact, stream_url};
use serde_json::{Value, json};
use std::path::Path;
use wire::livekit::{self, egress_info};

pub(crate) fn file_of(plan: &Plan) -> &FileOutput {
    plan.outputs
        .iter()
        .find_map(|output| match output {
            Output::File(file) => Some(file),
            Output::Segments(_) | Output::Stream(_) | Output::WebSocket(_) | Output::Images(_) => {
                None
            }
        })
        .expect("a file output")
}

pub(crate) fn video_of(plan: &Plan) -> &contract::VideoEncode {
    match plan.media.video() {
        Some(VideoPath::Transcode(video)) => video,
        other @ (Some(VideoPath::Copy) | None) => panic!("{other:?}"),
    }
}

#[test]
fn presets_and_defaults() {
    let table = vectors("encoding_presets");
    let number = |row: &Value, key: &str| u32::try_from(row[key].as_u64().unwrap()).unwrap();
    let web = |extra: Value| {
        let mut request = json!({"url": "http://x/", "file_outputs": [{}]});
        for (key, value) in extra.as_object().unwrap() {
            request[key] = value.clone();
        }
        plan(&json!({"web": request})).unwrap()
    };
    for (name, row) in table["presets"].as_object().unwrap() {
        let plan = web(json!({"preset": name}));
        let video = video_of(&plan);
        assert_eq!(
            (
                video.width,
                video.height,
                video.framerate,
                video.bitrate_kbps
            ),
            (
                number(row, "width"),
                number(row, "height"),
                number(row, "framerate"),
                number(row, "video_bitrate_kbps")
            ),
            "{name}"
        );
        assert_eq!(video.profile, contract::H264Profile::Main);
    }
    let default = &table["default"];
    for extra in [json!({}), json!({"advanced": {}})] {
        let plan = web(extra);
        let video = video_of(&plan);
        assert_eq!(
            (
                video.width,
                video.height,
                video.framerate,
                video.bitrate_kbps,
                u32::from(video.depth)
            ),
            (
                number(default, "width"),
                number(default, "height"),
                number(default, "framerate"),
                number(default, "video_bitrate_kbps"),
                number(default, "depth")
            )
        );
        let Some(AudioPath::Transcode(audio)) = plan.media.audio() else {
            panic!("sound expected")
        };
        assert_eq!(
            (audio.bitrate_kbps, audio.sample_rate),
            (
                number(default, "audio_bitrate_kbps"),
                number(default, "audio_frequency")
            )
        );
    }
}

fn mime(name: &str) -> Mime {
    *Mime::ALL
        .iter()
        .find(|mime| mime.name() == name)
        .unwrap_or_else(|| panic!("{name}"))
}

fn format(name: &str) -> Format {
    if name == "unknown-file" {
        return Format::UnspecifiedFile;
    }
    *Format::ALL
        .iter()
        .find(|format| format.name() == name)
        .unwrap_or_else(|| panic!("{name}"))
}

fn mimes(list: &Value) -> Vec<Mime> {
    let list = list.as_array().expect("as written in the vectors");
    list.iter()
        .map(|name| mime(name.as_str().expect("as written in the vectors")))
        .collect()
}

#[test]
fn codec_tables() {
    let table = vectors("codec_tables");
    for row in rows(&table, "intersection") {
        let got = codecs::intersection(
            &mimes(&row["set"]),
            format(text(row, "output")).compatible(),
        );
        assert_eq!(got, mimes(&row["expect"]), "{row}");
    }
    for row in rows(&table["pick_output_type"], "cases") {
        let candidates: Vec<Format> = rows(row, "candidates")
            .iter()
            .map(|name| format(name.as_str().unwrap()))
            .collect();
        let got = codecs::pick(
            &candidates,
            Some(&mimes(&row["audio"])),
            Some(&mimes(&row["video"])),
        );
        let expect = match text(row, "expect") {
            "" => None,
            name => Some(format(name)),
        };
        assert_eq!(got, expect, "{row}");
    }
    let tables = &table["tables"];
    for known in Format::ALL {
        let named = |key: &str| tables[key][known.name()].as_str();
        assert_eq!(
            known.default_audio().map(Mime::name),
            named("default_audio_codec"),
            "{known:?}"
        );
        assert_eq!(
            known.default_video().map(Mime::name),
            named("default_video_codec"),
            "{known:?}"
        );
        assert_eq!(
            known.extension(),
            named("extension").unwrap_or_default(),
            "{known:?}"
        );
    }
    for (name, list) in tables["compat"].as_object().unwrap() {
        assert_eq!(format(name).compatible(), mimes(list).as_slice(), "{name}");
    }
    assert_eq!(
        codecs::ENCODABLE_AUDIO.as_slice(),
        mimes(&tables["encodable_audio"])
    );
    assert_eq!(
        codecs::ENCODABLE_VIDEO.as_slice(),
        mimes(&tables["encodable_video"])
    );
}

#[test]
fn output_codec_rejects() {
    for row in rows(&vectors("output_codec_rejects"), "cases") {
        let wish = |enabled: &str, codec: &str| match (
            row[enabled].as_bool().unwrap(),
            text(row, codec),
        ) {
            (false, _) => Wish::Off,
            (true, "") => Wish::Any,
            (true, name) => Wish::Exactly(mime(name)),
        };
        let outputs: Vec<&str> = rows(row, "outputs")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let refusal = codecs::select(&Ask {
            audio: wish("audio_enabled", "audio_codec"),
            video: wish("video_enabled", "video_codec"),
            file: outputs.contains(&"file/MP3").then_some(Format::Mp3),
            segments: outputs.contains(&"segments/HLS"),
            stream: None,
            websocket: false,
        })
        .unwrap_err();
        assert_eq!(refusal.message, text(row, "expect_error_contains"));
    }
}

#[test]
fn filename_templates() {
    let time = "2023-11-14T221320";
    for row in rows(&vectors("filename_templates"), "examples") {
        let mut request = match (text(row, "source"), row.get("identity"), row.get("track")) {
            ("web", _, _) => {
                json!({"web": {"url": "http://x/", "file_outputs": [{"filepath": row["filepath"]}]}})
            }
            (_, Some(identity), _) => {
                json!({"participant": {"room_name": "r", "identity": identity,
                "file_outputs": [{"filepath": row["filepath"]}]}})
            }
            (_, _, Some(_)) => json!({"track": {"room_name": "r", "track_id": "TR_SKasdXCVgHsei",
                "file": {"filepath": row["filepath"]}}}),
            _ => {
                json!({"room_composite": {"room_name": row.get("room").unwrap_or(&json!("r")), "layout": "grid",
                "file_outputs": [{"filepath": row["filepath"]}]}})
            }
        };
        for key in ["room_id", "retry_count"] {
            if let Some(value) = row.get(key) {
                request[key] = value.clone();
            }
        }
        let plan = plan(&request).unwrap();
        let joined = late::Joined {
            track: row.get("track").map(|_| late::Track {
                sid: "TR_SKasdXCVgHsei".into(),
                kind: late::TrackKind::Audio,
                source: "microphone".into(),
                format: Format::Ogg,
            }),
            ..late::Joined::default()
        };
        let got = late::file_path(file_of(&plan), &joined);
        match row["expect"].as_str() {
            Some(expect) => assert_eq!(got, expect, "{row}"),
            None => {
                let expect = text(row, "regex")
                    .trim_start_matches('^')
                    .trim_end_matches('$')
                    .replace(r"\d{4}-\d\d-\d\dT\d{6}", time)
                    .replace('\\', "");
                assert_eq!(got, expect, "{row}");
            }
        }
    }
}

#[test]
fn other_filename_rules() {
    let name = |request: Value| file_of(&plan(&request).unwrap()).storage_path.clone();
    let room = |path: &str| {
        name(
            json!({"room_id": "RM_x", "room_composite": {"room_name": "a/b", "file_outputs": [{"filepath": path}]}}),
        )
    };
    assert_eq!(
        room("{room_name}-{room_id}.mp4"),
        "a/b-RM_x.mp4",
        "as upstream"
    );
    assert_eq!(
        room("{utc}/{nothing}-{retry}"),
        "20231114221320042/{nothing}-{retry}.mp4"
    );
    assert_eq!(room("/out/"), "/out/a/b-2023-11-14T221320.mp4");
    assert_eq!(
        name(json!({"track": {"room_name": "r", "track_id": "TR_x", "file": {"filepath": "d/"}}})),
        "d/TR_x-2023-11-14T221320"
    );
    assert_eq!(
        name(
            json!({"egress": {"room_name": "r", "preset": "PASSTHROUGH", "media": {"video_track_id": "TR_v"},
            "outputs": [{"file": {"filepath": "{track_type}-{track_id}-{publisher_identity}"}}]}})
        ),
        "video-TR_v-{publisher_identity}"
    );
    let zone = Policy {
        zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(-3)),
        ..policy()
    };
    let web = json!({"web": {"url": "http://x/", "file_outputs": [{"filepath": "{time}"}]}});
    assert_eq!(
        file_of(&plan_with(&web, &zone).unwrap()).storage_path,
        "2023-11-14T191320.mp4",
        "local time"
    );
    // `fallback_identifier`, with upstream's code as judge for participants: the name is made before joining, of the room.
    for (request, identifier) in [
        (
            json!({"room_composite": {"room_name": "room", "file_outputs": [{}]}}),
            "room",
        ),
        (
            json!({"web": {"url": "http://x/", "file_outputs": [{}]}}),
            "web",
        ),
        (
            json!({"participant": {"room_name": "room", "identity": "p", "file_outputs": [{}]}}),
            "room",
        ),
        (
            json!({"track_composite": {"room_name": "room", "audio_track_id": "A", "file_outputs": [{}]}}),
            "room",
        ),
        (
            json!({"track": {"room_name": "room", "track_id": "T", "file": {}}}),
            "T",
        ),
        (
            json!({"egress": {"room_name": "room", "media": {"video_track_id": "V"}, "outputs": [{"file": {}}]}}),
            "room",
        ),
        (
            json!({"egress": {"room_name": "room", "preset": "PASSTHROUGH", "media": {"video_track_id": "V"}, "outputs": [{"file": {}}]}}),
            "V",
        ),
    ] {
        let path = name(request);
        let expect = format!("{identifier}-2023-11-14T221320");
        assert!(path.starts_with(&expect), "{path}");
    }
    let long = "ü".repeat(200);
    let generated = name(json!({"room_composite": {"room_name": long, "file_outputs": [{}]}}));
    assert!(
        generated.len() <= 255,
        "a long room name still gives a file name"
    );
}

fn segments_of(plan: &Plan) -> &contract::SegmentsOutput {
    plan.outputs
        .iter()
        .find_map(|output| match output {
            Output::Segments(segments) => Some(segments),
            Output::File(_) | Output::Stream(_) | Output::WebSocket(_) | Output::Images(_) => None,
        })
        .expect("a segmented output")
}

#[test]
fn segment_naming() {
    let table = vectors("segment_naming");
    let request = |row: &Value| {
        json!({"web": {"url": "http://x/", "segment_outputs": [{
            "filename_prefix": text(row, "filename_prefix"), "playlist_name": text(row, "playlist_name"),
            "live_playlist_name": text(row, "live_playlist_name")}]}})
    };
    for row in rows(&table, "cases") {
        let plan = plan(&request(row)).unwrap();
        let segments = segments_of(&plan);
        let expect = &row["expect"];
        assert_eq!(segments.storage_dir, text(expect, "storage_dir"), "{row}");
        assert_eq!(
            segments.playlist,
            text(expect, "playlist_filename"),
            "{row}"
        );
        assert_eq!(
            segments.live_playlist.as_deref().unwrap_or_default(),
            text(expect, "live_playlist_filename"),
            "{row}"
        );
        assert_eq!(segments.prefix, text(expect, "segment_prefix"), "{row}");
    }
    for row in rows(&table, "derived_errors") {
        let refusal = plan(&request(row)).unwrap_err();
        assert_eq!(
            (refusal.code.as_str(), refusal.message.as_str()),
            (text(row, "code"), text(row, "error"))
        );
    }
    for row in rows(&table, "derived_quirks") {
        let plan = plan(&request(row)).unwrap();
        let expect = match text(row, "expect_playlist_filename") {
            "" => "web-2023-11-14T221320.m3u8",
            name => name,
        };
        assert_eq!(segments_of(&plan).playlist, expect, "{row}");
    }
    let retried =
        plan(&json!({"retry_count": 3, "web": {"url": "http://x/", "segment_outputs": [{}]}}));
    assert_eq!(
        segments_of(&retried.unwrap()).prefix,
        "web-2023-11-14T221320-3"
    );
}

#[test]
fn retry_safety() {
    let table = vectors("retry_safety");
    let outcome = |row: &Value, outputs: Value| {
        let mut request = json!({"room_name": "test-room"});
        for (key, value) in outputs.as_object().unwrap() {
            request[key] = value.clone();
        }
        let result = plan(&json!({"retry_count": row["retry_count"], "room_composite": request}));
        match (row["reject"].as_bool().unwrap(), &result) {
            (true, Err(refusal)) => {
                assert_eq!(
                    (refusal.code.as_str(), refusal.message.as_str()),
                    (
                        "failed_precondition",
                        "output configuration does not support retry"
                    )
                );
            }
            (false, Ok(_)) => {}
            (true, Ok(_)) | (false, Err(_)) => panic!("{row}: {result:?}"),
        }
        result.ok()
    };
    for row in rows(&table, "file") {
        let planned = outcome(
            row,
            json!({"file_outputs": [{"filepath": row["filepath"], "file_type": row["file_type"]}]}),
        );
        if let Some(plan) = planned {
            let retry = row["retry_count"].as_i64().unwrap();
            let path = &file_of(&plan).storage_path;
            assert!(!path.contains("{retry}"), "{path}");
            assert_eq!(i64::from(plan.identity.retry_count), retry);
            let template = text(row, "filepath");
            if retry > 0 && (template.is_empty() || template.ends_with('/')) {
                assert!(path.ends_with(&format!("-{retry}.mp4")), "{path}");
            }
        }
    }
    for row in rows(&table, "segments") {
        outcome(
            row,
            json!({"segment_outputs": [{"filename_prefix": row["filename_prefix"], "playlist_name": row["playlist_name"]}]}),
        );
    }
}

/// Upstream's test patterns, as far as they occur: a literal with one `(.*)`.
fn matches(pattern: &str, text: &str) -> bool {
    let literal = pattern.replace("\\{", "{").replace("\\.", ".");
    match literal.split_once("(.*).") {
        Some((before, after)) => {
            text.starts_with(before)
                && text.ends_with(after)
                && text.len() > before.len() + after.len()
        }
        None => literal == text,
    }
}

#[test]
fn stream_urls() {
    let table = vectors("stream_urls");
    for row in rows(&table, "validate") {
        let url = stream_url::parse(text(row, "url"), stream_url::Kind::Rtmp).unwrap();
        let agrees = |key: &str, got: &str| match row[key].as_str() {
            Some(expect) => assert_eq!(got, expect, "{row}"),
            None => {
                let pattern = text(row, &format!("{key}_regex"));
                assert!(matches(pattern, got), "{got} is not {pattern}");
            }
        };
        agrees("parsed", url.url.reveal());
        agrees("redacted", &url.redacted);
    }
    let parsed = |url: &str| stream_url::parse(url, stream_url::Kind::Rtmp).unwrap();
    let twitch = parsed("twitch://streamkey");
    for row in rows(&table["lookup"], "get") {
        let found = match text(row, "finds") {
            "<twitch template with key 'streamkey'>" => twitch.clone(),
            url => parsed(url),
        };
        assert_eq!(parsed(text(row, "raw")), found, "{row}");
    }
    assert_eq!(
        parsed(twitch.url.reveal()),
        twitch,
        "the expanded form finds itself"
    );
    for row in rows(&table, "derived") {
        if let Some(schemes) = row["scheme_table"].as_object() {
            for (scheme, kind) in schemes {
                let expect = match kind.as_str().unwrap() {
                    "rtmp" => stream_url::Kind::Rtmp,
                    "srt" => stream_url::Kind::Srt,
                    _ => stream_url::Kind::WebSocket,
                };
                assert_eq!(stream_url::kind(&format!("{scheme}://x")), Ok(Some(expect)));
            }
            continue;
        }
        let protocol = match text(row, "type") {
            "rtmp" => json!("RTMP"),
            "srt" => json!("SRT"),
            _ => row["protocol"].clone(),
        };
        let result = plan(&json!({"web": {"url": "http://x/",
            "stream_outputs": [{"protocol": protocol, "urls": [row["url"]]}]}}));
        match row["error"].as_str() {
            Some(error) => {
                let refusal = result.unwrap_err();
                assert_eq!(
                    (refusal.code.as_str(), refusal.message.as_str()),
                    (text(row, "code"), error)
                );
            }
            None => {
                let plan = result.unwrap();
                let Output::Stream(stream) = &plan.outputs.first else {
                    panic!("a stream expected")
                };
                assert_eq!(stream.urls[0].url.reveal(), text(row, "parsed"));
                assert_eq!(stream.urls[0].redacted, text(row, "redacted"));
            }
        }
    }
}

#[test]
fn redaction() {
    let table = vectors("redaction");
    for row in rows(&table["identifier"], "cases") {
        assert_eq!(redact::identifier(text(row, "s")), text(row, "expect"));
    }
    for row in rows(&table, "stream_urls") {
        assert_eq!(redact::stream_url(text(row, "url")), text(row, "expect"));
        // And in the copy of a request.
        let plan =
            plan(&json!({"web": {"url": "http://x/", "stream_outputs": [{"urls": [row["url"]]}]}}))
                .unwrap();
        let egress_info::Request::Web(copy) = shown(&plan) else {
            panic!("a web request expected")
        };
        assert_eq!(copy.stream_outputs[0].urls[0], text(row, "expect"));
    }
    for row in rows(&table, "websocket") {
        let plan = plan(
            &json!({"track": {"room_name": "r", "track_id": "TR_x", "websocket_url": row["url"]}}),
        )
        .unwrap();
        let egress_info::Request::Track(copy) = shown(&plan) else {
            panic!("a track request expected")
        };
        let expect =
            livekit::track_egress_request::Output::WebsocketUrl(text(row, "expect").into());
        assert_eq!(copy.output, Some(expect));
        let Output::WebSocket(output) = &plan.outputs.first else {
            panic!("a WebSocket expected")
        };
        assert_eq!(
            output.url.redacted,
            text(row, "url"),
            "StreamInfo.url is left as given"
        );
    }
    let uploads = &table["uploads"];
    let secrets: Vec<(&str, Vec<(String, String)>)> = [
        ("s3", "s3"),
        ("alioss", "aliOSS"),
        ("gcp", "gcp"),
        ("azure", "azure"),
    ]
    .map(|(key, field)| {
        let fields = uploads[key].as_object().unwrap();
        let pairs = fields
            .iter()
            .map(|(name, marker)| (name.clone(), marker.as_str().unwrap().to_owned()));
        (field, pairs.collect())
    })
    .into();
    for (field, pairs) in secrets {
        let mut upload = json!({"bucket": "b"});
        if field == "azure" {
            upload = json!({"container_name": "b"});
        }
        for (name, _) in &pairs {
            upload[name] = json!("clear");
        }
        let block = |extra: Value| {
            let mut block = extra;
            block[field] = upload.clone();
            block
        };
        let requests = [
            json!({"web": {"url": "http://x/", "file_outputs": [block(json!({}))], "segment_outputs": [block(json!({}))],
                "image_outputs": [block(json!({})), block(json!({}))]}}),
            json!({"web": {"url": "http://x/", "file": block(json!({}))}}),
            json!({"track": {"room_name": "r", "track_id": "TR_x", "file": block(json!({}))}}),
            json!({"egress": {"room_name": "r", "template": {}, "storage": block(json!({})), "outputs": [
                {"file": {}, "storage": block(json!({}))}, {"segments": block(json!({}))}, {"images": block(json!({}))}]}}),
        ];
        for request in requests {
            let plan = plan(&request).unwrap();
            let copy = format!("{:?}", shown(&plan));
            assert!(!copy.contains("clear"), "{field}: {copy}");
            for (_, marker) in &pairs {
                assert!(
                    copy.contains(&format!("\"{marker}\"")),
                    "{field} {marker}: {copy}"
                );
            }
        }
    }
    // Only what is there is replaced.
    let plan =
        plan(&json!({"web": {"url": "http://x/", "file_outputs": [{"s3": {"bucket": "b"}}]}}))
            .unwrap();
    assert!(!format!("{:?}", shown(&plan)).contains("{secret}"));
}

#[test]
fn labels_of_requests_and_outputs() {
    let table = vectors("output_type_detection");
    for row in rows(&table, "output_type") {
        let mut request = json!({});
        for field in rows(row, "fields") {
            match field.as_str().unwrap().split_once('.') {
                Some((_, single)) => {
                    request[single.trim_end_matches(" (deprecated)")] = json!({});
                }
                None => {
                    request[field.as_str().unwrap().trim_end_matches("[1]")] = json!([{}]);
                }
            }
        }
        let mut json = json!({});
        json[text(row, "request")] = request;
        assert_eq!(
            labels::output_type(&envelope(&json)),
            text(row, "expect"),
            "{row}"
        );
    }
    for row in rows(&table, "source_type") {
        let number = i32::try_from(row["enum"].as_i64().unwrap()).unwrap();
        assert_eq!(labels::source_type(number), text(row, "expect"));
    }
    let set = |name: &str, value: Value| {
        let mut json = json!({});
        if !name.is_empty() {
            json[name] = value;
        }
        envelope(&json)
    };
    for row in rows(&table, "request_type") {
        assert_eq!(
            labels::request_type(&set(text(row, "set"), json!({}))),
            text(row, "expect")
        );
    }
    for row in rows(&table, "source_type_v2") {
        let (kind, source) = text(row, "set").split_once('.').unwrap();
        let mut inner = json!({});
        inner[source] = json!({});
        assert_eq!(labels::source(&set(kind, inner)), text(row, "expect"));
    }
    for row in rows(&table, "audio_only") {
        let (kind, value) = match text(row, "set").split_once(".audio_only=") {
            Some((kind, value)) => (kind, json!({"audio_only": value == "true"})),
            None => (text(row, "set"), json!({})),
        };
        assert_eq!(
            labels::audio_only(&set(kind, value)),
            row["expect"].as_bool().unwrap()
        );
    }
    assert_eq!(labels::source(&set("egress", json!({}))), "unknown");
    let two = json!({"outputs": [{"images": {}}, {"images": {}}]});
    assert_eq!(labels::output_type(&set("egress", two)), "multiple");
}

#[test]
fn costs() {
    let file = vectors("monitor_costs");
    let table: cost::Table = serde_json::from_value(file["config"].clone()).unwrap();
    for row in rows(&file, "cases") {
        let got = cost::of(&envelope(&row["request"]), &table);
        let expect = &row["expect"];
        assert_eq!(
            (Some(got.cpu), Some(got.memory_gb), Some(got.browser)),
            (
                expect["cpu"].as_f64(),
                expect["memory_gb"].as_f64(),
                expect["is_web"].as_bool()
            ),
            "{row}"
        );
        assert!((got.needed_cpu - got.cpu).abs() < f64::EPSILON);
    }
    let passthrough = envelope(&json!({"egress": {"preset": "PASSTHROUGH", "media": {}}}));
    assert!((cost::of(&passthrough, &table).cpu - table.track_cpu_cost).abs() < f64::EPSILON);

    let none = cost::Table {
        web_cpu_cost: -1.0,
        track_cpu_cost: f64::NAN,
        ..cost::Table::default()
    };
    let cpu = |json: Value| cost::of(&envelope(&json), &none).cpu;
    let default = &file["derived"]["defaults"];
    for (request, key) in [
        (json!({"room_composite": {}}), "room_composite_cpu_cost"),
        (
            json!({"room_composite": {"audio_only": true}}),
            "audio_room_composite_cpu_cost",
        ),
        (
            json!({"room_composite": {"audio_only": true, "layout": "x"}}),
            "audio_room_composite_cpu_cost",
        ),
        (json!({"web": {}}), "web_cpu_cost"),
        (json!({"web": {"audio_only": true}}), "audio_web_cpu_cost"),
        (json!({"participant": {}}), "participant_cpu_cost"),
        (json!({"track_composite": {}}), "track_composite_cpu_cost"),
        (json!({"track": {}}), "track_cpu_cost"),
    ] {
        assert_eq!(Some(cpu(request)), default[key].as_f64(), "{key}");
    }
    let estimated = cost::of(&envelope(&json!({"estimated_cpu": 1.5, "web": {}})), &table);
    assert_eq!(
        (estimated.cpu, estimated.needed_cpu),
        (4.5, 1.5),
        "compared, not reserved"
    );
}

fn destination(store: Store, prefix: &str) -> Destination {
    Destination {
        store,
        prefix: prefix.into(),
        presign: false,
        backup: None,
    }
}

#[test]
fn storage_locations() {
    let table = vectors("storage_locations");
    let own = |row: &Value, key: &str| text(row, key).to_owned();
    let at = |store: Store, prefix: &str, row: &Value| {
        location::of(
            &destination(store, prefix),
            text(row, "key"),
            Path::new("/"),
        )
    };
    for row in rows(&table, "s3") {
        let store = Store::S3(contract::S3 {
            bucket: own(row, "bucket"),
            endpoint: own(row, "endpoint"),
            force_path_style: row["force_path_style"].as_bool().unwrap_or(false),
            ..contract::S3::default()
        });
        assert_eq!(at(store, "", row), text(row, "expect"), "{row}");
    }
    for row in rows(&table, "gcp") {
        let store = Store::Gcp(contract::Gcp {
            bucket: own(row, "bucket"),
            ..contract::Gcp::default()
        });
        assert_eq!(at(store, "", row), text(row, "expect"), "{row}");
    }
    for row in rows(&table, "azure") {
        if row["endpoint"].is_string() {
            continue; // neither requests nor the configuration can name an Azure endpoint
        }
        let store = Store::Azure(contract::Azure {
            account_name: recording::Secret::new(own(row, "account")),
            container: own(row, "container"),
            ..contract::Azure::default()
        });
        assert_eq!(at(store, "", row), text(row, "expect"), "{row}");
    }
    for row in rows(&table, "alioss") {
        let store = Store::AliOss(contract::AliOss {
            bucket: own(row, "bucket"),
            endpoint: own(row, "endpoint"),
            ..contract::AliOss::default()
        });
        assert_eq!(at(store, "", row), text(row, "expect"), "{row}");
    }
    for row in rows(&table, "local") {
        assert_eq!(
            at(Store::Local, text(row, "storage_dir"), row),
            text(row, "expect"),
            "{row}"
        );
    }
}

#[test]
fn timed_names_use_the_wall_clock_of_the_zone() {
    let at = naming::local(wall(), &jiff::tz::TimeZone::UTC);
    assert_eq!(naming::compact(&at), "20231114221320042");
}

#[test]
fn streams_make_the_encoding_live_and_name_their_protocol() {
    let plan = plan(&json!({"web": {"url": "http://x/", "stream_outputs": [{"urls": ["rtmp://h/a/k", "rtmp://h/a/k"]}]}}))
        .unwrap();
    assert!(video_of(&plan).live);
    let Output::Stream(stream) = &plan.outputs.first else {
        panic!("a stream expected")
    };
    assert_eq!(
        (stream.protocol, stream.urls.len()),
        (StreamProtocol::Rtmp, 1),
        "each URL once"
    );
    assert!(matches!(plan.media, Media::Both { .. }));
}
