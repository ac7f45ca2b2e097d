//! `EgressInfo` from plan and state: computed, never stored, never edited.
//!
//! ```text
//! Plan ── initial ──► EgressInfo(STARTING)      what StartEgress answers and CreateEgress reports
//! Plan + Story ── project ──► EgressInfo        what Recording publishes
//! ```
//!
//! Fields as egress-behaviour.md §8.2 and psrpc-wire.md §3.2 have them. Knows nothing of deadlines and effects.

use crate::Plan;
use crate::lifecycle::{OutputStory, Status, Story, StreamOutcome, StreamStory};
use crate::plan::{FileOutput, ImagesOutput, Output, SegmentsOutput, Source};
use prost::Message as _;
use wire::livekit::{self, EgressSourceType, egress_info, stream_info};
/// What everybody is told of a recording; named here so that drivers need not know `wire`.
pub use wire::livekit::{EgressInfo, EgressStatus};

/// The info of a recording that was just asked for: STARTING, one entry per output.
#[must_use]
pub fn initial(plan: &Plan) -> EgressInfo {
    project(plan, &Story::new(plan))
}

/// No status comes after these.
#[must_use]
pub fn is_terminal(status: i32) -> bool {
    match EgressStatus::try_from(status) {
        Ok(
            EgressStatus::EgressComplete
            | EgressStatus::EgressFailed
            | EgressStatus::EgressAborted
            | EgressStatus::EgressLimitReached,
        ) => true,
        Ok(
            EgressStatus::EgressStarting | EgressStatus::EgressActive | EgressStatus::EgressEnding,
        )
        | Err(_) => false,
    }
}

/// `End reason: …`, as `EgressInfo.details` has it.
#[must_use]
pub fn details(reason: &str) -> String {
    format!("End reason: {reason}")
}

pub(crate) fn project(plan: &Plan, story: &Story) -> EgressInfo {
    let (status, fault) = match &story.status {
        Status::Starting => (EgressStatus::EgressStarting, None),
        Status::Active => (EgressStatus::EgressActive, None),
        Status::Ending => (EgressStatus::EgressEnding, None),
        Status::Complete => (EgressStatus::EgressComplete, None),
        Status::Failed(fault) => (EgressStatus::EgressFailed, Some(fault)),
        Status::Aborted(fault) => (EgressStatus::EgressAborted, Some(fault)),
        Status::LimitReached(fault) => (EgressStatus::EgressLimitReached, Some(fault)),
    };
    let mut info = EgressInfo {
        egress_id: plan.identity.egress_id.as_str().to_owned(),
        room_id: plan.identity.room_id.clone(),
        room_name: plan.identity.room_name.clone(),
        source_type: source_type(plan) as i32,
        status: status as i32,
        started_at: plan.identity.requested_at,
        ended_at: story.ended_at.unwrap_or(0),
        updated_at: story.updated_at,
        error: fault.map(|f| f.message.clone()).unwrap_or_default(),
        error_code: fault.map_or(0, |f| f.code.http()),
        details: story
            .reason
            .map(|reason| details(reason.text()))
            .unwrap_or_default(),
        manifest_location: story.manifest_location.clone().unwrap_or_default(),
        backup_storage_used: story.backup_used,
        retry_count: plan.identity.retry_count,
        request: EgressInfo::decode(plan.identity.redacted_request.as_slice())
            .ok()
            .and_then(|copy| copy.request),
        stream_results: story.streams.iter().map(stream).collect(),
        ..EgressInfo::default()
    };
    for (output, state) in plan.outputs.iter().zip(&story.outputs) {
        match output {
            Output::File(of) => info.file_results.push(file(plan, story, of, state)),
            Output::Segments(of) => info.segment_results.push(segments(plan, story, of, state)),
            Output::Images(of) => info.image_results.push(images(plan, story, of, state)),
            Output::Stream(_) | Output::WebSocket(_) => {}
        }
    }
    info.result = deprecated_result(
        &info,
        plan.outputs.rest.is_empty().then_some(&plan.outputs.first),
    );
    info
}

/// The same info with the deprecated `result` made to agree with the lists again (after a merge).
pub(crate) fn with_agreeing_result(mut info: EgressInfo) -> EgressInfo {
    #[expect(deprecated, reason = "clients still read it")]
    let refreshed = match &info.result {
        Some(egress_info::Result::Stream(_)) => {
            Some(egress_info::Result::Stream(livekit::StreamInfoList {
                info: info.stream_results.clone(),
            }))
        }
        Some(egress_info::Result::File(_)) => info
            .file_results
            .first()
            .cloned()
            .map(egress_info::Result::File),
        Some(egress_info::Result::Segments(_)) => info
            .segment_results
            .first()
            .cloned()
            .map(egress_info::Result::Segments),
        None => None,
    };
    info.result = refreshed;
    info
}

#[expect(deprecated, reason = "clients still read it")]
fn deprecated_result(info: &EgressInfo, only: Option<&Output>) -> Option<egress_info::Result> {
    match only? {
        Output::File(_) => info
            .file_results
            .first()
            .cloned()
            .map(egress_info::Result::File),
        Output::Stream(_) | Output::WebSocket(_) => {
            Some(egress_info::Result::Stream(livekit::StreamInfoList {
                info: info.stream_results.clone(),
            }))
        }
        Output::Segments(_) => info
            .segment_results
            .first()
            .cloned()
            .map(egress_info::Result::Segments),
        Output::Images(_) => None,
    }
}

const fn source_type(plan: &Plan) -> EgressSourceType {
    match &plan.source {
        Source::Page(_) => EgressSourceType::Web,
        Source::Room(_) => EgressSourceType::Sdk,
    }
}

/// When a result began, ended, and how long it is; zeros for what is not known yet.
struct Span {
    started_at: i64,
    ended_at: i64,
    duration: i64,
}

/// A page's media ends when the end was asked for. A room's media ends where its last sample ends. The length of what was written
/// is known best by who wrote it.
fn span(plan: &Plan, story: &Story, state: &OutputStory) -> Span {
    let (Some(started_at), Some(ended_at)) = (story.media_started, story.media_ended) else {
        // Never started: both ends are the end of the egress (§8.2).
        let started_at = story.media_started.or(story.ended_at).unwrap_or(0);
        return Span {
            started_at,
            ended_at: story.ended_at.unwrap_or(0).max(0),
            duration: 0,
        };
    };
    let by_clock = ended_at.saturating_sub(started_at).max(0);
    let duration = state
        .duration
        .and_then(|d| i64::try_from(d.as_nanos()).ok())
        .unwrap_or(by_clock);
    let ended_at = match &plan.source {
        Source::Page(_) => ended_at.max(started_at),
        Source::Room(_) => started_at.saturating_add(duration),
    };
    Span {
        started_at,
        ended_at,
        duration,
    }
}

fn file(plan: &Plan, story: &Story, output: &FileOutput, state: &OutputStory) -> livekit::FileInfo {
    let span = span(plan, story, state);
    livekit::FileInfo {
        filename: named(&state.name, &output.storage_path),
        started_at: span.started_at,
        ended_at: span.ended_at,
        duration: span.duration,
        size: bytes(state.size.unwrap_or(0)),
        location: state.location.clone(),
    }
}

fn segments(
    plan: &Plan,
    story: &Story,
    output: &SegmentsOutput,
    state: &OutputStory,
) -> livekit::SegmentsInfo {
    let span = span(plan, story, state);
    livekit::SegmentsInfo {
        playlist_name: named(&state.name, &output.playlist),
        live_playlist_name: named(
            &state.live_name,
            output.live_playlist.as_deref().unwrap_or_default(),
        ),
        duration: span.duration,
        size: bytes(state.size.unwrap_or(0).max(state.pieces_size)),
        playlist_location: state.location.clone(),
        live_playlist_location: state.live_location.clone(),
        segment_count: bytes(state.pieces),
        started_at: span.started_at,
        ended_at: span.ended_at,
    }
}

fn images(
    plan: &Plan,
    story: &Story,
    output: &ImagesOutput,
    state: &OutputStory,
) -> livekit::ImagesInfo {
    let span = span(plan, story, state);
    livekit::ImagesInfo {
        filename_prefix: named(&state.name, &output.user_prefix),
        image_count: bytes(state.pieces),
        started_at: span.started_at,
        ended_at: span.ended_at,
    }
}

fn stream(state: &StreamStory) -> livekit::StreamInfo {
    let (status, error) = match &state.outcome {
        StreamOutcome::Active => (stream_info::Status::Active, String::new()),
        StreamOutcome::Finished => (stream_info::Status::Finished, String::new()),
        StreamOutcome::Failed(error) => (stream_info::Status::Failed, error.clone()),
    };
    let duration = match (state.started_at, state.ended_at) {
        (Some(started), Some(ended)) => ended.saturating_sub(started).max(0),
        _ => 0,
    };
    livekit::StreamInfo {
        url: state.url.redacted.clone(),
        started_at: state.started_at.unwrap_or(0),
        ended_at: state.ended_at.unwrap_or(0),
        duration,
        status: status as i32,
        error,
        last_retry_at: state.last_retry_at.unwrap_or(0),
        retries: state.retries,
    }
}

fn named(final_name: &Option<String>, planned: &str) -> String {
    final_name.clone().unwrap_or_else(|| planned.to_owned())
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
