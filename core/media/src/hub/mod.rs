//! Shares one encoded input out to outputs, so that a slow one never holds back another.
//!
//! ```text
//!            ┌─ gate ─┐      ┌─ door ─► queue (budget) ─► pop    output 1
//! push ─────►│ pause  ├─────►├─ door ─► queue (budget) ─► pop    output 2
//!            │ resume │      └─ door ─► queue (budget) ─► pop    joins and leaves at any time
//!            └────────┘
//! ```
//!
//! * The *gate* cuts pauses out of the recording: what follows is shifted so that media time has no jump.
//! * A *door* lets an output begin, and begin again after a loss, at a key frame.
//! * A *queue* holds at most its [`Budget`]; over it, what is dropped ends at a key frame, is counted, and is told to
//!   the output in place as an [`Item::Gap`].
//!
//! Pushing costs a reference count per output. Knows no clock, no thread and no output's kind: a file is an output
//! with a large budget.

mod door;
mod gate;
mod output;

pub use output::{Budget, Gap, Item, Join, PerKind, Stats};

use crate::{AudioFormat, Kind, Sample, VideoFormat};
use gate::Gate;
use output::Output;

/// What the input consists of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Formats {
    /// Sound, if any.
    pub audio: Option<AudioFormat>,
    /// Pictures, if any.
    pub video: Option<VideoFormat>,
}

/// Names an output of one hub; never used again after the output left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OutputId(u64);

/// Why a sample was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The input has no such stream.
    #[error("the input has no {0:?} stream")]
    NoStream(Kind),
    /// The stream was ended before.
    #[error("the input has ended")]
    Ended,
}

/// One input, any number of outputs.
#[derive(Debug)]
pub struct Hub {
    formats: Formats,
    gate: Gate,
    outputs: Vec<(OutputId, Output)>,
    next_id: u64,
    ended: bool,
}

impl Hub {
    /// A hub without outputs.
    #[must_use]
    pub fn new(formats: Formats) -> Self {
        Self {
            gate: Gate::new(formats.video.is_some()),
            formats,
            outputs: Vec::new(),
            next_id: 0,
            ended: false,
        }
    }

    /// What the input consists of: what an output must know before its first sample.
    #[must_use]
    pub fn formats(&self) -> &Formats {
        &self.formats
    }

    /// Adds an output. It gets what is pushed from now on, as `join` says.
    pub fn join(&mut self, join: Join) -> OutputId {
        let id = OutputId(self.next_id);
        self.next_id += 1;
        let mut output = Output::new(join, self.formats.video.is_some());
        if self.ended {
            output.end();
        }
        self.outputs.push((id, output));
        id
    }

    /// Removes an output, its queue with it. `None` if it is not there.
    pub fn leave(&mut self, id: OutputId) -> Option<Stats> {
        let at = self.outputs.iter().position(|(i, _)| *i == id)?;
        Some(self.outputs.swap_remove(at).1.stats())
    }

    /// Offers a sample to every output. Samples of a stream come in order of DTS; the streams may be a little apart.
    ///
    /// # Errors
    /// The input has no such stream, or it was ended.
    pub fn push(&mut self, sample: Sample) -> Result<(), Error> {
        let known = match sample.kind {
            Kind::Audio => self.formats.audio.is_some(),
            Kind::Video => self.formats.video.is_some(),
        };
        match (self.ended, known) {
            (true, _) => return Err(Error::Ended),
            (false, false) => return Err(Error::NoStream(sample.kind)),
            (false, true) => {}
        }
        if let Some(sample) = self.gate.pass(sample) {
            for (_, output) in &mut self.outputs {
                output.offer(&sample);
            }
        }
        Ok(())
    }

    /// The next item for an output; `None` if there is nothing now, or no such output.
    pub fn pop(&mut self, id: OutputId) -> Option<Item> {
        let (_, output) = self.outputs.iter_mut().find(|(i, _)| *i == id)?;
        output.pop()
    }

    /// Discards what is pushed until [`resume`](Self::resume).
    pub fn pause(&mut self) {
        self.gate.close();
    }

    /// Goes on at the next key frame, at the media time where the pause began; without pictures, at the next sample.
    pub fn resume(&mut self) {
        self.gate.open();
    }

    /// Whether somebody waits for a key frame: the source should be asked for one, as often as it can stand.
    #[must_use]
    pub fn keyframe_wanted(&self) -> bool {
        !self.ended
            && !self.gate.is_closed()
            && (self.gate.wants_keyframe() || self.outputs.iter().any(|(_, o)| o.wants_keyframe()))
    }

    /// No more samples: every output gets what it has queued and then [`Item::End`].
    pub fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.outputs.iter_mut().for_each(|(_, o)| o.end());
        }
    }

    /// What became of the samples offered to an output. `None` if it is not there.
    #[must_use]
    pub fn stats(&self, id: OutputId) -> Option<Stats> {
        let (_, output) = self.outputs.iter().find(|(i, _)| *i == id)?;
        Some(output.stats())
    }

    /// Samples discarded for pauses, the wait for a key frame after them included.
    #[must_use]
    pub fn paused(&self) -> PerKind {
        self.gate.discarded()
    }
}
