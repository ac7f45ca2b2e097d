//! Everything a page needs, and the attempts to load it.
//!
//! ```text
//! launch: (Xvfb ‖ PulseAudio) ─► Chromium spawned ─► Stage ─ navigate ─► attempt 1 ─► … 3 ─► Page
//!                                                     │                     └ new browser, same display and sound
//!                                                     └ display() and pulse() are ready: capture can be built meanwhile
//! Page::close: the browser is gone ──► capture lets go of the display ──► Stage::close: nothing is left
//! ```
//!
//! Display and sound outlive browser and failed attempts: a client whose X server vanishes is ended by Xlib (it calls
//! `exit`), so only the caller, who knows who looks, may end them. Wherever the caller stops waiting, processes end.

use crate::Config;
use crate::chromium::{Chromium, Surroundings};
use crate::display::Display;
use crate::event::Event;
use crate::outcome::LoadError;
use crate::page::{Page, Watches};
use crate::process;
use crate::session::Session;
use crate::sound::{self, PulseServer, Sound};
use crate::strays;
use recording::Fault;
use std::io;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Chromium makes a socket of about this many bytes of name below its temporary directory.
const CHROMIUM_SOCKET: usize = 48;
/// More than all events of a page that come once; what repeats is slower than any reader.
const EVENTS: usize = 64;

/// Display and sound are up; a browser is starting, or shows its page. Dropping it ends everything, in the background.
#[derive(Debug)]
pub struct Stage {
    config: Config,
    around: Surroundings,
    /// Present until closed.
    set: Option<Set>,
    /// Of the first attempt, started early.
    browser: Option<Chromium>,
    events: mpsc::Sender<Event>,
}

impl Stage {
    /// Brings display and sound up and starts a browser. Events come through the receiver from [`Self::navigate`] on.
    ///
    /// # Errors
    /// `failed to launch xvfb: …`, `failed to launch pulse: …`; `page load error: …` when there is no browser. Nothing is
    /// left running then.
    pub async fn launch(config: Config) -> Result<(Self, mpsc::Receiver<Event>), Fault> {
        let set = Set::build(&config).await?;
        let around = Surroundings {
            display: set.display.name().to_owned(),
            sound: set
                .sound
                .iter()
                .flat_map(Sound::client_environment)
                .collect(),
            dir: set.dir.path().to_owned(),
        };
        let browser = match Chromium::launch(&config, &around, 1).await {
            Ok(browser) => browser,
            Err(error) => {
                set.strike().await;
                return Err(error.fault());
            }
        };
        let (events, receiver) = mpsc::channel(EVENTS);
        let stage = Self {
            config,
            around,
            set: Some(set),
            browser: Some(browser),
            events,
        };
        Ok((stage, receiver))
    }

    /// The X display, `:99`.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.around.display
    }

    /// Where the page's sound is; `None` without audio.
    #[must_use]
    pub fn pulse(&self) -> Option<&PulseServer> {
        Some(self.set.as_ref()?.sound.as_ref()?.server())
    }

    /// Loads the page, in a new browser again when the outcome is one that passes.
    ///
    /// # Errors
    /// As egress-behaviour.md §10.5 has them; no browser is left then, but display and sound are.
    pub async fn navigate(&mut self) -> Result<Page, Fault> {
        let mut attempt = 1;
        loop {
            let mut browser = match self.browser.take() {
                Some(browser) => browser,
                None => Chromium::launch(&self.config, &self.around, attempt)
                    .await
                    .map_err(|error| error.fault())?,
            };
            let error = match self.attempt(&mut browser).await {
                Ok(session) => return self.page(session, browser),
                Err(error) => error,
            };
            browser.terminate(self.config.limits.goodbye).await;
            if !error.passes() || attempt >= self.config.limits.attempts {
                return Err(error.fault());
            }
            tracing::info!(%error, attempt, "page did not load, trying again with a new browser");
            attempt += 1;
        }
    }

    async fn attempt(&self, browser: &mut Chromium) -> Result<Session, LoadError> {
        let limits = self.config.limits;
        let address = browser.address(limits.devtools).await?;
        let load = async {
            let mut session = Session::open(&self.config, &address, self.events.clone()).await?;
            session.load(&self.config).await?;
            Ok(session)
        };
        tokio::time::timeout(limits.page_load, load)
            .await
            .unwrap_or(Err(LoadError::TimedOut))
    }

    fn page(&self, session: Session, browser: Chromium) -> Result<Page, Fault> {
        let set = self
            .set
            .as_ref()
            .ok_or_else(|| Fault::internal("the display is gone"))?;
        let watches = Watches {
            browser: browser.watch(),
            display: set.display.watch(),
            sound: set.sound.as_ref().map(Sound::watch),
        };
        let (limits, events) = (self.config.limits, self.events.clone());
        Ok(Page::watched(session, browser, limits, watches, events))
    }

    /// Ends display and sound, a browser that was never used, and removes their directory. Close the [`Page`] and what
    /// captures it first.
    pub async fn close(mut self) {
        if let Some(browser) = self.browser.take() {
            browser.terminate(self.config.limits.goodbye).await;
        }
        if let Some(set) = self.set.take() {
            set.strike().await;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let browser = self.browser.take();
        if let Some(set) = self.set.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                drop(browser);
                set.strike().await;
            });
        }
    }
}

/// What stands while browsers come and go.
#[derive(Debug)]
struct Set {
    display: Display,
    sound: Option<Sound>,
    dir: TempDir,
    grace: Duration,
}

impl Set {
    async fn build(config: &Config) -> Result<Self, Fault> {
        let dir = directory(config).map_err(|error| {
            Fault::internal(format!(
                "no working directory in {}: {error}",
                config.workdir.display()
            ))
        })?;
        let (display, sound) = tokio::join!(Display::launch(config, dir.path()), async {
            if config.audio {
                Sound::launch(config, dir.path()).await.map(Some)
            } else {
                Ok(None)
            }
        });
        match (display, sound) {
            (Ok(display), Ok(sound)) => Ok(Self {
                display,
                sound,
                dir,
                grace: config.limits.goodbye,
            }),
            (Err(fault), sound) => {
                if let Ok(Some(sound)) = sound {
                    sound.kill().await;
                }
                Err(fault)
            }
            (Ok(display), Err(fault)) => {
                display.kill().await;
                Err(fault)
            }
        }
    }

    async fn strike(self) {
        tokio::join!(self.display.kill(), async {
            if let Some(sound) = self.sound {
                sound.kill().await;
            }
        });
        // Normally nobody: browsers that were only dropped may still be ending.
        strays::gone("HOME", self.dir.path(), self.grace).await;
        if let Err(error) = self.dir.close() {
            tracing::warn!(%error, "directory of the browser not removed");
        }
    }
}

/// A directory that everything lives in and that is removed with everything in it.
fn directory(config: &Config) -> io::Result<TempDir> {
    let make = |place: &std::path::Path| tempfile::Builder::new().prefix("page-").tempdir_in(place);
    let mut dir = make(&config.workdir)?;
    if dir.path().as_os_str().len() + CHROMIUM_SOCKET > sound::SOCKET_PATH {
        // Unix sockets have short names; the browser's would not fit.
        dir = make(&std::env::temp_dir())?;
        tracing::debug!(dir = %dir.path().display(), "the working directory's path is too long for sockets");
    }
    process::furnish(dir.path())?;
    Ok(dir)
}
