//! The texts and codes that clients know (egress-behaviour.md §8.3, Appendix B): said in one place.

use crate::{Code, Fault};
use std::fmt::Display;

/// The page did not load: `page load error: …`.
#[must_use]
pub fn page_load(cause: impl Display) -> Fault {
    Fault::new(Code::InvalidArgument, format!("page load error: {cause}"))
}

/// The page shows an error of its own: `template error: …`.
#[must_use]
pub fn template(text: impl Display) -> Fault {
    Fault::new(Code::InvalidArgument, format!("template error: {text}"))
}

/// The browser did not start.
#[must_use]
pub fn chrome_failed(output: impl Display) -> Fault {
    Fault::internal(format!("chrome failed to start:\n{output}"))
}

/// A helper process did not start (`pulse`, `xvfb`).
#[must_use]
pub fn launch(what: impl Display, cause: impl Display) -> Fault {
    Fault::internal(format!("failed to launch {what}: {cause}"))
}

/// The browser or its page went away while recording; upstream does not notice.
#[must_use]
pub fn page_crashed(cause: impl Display) -> Fault {
    Fault::internal(format!("recording ended early: {cause}"))
}

/// The named participant did not come.
#[must_use]
pub fn participant_not_found(identity: impl Display) -> Fault {
    Fault::new(Code::NotFound, format!("participant {identity} not found"))
}

/// The named track did not come.
#[must_use]
pub fn track_not_found(sid: impl Display) -> Fault {
    Fault::new(Code::NotFound, format!("track {sid} not found"))
}

/// A field of the request turned out wrong only now (`video_track_id` names sound, …).
#[must_use]
pub fn field(name: impl Display) -> Fault {
    Fault::new(
        Code::InvalidArgument,
        format!("request has missing or invalid field: {name}"),
    )
}

/// The room could not be joined; upstream gives the SDK's text and no code.
#[must_use]
pub fn join(cause: impl Display) -> Fault {
    Fault::new(Code::Unknown, cause.to_string())
}

/// The room was lost for good while recording.
#[must_use]
pub fn room_lost() -> Fault {
    Fault::new(
        Code::Unavailable,
        "recording ended early: connection to room failed",
    )
}

/// A stream, peer or socket is gone and nothing else is recorded.
#[must_use]
pub fn stream(text: impl Into<String>) -> Fault {
    Fault::new(Code::Unavailable, text)
}

/// Storing failed; `provider` is `S3`, `GCP`, `Azure`, `AliOSS` or `Local`.
#[must_use]
pub fn upload(provider: impl Display, cause: impl Display) -> Fault {
    Fault::new(
        Code::InvalidArgument,
        format!("{provider} upload failed: {cause}"),
    )
}

/// Storing failed in both stores.
#[must_use]
pub fn upload_both(primary: impl Display, backup: impl Display) -> Fault {
    Fault::new(
        Code::InvalidArgument,
        format!("primary: {primary}\nbackup: {backup}"),
    )
}

/// Images come faster than the store takes them.
#[must_use]
pub fn image_queue_full(pending: usize) -> Fault {
    Fault::internal(format!(
        "image upload queue full ({pending} pending): storage cannot keep up"
    ))
}

/// The media does not move.
#[must_use]
pub fn frozen() -> Fault {
    Fault::internal("pipeline frozen")
}

/// SIGINT of the worker.
#[must_use]
pub fn shutting_down() -> Fault {
    Fault::new(Code::PermissionDenied, "server is shutting down")
}

/// The processor guard's kill.
#[must_use]
pub fn cpu_exhausted(cores: f64) -> Fault {
    Fault::new(
        Code::PermissionDenied,
        format!("CPU exhausted: {cores:.2} cores used"),
    )
}

/// The memory guard's kill.
#[must_use]
pub fn out_of_memory(gigabytes: f64) -> Fault {
    Fault::new(
        Code::PermissionDenied,
        format!("OOM: {gigabytes:.2} GB used"),
    )
}

/// The recorder did not report in time.
#[must_use]
pub fn never_ready() -> Fault {
    Fault::internal("handler failed to start")
}

/// The worker went away; the recorder finishes alone.
#[must_use]
pub fn worker_gone() -> Fault {
    Fault::new(Code::Unavailable, "recording ended early: worker is gone")
}

/// Stopped while the start signal or the first packet was awaited.
#[must_use]
pub fn no_start_signal() -> Fault {
    Fault::new(Code::FailedPrecondition, "Start signal not received")
}

/// Stopped after the start signal and before media played.
#[must_use]
pub fn stopped_before_start() -> Fault {
    Fault::new(
        Code::FailedPrecondition,
        "Stop called before pipeline could start",
    )
}

/// The session limit came before media played.
#[must_use]
pub fn limit_before_start() -> Fault {
    Fault::new(
        Code::FailedPrecondition,
        "Session limit reached before start signal",
    )
}

/// A limit ended the recording; a good end.
#[must_use]
pub fn limit_reached() -> Fault {
    Fault::new(Code::LimitReached, "Session limit reached")
}
