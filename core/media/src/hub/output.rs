//! One output's queue, its budget, and what is dropped when it is too slow.
//!
//! Over budget, in this order:
//! 1. a later key frame is queued: everything before it goes, oldest first, so that what is left is as fresh as can be;
//! 2. no pictures are queued: the oldest sound goes;
//! 3. all pictures queued are of one group: the new sample goes, and after a picture all pictures up to the next key
//!    frame.
//!
//! So what follows a loss of pictures is a key frame, and what came before it was decodable to its end.
//! Knows nothing of other outputs.

use super::door::Door;
use crate::{Kind, MediaTime, Sample};
use std::collections::VecDeque;
use std::time::Duration;

/// How much may wait for an output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Bytes of sample data.
    pub bytes: usize,
    /// Media time from where the output is to the newest sample queued.
    pub duration: Duration,
}

/// How an output takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Join {
    /// What may wait for it.
    pub budget: Budget,
    /// How long, in media time, sound is held back for pictures to begin with. Zero: sound at once, pictures from their
    /// first key frame (files); more: both at the first key frame, if there is one in this time (streams).
    pub patience: Duration,
}

impl Join {
    /// For a file: sound at once, and a budget that only a dead disk exhausts (256 MiB, 60 s).
    #[must_use]
    pub const fn file() -> Self {
        Self {
            budget: Budget {
                bytes: 256 << 20,
                duration: Duration::from_secs(60),
            },
            patience: Duration::ZERO,
        }
    }

    /// For a live stream: both at a key frame, and never more than 5 s or 16 MiB behind.
    #[must_use]
    pub const fn stream() -> Self {
        Self {
            budget: Budget {
                bytes: 16 << 20,
                duration: Duration::from_secs(5),
            },
            patience: Duration::from_secs(2),
        }
    }
}

/// Samples by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PerKind {
    /// Of sound.
    pub audio: u64,
    /// Of pictures.
    pub video: u64,
}

impl PerKind {
    pub(super) fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Audio => self.audio += 1,
            Kind::Video => self.video += 1,
        }
    }

    fn of(self, kind: Kind) -> u64 {
        match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        }
    }
}

/// A loss, told where it happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Samples lost.
    pub lost: PerKind,
    /// DTS of the earliest.
    pub from: MediaTime,
    /// DTS of the latest.
    pub to: MediaTime,
}

impl Gap {
    fn of(sample: &Sample) -> Self {
        let mut lost = PerKind::default();
        lost.add(sample.kind);
        Self {
            lost,
            from: sample.dts,
            to: sample.dts,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            lost: PerKind {
                audio: self.lost.audio + other.lost.audio,
                video: self.lost.video + other.lost.video,
            },
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }
}

fn join(gap: Option<Gap>, more: Gap) -> Option<Gap> {
    Some(gap.map_or(more, |g| g.and(more)))
}

/// What an output gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A sample.
    Sample(Sample),
    /// Samples are missing here.
    Gap(Gap),
    /// Nothing more will come. Told once.
    End,
}

/// What became of the samples offered to an output: offered = skipped + dropped + delivered + queued.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Popped.
    pub delivered: PerKind,
    /// Lost because the output was too slow.
    pub dropped: PerKind,
    /// Not for this output: before the key frame it began at.
    pub skipped: PerKind,
    /// Waiting.
    pub queued: PerKind,
    /// Bytes waiting.
    pub queued_bytes: usize,
    /// Most bytes that ever waited.
    pub peak_bytes: usize,
    /// Media time from where the output is to the newest sample waiting.
    pub behind: Duration,
}

#[derive(Debug)]
pub(super) struct Output {
    budget: Budget,
    door: Door,
    queue: VecDeque<Item>,
    /// Lost at the back of the queue and not yet told.
    gap: Option<Gap>,
    /// A picture was lost and no key frame came since.
    losing: bool,
    newest: MediaTime,
    /// Latest DTS that left at the front. The streams may be apart, so what is at the front may be older.
    reached: MediaTime,
    stats: Stats,
}

impl Output {
    pub(super) fn new(join: Join, has_video: bool) -> Self {
        Self {
            budget: join.budget,
            door: Door::waiting(has_video, join.patience),
            queue: VecDeque::with_capacity(64),
            gap: None,
            losing: false,
            newest: MediaTime::ZERO,
            reached: MediaTime::ZERO,
            stats: Stats::default(),
        }
    }

    pub(super) fn offer(&mut self, sample: &Sample) {
        if !self.door.admits(sample) {
            if self.losing && sample.kind == Kind::Video {
                self.lose(sample);
            } else {
                self.stats.skipped.add(sample.kind);
            }
            return;
        }
        self.losing &= sample.kind == Kind::Audio;
        if self.gap.is_some_and(|g| g.lost.of(sample.kind) > 0) {
            self.queue.extend(self.gap.take().map(Item::Gap));
        }
        self.newest = self.newest.max(sample.dts);
        self.stats.queued.add(sample.kind);
        self.stats.queued_bytes += sample.data.len();
        self.queue.push_back(Item::Sample(sample.clone()));
        while self.is_over() {
            self.shed();
        }
        self.stats.peak_bytes = self.stats.peak_bytes.max(self.stats.queued_bytes);
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        if let Item::Sample(sample) = &item {
            self.unqueue(sample);
            self.reached = self.reached.max(sample.dts);
            self.stats.delivered.add(sample.kind);
        }
        Some(item)
    }

    /// After this, nothing is offered.
    pub(super) fn end(&mut self) {
        self.queue.extend(self.gap.take().map(Item::Gap));
        self.queue.push_back(Item::End);
    }

    pub(super) fn wants_keyframe(&self) -> bool {
        self.door.wants_keyframe()
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            behind: self.behind(),
            ..self.stats
        }
    }

    fn behind(&self) -> Duration {
        let oldest = self.queue.iter().find_map(as_sample);
        oldest.map_or(Duration::ZERO, |s| {
            self.newest.since(s.dts.max(self.reached))
        })
    }

    fn is_over(&self) -> bool {
        self.stats.queued_bytes > self.budget.bytes || self.behind() > self.budget.duration
    }

    /// Drops something: called with the newest sample at the back.
    fn shed(&mut self) {
        if self.stats.queued.video == 0 {
            return self.shed_front(1);
        }
        let mut samples = 0;
        let later_key = self.queue.iter().position(|item| {
            let Some(sample) = as_sample(item) else {
                return false;
            };
            samples += 1;
            samples > 1 && sample.kind == Kind::Video && sample.keyframe
        });
        match later_key {
            Some(_) => self.shed_front(samples - 1),
            None => self.shed_back(),
        }
    }

    /// Drops the oldest `n` samples and leaves one gap in their place.
    fn shed_front(&mut self, n: usize) {
        let (mut gap, mut left) = (None, n);
        while left > 0 {
            match self.queue.pop_front() {
                Some(Item::Sample(sample)) => {
                    left -= 1;
                    self.unqueue(&sample);
                    self.reached = self.reached.max(sample.dts);
                    self.stats.dropped.add(sample.kind);
                    gap = join(gap, Gap::of(&sample));
                }
                Some(Item::Gap(earlier)) => gap = join(gap, earlier),
                // The end is queued after the last offer; an empty queue is not over budget.
                Some(Item::End) | None => break,
            }
        }
        while let Some(Item::Gap(next)) = self.queue.front() {
            gap = join(gap, *next);
            self.queue.pop_front();
        }
        if let Some(gap) = gap {
            self.queue.push_front(Item::Gap(gap));
        }
    }

    /// Drops the newest sample; if it is a picture, the door drops those that need it.
    fn shed_back(&mut self) {
        if let Some(Item::Sample(sample)) = self.queue.pop_back() {
            self.unqueue(&sample);
            if sample.kind == Kind::Video {
                self.door.lose_video();
                self.losing = true;
            }
            // A gap put in front of it is no longer followed by anything.
            while let Some(Item::Gap(before)) = self.queue.back() {
                self.gap = join(self.gap, *before);
                self.queue.pop_back();
            }
            self.newest = self
                .queue
                .iter()
                .filter_map(as_sample)
                .map(|s| s.dts)
                .max()
                .unwrap_or(MediaTime::ZERO);
            self.lose(&sample);
        }
    }

    fn lose(&mut self, sample: &Sample) {
        self.stats.dropped.add(sample.kind);
        self.gap = join(self.gap, Gap::of(sample));
    }

    fn unqueue(&mut self, sample: &Sample) {
        self.stats.queued_bytes -= sample.data.len();
        match sample.kind {
            Kind::Audio => self.stats.queued.audio -= 1,
            Kind::Video => self.stats.queued.video -= 1,
        }
    }
}

fn as_sample(item: &Item) -> Option<&Sample> {
    match item {
        Item::Sample(sample) => Some(sample),
        Item::Gap(_) | Item::End => None,
    }
}
