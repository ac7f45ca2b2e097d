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

mod ends;
mod streams;

use super::effect::{Effect, Wait};
use super::input::{Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact};
use super::story::{
    EndReason, Progress, Status, Story, StreamStory, is_stream, starts_on_creation,
};
use crate::plan::Source;
use crate::settings::Waits;
use crate::{Fault, Now, Plan, info};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use wire::livekit::EgressInfo;

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
