//! Everything a page needs, and the attempts to load it.
//!
//! ```text
//! launch: (Xvfb ‖ PulseAudio) ─► Chromium spawned ─► Stage ─ navigate ─► attempt 1 ─► … 3 ─► Page
//!                                                     │                     └ new browser, same display and sound
//!                                                     └ display() and pulse() are ready: capture can be built meanwhile
//! ```
//!
//! Whatever fails, and wherever the caller stops waiting, all processes end and the directory is removed.

use crate::Config;
use crate::chromium::{Chromium, Surroundings};
use crate::display::Display;
use crate::event::Event;
use crate::outcome::LoadError;
use crate::page::Page;
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

/// Display and sound are up, the browser is starting.
#[derive(Debug)]
pub struct Stage {
    config: Config,
    around: Surroundings,
    parts: Parts,
    events: mpsc::Sender<Event>,
}

impl Stage {
    /// Brings display, sound and browser up. Events of the page come through the receiver from [`Self::navigate`] on.
    ///
    /// # Errors
    /// `failed to launch xvfb: …`, `failed to launch pulse: …`; `page load error: …` when there is no browser.
    pub async fn launch(config: Config) -> Result<(Self, mpsc::Receiver<Event>), Fault> {
        let dir = directory(&config).map_err(|error| {
            Fault::internal(format!(
                "no working directory in {}: {error}",
                config.workdir.display()
            ))
        })?;
        let (display, sound) = tokio::join!(Display::launch(&config, dir.path()), async {
            if config.audio {
                Sound::launch(&config, dir.path()).await.map(Some)
            } else {
                Ok(None)
            }
        });
        let (display, sound) = match (display, sound) {
            (Ok(display), Ok(sound)) => (display, sound),
            (Err(fault), sound) => {
                if let Ok(Some(sound)) = sound {
                    sound.kill().await;
                }
                return Err(fault);
            }
            (Ok(display), Err(fault)) => {
                display.kill().await;
                return Err(fault);
            }
        };
        let around = Surroundings {
            display: display.name().to_owned(),
            sound: sound.iter().flat_map(Sound::client_environment).collect(),
            dir: dir.path().to_owned(),
        };
        let mut parts = Parts(Some(Inner {
            browser: None,
            display,
            sound,
            dir,
            grace: config.limits.goodbye,
        }));
        match Chromium::launch(&config, &around, 1).await {
            Ok(browser) => parts.put(browser),
            Err(error) => {
                parts.end().await;
                return Err(error.fault());
            }
        }
        let (events, receiver) = mpsc::channel(EVENTS);
        let stage = Self {
            config,
            around,
            parts,
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
        self.parts.pulse()
    }

    /// Loads the page, in a new browser again when the outcome is one that passes.
    ///
    /// # Errors
    /// As egress-behaviour.md §10.5 has them; nothing is left running then.
    pub async fn navigate(mut self) -> Result<Page, Fault> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(attempt).await {
                Ok(session) => {
                    let pulse = self.pulse().cloned();
                    return Ok(Page::watched(
                        session,
                        self.parts,
                        self.around.display,
                        pulse,
                        self.config.limits,
                        self.events,
                    ));
                }
                Err(error) => error,
            };
            if !error.passes() || attempt >= self.config.limits.attempts {
                self.parts.end().await;
                return Err(error.fault());
            }
            tracing::info!(%error, attempt, "page did not load, trying again with a new browser");
            attempt += 1;
        }
    }

    async fn attempt(&mut self, attempt: u32) -> Result<Session, LoadError> {
        if attempt > 1 {
            if let Some(former) = self.parts.take() {
                former.terminate(self.config.limits.goodbye).await;
            }
            let browser = Chromium::launch(&self.config, &self.around, attempt).await?;
            self.parts.put(browser);
        }
        let limits = self.config.limits;
        let address = match self.parts.browser() {
            Some(browser) => browser.address(limits.devtools).await?,
            None => return Err(LoadError::Other("the browser is gone".to_owned())),
        };
        let load = async {
            let mut session = Session::open(&self.config, &address, self.events.clone()).await?;
            session.load(&self.config).await?;
            Ok(session)
        };
        tokio::time::timeout(limits.page_load, load)
            .await
            .unwrap_or(Err(LoadError::TimedOut))
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

/// The processes and their directory. Dropped, they are killed and it is removed, in the background.
#[derive(Debug)]
pub(crate) struct Parts(Option<Inner>);

#[derive(Debug)]
struct Inner {
    browser: Option<Chromium>,
    display: Display,
    sound: Option<Sound>,
    dir: TempDir,
    grace: Duration,
}

impl Parts {
    fn put(&mut self, browser: Chromium) {
        if let Some(inner) = &mut self.0 {
            inner.browser = Some(browser);
        }
    }

    fn take(&mut self) -> Option<Chromium> {
        self.0.as_mut()?.browser.take()
    }

    fn browser(&mut self) -> Option<&mut Chromium> {
        self.0.as_mut()?.browser.as_mut()
    }

    fn pulse(&self) -> Option<&PulseServer> {
        Some(self.0.as_ref()?.sound.as_ref()?.server())
    }

    /// What to look at to know that something is gone: browser, display, sound.
    pub(crate) fn watches(&self) -> Option<Watches> {
        let inner = self.0.as_ref()?;
        Some(Watches {
            browser: inner.browser.as_ref()?.watch(),
            display: inner.display.watch(),
            sound: inner.sound.as_ref().map(Sound::watch),
        })
    }

    /// Ends everything; the browser was asked to go already, or gets SIGTERM.
    pub(crate) async fn finish(mut self, asked: bool) {
        if let Some(inner) = self.0.take() {
            inner.finish(asked).await;
        }
    }

    async fn end(self) {
        self.finish(false).await;
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(inner.finish(false));
        }
    }
}

/// Sees the three processes end.
pub(crate) struct Watches {
    pub(crate) browser: process::Watch,
    pub(crate) display: process::Watch,
    pub(crate) sound: Option<process::Watch>,
}

impl Inner {
    async fn finish(self, asked: bool) {
        // First the browser: without its display it would end, too, but complaining.
        if let Some(browser) = self.browser {
            if asked {
                browser.end(self.grace).await;
            } else {
                browser.terminate(self.grace).await;
            }
        }
        tokio::join!(self.display.kill(), async {
            if let Some(sound) = self.sound {
                sound.kill().await;
            }
        });
        strays::gone(self.dir.path(), self.grace).await;
        if let Err(error) = self.dir.close() {
            tracing::warn!(%error, "directory of the browser not removed");
        }
    }
}
