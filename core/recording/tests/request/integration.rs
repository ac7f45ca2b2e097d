//! Every case of upstream's integration suite, rebuilt from its short description, plans as the case expects.

use crate::common::{plan, rows, text, vectors};
use crate::tables::{file_of, video_of};
use recording::plan::{self as contract, AudioPath, Container, Source};
use serde_json::{Value, json};

/// What upstream's integration suite sends, as its short descriptions say.
fn integration(case: &Value) -> Option<Value> {
    let (request, options, output) = (
        text(case, "request"),
        text(case, "options"),
        text(case, "output"),
    );
    let v2 = request.starts_with("v2 ");
    let mut source = if request.starts_with("room_composite") {
        json!({"room_name": "room"})
    } else if request.starts_with("web") {
        json!({"url": "http://127.0.0.1:1/"})
    } else if request.starts_with("participant") {
        json!({"room_name": "room", "identity": "p0"})
    } else if request.starts_with("track_composite") {
        let mut source = json!({"room_name": "room"});
        if request.contains("audio") {
            source["audio_track_id"] = json!("TR_a");
        }
        if request.contains("video") {
            source["video_track_id"] = json!("TR_v");
        }
        source
    } else if request.starts_with("track ") {
        json!({"room_name": "room", "track_id": "TR_x"})
    } else if v2 {
        let mut source = json!({"room_name": "room"});
        if request.contains("template") {
            source["template"] = json!({"audio_only": request.contains("audio_only"),
                "video_only": request.contains("video_only"),
                "layout": if request.contains("layout=speaker") { "speaker" } else { "" }});
        } else if request.contains("v2 web") {
            source["web"] = json!({"url": "http://127.0.0.1:1/", "audio_only": request.contains("audio_only"),
                "video_only": request.contains("video_only")});
        } else {
            let mut media = json!({});
            if request.contains("video_track_id") {
                media["video_track_id"] = json!("TR_v");
            }
            if request.contains("participant_video") {
                media["participant_video"] = json!({"identity": "p2"});
            }
            if request.contains("capture_all") {
                media["audio"] = json!({"capture_all": true});
            }
            if request.contains("route") {
                let mut routes = Vec::new();
                if request.contains("route track_id")
                    || request.contains("routes track_id")
                    || request.contains("single route")
                {
                    routes.push(json!({"track_id": "TR_a", "channel": "AUDIO_CHANNEL_LEFT"}));
                }
                if request.contains("identity=p0") || request.contains("identity=p1") {
                    routes.push(
                        json!({"participant_identity": "p1", "channel": "AUDIO_CHANNEL_RIGHT"}),
                    );
                }
                if request.contains("STANDARD") {
                    routes.push(
                        json!({"participant_kind": "STANDARD", "channel": "AUDIO_CHANNEL_LEFT"}),
                    );
                    routes.push(
                        json!({"participant_kind": "AGENT", "channel": "AUDIO_CHANNEL_RIGHT"}),
                    );
                }
                media["audio"] = json!({"routes": routes});
            }
            source["media"] = media;
        }
        source
    } else {
        return None;
    };
    if !v2 {
        for flag in ["audio_only", "video_only"] {
            if request.contains(flag) {
                source[flag] = json!(true);
            }
        }
        if request.contains("layout=speaker") {
            source["layout"] = json!("speaker");
        }
        if request.contains("DUAL_CHANNEL_AGENT") {
            source["audio_mixing"] = json!("DUAL_CHANNEL_AGENT");
        }
    }
    let mut advanced = json!({});
    for (word, field, value) in [
        ("audio_codec=OPUS", "audio_codec", json!("OPUS")),
        ("AAC", "audio_codec", json!("AAC")),
        ("H264_HIGH", "video_codec", json!("H264_HIGH")),
        ("H264_BASELINE", "video_codec", json!("H264_BASELINE")),
        ("key_frame_interval=2", "key_frame_interval", json!(2.0)),
        ("1920x1080", "width", json!(1920)),
        ("1920x1080", "height", json!(1080)),
        ("640x360", "width", json!(640)),
        ("640x360", "height", json!(360)),
        ("4500", "video_bitrate", json!(4500)),
    ] {
        if options.contains(word) {
            advanced[field] = value;
        }
    }
    if options.contains("PASSTHROUGH") {
        source["preset"] = json!("PASSTHROUGH");
    } else if !advanced.as_object()?.is_empty() {
        source["advanced"] = advanced;
    }
    // Outputs, described like "file NAME, type OGG", "RTMP [good, bad] + HLS", "images every 5 s 1280x720, TIMESTAMP".
    let file_type = ["MP4", "OGG", "MP3"]
        .into_iter()
        .find(|kind| output.contains(&format!("type {kind}")) || output == format!("file {kind}"))
        .unwrap_or("DEFAULT_FILETYPE");
    let path = output
        .strip_prefix("file ")
        .and_then(|rest| rest.split([' ', ',']).next())
        .filter(|name| !matches!(*name, "MP4" | "OGG" | "+"))
        .unwrap_or("out/{room_name}-{time}");
    let url = if output.contains("SRT") {
        json!([
            "srt://localhost:8890?streamid=publish:k&pkt_size=1316",
            "srt://localhost:8891?streamid=publish:bad"
        ])
    } else {
        json!([
            "rtmp://localhost:1935/live/stream",
            "rtmp://localhost:1936/live/bad"
        ])
    };
    let mut file = output
        .contains("file")
        .then(|| json!({"filepath": path, "file_type": file_type}));
    let stream = (output.contains("RTMP") || output.contains("SRT")).then(|| json!({"urls": url}));
    let segments = output.contains("HLS").then(|| {
        json!({"filename_prefix": "out/{room_name}_{time}", "playlist_name": "out/{room_name}_{time}.m3u8",
            "live_playlist_name": if output.contains("live") { "out/live_{time}" } else { "" },
            "filename_suffix": if output.contains("TIMESTAMP") { "TIMESTAMP" } else { "INDEX" }})
    });
    let images = output.contains("image").then(|| {
        json!({"capture_interval": 5, "width": 1280, "height": 720, "filename_prefix": "img_{publisher_identity}"})
    });
    if request.starts_with("track ") {
        match output.strip_prefix("ws://") {
            Some(_) => source["websocket_url"] = json!("ws://127.0.0.1:9000"),
            None => source["file"] = json!({"filepath": path}),
        }
    } else if v2 {
        let outputs: Vec<Value> = [
            ("file", file.take()),
            ("stream", stream),
            ("segments", segments),
            ("images", images),
        ]
        .into_iter()
        .filter_map(|(kind, output)| output.map(|output| json!({kind: output})))
        .collect();
        source["outputs"] = json!(outputs);
    } else {
        for (field, output) in [
            ("file_outputs", file.take()),
            ("stream_outputs", stream),
            ("segment_outputs", segments),
            ("image_outputs", images),
        ] {
            if let Some(output) = output {
                source[field] = json!([output]);
            }
        }
    }
    let kind = if v2 {
        "egress"
    } else {
        request.split([' ', '(']).next()?
    };
    Some(json!({"room_id": "RM_x", kind: source}))
}

#[test]
fn every_integration_case_of_upstream_plans() {
    let table = vectors("integration_cases");
    let cases = rows(&table, "cases");
    assert_eq!(Some(cases.len() as u64), table["count"].as_u64());
    for case in cases {
        let id = text(case, "id");
        let request = integration(case).unwrap_or_else(|| panic!("{id}: not understood"));
        let plan = plan(&request).unwrap_or_else(|refusal| panic!("{id}: {refusal}: {request}"));
        let expect = &case["expect"];
        match (expect["source"].as_str(), &plan.source) {
            (Some("WEB"), Source::Page(_)) | (Some("SDK"), Source::Room(_)) | (None, _) => {}
            (Some(other), source) => panic!("{id}: {other} expected, {source:?}"),
        }
        if let Some(container) = expect["container"].as_str() {
            let got = file_of(&plan).container;
            let fits = match got {
                Container::Mp4 => container == "mp4",
                Container::Ogg => container == "ogg",
                Container::Mp3 => container == "mp3",
                Container::ByTrack => id.starts_with("File/Track/") || id.contains("Passthrough"),
            };
            assert!(fits, "{id}: {got:?}");
        }
        if let Some(video) = expect["video"]
            .as_str()
            .filter(|video| video.contains("1280x720"))
        {
            let encode = video_of(&plan);
            let profile = match encode.profile {
                contract::H264Profile::Baseline => "Constrained Baseline",
                contract::H264Profile::Main => "Main",
                contract::H264Profile::High => "High",
            };
            assert!(video.contains(profile), "{id}: {encode:?}");
            assert_eq!((encode.width, encode.height), (1280, 720), "{id}");
        }
        if expect["video"].is_null() && expect.get("video").is_some() {
            assert!(plan.media.video().is_none(), "{id}: no pictures");
        }
        if let Some(Some(AudioPath::Transcode(audio))) =
            expect["audio"].as_str().map(|_| plan.media.audio())
        {
            let text = text(expect, "audio");
            if text.contains("44100") {
                assert_eq!(audio.sample_rate, 44_100, "{id}");
            }
            if text.contains("48000") || text.contains("48 kHz") {
                assert_eq!(audio.sample_rate, 48_000, "{id}");
            }
        }
        if expect.get("room_name").is_some() {
            assert_eq!(plan.identity.room_name, text(expect, "room_name"), "{id}");
        }
    }
}
