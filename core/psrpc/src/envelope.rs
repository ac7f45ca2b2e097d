//! The envelope every payload is wrapped in, and the one way to make something publishable.
//!
//! A message of the wrong type on a channel crashes a Go peer, so a [`Publication`] can only be made by functions that
//! pair channel and message.

use bytes::Bytes;
use prost::Message as _;
use wire::internal::{ClaimRequest, ClaimResponse, Msg, Request, Response, Stream};

use crate::channel::Channel;
use crate::method::Topic;

const PREFIX: &str = "type.googleapis.com/";

/// What an envelope may hold.
#[derive(Clone, PartialEq)]
pub enum Message {
    /// On `REQ`.
    Request(Request),
    /// On `CLAIM`.
    ClaimRequest(ClaimRequest),
    /// On `RCLAIM`.
    ClaimResponse(ClaimResponse),
    /// On `RES`.
    Response(Response),
    /// On `STR`.
    Stream(Stream),
}

/// Why a payload was skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// The payload is not an envelope.
    #[error("not an envelope")]
    Envelope,
    /// The envelope holds a type this protocol does not have.
    #[error("unknown type {0:?}")]
    Type(String),
    /// The bytes are not a message of the type they claim to be.
    #[error("malformed {0}")]
    Message(&'static str),
}

impl Message {
    /// The full protobuf name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "internal.Request",
            Self::ClaimRequest(_) => "internal.ClaimRequest",
            Self::ClaimResponse(_) => "internal.ClaimResponse",
            Self::Response(_) => "internal.Response",
            Self::Stream(_) => "internal.Stream",
        }
    }

    /// The payload to publish.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let value = match self {
            Self::Request(message) => message.encode_to_vec(),
            Self::ClaimRequest(message) => message.encode_to_vec(),
            Self::ClaimResponse(message) => message.encode_to_vec(),
            Self::Response(message) => message.encode_to_vec(),
            Self::Stream(message) => message.encode_to_vec(),
        };
        let envelope = Msg {
            type_url: format!("{PREFIX}{}", self.name()),
            value: value.into(),
            channel: String::new(),
        };
        envelope.encode_to_vec().into()
    }

    /// Reads a received payload. Unknown fields are ignored at every level.
    ///
    /// # Errors
    /// [`Garbage`]: to be skipped and counted.
    pub fn decode(payload: Bytes) -> Result<Self, Garbage> {
        // The cause of a decoding error tells nothing a reader could act on.
        let envelope = Msg::decode(payload).map_err(|_cause| Garbage::Envelope)?;
        let name = envelope.type_url.rsplit('/').next().unwrap_or_default();
        let value = envelope.value;
        match name {
            "internal.Request" => Request::decode(value)
                .map(Self::Request)
                .map_err(|_cause| Garbage::Message("internal.Request")),
            "internal.ClaimRequest" => ClaimRequest::decode(value)
                .map(Self::ClaimRequest)
                .map_err(|_cause| Garbage::Message("internal.ClaimRequest")),
            "internal.ClaimResponse" => ClaimResponse::decode(value)
                .map(Self::ClaimResponse)
                .map_err(|_cause| Garbage::Message("internal.ClaimResponse")),
            "internal.Response" => Response::decode(value)
                .map(Self::Response)
                .map_err(|_cause| Garbage::Message("internal.Response")),
            "internal.Stream" => Stream::decode(value)
                .map(Self::Stream)
                .map_err(|_cause| Garbage::Message("internal.Stream")),
            other => Err(Garbage::Type(other.chars().take(64).collect())),
        }
    }
}

/// Something to publish: a payload on the channel it belongs to. Prints no content.
#[derive(Clone, PartialEq, Eq)]
pub struct Publication {
    channel: Channel,
    payload: Bytes,
}

impl Publication {
    /// A question to the servers of a method.
    #[must_use]
    pub fn request(service: &str, method: &str, topic: &Topic, message: Request) -> Self {
        Self {
            channel: Channel::request(service, method, topic),
            payload: Message::Request(message).encode(),
        }
    }

    /// A bid to a client.
    #[must_use]
    pub fn claim_request(service: &str, client: &str, message: ClaimRequest) -> Self {
        Self {
            channel: Channel::claim_request(service, client),
            payload: Message::ClaimRequest(message).encode(),
        }
    }

    /// A grant, told to all servers of a method.
    #[must_use]
    pub fn claim_response(
        service: &str,
        method: &str,
        topic: &Topic,
        message: ClaimResponse,
    ) -> Self {
        Self {
            channel: Channel::claim_response(service, method, topic),
            payload: Message::ClaimResponse(message).encode(),
        }
    }

    /// An answer to a client.
    #[must_use]
    pub fn response(service: &str, client: &str, message: Response) -> Self {
        Self {
            channel: Channel::response(service, client),
            payload: Message::Response(message).encode(),
        }
    }

    /// Where to.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// What.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.channel, self.payload.len())
    }
}
