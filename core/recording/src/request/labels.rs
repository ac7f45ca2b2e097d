//! Labels of requests and outputs for logs, metrics and events (egress-behaviour.md §14.5,
//! `output_type_detection.json`).
//!
//! Reads only which fields are set; a request need not be valid to have labels.

use crate::plan::RequestType;
use wire::livekit::{
    self, EncodingOptionsPreset as Preset, export_replay_request, output,
    room_composite_egress_request, start_egress_request as v2, track_composite_egress_request,
    track_egress_request, web_egress_request,
};
use wire::rpc::StartEgressRequest;
use wire::rpc::start_egress_request::Request;

/// Which member of the envelope is set: `room_composite`, …, `egress`, `replay`, or empty.
#[must_use]
pub const fn request_type(request: &StartEgressRequest) -> &'static str {
    match &request.request {
        Some(Request::RoomComposite(_)) => "room_composite",
        Some(Request::Web(_)) => "web",
        Some(Request::Participant(_)) => "participant",
        Some(Request::TrackComposite(_)) => "track_composite",
        Some(Request::Track(_)) => "track",
        Some(Request::Egress(_)) => "egress",
        Some(Request::Replay(_)) => "replay",
        None => "",
    }
}

/// What is recorded; `None` when nothing says so. v2 media with PASSTHROUGH is `Track`.
#[must_use]
pub fn kind(request: &StartEgressRequest) -> Option<RequestType> {
    match &request.request {
        Some(Request::RoomComposite(_)) => Some(RequestType::RoomComposite),
        Some(Request::Web(_)) => Some(RequestType::Web),
        Some(Request::Participant(_)) => Some(RequestType::Participant),
        Some(Request::TrackComposite(_)) => Some(RequestType::TrackComposite),
        Some(Request::Track(_)) => Some(RequestType::Track),
        Some(Request::Egress(request)) => {
            let copy = matches!(request.encoding, Some(v2::Encoding::Preset(preset)) if preset == Preset::Passthrough as i32);
            match &request.source {
                Some(v2::Source::Template(_)) => Some(RequestType::Template),
                Some(v2::Source::Web(_)) => Some(RequestType::Web),
                Some(v2::Source::Media(_)) => Some(media(copy)),
                None => None,
            }
        }
        Some(Request::Replay(request)) => {
            let copy = matches!(request.encoding, Some(export_replay_request::Encoding::Preset(preset)) if preset == Preset::Passthrough as i32);
            match &request.source {
                Some(export_replay_request::Source::Template(_)) => Some(RequestType::Template),
                Some(export_replay_request::Source::Web(_)) => Some(RequestType::Web),
                Some(export_replay_request::Source::Media(_)) => Some(media(copy)),
                None => None,
            }
        }
        None => None,
    }
}

const fn media(copy: bool) -> RequestType {
    if copy {
        RequestType::Track
    } else {
        RequestType::Media
    }
}

/// Label of what is recorded: as [`RequestType::label`], `unknown` when nothing says so.
#[must_use]
pub fn source(request: &StartEgressRequest) -> &'static str {
    kind(request).map_or("unknown", RequestType::label)
}

/// `web`, `sdk`, or empty for an unknown `EgressSourceType`.
#[must_use]
pub fn source_type(number: i32) -> &'static str {
    match livekit::EgressSourceType::try_from(number) {
        Ok(livekit::EgressSourceType::Web) => "web",
        Ok(livekit::EgressSourceType::Sdk) => "sdk",
        Err(_) => "",
    }
}

/// Sound only, as the request says it (not as outputs make it).
#[must_use]
pub fn audio_only(request: &StartEgressRequest) -> bool {
    match &request.request {
        Some(Request::RoomComposite(r)) => r.audio_only,
        Some(Request::Web(r)) => r.audio_only,
        Some(Request::Egress(r)) => match &r.source {
            Some(v2::Source::Template(t)) => t.audio_only,
            Some(v2::Source::Web(w)) => w.audio_only,
            Some(v2::Source::Media(_)) | None => false,
        },
        Some(Request::Replay(r)) => match &r.source {
            Some(export_replay_request::Source::Template(t)) => t.audio_only,
            Some(export_replay_request::Source::Web(w)) => w.audio_only,
            Some(export_replay_request::Source::Media(_)) | None => false,
        },
        Some(Request::Participant(_) | Request::TrackComposite(_) | Request::Track(_)) | None => {
            false
        }
    }
}

/// `file`, `stream`, `segments`, `images`, `multiple` or `unknown`. v2: more than one entry is `multiple`.
#[must_use]
pub fn output_type(request: &StartEgressRequest) -> &'static str {
    #[expect(deprecated, reason = "old clients still send the single output")]
    match &request.request {
        Some(Request::RoomComposite(r)) => {
            let single = r.output.as_ref().map(|output| match output {
                room_composite_egress_request::Output::File(_) => 0,
                room_composite_egress_request::Output::Stream(_) => 1,
                room_composite_egress_request::Output::Segments(_) => 2,
            });
            encoded(
                [
                    r.file_outputs.len(),
                    r.stream_outputs.len(),
                    r.segment_outputs.len(),
                    r.image_outputs.len(),
                ],
                single,
            )
        }
        Some(Request::Web(r)) => {
            let single = r.output.as_ref().map(|output| match output {
                web_egress_request::Output::File(_) => 0,
                web_egress_request::Output::Stream(_) => 1,
                web_egress_request::Output::Segments(_) => 2,
            });
            encoded(
                [
                    r.file_outputs.len(),
                    r.stream_outputs.len(),
                    r.segment_outputs.len(),
                    r.image_outputs.len(),
                ],
                single,
            )
        }
        Some(Request::TrackComposite(r)) => {
            let single = r.output.as_ref().map(|output| match output {
                track_composite_egress_request::Output::File(_) => 0,
                track_composite_egress_request::Output::Stream(_) => 1,
                track_composite_egress_request::Output::Segments(_) => 2,
            });
            encoded(
                [
                    r.file_outputs.len(),
                    r.stream_outputs.len(),
                    r.segment_outputs.len(),
                    r.image_outputs.len(),
                ],
                single,
            )
        }
        Some(Request::Participant(r)) => encoded(
            [
                r.file_outputs.len(),
                r.stream_outputs.len(),
                r.segment_outputs.len(),
                r.image_outputs.len(),
            ],
            None,
        ),
        Some(Request::Track(r)) => match &r.output {
            Some(track_egress_request::Output::File(_)) => "file",
            Some(track_egress_request::Output::WebsocketUrl(_)) => "stream",
            None => "unknown",
        },
        Some(Request::Egress(r)) => listed(&r.outputs),
        Some(Request::Replay(r)) => listed(&r.outputs),
        None => "unknown",
    }
}

const KINDS: [&str; 4] = ["file", "stream", "segments", "images"];

fn encoded(repeated: [usize; 4], single: Option<usize>) -> &'static str {
    let mut present = repeated.map(|count| count > 0);
    if let Some(kind) = single {
        present[kind] = true;
    }
    let mut kinds = KINDS.iter().zip(present).filter(|(_, present)| *present);
    match (kinds.next(), kinds.next()) {
        (Some((kind, _)), None) => kind,
        (Some(_), Some(_)) => "multiple",
        (None, _) => "unknown",
    }
}

fn listed(outputs: &[livekit::Output]) -> &'static str {
    match outputs {
        [output] => match &output.config {
            Some(output::Config::File(_)) => "file",
            Some(output::Config::Stream(_)) => "stream",
            Some(output::Config::Segments(_)) => "segments",
            Some(output::Config::Images(_)) => "images",
            None => "unknown",
        },
        [] => "unknown",
        _ => "multiple",
    }
}
