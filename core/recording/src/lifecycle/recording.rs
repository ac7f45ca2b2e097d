//! The state machine of one recording.
//!
//! ```text
//!  Opening ──Opened──► Awaiting ──StartSignal──► Starting ──Playing──► Active
//!     │                   │                         │                    │ Stop, Ended, limit, faults
//!     └── stop, end, fault, deadline: nothing was recorded ──┐           ▼
//!                                                            │        Draining ──Drained──► Closing ──► Storing ──► Manifests
//!                                                            ▼                                                        │
//!                                             Publish(ABORTED | FAILED)                    Publish(COMPLETE | FAILED | LIMIT_REACHED)
//!                                             CloseSource, Exit                                                     Exit ◄┘
//! ```
//!
//! A page that needs no start signal goes from Opening straight to Starting. `Media(Failed)` skips Draining. The source is closed as
//! soon as nothing more is read from it (entering Closing), not when uploads are done. Each output is stored as soon as it is
//! closed. `Stop(DuplicateIdentity)` leaves from anywhere without a word.
//!
//! What ended a recording and what became of it are two things: `reason` is said once (the first wins), a fault in any later phase
//! turns the end into FAILED (the first wins, too). Media that was recorded is closed and stored whatever happened:
//! upstream drops it on fatal errors (egress-behaviour.md §8.4), here FAILED comes with the file.
//!
//! Does not know: which driver does what, what storage is, how long an upload takes, who listens to the infos.

use super::effect::{Effect, Exit, Wait};
use super::input::{
    Ask, Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact, StopReason,
    StreamChange, StreamFact, StreamId,
};
use super::story::{
    EndReason, Progress, Status, Story, StreamOutcome, StreamStory, is_stream, starts_on_creation,
};
use crate::plan::{Output, Source};
use crate::settings::Waits;
use crate::{Code, Fault, Now, Plan, Refusal, fault, info};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use wire::livekit::{EgressInfo, EgressStatus};

/// At most one update per stream and this long for reconnects (egress-behaviour.md §5.3).
const RETRY_NOTICE: Duration = Duration::from_secs(60);

/// One recording from its plan to its exit.
#[derive(Clone, Debug)]
pub struct Recording {
    plan: Plan,
    waits: Waits,
    phase: Phase,
    story: Story,
    effects: VecDeque<Effect>,
    /// The wall clock, made monotonic; Unix nanoseconds.
    wall: i64,
    mono: Instant,
    /// When the session limit comes; known once the source is open.
    limit_at: Option<Instant>,
    /// When the start signal came.
    signalled_at: Option<i64>,
    /// When the limit was hit.
    limit_hit_at: Option<i64>,
    /// When the end was asked for.
    stopped_at: Option<i64>,
    fault: Option<Fault>,
    /// Manifests are not written for recordings that broke (egress-behaviour.md §3.8).
    wants_manifests: bool,
    /// Effects for streams that were changed before there was media.
    queued_streams: Vec<Effect>,
    /// When the last update about a reconnect went out, per stream.
    retry_noticed: Vec<Option<Instant>>,
    /// A change of streams is yet to be published.
    stream_news: bool,
    dropped: u64,
}

/// Where the recording is, with the deadline of that phase. Terminal: `Over`.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Opening {
        until: Option<Instant>,
    },
    Awaiting {
        until: Option<Instant>,
    },
    Starting {
        until: Option<Instant>,
    },
    Active,
    Draining {
        until: Option<Instant>,
    },
    Closing {
        until: Option<Instant>,
    },
    Storing,
    Manifests {
        until: Option<Instant>,
        left: Vec<OutputId>,
    },
    Over,
}

/// The three parts of a life that most inputs ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Nothing is recorded yet.
    Before,
    Active,
    /// Draining to manifests.
    Ending,
    Over,
}

impl Recording {
    /// A recording that opens its source at once, with the default deadlines.
    #[must_use]
    pub fn new(plan: Plan, now: Now) -> Self {
        Self::with_waits(plan, Waits::default(), now)
    }

    /// A recording that opens its source at once.
    #[must_use]
    pub fn with_waits(plan: Plan, waits: Waits, now: Now) -> Self {
        let open = match &plan.source {
            Source::Page(_) => waits.page_open(),
            Source::Room(_) => waits.room_open,
        };
        let story = Story::new(&plan);
        Self {
            phase: Phase::Opening {
                until: now.mono.checked_add(open),
            },
            wall: plan.identity.requested_at.max(now.unix_nanos()),
            mono: now.mono,
            retry_noticed: vec![None; story.streams.len()],
            story,
            plan,
            waits,
            effects: VecDeque::from([Effect::OpenSource]),
            limit_at: None,
            signalled_at: None,
            limit_hit_at: None,
            stopped_at: None,
            fault: None,
            wants_manifests: true,
            queued_streams: Vec::new(),
            stream_news: false,
            dropped: 0,
        }
    }

    /// Takes one input; drain [`poll_effect`](Self::poll_effect) afterwards. Inputs after the exit are ignored.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.wall = self.wall.max(now.unix_nanos());
        self.mono = self.mono.max(now.mono);
        match input {
            Input::Source(fact) => self.on_source(fact),
            Input::Media(fact) => self.on_media(fact),
            Input::Output(id, fact) => self.on_output(id, fact),
            Input::Stream(id, fact) => self.on_stream(id, fact),
            Input::Manifest(id, fact) => self.on_manifest(id, fact),
            Input::Stop(reason) => self.on_stop(reason),
            Input::UpdateStream(ask, change) => self.on_update_stream(ask, change),
            Input::Tick => {}
        }
        self.publish_stream_news();
        if self.poll_timeout().is_some_and(|at| at <= self.mono) {
            self.on_deadline();
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to come back with [`Input::Tick`] at the latest; [`waiting`](Self::waiting) says why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Opening { until }
            | Phase::Draining { until }
            | Phase::Closing { until }
            | Phase::Manifests { until, .. } => *until,
            Phase::Awaiting { until } | Phase::Starting { until } => earlier(*until, self.limit_at),
            Phase::Active => self.limit_at,
            Phase::Storing | Phase::Over => None,
        }
    }

    /// What it is waiting for.
    #[must_use]
    pub const fn waiting(&self) -> Wait {
        match &self.phase {
            Phase::Opening { .. } => Wait::SourceOpen,
            Phase::Awaiting { .. } => Wait::StartSignal,
            Phase::Starting { .. } => Wait::MediaStart,
            Phase::Active => Wait::Recording,
            Phase::Draining { .. } => Wait::Drain,
            Phase::Closing { .. } => Wait::Close,
            Phase::Storing => Wait::Store,
            Phase::Manifests { .. } => Wait::Manifest,
            Phase::Over => Wait::Nothing,
        }
    }

    /// The info as of now: the answer to StopEgress.
    #[must_use]
    pub fn info(&self) -> EgressInfo {
        info::project(&self.plan, &self.story)
    }

    /// The exit was reached (its effect may still be to poll).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What is recorded.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Frames thrown away so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    const fn part(&self) -> Part {
        match &self.phase {
            Phase::Opening { .. } | Phase::Awaiting { .. } | Phase::Starting { .. } => Part::Before,
            Phase::Active => Part::Active,
            Phase::Draining { .. }
            | Phase::Closing { .. }
            | Phase::Storing
            | Phase::Manifests { .. } => Part::Ending,
            Phase::Over => Part::Over,
        }
    }

    // ---- facts -----------------------------------------------------------------------------------------------------

    fn on_source(&mut self, fact: SourceFact) {
        match (fact, self.part()) {
            (SourceFact::Opened, Part::Before) => self.source_opened(),
            (SourceFact::StartSignal, Part::Before) => {
                self.signalled_at.get_or_insert(self.wall);
                if matches!(self.phase, Phase::Awaiting { .. }) {
                    self.start_media();
                }
            }
            (SourceFact::Ended, Part::Before) => self.abort_stopped(EndReason::SourceClosed),
            (SourceFact::Ended, Part::Active) => self.end(EndReason::SourceClosed),
            (SourceFact::Failed(fault), Part::Before) => {
                self.leave(EndReason::Failure, Status::Failed(fault));
            }
            (SourceFact::Failed(fault), Part::Active) => {
                // A lost room is said to have closed (§8.3) and drains like one; a crashed page is our own addition.
                let reason = match &self.plan.source {
                    Source::Room(_) => EndReason::SourceClosed,
                    Source::Page(_) => EndReason::Failure,
                };
                self.note(fault);
                self.end(reason);
            }
            // Reading has ended: what becomes of the source matters to nobody.
            (SourceFact::Ended | SourceFact::Failed(_), Part::Ending)
            | (SourceFact::Opened | SourceFact::StartSignal, Part::Active | Part::Ending)
            | (_, Part::Over) => {}
        }
    }

    fn source_opened(&mut self) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        self.limit_at = self
            .plan
            .limits
            .max_duration
            .and_then(|limit| self.mono.checked_add(limit));
        if self.is_signalled() {
            self.start_media();
        } else {
            let start = match (self.plan.limits.start_timeout, self.waits.start) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, other) => one.or(other),
            };
            self.phase = Phase::Awaiting {
                until: start.and_then(|after| self.mono.checked_add(after)),
            };
        }
    }

    /// The start signal came, or none is needed.
    const fn is_signalled(&self) -> bool {
        match &self.plan.source {
            Source::Page(page) => !page.await_start_signal || self.signalled_at.is_some(),
            Source::Room(_) => self.signalled_at.is_some(),
        }
    }

    fn start_media(&mut self) {
        self.phase = Phase::Starting {
            until: self.mono.checked_add(self.waits.media_start),
        };
        self.effects.push_back(Effect::StartMedia);
        self.effects.extend(self.queued_streams.drain(..));
    }

    fn on_media(&mut self, fact: MediaFact) {
        if let MediaFact::Dropped { frames, .. } = &fact {
            self.dropped = self.dropped.saturating_add(*frames);
            return;
        }
        match &self.phase {
            Phase::Starting { .. } => match fact {
                MediaFact::Playing => self.playing(),
                MediaFact::Drained { .. } => self.abort_stopped(EndReason::SourceClosed),
                MediaFact::Failed(fault) => self.leave(EndReason::Failure, Status::Failed(fault)),
                MediaFact::Dropped { .. } => {}
            },
            Phase::Active => match fact {
                // The end came through the media before anybody asked for it (vectors/controller_eos.json).
                MediaFact::Drained { position } => {
                    self.end_quietly(EndReason::SourceClosed);
                    self.announce_ending();
                    self.drained(position);
                }
                MediaFact::Failed(fault) => {
                    self.note_broken(fault);
                    self.end_quietly(EndReason::Failure);
                    self.close_outputs();
                }
                MediaFact::Playing | MediaFact::Dropped { .. } => {}
            },
            Phase::Draining { .. } => match fact {
                MediaFact::Drained { position } => self.drained(position),
                MediaFact::Failed(fault) => {
                    // Errors after the end was sent do not change a stream-only egress (§8.4).
                    if self.has_stored_outputs() {
                        self.note_broken(fault);
                    }
                    self.close_outputs();
                }
                MediaFact::Playing | MediaFact::Dropped { .. } => {}
            },
            Phase::Opening { .. }
            | Phase::Awaiting { .. }
            | Phase::Closing { .. }
            | Phase::Storing
            | Phase::Manifests { .. }
            | Phase::Over => {}
        }
    }

    fn playing(&mut self) {
        // Room: time 0 is the first packet. Page: time 0 is now.
        let started = match &self.plan.source {
            Source::Room(_) => self.signalled_at.unwrap_or(self.wall),
            Source::Page(_) => self.wall,
        };
        self.story.media_started = Some(started);
        for stream in &mut self.story.streams {
            if stream.is_active() && starts_on_creation(&self.plan, stream.output) {
                stream.started_at = Some(started);
            }
        }
        self.phase = Phase::Active;
        self.story.status = Status::Active;
        self.stream_news = false;
        self.publish();
    }

    fn drained(&mut self, position: Option<Duration>) {
        if let (Source::Room(_), Some(position), Some(started)) =
            (&self.plan.source, position, self.story.media_started)
        {
            let length = i64::try_from(position.as_nanos()).unwrap_or(i64::MAX);
            self.story.media_ended = Some(started.saturating_add(length));
        }
        self.close_outputs();
    }

    fn on_output(&mut self, id: OutputId, fact: OutputFact) {
        let part = self.part();
        let Some(streams) = self.plan.outputs.iter().nth(id.0).map(is_stream) else {
            return;
        };
        if part == Part::Over {
            return;
        }
        if streams {
            if let OutputFact::Failed(fault) = fact {
                self.stream_output_failed(id, &fault);
            }
            return;
        }
        let Some(state) = self.story.outputs.get_mut(id.0) else {
            return;
        };
        match fact {
            OutputFact::Opened => {}
            OutputFact::Named { name, live } => {
                state.name = Some(name);
                if live.is_some() {
                    state.live_name = live;
                }
            }
            OutputFact::Size(bytes) => {
                state.on_disk = bytes;
                self.check_size();
            }
            OutputFact::Piece { size, backup } => {
                state.pieces = state.pieces.saturating_add(1);
                state.pieces_size = state.pieces_size.saturating_add(size);
                self.story.backup_used |= backup;
            }
            OutputFact::Playlist {
                location,
                live,
                backup,
            } => {
                if live {
                    state.live_location = location;
                } else {
                    state.location = location;
                }
                self.story.backup_used |= backup;
            }
            OutputFact::Closed { size, duration } => {
                if state.progress == Progress::Open {
                    state.progress = Progress::Closed;
                    state.size = Some(size);
                    state.duration = duration;
                    self.store_closed();
                }
            }
            OutputFact::Failed(fault) => self.output_failed(id, fault),
            OutputFact::Stored {
                location,
                size,
                backup,
            } => {
                if !location.is_empty() {
                    state.location = location;
                }
                state.size = Some(size);
                self.story.backup_used |= backup;
                if state.progress == Progress::Storing {
                    state.progress = Progress::Stored;
                    self.advance();
                }
            }
            OutputFact::StoreFailed(fault) => self.store_failed(id, fault),
        }
    }

    fn output_failed(&mut self, id: OutputId, fault: Fault) {
        match self.part() {
            Part::Before => self.leave(EndReason::Failure, Status::Failed(fault)),
            Part::Active => {
                // The others drain; this one is asked to close like them and keeps what it can.
                self.note_broken(fault);
                self.end(EndReason::Failure);
            }
            Part::Ending => {
                self.note_broken(fault);
                if matches!(self.phase, Phase::Closing { .. }) {
                    self.lose(id, Progress::Open);
                }
            }
            Part::Over => {}
        }
    }

    fn store_failed(&mut self, id: OutputId, fault: Fault) {
        match self.part() {
            Part::Before => self.leave(EndReason::Failure, Status::Failed(fault)),
            Part::Active => {
                self.note_broken(fault);
                self.end(EndReason::Failure);
            }
            Part::Ending => {
                self.note(fault);
                self.lose(id, Progress::Storing);
            }
            Part::Over => {}
        }
    }

    /// Nothing more comes of this output, if it is where it is thought to be.
    fn lose(&mut self, id: OutputId, from: Progress) {
        if let Some(state) = self.story.outputs.get_mut(id.0)
            && state.progress == from
        {
            state.progress = Progress::Lost;
            self.advance();
        }
    }

    fn on_manifest(&mut self, id: OutputId, fact: ManifestFact) {
        let Phase::Manifests { left, .. } = &mut self.phase else {
            return;
        };
        if !left.contains(&id) {
            return;
        }
        left.retain(|other| *other != id);
        let done = left.is_empty();
        match fact {
            ManifestFact::Stored { location, backup } => {
                self.story.manifest_location.get_or_insert(location);
                self.story.backup_used |= backup;
            }
            ManifestFact::Failed => {}
        }
        if done {
            self.finish();
        }
    }

    // ---- streams ---------------------------------------------------------------------------------------------------

    fn on_stream(&mut self, id: StreamId, fact: StreamFact) {
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
    fn stream_output_failed(&mut self, id: OutputId, fault: &Fault) {
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
    fn after_stream_failure(&mut self, output: OutputId, fault: Fault) {
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

    fn after_last_stream(&mut self) {
        if self.has_live_outputs() {
            return;
        }
        match self.part() {
            Part::Before => self.abort_stopped(EndReason::AllStreamsStopped),
            Part::Active => self.end(EndReason::AllStreamsStopped),
            Part::Ending | Part::Over => {}
        }
    }

    fn on_update_stream(&mut self, ask: Ask, change: StreamChange) {
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

    fn change_streams(&mut self, change: StreamChange) -> Result<(), Refusal> {
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
    fn stream_effect(&mut self, effect: Effect) {
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

    fn active_stream(&self, url: &str) -> Option<StreamId> {
        self.story
            .streams
            .iter()
            .position(|stream| stream.is_active() && stream.url.url.reveal() == url)
            .map(StreamId)
    }

    /// One update when all that was added has started or failed (§5.2); the end does not wait for it.
    fn publish_stream_news(&mut self) {
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

    // ---- ends ------------------------------------------------------------------------------------------------------

    fn on_stop(&mut self, reason: StopReason) {
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

    fn on_deadline(&mut self) {
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

    fn check_size(&mut self) {
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

    fn limit(&mut self) {
        self.limit_hit_at = Some(self.wall);
        self.end(EndReason::Limit);
    }

    /// Active → Draining.
    fn end(&mut self, reason: EndReason) {
        self.end_quietly(reason);
        self.announce_ending();
        self.phase = Phase::Draining {
            until: self.mono.checked_add(self.waits.drain),
        };
        self.effects.push_back(Effect::StopMedia);
    }

    fn end_quietly(&mut self, reason: EndReason) {
        self.story.reason.get_or_insert(reason);
        self.story.status = Status::Ending;
        self.stopped_at = Some(self.wall);
        self.story.media_ended = Some(self.wall);
        self.stream_news = false;
        self.touch();
    }

    /// ENDING is told unless a limit or a fatal error ended it (§8.6).
    fn announce_ending(&mut self) {
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

    fn close_outputs(&mut self) {
        self.phase = Phase::Closing {
            until: self.mono.checked_add(self.waits.close),
        };
        self.effects.push_back(Effect::CloseOutputs);
        self.effects.push_back(Effect::CloseSource);
        self.store_closed();
        self.advance();
    }

    /// Stores whatever is closed and not on its way yet.
    fn store_closed(&mut self) {
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

    fn give_up_closing(&mut self) {
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
    fn advance(&mut self) {
        if matches!(self.phase, Phase::Closing { .. }) && self.all_closed() {
            self.phase = Phase::Storing;
        }
        let storing = |state: &super::story::OutputStory| state.progress == Progress::Storing;
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

    fn all_closed(&self) -> bool {
        self.story.streams.iter().all(|stream| stream.gone)
            && self
                .plan
                .outputs
                .iter()
                .zip(&self.story.outputs)
                .all(|(output, state)| is_stream(output) || state.progress != Progress::Open)
    }

    /// Wanted beside every output that was stored, or made where the backup store was used (§3.8).
    fn manifests(&self) -> Vec<OutputId> {
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
    fn finish(&mut self) {
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
    fn abort_stopped(&mut self, reason: EndReason) {
        let fault = if self.is_signalled() {
            fault::stopped_before_start()
        } else {
            fault::no_start_signal()
        };
        self.abort(Some(reason), fault);
    }

    fn abort(&mut self, reason: Option<EndReason>, fault: Fault) {
        self.story.reason = reason;
        self.leave_with(Status::Aborted(fault));
    }

    /// The end with nothing to keep: before media, or when the last stream target failed.
    fn leave(&mut self, reason: EndReason, status: Status) {
        self.story.reason.get_or_insert(reason);
        self.leave_with(status);
    }

    fn leave_with(&mut self, status: Status) {
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

    fn leave_silently(&mut self) {
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
    fn settle(&mut self, status: Status) {
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

    // ---- small words -----------------------------------------------------------------------------------------------

    /// The recording has failed, and its media is whole up to here.
    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// The recording has failed in a way that writes no manifests.
    fn note_broken(&mut self, fault: Fault) {
        self.wants_manifests = false;
        self.note(fault);
    }

    fn has_stored_outputs(&self) -> bool {
        self.plan.outputs.iter().any(|output| !is_stream(output))
    }

    fn has_live_outputs(&self) -> bool {
        self.has_stored_outputs() || self.story.streams.iter().any(StreamStory::is_active)
    }

    /// The driver was told to start media and not yet to close the outputs or throw all away.
    const fn has_media(&self) -> bool {
        match &self.phase {
            Phase::Starting { .. }
            | Phase::Active
            | Phase::Draining { .. }
            | Phase::Closing { .. }
            | Phase::Storing
            | Phase::Manifests { .. } => true,
            Phase::Opening { .. } | Phase::Awaiting { .. } | Phase::Over => false,
        }
    }

    /// The driver was not yet told to close the source.
    const fn source_is_open(&self) -> bool {
        match &self.phase {
            Phase::Opening { .. }
            | Phase::Awaiting { .. }
            | Phase::Starting { .. }
            | Phase::Active
            | Phase::Draining { .. } => true,
            Phase::Closing { .. } | Phase::Storing | Phase::Manifests { .. } | Phase::Over => false,
        }
    }

    fn touch(&mut self) {
        self.story.updated_at = self.wall;
    }

    fn publish(&mut self) {
        self.touch();
        let info = Box::new(self.info());
        self.effects.push_back(Effect::Publish(info));
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
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
