//! A page on its own X display with its own sound server: Chromium, Xvfb, PulseAudio.
//!
//! ```text
//! Stage::launch ──► display and sound are up, the browser is starting          (capture can be built now)
//!   stage.navigate ──► Page: loaded, checked, watched ──► Event: signals of the page, crashes, losses
//! page.close ──► the browser is gone ──► (capture lets go) ──► stage.close ──► nothing is left
//! ```
//!
//! Owns the three processes with their directory, the DevTools connection, the retries of loading and the texts of what can
//! go wrong there (egress-behaviour.md §10). Knows nothing of capture, of recordings or of what follows from an event: it
//! reports, the recorder decides. All three die with this process even when it is killed, whatever runtime it uses
//! (`spawner`).

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
