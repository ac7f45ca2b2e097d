//! Pauses, cut out of media time.
//!
//! ```text
//!          close            open               key frame (or patience)
//! passing ───────► closed ───────► waiting ─────────────────────────────► passing, shifted
//! ```
//!
//! What passes first after a pause gets the time at which the sample before the pause ended; everything after it is
//! shifted by the same amount, so sound and pictures keep their distance.
//! Knows nothing of outputs: a pause is a pause for all.

use super::door::Door;
use super::output::PerKind;
use crate::{Kind, MediaTime, Sample};
use std::time::Duration;

/// How long sound waits for pictures after a pause.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last sample before a pause lasts at most, if it does not say: a still picture must not leave a hole.
const LONGEST_GUESS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Gate {
    has_video: bool,
    closed: bool,
    door: Door,
    shift: Shift,
    /// Last DTS and guessed duration that passed, in shifted time.
    last: [Option<(MediaTime, Duration)>; 2],
    discarded: PerKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shift {
    /// Subtract this.
    By(Duration),
    /// The next sample that passes gets this time.
    To(MediaTime),
}

impl Gate {
    pub(super) fn new(has_video: bool) -> Self {
        Self {
            has_video,
            closed: false,
            door: Door::open(has_video),
            shift: Shift::By(Duration::ZERO),
            last: [None; 2],
            discarded: PerKind::default(),
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn open(&mut self) {
        if std::mem::take(&mut self.closed) {
            let ends = self
                .last
                .iter()
                .flatten()
                .map(|(at, lasts)| at.plus(*lasts));
            self.shift = Shift::To(ends.max().unwrap_or(MediaTime::ZERO));
            self.door = Door::waiting(self.has_video, PATIENCE);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn wants_keyframe(&self) -> bool {
        self.door.wants_keyframe()
    }

    pub(super) fn discarded(&self) -> PerKind {
        self.discarded
    }

    /// The sample in shifted time, if it passes.
    pub(super) fn pass(&mut self, mut sample: Sample) -> Option<Sample> {
        if self.closed || !self.door.admits(&sample) {
            self.discarded.add(sample.kind);
            return None;
        }
        let by = match self.shift {
            Shift::By(by) => by,
            Shift::To(at) => {
                let by = sample.dts.since(at);
                self.shift = Shift::By(by);
                by
            }
        };
        sample.dts = earlier(sample.dts, by);
        sample.pts = earlier(sample.pts, by);
        let (last, unknown) = match (sample.kind, &mut self.last) {
            (Kind::Audio, [last, _]) => (last, Duration::from_millis(20)),
            (Kind::Video, [_, last]) => (last, Duration::from_millis(33)),
        };
        let lasts = match (sample.duration, *last) {
            (Duration::ZERO, None) => unknown,
            (Duration::ZERO, Some((before, _))) => sample.dts.since(before).min(LONGEST_GUESS),
            (known, _) => known,
        };
        *last = Some((sample.dts, lasts));
        Some(sample)
    }
}

fn earlier(t: MediaTime, by: Duration) -> MediaTime {
    let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    MediaTime::from_nanos(t.as_nanos().saturating_sub(by))
}
