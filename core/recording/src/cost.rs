//! What a request is expected to need, before it is validated: admission works on this.
//!
//! Rules and defaults of egress-behaviour.md §6.4 and `monitor_costs.json`. Knows nothing of what the machine has.

use crate::plan::RequestType;
use crate::request::labels;
use serde::Deserialize;
use wire::livekit::{TemplateSource, WebSource, export_replay_request, start_egress_request as v2};
use wire::rpc::StartEgressRequest;
use wire::rpc::start_egress_request::Request;

/// Configured costs: cores and gigabytes. What is not positive counts as not configured.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Table {
    /// With video.
    pub room_composite_cpu_cost: f64,
    /// Sound only, through the browser.
    pub audio_room_composite_cpu_cost: f64,
    /// Sound only, without a browser; default: as with one.
    pub sdk_audio_room_composite_cpu_cost: f64,
    /// Sound only, without a browser; default: `memory_cost`.
    pub sdk_audio_room_composite_memory_cost: f64,
    /// With video.
    pub web_cpu_cost: f64,
    /// Sound only.
    pub audio_web_cpu_cost: f64,
    /// Participants, and v2 media.
    pub participant_cpu_cost: f64,
    /// Track composites.
    pub track_composite_cpu_cost: f64,
    /// Copies of one track.
    pub track_cpu_cost: f64,
    /// Every request, GB.
    pub memory_cost: f64,
}

/// What one request is expected to need.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// Cores to reserve.
    pub cpu: f64,
    /// Cores that must be free: `estimated_cpu` of the request where it has one, else `cpu`.
    pub needed_cpu: f64,
    /// Gigabytes to reserve.
    pub memory_gb: f64,
    /// Needs a browser (and four connections to its sound server).
    pub browser: bool,
    /// Label of the request; `None` where nothing says what is to be recorded.
    pub request_type: Option<RequestType>,
}

#[derive(Clone, Copy)]
enum Class {
    RoomVideo,
    RoomAudioBrowser,
    RoomAudio,
    Web,
    WebAudio,
    Participant,
    TrackComposite,
    Track,
    Unknown,
}

/// The cost of a request.
#[must_use]
pub fn of(request: &StartEgressRequest, table: &Table) -> Cost {
    let class = class(request);
    let positive = |value: f64, default: f64| {
        if value.is_finite() && value > 0.0 {
            value
        } else {
            default
        }
    };
    let audio_room = positive(table.audio_room_composite_cpu_cost, 1.0);
    let memory = positive(table.memory_cost, 0.0);
    let (cpu, browser) = match class {
        Class::RoomVideo => (positive(table.room_composite_cpu_cost, 4.0), true),
        Class::RoomAudioBrowser => (audio_room, true),
        Class::RoomAudio => (
            positive(table.sdk_audio_room_composite_cpu_cost, audio_room),
            false,
        ),
        Class::Web => (positive(table.web_cpu_cost, 4.0), true),
        Class::WebAudio => (positive(table.audio_web_cpu_cost, 1.0), true),
        Class::Participant => (positive(table.participant_cpu_cost, 2.0), false),
        Class::TrackComposite => (positive(table.track_composite_cpu_cost, 1.0), false),
        Class::Track => (positive(table.track_cpu_cost, 0.5), false),
        Class::Unknown => (0.0, false),
    };
    let memory_gb = match class {
        Class::RoomAudio => positive(table.sdk_audio_room_composite_memory_cost, memory),
        Class::RoomVideo
        | Class::RoomAudioBrowser
        | Class::Web
        | Class::WebAudio
        | Class::Participant
        | Class::TrackComposite
        | Class::Track
        | Class::Unknown => memory,
    };
    Cost {
        cpu,
        needed_cpu: positive(request.estimated_cpu, cpu),
        memory_gb,
        browser,
        request_type: labels::kind(request),
    }
}

fn class(request: &StartEgressRequest) -> Class {
    match &request.request {
        Some(Request::RoomComposite(r)) => room(r.audio_only, &r.layout, &r.custom_base_url),
        Some(Request::Web(r)) => web(r.audio_only),
        Some(Request::Participant(_)) => Class::Participant,
        Some(Request::TrackComposite(_)) => Class::TrackComposite,
        Some(Request::Track(_)) => Class::Track,
        Some(Request::Egress(r)) => match &r.source {
            Some(v2::Source::Template(t)) => template(t),
            Some(v2::Source::Web(WebSource { audio_only, .. })) => web(*audio_only),
            Some(v2::Source::Media(_)) => media(request),
            None => Class::Unknown,
        },
        Some(Request::Replay(r)) => match &r.source {
            Some(export_replay_request::Source::Template(t)) => template(t),
            Some(export_replay_request::Source::Web(WebSource { audio_only, .. })) => {
                web(*audio_only)
            }
            Some(export_replay_request::Source::Media(_)) => media(request),
            None => Class::Unknown,
        },
        None => Class::Unknown,
    }
}

fn media(request: &StartEgressRequest) -> Class {
    if labels::kind(request) == Some(RequestType::Track) {
        Class::Track
    } else {
        Class::Participant
    }
}

fn template(source: &TemplateSource) -> Class {
    room(source.audio_only, &source.layout, &source.custom_base_url)
}

fn room(audio_only: bool, layout: &str, custom_base_url: &str) -> Class {
    if !audio_only {
        Class::RoomVideo
    } else if crate::request::without_browser(audio_only, layout, custom_base_url) {
        Class::RoomAudio
    } else {
        Class::RoomAudioBrowser
    }
}

fn web(audio_only: bool) -> Class {
    if audio_only {
        Class::WebAudio
    } else {
        Class::Web
    }
}
