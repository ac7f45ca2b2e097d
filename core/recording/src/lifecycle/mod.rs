//! The life of one recording: [`Recording`] decides, drivers do.
//!
//! ```text
//! Input (facts, wishes) ──► Recording::handle(now, input) ──► Effect (poll_effect)
//!                           one deadline: poll_timeout, named by waiting()
//! ```

mod effect;
mod input;
mod recording;
mod story;

pub use effect::{Effect, Exit, Wait};
pub use input::{
    Ask, Input, ManifestFact, MediaFact, OutputFact, OutputId, SourceFact, StopReason,
    StreamChange, StreamFact, StreamId,
};
pub use recording::Recording;
pub use story::planned_streams;
pub(crate) use story::{EndReason, OutputStory, Status, Story, StreamOutcome, StreamStory};
