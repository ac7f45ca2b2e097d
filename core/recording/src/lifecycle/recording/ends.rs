//! How a recording ends: stops, deadlines, limits, and the way from draining to the exit.
//!
//! ```text
//! end ──► Draining ──► close_outputs ──► Closing ──► Storing ──► Manifests ──► finish      media was recorded
//! abort, leave ──────────────────────────────────────────────────────────────► settle      nothing to keep
//! ```

use super::{Part, Phase, Recording};
use crate::lifecycle::effect::{Effect, Exit};
use crate::lifecycle::input::{OutputId, StopReason};
use crate::lifecycle::story::{EndReason, OutputStory, Progress, Status, StreamOutcome, is_stream};
use crate::plan::{Output, Source};
use crate::{Fault, fault};

impl Recording {
    pub(super) fn on_stop(&mut self, reason: StopReason) {
        let end = EndReason::from(&reason);
        match (reason, self.part()) {
            (_, Part::Over) => {}
            (StopReason::DuplicateIdentity, _) => self.leave_silently(),
            (StopReason::Kill(fault), Part::Before) => self.leave(end, Status::Failed(fault)),
            (StopReason::Kill(fault), Part::Active) => {
                self.note_broken(fault);
                self.end(end);
            }
            (StopReason::Kill(fault), Part::Ending) => self.note_broken(fault),
            (StopReason::WorkerGone, Part::Active) => {
                self.note(fault::worker_gone());
                self.end(end);
            }
            (
                StopReason::Api
                | StopReason::SourceClosed
                | StopReason::AllStreamsStopped
                | StopReason::CpuExhausted
                | StopReason::ProcessKilled
                | StopReason::WorkerGone,
                Part::Before,
            ) => self.abort_stopped(end),
            (
                StopReason::Api
                | StopReason::SourceClosed
                | StopReason::AllStreamsStopped
                | StopReason::CpuExhausted
                | StopReason::ProcessKilled,
                Part::Active,
            ) => self.end(end),
            (
                StopReason::Api
                | StopReason::SourceClosed
                | StopReason::AllStreamsStopped
                | StopReason::CpuExhausted
                | StopReason::ProcessKilled
                | StopReason::WorkerGone,
                Part::Ending,
            ) => {}
        }
    }

    pub(super) fn on_deadline(&mut self) {
        let limit_hit = self.limit_at.is_some_and(|at| at <= self.mono);
        match &self.phase {
            Phase::Opening { .. } => {
                let fault = match &self.plan.source {
                    Source::Page(_) => fault::page_load("timed out"),
                    Source::Room(_) => fault::join("could not join the room: timed out"),
                };
                self.leave(EndReason::Failure, Status::Failed(fault));
            }
            Phase::Awaiting { .. } => self.abort(None, fault::no_start_signal()),
            Phase::Starting { .. } if limit_hit => self.abort(None, fault::limit_before_start()),
            Phase::Starting { .. } => {
                self.leave(EndReason::Failure, Status::Failed(fault::frozen()));
            }
            Phase::Active => self.limit(),
            Phase::Draining { .. } => {
                if self.has_stored_outputs() {
                    self.note_broken(fault::frozen());
                }
                self.close_outputs();
            }
            Phase::Closing { .. } => self.give_up_closing(),
            Phase::Manifests { .. } => self.finish(),
            Phase::Storing | Phase::Over => {}
        }
    }

    pub(super) fn check_size(&mut self) {
        let total = self
            .story
            .outputs
            .iter()
            .fold(0u64, |sum, output| sum.saturating_add(output.on_disk));
        if self.phase == Phase::Active
            && self
                .plan
                .limits
                .max_file_size
                .is_some_and(|limit| total >= limit)
        {
            self.limit();
        }
    }

    pub(super) fn limit(&mut self) {
        self.limit_hit_at = Some(self.wall);
        self.end(EndReason::Limit);
    }

    /// Active → Draining.
    pub(super) fn end(&mut self, reason: EndReason) {
        self.end_quietly(reason);
        self.announce_ending();
        self.phase = Phase::Draining {
            until: self.mono.checked_add(self.waits.drain),
        };
        self.effects.push_back(Effect::StopMedia);
    }

    pub(super) fn end_quietly(&mut self, reason: EndReason) {
        self.story.reason.get_or_insert(reason);
        self.story.status = Status::Ending;
        self.stopped_at = Some(self.wall);
        self.story.media_ended = Some(self.wall);
        self.stream_news = false;
        self.touch();
    }

    /// ENDING is told unless a limit or a fatal error ended it (§8.6).
    pub(super) fn announce_ending(&mut self) {
        match self.story.reason {
            Some(EndReason::Limit | EndReason::Failure) | None => {}
            Some(
                EndReason::Api
                | EndReason::SourceClosed
                | EndReason::AllStreamsStopped
                | EndReason::CpuExhausted
                | EndReason::Killed,
            ) => self.publish(),
        }
    }

    pub(super) fn close_outputs(&mut self) {
        self.phase = Phase::Closing {
            until: self.mono.checked_add(self.waits.close),
        };
        self.effects.push_back(Effect::CloseOutputs);
        self.effects.push_back(Effect::CloseSource);
        self.store_closed();
        self.advance();
    }

    /// Stores whatever is closed and not on its way yet.
    pub(super) fn store_closed(&mut self) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        for (index, (output, state)) in self
            .plan
            .outputs
            .iter()
            .zip(&mut self.story.outputs)
            .enumerate()
        {
            if state.progress != Progress::Closed {
                continue;
            }
            let nothing = match output {
                Output::File(_) => state.size == Some(0),
                Output::Segments(_) | Output::Images(_) => false,
                Output::Stream(_) | Output::WebSocket(_) => true,
            };
            if nothing {
                state.progress = Progress::Lost;
            } else {
                state.progress = Progress::Storing;
                self.effects.push_back(Effect::Store(OutputId(index)));
            }
        }
        self.advance();
    }

    pub(super) fn give_up_closing(&mut self) {
        let mut stuck = false;
        for (output, state) in self.plan.outputs.iter().zip(&mut self.story.outputs) {
            if !is_stream(output) && state.progress == Progress::Open {
                state.progress = Progress::Lost;
                stuck = true;
            }
        }
        for stream in &mut self.story.streams {
            stream.gone = true;
        }
        if stuck {
            self.note_broken(fault::frozen());
        }
        self.advance();
    }

    /// Closing → Storing → Manifests → Over, as far as it goes.
    pub(super) fn advance(&mut self) {
        if matches!(self.phase, Phase::Closing { .. }) && self.all_closed() {
            self.phase = Phase::Storing;
        }
        let storing = |state: &OutputStory| state.progress == Progress::Storing;
        if self.phase == Phase::Storing && !self.story.outputs.iter().any(storing) {
            let left = self.manifests();
            if left.is_empty() {
                self.finish();
                return;
            }
            self.effects
                .extend(left.iter().copied().map(Effect::StoreManifest));
            self.phase = Phase::Manifests {
                until: self.mono.checked_add(self.waits.manifest),
                left,
            };
        }
    }

    pub(super) fn all_closed(&self) -> bool {
        self.story.streams.iter().all(|stream| stream.gone)
            && self
                .plan
                .outputs
                .iter()
                .zip(&self.story.outputs)
                .all(|(output, state)| is_stream(output) || state.progress != Progress::Open)
    }

    /// Wanted beside every output that was stored, or made where the backup store was used (§3.8).
    pub(super) fn manifests(&self) -> Vec<OutputId> {
        if !self.wants_manifests {
            return Vec::new();
        }
        self.plan
            .outputs
            .iter()
            .zip(&self.story.outputs)
            .enumerate()
            .filter(|(_, (output, state))| {
                let asked = match output {
                    Output::File(file) => file.manifest,
                    Output::Segments(segments) => segments.manifest,
                    Output::Images(images) => images.manifest,
                    Output::Stream(_) | Output::WebSocket(_) => return false,
                };
                state.progress == Progress::Stored && (asked || self.story.backup_used)
            })
            .map(|(index, _)| OutputId(index))
            .collect()
    }

    /// The end after media was recorded.
    pub(super) fn finish(&mut self) {
        let status = match (self.fault.take(), self.limit_hit_at) {
            (Some(fault), _) => Status::Failed(fault),
            (None, Some(_)) => Status::LimitReached(fault::limit_reached()),
            (None, None) => Status::Complete,
        };
        self.story.ended_at = Some(match &status {
            Status::LimitReached(_) => self.limit_hit_at.unwrap_or(self.wall),
            Status::Starting
            | Status::Active
            | Status::Ending
            | Status::Complete
            | Status::Failed(_)
            | Status::Aborted(_) => self.wall,
        });
        self.settle(status);
        self.effects.push_back(Effect::Exit(Exit::Reported));
    }

    /// Stopped before anything was recorded.
    pub(super) fn abort_stopped(&mut self, reason: EndReason) {
        let fault = if self.is_signalled() {
            fault::stopped_before_start()
        } else {
            fault::no_start_signal()
        };
        self.abort(Some(reason), fault);
    }

    pub(super) fn abort(&mut self, reason: Option<EndReason>, fault: Fault) {
        self.story.reason = reason;
        self.leave_with(Status::Aborted(fault));
    }

    /// The end with nothing to keep: before media, or when the last stream target failed.
    pub(super) fn leave(&mut self, reason: EndReason, status: Status) {
        self.story.reason.get_or_insert(reason);
        self.leave_with(status);
    }

    pub(super) fn leave_with(&mut self, status: Status) {
        if self.has_media() {
            self.effects.push_back(Effect::DiscardMedia);
        }
        self.story.ended_at = Some(self.wall);
        if self.story.media_started.is_some() {
            self.story.media_ended.get_or_insert(self.wall);
        }
        self.settle(status);
        self.effects.push_back(Effect::CloseSource);
        self.effects.push_back(Effect::Exit(Exit::Reported));
    }

    pub(super) fn leave_silently(&mut self) {
        if self.has_media() {
            self.effects.push_back(Effect::DiscardMedia);
        }
        if self.source_is_open() {
            self.effects.push_back(Effect::CloseSource);
        }
        self.phase = Phase::Over;
        self.effects.push_back(Effect::Exit(Exit::Silent));
    }

    /// The last word: every stream has an end, the info is published, the machine stands still.
    pub(super) fn settle(&mut self, status: Status) {
        let outcome = match &status {
            Status::Failed(fault) => StreamOutcome::Failed(fault.message.clone()),
            Status::Starting
            | Status::Active
            | Status::Ending
            | Status::Complete
            | Status::Aborted(_)
            | Status::LimitReached(_) => StreamOutcome::Finished,
        };
        let at = self.story.media_ended.unwrap_or(self.wall);
        for stream in &mut self.story.streams {
            stream.end(at, outcome.clone());
        }
        self.story.status = status;
        self.phase = Phase::Over;
        self.publish();
    }
}
