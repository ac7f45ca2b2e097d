//! Whose fault: the caller's ([`Refusal`], the answer to StartEgress) or ours and the world's ([`Fault`], EGRESS_FAILED).

use serde::{Deserialize, Serialize};
use std::fmt;

/// psrpc error codes as recordings use them (psrpc-wire.md §2.9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Code {
    /// The request cannot be right.
    InvalidArgument,
    /// No such thing.
    NotFound,
    /// The id is taken.
    AlreadyExists,
    /// Not allowed here, or ended by the operator.
    PermissionDenied,
    /// Not in this state.
    FailedPrecondition,
    /// Not built yet.
    Unimplemented,
    /// Our error.
    Internal,
    /// Somebody else may have room, or the peer is gone.
    Unavailable,
    /// A limit was reached (upstream uses HTTP 413 here, outside of psrpc's table).
    LimitReached,
    /// Not a psrpc error.
    Unknown,
}

impl Code {
    /// The code's spelling on the bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::FailedPrecondition => "failed_precondition",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::LimitReached => "resource_exhausted",
            Self::Unknown => "unknown",
        }
    }

    /// `EgressInfo.error_code`: the HTTP status of the code, 0 for unknown.
    #[must_use]
    pub const fn http(self) -> i32 {
        match self {
            Self::InvalidArgument => 400,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists => 409,
            Self::FailedPrecondition => 412,
            Self::LimitReached => 413,
            Self::Internal => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::Unknown => 0,
        }
    }
}

/// The caller got something wrong (or must go elsewhere): the answer to a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Refusal {
    /// psrpc code.
    pub code: Code,
    /// The text peers see.
    pub message: String,
}

impl Refusal {
    /// Any code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `request has missing or invalid field: <name>` (invalid_argument).
    #[must_use]
    pub fn field(name: impl fmt::Display) -> Self {
        Self::new(
            Code::InvalidArgument,
            format!("request has missing or invalid field: {name}"),
        )
    }
}

/// A running recording went wrong: `EgressInfo.error` and `error_code`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Fault {
    /// psrpc code.
    pub code: Code,
    /// The text peers see.
    pub message: String,
}

impl Fault {
    /// Any code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Ours: code `internal`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}
