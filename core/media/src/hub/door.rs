//! Where a stream begins, and begins again: at a key frame.
//!
//! ```text
//!           key frame                        pictures lost
//! Waiting ───────────► Open{video: true} ◄──────────────────┐
//!    │                        │             key frame       │
//!    │ sound for `patience`   └──────► Open{video: false} ──┘
//!    └───────────────────────────────────────▲
//! ```
//!
//! Sound is held back with the pictures so that both begin together, but not for ever: pictures may be off.
//! Knows nothing of queues.

use crate::{Kind, MediaTime, Sample};
use std::time::Duration;

/// Lets samples through or not.
#[derive(Clone, Debug)]
pub(super) struct Door {
    has_video: bool,
    patience: Duration,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Since the first sample turned away.
    Waiting { since: Option<MediaTime> },
    /// Nothing earlier than `floor` passes any more: it would be from before the beginning.
    Open { video: bool, floor: MediaTime },
}

impl Door {
    /// Closed until a key frame; sound alone passes once it waited for `patience` of media time.
    pub(super) fn waiting(has_video: bool, patience: Duration) -> Self {
        Self {
            has_video,
            patience,
            state: State::Waiting { since: None },
        }
    }

    /// Everything passes.
    pub(super) fn open(has_video: bool) -> Self {
        Self {
            has_video,
            patience: Duration::ZERO,
            state: State::Open {
                video: true,
                floor: MediaTime::ZERO,
            },
        }
    }

    /// Whether the sample passes.
    pub(super) fn admits(&mut self, sample: &Sample) -> bool {
        let at = sample.dts;
        match (&mut self.state, sample.kind) {
            (State::Waiting { .. }, Kind::Video) if sample.keyframe => {
                // Who wants sound at once wants that of a slower encoder, too.
                let floor = if self.patience.is_zero() {
                    MediaTime::ZERO
                } else {
                    at
                };
                self.state = State::Open { video: true, floor };
                true
            }
            (State::Waiting { since }, Kind::Video) => {
                since.get_or_insert(at);
                false
            }
            (State::Waiting { since }, Kind::Audio) => {
                let waited = at.since(*since.get_or_insert(at));
                if self.has_video && waited < self.patience {
                    return false;
                }
                self.state = State::Open {
                    video: false,
                    floor: at,
                };
                true
            }
            (State::Open { floor, .. }, Kind::Audio) => at >= *floor,
            (State::Open { video, .. }, Kind::Video) => {
                *video |= sample.keyframe;
                *video
            }
        }
    }

    /// A picture did not get through: no more until a key frame.
    pub(super) fn lose_video(&mut self) {
        if let State::Open { video, .. } = &mut self.state {
            *video = false;
        }
    }

    /// Whether pictures wait for a key frame.
    pub(super) fn wants_keyframe(&self) -> bool {
        self.has_video
            && match self.state {
                State::Waiting { .. } => true,
                State::Open { video, .. } => !video,
            }
    }
}
