//! Requests for tests: protobuf-JSON envelopes, a policy, a time.

use recording::policy::Policy;
use recording::{Now, Plan, Refusal, Secret, request};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wire::livekit;
use wire::rpc::StartEgressRequest;
use wire::rpc::start_egress_request::Request;

/// 2023-11-14T22:13:20.042Z.
pub(crate) const WALL: Duration = Duration::from_millis(1_700_000_000_042);

/// A fixed time.
pub(crate) fn now() -> Now {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests start somewhere; plans read only the wall clock"
    )]
    let mono = Instant::now();
    Now { mono, wall: wall() }
}

/// A fixed wall clock.
pub(crate) fn wall() -> SystemTime {
    UNIX_EPOCH + WALL
}

/// A policy with keys and a server, as the harness configures it.
pub(crate) fn policy() -> Policy {
    Policy {
        api_key: "devkey".into(),
        api_secret: Secret::new("secret".into()),
        ws_url: "ws://127.0.0.1:7880".into(),
        ..Policy::default()
    }
}

/// An `rpc.StartEgressRequest` in protobuf-JSON (snake_case), `egress_id` filled in when absent.
pub(crate) fn envelope(json: &Value) -> StartEgressRequest {
    let mut request = StartEgressRequest {
        egress_id: "EG_test".into(),
        ..Default::default()
    };
    for (key, value) in json.as_object().expect("an envelope is an object") {
        let text = || value.as_str().expect("a string").to_owned();
        match key.as_str() {
            "egress_id" => request.egress_id = text(),
            "room_id" => request.room_id = text(),
            "room_name" => request.room_name = text(),
            "token" => request.token = text(),
            "ws_url" => request.ws_url = text(),
            "estimated_cpu" => request.estimated_cpu = value.as_f64().expect("a number"),
            "retry_count" => {
                request.retry_count =
                    i32::try_from(value.as_i64().expect("a number")).expect("an int32");
            }
            "note" => {}
            "room_composite" => request.request = Some(Request::RoomComposite(read(value))),
            "web" => request.request = Some(Request::Web(read(value))),
            "participant" => request.request = Some(Request::Participant(read(value))),
            "track_composite" => request.request = Some(Request::TrackComposite(read(value))),
            "track" => request.request = Some(Request::Track(read(value))),
            "egress" => request.request = Some(Request::Egress(read(value))),
            "replay" => request.request = Some(Request::Replay(read(value))),
            other => panic!("unknown field of the envelope: {other}"),
        }
    }
    request
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Plans an envelope in protobuf-JSON with the ordinary policy.
pub(crate) fn plan(json: &Value) -> Result<Plan, Refusal> {
    plan_with(json, &policy())
}

/// Plans an envelope in protobuf-JSON.
pub(crate) fn plan_with(json: &Value, policy: &Policy) -> Result<Plan, Refusal> {
    request::plan(&envelope(json), policy, now())
}

/// A vector file.
pub(crate) fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "tests read their vectors")]
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&text).expect("vectors are JSON")
}

/// The rows of a list in a vector file.
pub(crate) fn rows<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key}"))
}

/// A text in a row; absent is empty.
pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// The redacted request of a plan.
pub(crate) fn shown(plan: &Plan) -> livekit::egress_info::Request {
    use wire::prost::Message as _;
    livekit::EgressInfo::decode(plan.identity.redacted_request.as_slice())
        .expect("plans carry a serialized EgressInfo")
        .request
        .expect("with the request in it")
}
