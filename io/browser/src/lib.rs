//! A page on its own X display with its own sound server: Chromium, Xvfb, PulseAudio.
//!
//! ```text
//! Stage::raise ── Xvfb, PulseAudio ──► Stage ── open_page ── Chromium, navigation ──► Page ── Event ──►
//! Page::close, then Stage::strike: nothing is left (processes, display, sockets)
//! ```
//!
//! All three are started through `setpriv --pdeathsig`, so that they die with this process even when it is killed; the
//! signal is tied to the *thread* that started them, so `raise` and `open_page` must be called on a runtime whose threads
//! live as long as the process (the recorder's is a current-thread runtime on the main thread).
//!
//! Knows nothing of recordings: what a crash or a signal means is decided elsewhere.

mod cdp;
mod child;
mod chrome;
mod flags;
mod page;
mod stage;

pub use flags::Flag;
pub use page::{Config, Event, Page};
pub use stage::{Pulse, Stage};
