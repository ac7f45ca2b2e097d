//! psrpc's own messages (`package internal`) and the envelope every Redis payload is wrapped in.
//!
//! Source: psrpc v0.7.5 `internal.proto`; the envelope is wire-identical to `google.protobuf.Any` plus a channel.

use std::collections::HashMap;

/// The envelope: what `PUBLISH` carries.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Msg {
    /// `type.googleapis.com/` + full message name.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, serialized.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
    /// Always empty on Redis (used on NATS).
    #[prost(string, tag = "3")]
    pub channel: String,
}

/// `google.protobuf.Any`, for the legacy fields and error details.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    /// Type URL.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Serialized message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A question to servers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// `REQ_…`, new for every attempt.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// `CLI_…`, names the channels the answers go to.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// Unix nanoseconds, sender's clock; informational.
    #[prost(int64, tag = "3")]
    pub sent_at: i64,
    /// Unix nanoseconds; the receiver drops the request unless its own clock is earlier.
    #[prost(int64, tag = "4")]
    pub expiry: i64,
    /// Informational: the method decides.
    #[prost(bool, tag = "5")]
    pub multi: bool,
    /// Legacy, unused since psrpc 0.3.
    #[prost(message, optional, tag = "6")]
    pub request: Option<Any>,
    /// Free string map (`traceparent`, …).
    #[prost(map = "string, string", tag = "7")]
    pub metadata: HashMap<String, String>,
    /// The user's message, serialized bare.
    #[prost(bytes = "bytes", tag = "8")]
    pub raw_request: bytes::Bytes,
    /// psrpc ≥ 0.7.5: the client accepts an announcement instead of a claim.
    #[prost(bool, tag = "10")]
    pub skip_claim: bool,
}

/// An answer. Success ⇔ `error` is empty.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// The request answered.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// `SRV_…`.
    #[prost(string, tag = "2")]
    pub server_id: String,
    /// Unix nanoseconds.
    #[prost(int64, tag = "3")]
    pub sent_at: i64,
    /// Legacy, unused since psrpc 0.3.
    #[prost(message, optional, tag = "4")]
    pub response: Option<Any>,
    /// Error text.
    #[prost(string, tag = "5")]
    pub error: String,
    /// Error code.
    #[prost(string, tag = "6")]
    pub code: String,
    /// The user's message, serialized bare.
    #[prost(bytes = "bytes", tag = "7")]
    pub raw_response: bytes::Bytes,
    /// Error details.
    #[prost(message, repeated, tag = "8")]
    pub error_details: Vec<Any>,
}

/// "I can take it, with this affinity."
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimRequest {
    /// The request bid for.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// The bidder.
    #[prost(string, tag = "2")]
    pub server_id: String,
    /// The bid.
    #[prost(float, tag = "3")]
    pub affinity: f32,
    /// psrpc ≥ 0.7.5: an announcement, the handler already runs.
    #[prost(bool, tag = "4")]
    pub handling: bool,
}

/// "That server won."
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimResponse {
    /// The request granted.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// The winner.
    #[prost(string, tag = "2")]
    pub server_id: String,
}

/// One message of a stream (egress serves and calls none; declared so that the schema is whole).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stream {
    /// `STR_…`.
    #[prost(string, tag = "1")]
    pub stream_id: String,
    /// New for every message; an acknowledgement repeats the one it answers.
    #[prost(string, tag = "2")]
    pub request_id: String,
    /// Unix nanoseconds.
    #[prost(int64, tag = "3")]
    pub sent_at: i64,
    /// Unix nanoseconds.
    #[prost(int64, tag = "4")]
    pub expiry: i64,
    /// What it says.
    #[prost(oneof = "stream::Body", tags = "6, 7, 8, 9")]
    pub body: Option<stream::Body>,
}

/// Members of [`Stream`].
pub mod stream {
    /// What a stream message says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Body {
        /// The client opens the stream.
        #[prost(message, tag = "6")]
        Open(super::StreamOpen),
        /// Data.
        #[prost(message, tag = "7")]
        Message(super::StreamMessage),
        /// The message with the same request id was taken.
        #[prost(message, tag = "8")]
        Ack(super::StreamAck),
        /// Either side closes.
        #[prost(message, tag = "9")]
        Close(super::StreamClose),
    }
}

/// Opens a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamOpen {
    /// The client's id.
    #[prost(string, tag = "1")]
    pub node_id: String,
    /// Free string map.
    #[prost(map = "string, string", tag = "7")]
    pub metadata: HashMap<String, String>,
}

/// Data on a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamMessage {
    /// Legacy, unused since psrpc 0.3.
    #[prost(message, optional, tag = "1")]
    pub message: Option<Any>,
    /// The user's message, serialized bare.
    #[prost(bytes = "bytes", tag = "2")]
    pub raw_message: bytes::Bytes,
}

/// Acknowledges a stream message.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StreamAck {}

/// Closes a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamClose {
    /// Why.
    #[prost(string, tag = "1")]
    pub error: String,
    /// Error code.
    #[prost(string, tag = "2")]
    pub code: String,
}
