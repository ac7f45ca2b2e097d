//! Errors as psrpc says them: a code from a fixed list and a text. Source: psrpc `errors.go`.

use std::fmt;

use wire::internal::{Any, Response};

/// What went wrong, as written in `Response.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The caller gave up.
    Canceled,
    /// The request could not be decoded.
    MalformedRequest,
    /// The answer could not be decoded.
    MalformedResult,
    /// No answer in time.
    DeadlineExceeded,
    /// Nobody there, or nobody able; trying again may help.
    Unavailable,
    /// Anything unnamed.
    Unknown,
    /// The caller's fault.
    InvalidArgument,
    /// No such thing.
    NotFound,
    /// Not acceptable.
    NotAcceptable,
    /// There is one already.
    AlreadyExists,
    /// Not allowed.
    PermissionDenied,
    /// A quota or a machine is used up.
    ResourceExhausted,
    /// The state does not permit it.
    FailedPrecondition,
    /// Aborted by a concurrent change.
    Aborted,
    /// Out of range.
    OutOfRange,
    /// No such method.
    Unimplemented,
    /// Our bug.
    Internal,
    /// Data was lost.
    DataLoss,
    /// No valid credentials.
    Unauthenticated,
    /// Understood but cannot be done.
    UnprocessableEntity,
    /// A server behind us failed.
    UpstreamServerError,
    /// A server behind us refused.
    UpstreamClientError,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::Canceled,
        Self::MalformedRequest,
        Self::MalformedResult,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::Unknown,
        Self::InvalidArgument,
        Self::NotFound,
        Self::NotAcceptable,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::DataLoss,
        Self::Unauthenticated,
        Self::UnprocessableEntity,
        Self::UpstreamServerError,
        Self::UpstreamClientError,
    ];

    /// The text on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::MalformedRequest => "malformed_request",
            Self::MalformedResult => "malformed_result",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::NotAcceptable => "not_acceptable",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
            Self::UnprocessableEntity => "unprocessable_entity",
            Self::UpstreamServerError => "upstream_server_error",
            Self::UpstreamClientError => "upstream_client_error",
        }
    }

    /// The code of a received error; what we do not know, and nothing at all, is [`Code::Unknown`].
    #[must_use]
    pub fn from_wire(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
            .unwrap_or(Self::Unknown)
    }

    /// The HTTP status, which is also `EgressInfo.error_code`.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::MalformedRequest => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::FailedPrecondition => 412,
            Self::OutOfRange => 416,
            Self::UnprocessableEntity => 422,
            Self::UpstreamClientError => 424,
            Self::ResourceExhausted => 429,
            Self::Unknown | Self::MalformedResult | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::UpstreamServerError => 502,
            Self::Canceled | Self::DeadlineExceeded | Self::Unavailable => 503,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The HTTP status of a code as received; the empty code is success.
#[must_use]
pub fn http_status(code: &str) -> u16 {
    if code.is_empty() {
        200
    } else {
        Code::from_wire(code).http_status()
    }
}

/// Who says so. Only what we concluded ourselves (nobody answered) is safe to try again blindly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This process.
    Local,
    /// A server answered it.
    Peer,
}

/// A failed call, or what a handler answers instead of a result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind.
    pub code: Code,
    /// The text people see.
    pub message: String,
    /// Typed details, passed on as they are.
    pub details: Vec<Any>,
    /// Who says so.
    pub origin: Origin,
}

impl Error {
    /// An error of our own.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            origin: Origin::Local,
        }
    }

    /// "request timed out".
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new(Code::DeadlineExceeded, "request timed out")
    }

    /// "request canceled".
    #[must_use]
    pub fn canceled() -> Self {
        Self::new(Code::Canceled, "request canceled")
    }

    /// "no response from servers".
    #[must_use]
    pub fn no_response() -> Self {
        Self::new(Code::Unavailable, "no response from servers")
    }

    /// "no servers available (received N responses)".
    #[must_use]
    pub fn no_servers(responses: u32) -> Self {
        Self::new(
            Code::Unavailable,
            format!("no servers available (received {responses} responses)"),
        )
    }

    /// "client is closed".
    #[must_use]
    pub fn client_closed() -> Self {
        Self::new(Code::Canceled, "client is closed")
    }

    /// The request's bytes are not the message they should be.
    #[must_use]
    pub fn malformed_request(cause: impl fmt::Display) -> Self {
        Self::new(Code::MalformedRequest, cause.to_string())
    }

    /// The answer's bytes are not the message they should be.
    #[must_use]
    pub fn malformed_result(cause: impl fmt::Display) -> Self {
        Self::new(Code::MalformedResult, cause.to_string())
    }

    /// Nobody answered: not delivered, not granted or not in time. The request may be asked again.
    #[must_use]
    pub fn unanswered(&self) -> bool {
        self.origin == Origin::Local
            && (self.code == Code::DeadlineExceeded || self.code == Code::Unavailable)
    }

    /// Reads an answer: success ⇔ the error text is empty.
    ///
    /// # Errors
    /// The error the server answered.
    pub(crate) fn of(response: Response) -> Result<bytes::Bytes, Self> {
        if response.error.is_empty() {
            Ok(response.raw_response)
        } else {
            Err(Self {
                code: Code::from_wire(&response.code),
                message: response.error,
                details: response.error_details,
                origin: Origin::Peer,
            })
        }
    }
}
