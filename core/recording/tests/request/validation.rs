//! Which requests are refused, with which code and text: `request_validation.json`, row by row.

use crate::common::{envelope, now, plan, plan_with, policy, rows, text, vectors};
use recording::policy::Policy;
use recording::request;
use serde_json::{Value, json};
use wire::rpc::start_egress_request::Request;

/// The table's prose rows, written out. `None`: not this crate's to decide.
fn prose(row: &Value) -> Option<Vec<(Value, Policy)>> {
    let file = json!([{"filepath": "/out/x.mp4"}]);
    let everywhere = |field: &str, value: Value| -> Vec<(Value, Policy)> {
        let mut option = json!({});
        option[field] = value;
        let v1 = |extra: Value| {
            let mut request = json!({"room_name": "r", "file_outputs": file});
            for part in [&extra, &option] {
                for (key, value) in part.as_object().expect("as written in the table") {
                    request[key] = value.clone();
                }
            }
            request
        };
        let v2 = |source: Value| {
            let mut request = json!({"room_name": "r", "outputs": [{"file": {"filepath": "x"}}]});
            for part in [&source, &option] {
                for (key, value) in part.as_object().expect("as written in the table") {
                    request[key] = value.clone();
                }
            }
            request
        };
        let mut all = vec![
            json!({"room_composite": v1(json!({}))}),
            json!({"participant": v1(json!({"identity": "p"}))}),
            json!({"track_composite": v1(json!({"audio_track_id": "TR_a"}))}),
            json!({"web": {"url": "http://x/", "file_outputs": file, field: option[field]}}),
        ];
        if field != "preset" {
            all.push(json!({"egress": v2(json!({"template": {}}))}));
            all.push(json!({"egress": v2(json!({"web": {"url": "http://x/"}}))}));
            all.push(json!({"egress": v2(json!({"media": {"video_track_id": "TR_v"}}))}));
        }
        all.into_iter().map(|json| (json, policy())).collect()
    };
    let key = row["request"]
        .as_object()
        .expect("as written in the table")
        .keys()
        .next()
        .cloned();
    match key.as_deref() {
        Some("any") => {
            let advanced = &row["request"]["any"]["advanced"];
            Some(everywhere("advanced", advanced.clone()))
        }
        Some("any with preset PASSTHROUGH other than track/media") => {
            Some(everywhere("preset", json!("PASSTHROUGH")))
        }
        Some("service without ws_url and request without ws_url") => Some(vec![(
            json!({"room_composite": {"room_name": "r", "file_outputs": file}}),
            Policy {
                ws_url: String::new(),
                ..policy()
            },
        )]),
        Some("s3 with assume_role_arn and no access key while service has no assume-role key") => {
            let s3 = json!({"assume_role_arn": "arn:aws:iam::1:role/x", "bucket": "b"});
            Some(
                [
                    json!({"web": {"url": "http://x/", "file_outputs": [{"filepath": "x", "s3": s3}]}}),
                    json!({"track": {"room_name": "r", "track_id": "TR_x", "file": {"filepath": "x", "s3": s3}}}),
                    json!({"egress": {"room_name": "r", "template": {}, "storage": {"s3": s3}, "outputs": [{"file": {"filepath": "x"}}]}}),
                ]
                .map(|json| (json, policy()))
                .into(),
            )
        }
        Some("local output while disallow_local_storage: true") => Some(
            [
                json!({"web": {"url": "http://x/", "file_outputs": file}}),
                json!({"web": {"url": "http://x/", "segment_outputs": [{}]}}),
                json!({"web": {"url": "http://x/", "image_outputs": [{}]}}),
                json!({"track": {"room_name": "r", "track_id": "TR_x", "file": {}}}),
            ]
            .map(|json| {
                let policy = Policy {
                    disallow_local_storage: true,
                    ..policy()
                };
                (json, policy)
            })
            .into(),
        ),
        Some("same egress_id twice") => Some(Vec::new()),
        _ => None,
    }
}

#[test]
fn every_row_is_refused_with_its_code_and_text() {
    let table = vectors("request_validation");
    let mut checked = 0;
    for row in rows(&table, "rejects") {
        let expect = (text(row, "code"), text(row, "error"));
        let cases = prose(row).unwrap_or_else(|| {
            let mut json = row["request"].clone();
            // protobuf-JSON has no spelling for an enum number it does not know.
            if json["room_composite"]["image_outputs"][0]["filename_suffix"] == 9 {
                json["room_composite"]["image_outputs"][0]["filename_suffix"] = json!(0);
            }
            if json["room_composite"].is_null() {
                json.as_object_mut().unwrap().remove("room_composite");
            }
            vec![(json, policy())]
        });
        for (json, policy) in cases {
            let mut request = envelope(&json);
            if let (
                Some(Request::RoomComposite(room)),
                "request has missing or invalid field: filename_suffix",
            ) = (&mut request.request, expect.1)
            {
                room.image_outputs[0].filename_suffix = 9;
            }
            let refusal = request::plan(&request, &policy, now())
                .expect_err(&format!("must be refused: {json}"));
            assert_eq!(
                (refusal.code.as_str(), refusal.message.as_str()),
                expect,
                "{json}"
            );
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} rows");
}

#[test]
fn notes_of_the_table_hold() {
    for (field, value) in [("width", 1281), ("height", 15)] {
        let refusal = plan(
            &json!({"room_composite": {"room_name": "r", "advanced": {field: value},
            "file_outputs": [{}]}}),
        )
        .unwrap_err();
        assert_eq!(
            refusal.message,
            format!("request has missing or invalid field: {field}")
        );
    }
    for depth in [0, 8, 16, 24] {
        assert!(
            plan(&json!({"web": {"url": "http://x/", "advanced": {"depth": depth}, "file_outputs": [{}]}})).is_ok()
        );
    }
    assert!(
        plan(
            &json!({"room_composite": {"room_name": "r", "file_outputs": [{}],
            "stream_outputs": [{"protocol": "RTMP", "urls": []}]}})
        )
        .is_ok(),
        "a stream without URLs is allowed together with another output"
    );
}

fn message(json: Value) -> String {
    plan(&json)
        .expect_err(&format!("must be refused: {json}"))
        .message
}

fn field(json: Value) -> String {
    let text = message(json);
    text.strip_prefix("request has missing or invalid field: ")
        .unwrap_or(&text)
        .to_owned()
}

#[test]
fn fields_are_refused_in_upstreams_order() {
    // base URL → flags → encoding → outputs → preset → token
    let mut request = json!({"room_name": "", "custom_base_url": "ftp://x", "audio_only": true, "video_only": true,
        "advanced": {"width": 15}});
    let mut expect = |change: &dyn Fn(&mut Value), text: &str| {
        assert_eq!(field(json!({"room_composite": request})), text);
        change(&mut request);
    };
    expect(&|r| r["custom_base_url"] = json!(""), "template base url");
    expect(
        &|r| r["video_only"] = json!(false),
        "audio_only and video_only",
    );
    expect(
        &|r| drop(r.as_object_mut().unwrap().remove("advanced")),
        "width",
    );
    expect(&|r| r["preset"] = json!("PASSTHROUGH"), "output");
    expect(
        &|r| r["file_outputs"] = json!([{"file_type": "MP4"}]),
        "output",
    );
    expect(&|r| r["preset"] = json!("H264_720P_30"), "preset");
    expect(&|_| {}, "token or api key/secret");

    // v2: encoding → passthrough shape → source → outputs
    let mut request = json!({"advanced": {"height": 3}});
    assert_eq!(field(json!({"egress": request})), "height");
    request = json!({"preset": "PASSTHROUGH"});
    assert_eq!(field(json!({"egress": request})), "passthrough source");
    request = json!({});
    assert_eq!(field(json!({"egress": request})), "source");
    request = json!({"web": {"url": "http://x/"}});
    assert_eq!(field(json!({"egress": request})), "output");
}

#[test]
fn a_retry_that_would_overwrite_is_refused_before_the_missing_token() {
    let refusal = plan(
        &json!({"retry_count": 1, "room_composite": {"file_outputs": [{"filepath": "a/b.mp4"}]}}),
    )
    .unwrap_err();
    assert_eq!(refusal.code.as_str(), "failed_precondition");
}

#[test]
fn v2_refuses_what_could_never_match() {
    let media = |media: Value| {
        field(json!({"egress": {"room_name": "r", "media": media, "outputs": [{"file": {}}]}}))
    };
    assert_eq!(media(json!({"video_track_id": ""})), "video_track_id");
    assert_eq!(
        media(json!({"participant_video": {"identity": ""}})),
        "participant_video identity"
    );
    assert_eq!(
        media(json!({"audio": {"routes": [{"track_id": ""}]}})),
        "audio route track_id"
    );
    assert_eq!(
        media(json!({"audio": {"routes": [{"participant_identity": ""}]}})),
        "audio route participant_identity"
    );
    assert_eq!(media(json!({"audio": {}})), "audio or video");
}

#[test]
fn v2_output_rules() {
    let outputs = |outputs: Value| {
        field(json!({"egress": {"room_name": "r", "template": {}, "outputs": outputs}}))
    };
    assert_eq!(
        outputs(json!([{"file": {}}, {"file": {}}])),
        "multiple file outputs"
    );
    assert_eq!(
        outputs(json!([{"segments": {}}, {"segments": {}}])),
        "multiple segmented file outputs"
    );
    let rtmp = json!({"stream": {"protocol": "RTMP", "urls": ["rtmp://h/a/k"]}});
    let ws = json!({"stream": {"protocol": "WEBSOCKET", "urls": ["ws://h"]}});
    assert_eq!(outputs(json!([rtmp, ws])), "multiple stream outputs");
    assert_eq!(
        outputs(json!([{"stream": {"urls": []}}])),
        "stream protocol"
    );
    assert_eq!(outputs(json!([{"stream": {"protocol": "RTMP"}}])), "output");
    assert_eq!(
        outputs(json!([{"stream": {"protocol": "WEBSOCKET"}}])),
        "output"
    );
    assert_eq!(
        outputs(json!([{"stream": {"urls": ["ftp://h/x"]}}])),
        "invalid url ftp://h/x: invalid protocol"
    );
    assert_eq!(
        outputs(json!([{"stream": {"protocol": "WEBSOCKET", "urls": ["ws://a", "ws://b"]}}])),
        "stream url (one websocket url at most)"
    );
    assert_eq!(
        outputs(json!([{"images": {}}, ws])),
        "audio_only images",
        "a WebSocket takes the pictures away"
    );
    assert_eq!(
        outputs(json!([{"file": {"file_type": "MP4"}}, ws])),
        "format video/mp4 incompatible with codec audio/x-raw"
    );
}

#[test]
fn v1_stream_corner_cases() {
    let stream = |stream: Value| {
        field(
            json!({"room_composite": {"room_name": "r", "audio_only": true, "stream_outputs": [stream]}}),
        )
    };
    assert_eq!(
        stream(json!({"urls": ["wss://h/x"]})),
        "invalid url wss://h/x: websocket streams need a track request or the v2 API"
    );
    assert_eq!(
        stream(json!({"protocol": "WEBSOCKET", "urls": ["ws://h/x"]})),
        "invalid url ws://h/x: invalid scheme"
    );
    assert_eq!(
        stream(json!({"protocol": "WEBSOCKET", "urls": ["ftp://h/x"]})),
        "stream output type"
    );
    assert_eq!(
        stream(json!({"urls": ["rtmp://h/a/k", "srt://h:1"]})),
        "invalid url srt://h:1: invalid scheme"
    );
    let many: Vec<String> = (0..33).map(|n| format!("rtmp://h/a/k{n}")).collect();
    assert_eq!(stream(json!({"urls": many})), "stream url (32 at most)");
}

#[test]
fn bounds_name_what_to_change() {
    let web = |extra: Value| {
        let mut request = json!({"url": "http://x/"});
        for (key, value) in extra.as_object().unwrap() {
            request[key] = value.clone();
        }
        field(json!({"web": request}))
    };
    let long = "a".repeat(5_000);
    assert_eq!(
        web(json!({"file_outputs": [{"filepath": long}]})),
        "filepath (4096 bytes at most)"
    );
    assert_eq!(
        web(json!({"file_outputs": [{"filepath": "a".repeat(252)}]})),
        "filepath (names of 255 bytes at most)"
    );
    assert_eq!(
        web(json!({"file_outputs": [{"filepath": "a\u{0}b"}]})),
        "filepath (control characters are not allowed)"
    );
    assert_eq!(
        web(json!({"segment_outputs": [{"segment_duration": 3601}]})),
        "segment_duration (3600 seconds at most)"
    );
    assert_eq!(
        web(json!({"segment_outputs": [{"playlist_name": long}]})),
        "playlist_name (4096 bytes at most)"
    );
    assert_eq!(
        web(json!({"image_outputs": [{"capture_interval": 86_401}]})),
        "capture_interval (86400 seconds at most)"
    );
    for width in [-2, 15, 17, 7_682] {
        assert_eq!(
            web(json!({"image_outputs": [{"width": width}]})),
            "width (even, 16 to 7680 for images)"
        );
    }
    let many: Vec<Value> = (0..17).map(|_| json!({})).collect();
    assert_eq!(
        web(json!({"image_outputs": many})),
        "image outputs (16 at most)"
    );
    assert_eq!(
        field(json!({"web": {"url": format!("http://x/{long}"), "file_outputs": [{}]}})),
        "web url (4096 bytes at most)"
    );
    assert_eq!(
        field(json!({"egress_id": "../x", "web": {}})),
        "egressID",
        "an id that is no file name"
    );
}

#[test]
fn replays_are_refused_plainly() {
    let refusal = plan_with(
        &json!({"replay": {"replay_id": "x", "template": {}, "outputs": [{"file": {}}]}}),
        &policy(),
    )
    .unwrap_err();
    assert_eq!(
        (refusal.code.as_str(), refusal.message.as_str()),
        (
            "unimplemented",
            "replay export is not implemented in this version"
        )
    );
}
