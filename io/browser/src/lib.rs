//! A page on its own X display with its own sound server: Chromium, Xvfb, PulseAudio.
//!
//! ```text
//! Stage::launch ──► display and sound are up, the browser is starting          (capture can be built now)
//!   stage.navigate ──► Page: loaded, checked, watched ──► page.close: nothing is left
//!                        │
//!                        └─► Event: signals of the page, crashes, losses       (one bounded channel from launch on)
//! ```
//!
//! Owns the three processes with their directory, the DevTools connection, the retries of loading and the texts of what can
//! go wrong there (egress-behaviour.md §10). Knows nothing of capture, of recordings or of what follows from an event: it
//! reports, the recorder decides.

mod chromium;
mod config;
mod devtools;
mod display;
mod event;
mod flags;
mod log;
mod lookup;
mod outcome;
mod page;
mod process;
mod session;
mod sound;
mod spawner;
mod stage;
mod strays;

pub use config::{Config, Limits};
pub use event::Event;
pub use page::Page;
pub use sound::PulseServer;
pub use stage::Stage;
