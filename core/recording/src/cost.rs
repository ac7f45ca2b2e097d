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
    /// Which figures it was made of.
    pub class: Class,
    /// Cores to reserve.
    pub cpu: f64,
    /// Cores that must be free: `estimated_cpu` of the request where it has one, else `cpu`.
    pub needed_cpu: f64,
    /// Gigabytes to reserve.
    pub memory_gb: f64,
    /// Needs a browser (and four connections to its sound server).
    pub browser: bool,
    /// Label of the request; `None` where nothing says what is to be recorded, and for a class as such.
    pub request_type: Option<RequestType>,
}

/// What has a cost of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Room composite or template with video.
    RoomVideo,
    /// Room composite or template, sound only, through the browser.
    RoomAudioBrowser,
    /// Room composite or template, sound only, without a browser.
    RoomAudio,
    /// Page with video.
    Web,
    /// Page, sound only.
    WebAudio,
    /// Participant, and v2 media that is encoded.
    Participant,
    /// Track composite.
    TrackComposite,
    /// Track, and v2 media that is passed through.
    Track,
    /// Nothing says what is to be recorded: free, and refused later.
    Unknown,
}

impl Class {
    /// All that cost something.
    pub const ALL: [Self; 8] = [
        Self::RoomVideo,
        Self::RoomAudioBrowser,
        Self::RoomAudio,
        Self::Web,
        Self::WebAudio,
        Self::Participant,
        Self::TrackComposite,
        Self::Track,
    ];

    /// As messages call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::RoomVideo => "room composite",
            Self::RoomAudioBrowser | Self::RoomAudio => "audio room composite",
            Self::Web => "web",
            Self::WebAudio => "audio web",
            Self::Participant => "participant",
            Self::TrackComposite => "track composite",
            Self::Track => "track",
            Self::Unknown => "unknown",
        }
    }

    /// The key of its CPU cost, under `cpu_cost`; empty for the unknown.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::RoomVideo => "room_composite_cpu_cost",
            Self::RoomAudioBrowser => "audio_room_composite_cpu_cost",
            Self::RoomAudio => "sdk_audio_room_composite_cpu_cost",
            Self::Web => "web_cpu_cost",
            Self::WebAudio => "audio_web_cpu_cost",
            Self::Participant => "participant_cpu_cost",
            Self::TrackComposite => "track_composite_cpu_cost",
            Self::Track => "track_cpu_cost",
            Self::Unknown => "",
        }
    }

    /// What any request of the class costs.
    #[must_use]
    pub fn cost(self, table: &Table) -> Cost {
        let audio_room = positive(table.audio_room_composite_cpu_cost, 1.0);
        let memory = positive(table.memory_cost, 0.0);
        let (cpu, browser) = match self {
            Self::RoomVideo => (positive(table.room_composite_cpu_cost, 4.0), true),
            Self::RoomAudioBrowser => (audio_room, true),
            Self::RoomAudio => (
                positive(table.sdk_audio_room_composite_cpu_cost, audio_room),
                false,
            ),
            Self::Web => (positive(table.web_cpu_cost, 4.0), true),
            Self::WebAudio => (positive(table.audio_web_cpu_cost, 1.0), true),
            Self::Participant => (positive(table.participant_cpu_cost, 2.0), false),
            Self::TrackComposite => (positive(table.track_composite_cpu_cost, 1.0), false),
            Self::Track => (positive(table.track_cpu_cost, 0.5), false),
            Self::Unknown => (0.0, false),
        };
        let memory_gb = match self {
            Self::RoomAudio => positive(table.sdk_audio_room_composite_memory_cost, memory),
            Self::RoomVideo
            | Self::RoomAudioBrowser
            | Self::Web
            | Self::WebAudio
            | Self::Participant
            | Self::TrackComposite
            | Self::Track
            | Self::Unknown => memory,
        };
        Cost {
            class: self,
            cpu,
            needed_cpu: cpu,
            memory_gb,
            browser,
            request_type: None,
        }
    }
}

/// The cost of a request.
#[must_use]
pub fn of(request: &StartEgressRequest, table: &Table) -> Cost {
    let cost = class(request).cost(table);
    Cost {
        needed_cpu: positive(request.estimated_cpu, cost.cpu),
        request_type: labels::kind(request),
        ..cost
    }
}

fn positive(value: f64, default: f64) -> f64 {
    if value.is_finite() && value > 0.0 {
        value
    } else {
        default
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
