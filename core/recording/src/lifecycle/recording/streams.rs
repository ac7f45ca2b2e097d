//! Stream targets of a recording: what their peers did, and UpdateStream.
//!
//! ```text
//! ACTIVE ──► FINISHED   removed, said goodbye, or the recording ended well
//!   │  └───► FAILED     given up by the driver, or the recording failed
//!   └ Retrying*
//! ```
//!
//! A stream that fails touches no other output. When nothing is left to record to, the recording ends: badly if the last one failed,
//! well if it was removed. Reconnecting, liveness and redaction are the driver's and the request's.

use super::{Part, Phase, RETRY_NOTICE, Recording};
use crate::lifecycle::effect::Effect;
use crate::lifecycle::input::{Ask, OutputId, StreamChange, StreamFact, StreamId};
use crate::lifecycle::story::{EndReason, Status, StreamOutcome, StreamStory, starts_on_creation};
use crate::plan::Output;
use crate::{Code, Fault, Refusal, info};
use wire::livekit::EgressStatus;

impl Recording {
    pub(super) fn on_stream(&mut self, id: StreamId, fact: StreamFact) {
        let part = self.part();
        if part == Part::Over {
            return;
        }
        let (wall, mono) = (self.wall, self.mono);
        let Some(stream) = self.story.streams.get_mut(id.0) else {
            return;
        };
        match fact {
            StreamFact::Opened => {
                if stream.is_active() && stream.started_at.is_none() {
                    stream.started_at = Some(wall);
                    self.stream_news = true;
                }
            }
            StreamFact::Retrying => {
                if stream.is_active() {
                    stream.retries = stream.retries.saturating_add(1);
                    stream.last_retry_at = Some(wall);
                    if let Some(noticed) = self.retry_noticed.get_mut(id.0)
                        && noticed.is_none_or(|at| mono.duration_since(at) >= RETRY_NOTICE)
                    {
                        *noticed = Some(mono);
                        self.stream_news = true;
                    }
                }
            }
            StreamFact::Failed(fault) => {
                stream.gone = true;
                if stream.is_active() {
                    stream.end(wall, StreamOutcome::Failed(fault.message.clone()));
                    self.stream_news = true;
                    let output = stream.output;
                    self.after_stream_failure(output, fault);
                }
                self.advance();
            }
            StreamFact::Closed => {
                stream.gone = true;
                if part != Part::Ending && stream.is_active() {
                    // It said goodbye by itself: as good as removed.
                    stream.end(wall, StreamOutcome::Finished);
                    self.stream_news = true;
                    self.after_last_stream();
                }
                self.advance();
            }
        }
    }

    /// All targets of a stream output fail together (its muxer broke).
    pub(super) fn stream_output_failed(&mut self, id: OutputId, fault: &Fault) {
        let wall = self.wall;
        let mut any = false;
        for stream in &mut self.story.streams {
            if stream.output == id && !stream.gone {
                stream.gone = true;
                any |= stream.is_active();
                stream.end(wall, StreamOutcome::Failed(fault.message.clone()));
            }
        }
        if any {
            self.stream_news = true;
            self.after_stream_failure(id, fault.clone());
        }
        self.advance();
    }

    /// Other outputs go on; without any the recording has failed with the last one's error (§5.4).
    pub(super) fn after_stream_failure(&mut self, output: OutputId, fault: Fault) {
        if self.has_live_outputs() || self.part() == Part::Ending {
            return;
        }
        let code = match self.plan.outputs.iter().nth(output.0) {
            // The dial of a WebSocket is the request's mistake, the rest is the peer's (§5.7).
            Some(Output::WebSocket(_)) => fault.code,
            _ => Code::Unavailable,
        };
        let fault = Fault::new(code, fault.message);
        self.leave(EndReason::Failure, Status::Failed(fault));
    }

    pub(super) fn after_last_stream(&mut self) {
        if self.has_live_outputs() {
            return;
        }
        match self.part() {
            Part::Before => self.abort_stopped(EndReason::AllStreamsStopped),
            Part::Active => self.end(EndReason::AllStreamsStopped),
            Part::Ending | Part::Over => {}
        }
    }

    pub(super) fn on_update_stream(&mut self, ask: Ask, change: StreamChange) {
        let answer = match self.part() {
            // Nothing comes after the exit; who asks finds no recording any more.
            Part::Over => return,
            Part::Ending => Err(Refusal::new(
                Code::FailedPrecondition,
                format!(
                    "egress with status {} cannot be updated",
                    EgressStatus::EgressEnding.as_str_name()
                ),
            )),
            Part::Before | Part::Active => self.change_streams(change),
        };
        let answer = answer.map(|()| self.info());
        // Nothing but the way out comes after a terminal info.
        let at = self
            .effects
            .iter()
            .position(|effect| match effect {
                Effect::Publish(info) => info::is_terminal(info.status),
                Effect::Exit(_) => true,
                Effect::OpenSource
                | Effect::StartMedia
                | Effect::StopMedia
                | Effect::DiscardMedia
                | Effect::CloseOutputs
                | Effect::OpenStream(..)
                | Effect::CloseStream(_)
                | Effect::Store(_)
                | Effect::StoreManifest(_)
                | Effect::CloseSource
                | Effect::Answer(..) => false,
            })
            .unwrap_or(self.effects.len());
        self.effects
            .insert(at, Effect::Answer(ask, Box::new(answer)));
    }

    pub(super) fn change_streams(&mut self, change: StreamChange) -> Result<(), Refusal> {
        let output = self
            .plan
            .outputs
            .iter()
            .position(|output| matches!(output, Output::Stream(_)))
            .map(OutputId)
            .ok_or_else(|| {
                Refusal::new(
                    Code::InvalidArgument,
                    "UpdateStream called on non-streaming egress",
                )
            })?;
        let mut refused = change.refused;
        for url in change.add {
            // Asked again after a lost answer: it is there already.
            if self.active_stream(url.url.reveal()).is_some() {
                continue;
            }
            let id = StreamId(self.story.streams.len());
            self.story.streams.push(StreamStory {
                output,
                url: url.clone(),
                outcome: StreamOutcome::Active,
                started_at: starts_on_creation(&self.plan, output).then_some(self.wall),
                ended_at: None,
                retries: 0,
                last_retry_at: None,
                gone: false,
            });
            self.retry_noticed.push(None);
            self.stream_news = true;
            self.stream_effect(Effect::OpenStream(id, url));
        }
        let mut removed = false;
        for url in change.remove {
            let Some(id) = self.active_stream(url.reveal()) else {
                // The text goes to who gave the URL, and to nobody else.
                refused.push(Refusal::new(
                    Code::NotFound,
                    format!("stream {} not found", url.reveal()),
                ));
                continue;
            };
            if let Some(stream) = self.story.streams.get_mut(id.0) {
                stream.end(self.wall, StreamOutcome::Finished);
            }
            removed = true;
            self.stream_news = true;
            self.stream_effect(Effect::CloseStream(id));
        }
        if self.stream_news {
            self.touch();
        }
        if removed {
            self.after_last_stream();
        }
        joined(refused)
    }

    /// Streams that are changed before there is media are changed once there is.
    pub(super) fn stream_effect(&mut self, effect: Effect) {
        match &self.phase {
            Phase::Opening { .. } | Phase::Awaiting { .. } => self.queued_streams.push(effect),
            Phase::Starting { .. }
            | Phase::Active
            | Phase::Draining { .. }
            | Phase::Closing { .. }
            | Phase::Storing
            | Phase::Manifests { .. }
            | Phase::Over => self.effects.push_back(effect),
        }
    }

    pub(super) fn active_stream(&self, url: &str) -> Option<StreamId> {
        self.story
            .streams
            .iter()
            .position(|stream| stream.is_active() && stream.url.url.reveal() == url)
            .map(StreamId)
    }

    /// One update when all that was added has started or failed (§5.2); the end does not wait for it.
    pub(super) fn publish_stream_news(&mut self) {
        let settled = self
            .story
            .streams
            .iter()
            .all(|stream| !stream.is_active() || stream.started_at.is_some());
        if self.stream_news && settled && self.phase == Phase::Active {
            self.stream_news = false;
            self.publish();
        }
    }
}

/// Several refusals become one: texts by line, code of the first (§5.6).
fn joined(refused: Vec<Refusal>) -> Result<(), Refusal> {
    let Some(first) = refused.first() else {
        return Ok(());
    };
    let texts: Vec<&str> = refused.iter().map(|r| r.message.as_str()).collect();
    Err(Refusal::new(first.code, texts.join("\n")))
}
