//! Every vector of the wire specification, and every channel name.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use prost::Message as _;
use psrpc::channel::{self, Names, Part};
use psrpc::envelope::{Message, Publication};
use psrpc::{Channel, Code, Topic, http_status, lock};
use serde_json::Value;
use wire::internal::{self, stream};

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn vectors() -> Value {
    load(include_str!("vectors/psrpc-vectors.json"))
}

fn channels() -> Value {
    load(include_str!("vectors/psrpc_channels.json"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn int(value: &Value, key: &str) -> i64 {
    value
        .get(key)
        .map_or(0, |v| v.as_str().unwrap().parse().unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn raw(value: &Value, key: &str) -> Bytes {
    value
        .get(key)
        .map_or_else(Bytes::new, |v| hex(text(v, "hex")).into())
}

fn metadata(value: &Value) -> std::collections::HashMap<String, String> {
    value
        .get("metadata")
        .and_then(Value::as_object)
        .map_or_else(Default::default, |map| {
            map.iter()
                .map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned()))
                .collect()
        })
}

/// The message a vector describes in words.
fn described(vector: &Value) -> Message {
    let m = &vector["message"];
    let request_id = text(m, "request_id").to_owned();
    let server_id = text(m, "server_id").to_owned();
    match text(vector, "envelope_type_url") {
        "type.googleapis.com/internal.Request" => Message::Request(internal::Request {
            request_id,
            client_id: text(m, "client_id").to_owned(),
            sent_at: int(m, "sent_at"),
            expiry: int(m, "expiry"),
            multi: m.get("multi").is_some_and(|v| v.as_bool().unwrap()),
            request: None,
            metadata: metadata(m),
            raw_request: raw(m, "raw_request"),
            // Field 9 of psrpc 0.7.4 means nothing to us.
            skip_claim: false,
        }),
        "type.googleapis.com/internal.ClaimRequest" => {
            Message::ClaimRequest(internal::ClaimRequest {
                request_id,
                server_id,
                affinity: if m["affinity"] == 0.5 { 0.5 } else { 1.0 },
                handling: false,
            })
        }
        "type.googleapis.com/internal.ClaimResponse" => {
            Message::ClaimResponse(internal::ClaimResponse {
                request_id,
                server_id,
            })
        }
        "type.googleapis.com/internal.Response" => Message::Response(internal::Response {
            request_id,
            server_id,
            sent_at: int(m, "sent_at"),
            response: None,
            error: text(m, "error").to_owned(),
            code: text(m, "code").to_owned(),
            raw_response: raw(m, "raw_response"),
            error_details: Vec::new(),
        }),
        "type.googleapis.com/internal.Stream" => Message::Stream(internal::Stream {
            stream_id: text(m, "stream_id").to_owned(),
            request_id,
            sent_at: int(m, "sent_at"),
            expiry: int(m, "expiry"),
            body: Some(if let Some(open) = m.get("open") {
                stream::Body::Open(internal::StreamOpen {
                    node_id: text(open, "node_id").to_owned(),
                    metadata: metadata(open),
                })
            } else if m.get("ack").is_some() {
                stream::Body::Ack(internal::StreamAck {})
            } else if let Some(close) = m.get("close") {
                stream::Body::Close(internal::StreamClose {
                    error: text(close, "error").to_owned(),
                    code: text(close, "code").to_owned(),
                })
            } else {
                // The vector gives the bytes in base64 and again in hex.
                stream::Body::Message(internal::StreamMessage {
                    message: None,
                    raw_message: hex(text(vector, "payload_hex")).into(),
                })
            }),
        }),
        other => panic!("a vector of an unknown type: {other}"),
    }
}

#[test]
fn every_vector_decodes_to_what_it_describes_and_encodes_to_the_same_bytes() {
    let vectors = vectors();
    let list = vectors["vectors"].as_array().unwrap();
    assert_eq!(list.len(), 28);
    for vector in list {
        let name = text(vector, "name");
        let payload = Bytes::from(hex(text(vector, "hex")));
        assert_eq!(
            payload.len() as u64,
            vector["length"].as_u64().unwrap(),
            "{name}"
        );
        let message = Message::decode(payload.clone()).unwrap();
        let expected = described(vector);
        assert!(message == expected, "{name} decodes to something else");
        // A field we do not know cannot be written back.
        if vector["message"].get("skip_claim").is_none() {
            assert_eq!(expected.encode(), payload, "{name}");
        }
        let envelope = internal::Msg::decode(payload).unwrap();
        assert_eq!(
            envelope.type_url,
            text(vector, "envelope_type_url"),
            "{name}"
        );
        assert_eq!(
            envelope.value,
            hex(text(vector, "inner_message_hex")),
            "{name}"
        );
        assert_eq!(envelope.channel, "", "{name}");
    }
}

#[test]
fn every_vector_is_published_on_its_channel() {
    for vector in vectors()["vectors"].as_array().unwrap() {
        let name = text(vector, "name");
        let parts: Vec<&str> = text(vector, "channel").split('|').collect();
        let (service, method) = (parts[0], parts[1]);
        let topic = Topic::of(&parts[2..parts.len() - 1]);
        let publication = match described(vector) {
            Message::Request(m) => Publication::request(service, method, &topic, m),
            Message::ClaimRequest(m) => Publication::claim_request(service, method, m),
            Message::ClaimResponse(m) => Publication::claim_response(service, method, &topic, m),
            Message::Response(m) => Publication::response(service, method, m),
            Message::Stream(_) => continue,
        };
        assert_eq!(
            publication.channel().as_str(),
            text(vector, "channel"),
            "{name}"
        );
    }
}

#[test]
fn the_payloads_are_the_messages_they_are_said_to_be() {
    use wire::{livekit, rpc};
    fn same<T: prost::Message + Default>(bytes: &[u8]) -> bool {
        // Field order may differ between encoders; nothing may be lost.
        T::decode(bytes).is_ok_and(|m| m.encoded_len() == bytes.len())
    }
    let mut seen = 0;
    for vector in vectors()["vectors"].as_array().unwrap() {
        let name = text(vector, "name");
        let bytes = hex(text(vector, "payload_hex"));
        let kept = match text(vector, "payload_type") {
            "rpc.StartEgressRequest" => same::<rpc::StartEgressRequest>(&bytes),
            "rpc.ListActiveEgressRequest" => same::<rpc::ListActiveEgressRequest>(&bytes),
            "rpc.ListActiveEgressResponse" => same::<rpc::ListActiveEgressResponse>(&bytes),
            "livekit.EgressInfo" => same::<livekit::EgressInfo>(&bytes),
            "livekit.StopEgressRequest" => same::<livekit::StopEgressRequest>(&bytes),
            "livekit.UpdateStreamRequest" => same::<livekit::UpdateStreamRequest>(&bytes),
            // Empty, and messages only the stream examples use.
            "google.protobuf.Empty" => bytes.is_empty(),
            _ => continue,
        };
        assert!(kept, "{name}");
        seen += 1;
    }
    assert!(seen >= 12, "only {seen}");
}

#[test]
fn the_lock_key_is_the_hash_of_the_whole_payload() {
    let mut seen = 0;
    for vector in vectors()["vectors"].as_array().unwrap() {
        if let Some(expected) = vector.get("queue_lock") {
            assert_eq!(
                lock::key(&hex(text(vector, "hex"))),
                text(expected, "key"),
                "{}",
                text(vector, "name")
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}

/// Words and topics of a list like `["S", "M", ["a", ""], "REQ"]`, joined.
fn joined(delimiter: char, parts: &Value) -> String {
    let owned: Vec<Result<String, Vec<String>>> = parts
        .as_array()
        .unwrap()
        .iter()
        .map(|part| match part.as_array() {
            Some(words) => Err(words
                .iter()
                .map(|w| w.as_str().unwrap().to_owned())
                .collect()),
            None => Ok(part.as_str().unwrap().to_owned()),
        })
        .collect();
    let parts: Vec<Part<'_>> = owned
        .iter()
        .map(|part| match part {
            Ok(word) => Part::One(word),
            Err(words) => Part::Many(words),
        })
        .collect();
    channel::join(delimiter, &parts)
}

#[test]
fn channel_names_of_the_specification() {
    let vectors = vectors();
    let list = vectors["channel_names"].as_array().unwrap();
    assert_eq!(list.len(), 15);
    for row in list {
        assert_eq!(
            joined('|', &row["parts"]),
            text(row, "channel"),
            "{}",
            text(row, "desc")
        );
    }
}

fn topic(row: &Value) -> Topic {
    let parts: Vec<&str> = row["topic"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    Topic::of(&parts)
}

#[test]
fn channel_names_of_upstream_in_all_spellings() {
    let channels = channels();
    for row in channels["client"].as_array().unwrap() {
        let names = Names::to_client("foo", "bar", text(row, "kind"));
        assert_eq!(
            (names.legacy.as_str(), names.server.as_str()),
            (text(row, "legacy"), text(row, "server"))
        );
    }
    for (list, kind) in [
        ("rpc", "REQ"),
        ("claim_response", "RCLAIM"),
        ("stream", "STR"),
    ] {
        for row in channels[list].as_array().unwrap() {
            let topic = topic(row);
            let queue = row.get("queue").and_then(Value::as_bool).unwrap_or(false);
            let names = Names::to_servers("foo", "bar", &topic, kind, queue);
            assert_eq!(names.legacy, text(row, "legacy"));
            assert_eq!(names.server, text(row, "server"));
            assert_eq!(names.local, text(row, "local"));
            if let Some(key) = row.get("handler_key") {
                assert_eq!(channel::handler_key("bar", &topic), key.as_str().unwrap());
            }
        }
    }
    for row in channels["sanitize"].as_array().unwrap() {
        let delimiter = text(row, "delim").chars().next().unwrap();
        assert_eq!(joined(delimiter, &row["parts"]), text(row, "expect"));
    }
}

#[test]
fn the_typed_channels_are_the_legacy_names() {
    let topic = Topic::of(&["a", "b", "c"]);
    assert_eq!(
        Channel::request("foo", "bar", &topic).as_str(),
        "foo|bar|a|b|c|REQ"
    );
    assert_eq!(
        Channel::claim_response("foo", "bar", &Topic::from("")).as_str(),
        "foo|bar|RCLAIM"
    );
    assert_eq!(
        Channel::request("foo", "bar", &Topic::of(&[""])).as_str(),
        "foo|bar|REQ"
    );
    assert_eq!(
        Channel::claim_request("foo", "bar").as_str(),
        "foo|bar|CLAIM"
    );
    assert_eq!(Channel::response("foo", "bar").as_str(), "foo|bar|RES");
}

#[test]
fn error_codes_have_the_http_status_of_upstream() {
    let channels = channels();
    let map = channels["error_http"]["map"].as_object().unwrap();
    assert_eq!(map.len(), Code::ALL.len() + 1);
    for (code, status) in map {
        assert_eq!(
            u64::from(http_status(code)),
            status.as_u64().unwrap(),
            "{code}"
        );
        if !code.is_empty() {
            assert_eq!(Code::from_wire(code).as_str(), code);
        }
    }
    assert_eq!(Code::from_wire(""), Code::Unknown);
    assert_eq!(Code::from_wire("brand_new"), Code::Unknown);
}

mod garbage {
    use super::*;
    use proptest::prelude::*;
    use psrpc::envelope::Garbage;

    #[test]
    fn unknown_fields_are_ignored_and_unknown_types_are_named() {
        let mut payload = hex(text(&vectors()["vectors"][0], "hex"));
        payload.extend([0x50, 0x01]); // field 10 of the envelope
        assert!(matches!(
            Message::decode(payload.into()),
            Ok(Message::Request(_))
        ));
        let odd = internal::Msg {
            type_url: "x/y/foo.Bar".to_owned(),
            ..Default::default()
        };
        assert_eq!(
            Message::decode(odd.encode_to_vec().into()).err(),
            Some(Garbage::Type("foo.Bar".to_owned()))
        );
        assert_eq!(
            Message::decode(Bytes::from_static(&[0xff])).err(),
            Some(Garbage::Envelope)
        );
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Message::decode(bytes.clone().into()));
            for name in ["Request", "ClaimRequest", "ClaimResponse", "Response", "Stream"] {
                let envelope = internal::Msg {
                    type_url: format!("type.googleapis.com/internal.{name}"),
                    value: bytes.clone().into(),
                    channel: String::new(),
                };
                drop(Message::decode(envelope.encode_to_vec().into()));
            }
        }

        #[test]
        fn names_hold_only_harmless_characters_and_never_a_delimiter(word in ".{0,20}") {
            let name = channel::join('|', &[Part::One(&word)]);
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '+'));
            prop_assert_eq!(name.is_empty(), word.is_empty());
        }
    }
}
