//! Counters of a capture. Written by GStreamer's threads, read by anyone.

use super::Event;
use crate::handover::Sender;
use media::Kind;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much has gone through a capture.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Pictures taken from the screen.
    pub captured: u64,
    /// Of these, second pictures of a tick, not used.
    pub early: u64,
    /// Of these, dropped because the raw queue before the encoder was full.
    pub dropped: u64,
    /// Ticks that show the picture before again.
    pub repeated: u64,
    /// Ticks left out: the encoder was hopelessly behind.
    pub skipped: u64,
    /// Encoded pictures handed over.
    pub pictures: u64,
    /// Encoded sound units handed over.
    pub sounds: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Samples of silence put into holes of the sound.
    pub sound_added: u64,
    /// Samples of sound dropped because they overlapped.
    pub sound_dropped: u64,
}

/// The same while it is counted.
#[derive(Default, Debug)]
pub(super) struct Counters {
    pub(super) captured: AtomicU64,
    pub(super) early: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Of the dropped, how many the receiver has heard of.
    told: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) pictures: AtomicU64,
    pub(super) sounds: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Counters {
    /// Dropped pictures the receiver has not heard of.
    pub(super) fn unreported(&self) -> u64 {
        let told = self.told.load(Ordering::Relaxed);
        self.dropped.load(Ordering::Relaxed).saturating_sub(told)
    }

    /// Tells the receiver of them. Only ever from the screen's thread.
    pub(super) fn report(&self, sender: &Sender) {
        let count = self.unreported();
        if count > 0 {
            self.told.fetch_add(count, Ordering::Relaxed);
            sender.fact(Event::Dropped {
                kind: Kind::Video,
                count,
            });
        }
    }

    pub(super) fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            captured: get(&self.captured),
            early: get(&self.early),
            dropped: get(&self.dropped),
            repeated: get(&self.repeated),
            skipped: get(&self.skipped),
            pictures: get(&self.pictures),
            sounds: get(&self.sounds),
            bytes: get(&self.bytes),
            sound_added: 0,
            sound_dropped: 0,
        }
    }
}

/// Counts.
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
