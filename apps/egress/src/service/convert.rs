//! Between the words of the bus, the worker and recordings.

use psrpc::Error;
use recording::{Code, Refusal, info::EgressInfo};
use wire::{livekit::EgressStatus, prost::Message};
use worker::{Snapshot, Status, report::Failure};

/// A refusal as an error on the bus.
pub(super) fn error(refusal: &Refusal) -> Error {
    Error::new(
        psrpc::Code::from_wire(refusal.code.as_str()),
        refusal.message.clone(),
    )
}

/// An error of the bus as the reason why a report failed.
pub(super) fn failure(error: &Error) -> Failure {
    if !error.unanswered() {
        return Failure::Answered {
            code: code(error.code),
            message: error.message.clone(),
        };
    }
    if error.code == psrpc::Code::DeadlineExceeded {
        Failure::TimedOut(error.message.clone())
    } else {
        Failure::NoResponse(error.message.clone())
    }
}

fn code(code: psrpc::Code) -> Code {
    use psrpc::Code as P;
    match code {
        P::InvalidArgument
        | P::MalformedRequest
        | P::OutOfRange
        | P::NotAcceptable
        | P::UnprocessableEntity => Code::InvalidArgument,
        P::NotFound => Code::NotFound,
        P::AlreadyExists => Code::AlreadyExists,
        P::PermissionDenied | P::Unauthenticated => Code::PermissionDenied,
        P::FailedPrecondition | P::Aborted => Code::FailedPrecondition,
        P::Unimplemented => Code::Unimplemented,
        P::Internal | P::DataLoss | P::MalformedResult | P::UpstreamServerError => Code::Internal,
        P::Unavailable | P::DeadlineExceeded | P::Canceled => Code::Unavailable,
        P::ResourceExhausted => Code::LimitReached,
        P::Unknown | P::UpstreamClientError => Code::Unknown,
    }
}

fn status(info: &EgressInfo) -> Status {
    match info.status() {
        EgressStatus::EgressStarting => Status::Starting,
        EgressStatus::EgressActive => Status::Active,
        EgressStatus::EgressEnding => Status::Ending,
        EgressStatus::EgressComplete => Status::Complete,
        EgressStatus::EgressFailed => Status::Failed,
        EgressStatus::EgressAborted => Status::Aborted,
        EgressStatus::EgressLimitReached => Status::LimitReached,
    }
}

/// A state that something follows.
pub(super) fn snapshot(info: &EgressInfo) -> Snapshot {
    Snapshot::new(status(info), info.encode_to_vec())
}

/// The last state.
pub(super) fn last(info: &EgressInfo) -> Snapshot {
    Snapshot::last(status(info), info.encode_to_vec())
}

/// Back to the message. Only ever called on what we encoded ourselves; an empty message is the answer to anything else.
pub(super) fn info(snapshot: &Snapshot) -> EgressInfo {
    EgressInfo::decode(&*snapshot.bytes).unwrap_or_default()
}
