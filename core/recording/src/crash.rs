//! How the worker finishes the story of a recorder that died, hung or never reported.
//!
//! The worker holds the last info a recorder published. When the recorder goes without a terminal one, that info becomes
//! FAILED with the cause, and names what can still be played of the recording (files here survive a kill up to their last block).
//! Upstream overwrites the truth with its stale first copy instead, even a COMPLETE (egress-behaviour.md §7.4, §15.1).
//!
//! Knows no processes: the worker says how it went ([`ExitCause`]) and what it salvaged ([`Partial`]).

use crate::lifecycle::EndReason;
use crate::{Fault, Now, fault, info};
use std::borrow::Cow;
use std::time::Duration;
use wire::livekit::{EgressInfo, EgressStatus, stream_info};

/// How a recorder went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExitCause {
    /// By this signal.
    Signal(i32),
    /// With this exit status, without a terminal report.
    Code(i32),
    /// Nobody knows: the link closed, or could not be understood.
    Lost,
    /// It did not report ready in time.
    NeverReady,
    /// The worker ended it by force after asking in vain; this was why.
    Forced(Fault),
}

impl ExitCause {
    /// `EgressInfo.error` and `error_code` (500 except when forced).
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Signal(number) => Fault::internal(format!("signal: {}", signal_name(*number))),
            Self::Code(0) => Fault::internal("handler exited without reporting the end"),
            Self::Code(status) => Fault::internal(format!("exit status {status}")),
            Self::Lost => Fault::internal("connection to handler lost"),
            Self::NeverReady => fault::never_ready(),
            Self::Forced(fault) => fault.clone(),
        }
    }
}

/// What could be kept of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partial {
    /// Where it is now.
    pub location: String,
    /// Bytes.
    pub size: u64,
    /// Length of the media in it, when known.
    pub duration: Option<Duration>,
}

/// The terminal info of a recording whose recorder is gone: the last one with FAILED, the cause, and ends for everything that had
/// none. A terminal `last` is returned unchanged: it was the truth.
#[must_use]
pub fn failed(
    last: &EgressInfo,
    now: Now,
    exit: &ExitCause,
    partial: Option<&Partial>,
) -> EgressInfo {
    finished(last, now, exit.fault(), partial)
}

/// The terminal info of a recording found in the books of a worker that was started again: without this it would stay ACTIVE for
/// ever. A terminal `last` is returned unchanged.
#[must_use]
pub fn orphaned(last: &EgressInfo, now: Now, partial: Option<&Partial>) -> EgressInfo {
    let fault = Fault::internal("recording ended early: worker was restarted");
    finished(last, now, fault, partial)
}

fn finished(last: &EgressInfo, now: Now, fault: Fault, partial: Option<&Partial>) -> EgressInfo {
    if info::is_terminal(last.status) {
        return last.clone();
    }
    let mut done = last.clone();
    let at = now
        .unix_nanos()
        .max(last.started_at)
        .max(last.updated_at)
        .max(last.ended_at);
    done.status = EgressStatus::EgressFailed as i32;
    done.updated_at = at;
    done.ended_at = at;
    done.error_code = fault.code.http();
    if done.details.is_empty() {
        done.details = info::details(EndReason::Failure.text());
    }
    for file in &mut done.file_results {
        close(&mut file.started_at, &mut file.ended_at, at);
        file.duration = file.ended_at - file.started_at;
    }
    // There is at most one file (two file outputs are refused).
    if let (Some(file), Some(partial)) = (done.file_results.first_mut(), partial) {
        file.location.clone_from(&partial.location);
        file.size = i64::try_from(partial.size).unwrap_or(i64::MAX);
        if let Some(length) = partial.duration {
            file.duration = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
            file.ended_at = file.started_at.saturating_add(file.duration);
        }
    }
    for segments in &mut done.segment_results {
        close(&mut segments.started_at, &mut segments.ended_at, at);
        segments.duration = segments.ended_at - segments.started_at;
    }
    for images in &mut done.image_results {
        close(&mut images.started_at, &mut images.ended_at, at);
    }
    for stream in &mut done.stream_results {
        if stream.status == stream_info::Status::Active as i32 {
            close(&mut stream.started_at, &mut stream.ended_at, at);
            stream.duration = stream.ended_at - stream.started_at;
            stream.status = stream_info::Status::Failed as i32;
            stream.error.clone_from(&fault.message);
        }
    }
    done.error = fault.message;
    info::with_agreeing_result(done)
}

/// What never started starts and ends now; what never ended ends now.
fn close(started_at: &mut i64, ended_at: &mut i64, at: i64) {
    if *started_at == 0 {
        *started_at = at;
    }
    if *ended_at == 0 {
        *ended_at = at.max(*started_at);
    }
}

/// As the original's runtime spells them on Linux.
fn signal_name(number: i32) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        other => return Cow::Owned(format!("signal {other}")),
    })
}
