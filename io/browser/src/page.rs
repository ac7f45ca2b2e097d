//! A loaded page, watched until it is closed.
//!
//! ```text
//!            answer ◄──heartbeat──┐
//!  Answering ─────────────────────┤ no answer for `unresponsive` ──► Silent ── answer ──► Answering
//!      │                          │
//!      ├─ crash of the page ──► Crashed        (no more heartbeats)
//!      └─ browser or display gone ──► Gone     (only `close` is left)
//! ```
//!
//! What upstream only logs, or does not notice: renderers and browsers that die, pages that hang, a lost display. Each is
//! told once; what follows is the recorder's decision.

use crate::chromium::Chromium;
use crate::config::Limits;
use crate::devtools::Lost;
use crate::event::Event;
use crate::process;
use crate::session::{End, Session, tell};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// When the connection breaks, the processes' own ends follow within this; they say why.
const CAUSE: Duration = Duration::from_millis(500);

/// A loaded page. Dropping it kills the browser.
#[derive(Debug)]
pub struct Page {
    browser: Chromium,
    grace: Duration,
    close: oneshot::Sender<()>,
    watcher: JoinHandle<bool>,
}

impl Page {
    pub(crate) fn watched(
        session: Session,
        browser: Chromium,
        limits: Limits,
        watches: Watches,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (close, closing) = oneshot::channel();
        let watcher = tokio::spawn(watch(session, watches, limits, events, closing));
        Self {
            browser,
            grace: limits.goodbye,
            close,
            watcher,
        }
    }

    /// Ends the browser and waits until nothing of it is left; the page gets its `pagehide`. Display and sound stay, for
    /// whoever still looks at them, until [`Stage::close`](crate::Stage::close).
    pub async fn close(self) {
        let asked = self.close.send(()).is_ok()
            && tokio::time::timeout(self.grace, self.watcher)
                .await
                .is_ok_and(|asked| asked.unwrap_or(false));
        if asked {
            self.browser.end(self.grace).await;
        } else {
            self.browser.terminate(self.grace).await;
        }
    }
}

/// Sees the three processes end.
pub(crate) struct Watches {
    pub(crate) browser: process::Watch,
    pub(crate) display: process::Watch,
    pub(crate) sound: Option<process::Watch>,
}

/// Runs until `close` (or until nobody can call it); whether the browser could be asked to end.
async fn watch(
    mut session: Session,
    watches: Watches,
    limits: Limits,
    events: mpsc::Sender<Event>,
    mut closing: oneshot::Receiver<()>,
) -> bool {
    let mut pulse = Pulse::new(limits);
    let mut sound = watches.sound.clone();
    let mut crashed = false;
    loop {
        tokio::select! {
            order = &mut closing => {
                return order.is_ok() && session.say_goodbye().await.is_ok();
            }
            how = async {
                match &sound {
                    Some(sound) => sound.exited().await,
                    None => std::future::pending().await,
                }
            } => {
                sound = None;
                tell(&events, Event::SoundLost(how));
            }
            how = watches.display.exited() => {
                tell(&events, Event::DisplayLost(how));
                return false;
            }
            how = watches.browser.exited() => {
                tell(&events, gone(&watches, how).await);
                return false;
            }
            message = session.next() => match message {
                Ok(answer) => {
                    if answer.is_some_and(|id| pulse.answered(id)) {
                        tell(&events, Event::Responsive);
                    }
                    match session.ended() {
                        Some(End::Crashed) if !crashed => {
                            crashed = true;
                            tell(&events, Event::PageCrashed);
                        }
                        Some(End::Closed) => {
                            tell(&events, Event::Closed);
                            return false;
                        }
                        Some(End::Crashed) | None => {}
                    }
                }
                Err(lost) => {
                    tell(&events, lost_connection(&watches, &lost).await);
                    return false;
                }
            },
            () = async {
                match pulse.due() {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            }, if !crashed => {
                match pulse.overdue() {
                    Some(silent) => tell(&events, Event::Unresponsive(silent)),
                    None => match session.ping().await {
                        Ok(id) => pulse.asked(id),
                        Err(lost) => {
                            tell(&events, lost_connection(&watches, &lost).await);
                            return false;
                        }
                    },
                }
            }
        }
    }
}

async fn lost_connection(watches: &Watches, lost: &Lost) -> Event {
    match tokio::time::timeout(CAUSE, watches.browser.exited()).await {
        Ok(how) => gone(watches, how).await,
        Err(_alive) => Event::BrowserExited(lost.to_string()),
    }
}

/// A browser ends with its display; then the display is the cause, seen a moment later.
async fn gone(watches: &Watches, how: String) -> Event {
    match tokio::time::timeout(CAUSE / 10, watches.display.exited()).await {
        Ok(cause) => Event::DisplayLost(cause),
        Err(_alive) => Event::BrowserExited(how),
    }
}

/// The heartbeat: one question at a time.
#[derive(Debug)]
struct Pulse {
    limits: Limits,
    state: Beat,
}

#[derive(Clone, Copy, Debug)]
enum Beat {
    /// Answered; the next question at that time.
    Resting(Instant),
    /// Asked, since when.
    Asked { id: u64, since: Instant },
    /// Told that it is silent.
    Silent { id: u64 },
}

impl Pulse {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Beat::Resting(Instant::now() + limits.heartbeat),
        }
    }

    /// When to act; a silent page can only answer.
    fn due(&self) -> Option<Instant> {
        match self.state {
            Beat::Resting(next) => Some(next),
            Beat::Asked { since, .. } => Some(since + self.limits.unresponsive),
            Beat::Silent { .. } => None,
        }
    }

    /// At `due`: `None`, ask now; or for how long there was no answer.
    fn overdue(&mut self) -> Option<Duration> {
        match self.state {
            Beat::Resting(_) | Beat::Silent { .. } => None,
            Beat::Asked { id, since } => {
                self.state = Beat::Silent { id };
                Some(since.elapsed())
            }
        }
    }

    fn asked(&mut self, id: u64) {
        self.state = Beat::Asked {
            id,
            since: Instant::now(),
        };
    }

    /// Whether this answer ends a silence.
    fn answered(&mut self, answer: u64) -> bool {
        let (id, was_silent) = match self.state {
            Beat::Resting(_) => return false,
            Beat::Asked { id, .. } => (id, false),
            Beat::Silent { id } => (id, true),
        };
        if id != answer {
            return false;
        }
        self.state = Beat::Resting(Instant::now() + self.limits.heartbeat);
        was_silent
    }
}
