//! `package rpc`: what LiveKit's server and an egress worker say to each other.
//!
//! Source: livekit/protocol v1.50 `rpc/egress.proto`, `rpc/io.proto`.

use crate::livekit;

/// `EgressInternal.StartEgress`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartEgressRequest {
    /// Required, `EG_…`.
    #[prost(string, tag = "1")]
    pub egress_id: String,
    /// Copied to `EgressInfo.room_id`.
    #[prost(string, tag = "3")]
    pub room_id: String,
    /// Room token; priority over the configuration. Never sent by the open-source server.
    #[prost(string, tag = "8")]
    pub token: String,
    /// Server URL; priority over the configuration.
    #[prost(string, tag = "9")]
    pub ws_url: String,
    /// Ignored, as upstream.
    #[prost(bool, tag = "10")]
    pub cloud_backup_enabled: bool,
    /// If non-zero replaces the configured cost in the admission comparison.
    #[prost(double, tag = "14")]
    pub estimated_cpu: f64,
    /// Copied to `EgressInfo.retry_count`.
    #[prost(int32, tag = "15")]
    pub retry_count: i32,
    /// Initial `EgressInfo.room_name`.
    #[prost(string, tag = "18")]
    pub room_name: String,
    /// What to record.
    #[prost(
        oneof = "start_egress_request::Request",
        tags = "5, 6, 7, 11, 13, 16, 17"
    )]
    pub request: Option<start_egress_request::Request>,
}

/// Nested types of [`StartEgressRequest`].
pub mod start_egress_request {
    use super::livekit;

    /// What to record.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Request {
        /// v1.
        #[prost(message, tag = "5")]
        RoomComposite(livekit::RoomCompositeEgressRequest),
        /// v1.
        #[prost(message, tag = "6")]
        TrackComposite(livekit::TrackCompositeEgressRequest),
        /// v1.
        #[prost(message, tag = "7")]
        Track(livekit::TrackEgressRequest),
        /// v1.
        #[prost(message, tag = "11")]
        Web(livekit::WebEgressRequest),
        /// v1.
        #[prost(message, tag = "13")]
        Participant(livekit::ParticipantEgressRequest),
        /// v2.
        #[prost(message, tag = "16")]
        Egress(livekit::StartEgressRequest),
        /// v2, cloud only.
        #[prost(message, tag = "17")]
        Replay(livekit::ExportReplayRequest),
    }
}

/// `EgressInternal.ListActiveEgress`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListActiveEgressRequest {}

/// Answer to [`ListActiveEgressRequest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListActiveEgressResponse {
    /// Ids of running recordings.
    #[prost(string, repeated, tag = "1")]
    pub egress_ids: Vec<String>,
}

/// `IOInfo.GetEgress`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetEgressRequest {
    /// The id asked for.
    #[prost(string, tag = "1")]
    pub egress_id: String,
}
