//! One Chromium process tree, from command line to DevTools address.
//!
//! Every attempt to load a page takes a new one with a new, empty profile. Its stderr is read to the end: the address comes
//! there, and what it says when it does not start.

use crate::flags;
use crate::log;
use crate::outcome::LoadError;
use crate::process::{self, Launch, Process, Watch};
use crate::{Config, lookup, strays};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::BufReader;
use tokio::process::ChildStderr;
use tokio::sync::oneshot;

/// Marks everything that descends from one attempt, with its profile.
const MARK: &str = "EGRESS_BROWSER";
const ANNOUNCEMENT: &str = "DevTools listening on ";

/// What a browser needs around it; the same for every attempt.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// `:99`.
    pub(crate) display: String,
    /// Where to play sound.
    pub(crate) sound: Vec<(OsString, OsString)>,
    /// Directory for profiles, sockets, home.
    pub(crate) dir: PathBuf,
}

/// A started browser.
#[derive(Debug)]
pub(crate) struct Chromium {
    process: Process,
    profile: PathBuf,
    address: oneshot::Receiver<Result<String, String>>,
}

impl Chromium {
    /// Starts it; [`Self::address`] says when it is there.
    ///
    /// # Errors
    /// When there is no browser to start.
    pub(crate) async fn launch(
        config: &Config,
        around: &Surroundings,
        attempt: u32,
    ) -> Result<Self, LoadError> {
        let program = lookup::browser(config.chrome_path.as_deref()).map_err(LoadError::Other)?;
        let profile = around.dir.join(format!("profile{attempt}"));
        let mut env = process::environment(&around.dir);
        env.push(("DISPLAY".into(), around.display.clone().into()));
        env.push((MARK.into(), profile.clone().into()));
        env.extend(around.sound.iter().cloned());
        let (process, pipes) = Process::launch(Launch {
            name: "chromium",
            program: &program,
            args: flags::arguments(config, &around.display, &profile.to_string_lossy()),
            env,
            stdout: false,
        })
        .await
        .map_err(|error| LoadError::Other(format!("{}: {error}", program.display())))?;
        let (tell, address) = oneshot::channel();
        if let Some(stderr) = pipes.stderr {
            tokio::spawn(listen(stderr, tell));
        }
        Ok(Self {
            process,
            profile,
            address,
        })
    }

    /// Waits for the DevTools address.
    ///
    /// # Errors
    /// When it ends before, or does not say it in time.
    pub(crate) async fn address(&mut self, limit: Duration) -> Result<String, LoadError> {
        match tokio::time::timeout(limit, &mut self.address).await {
            Err(_elapsed) => Err(LoadError::Other("websocket url timeout reached".to_owned())),
            Ok(Ok(Ok(address))) => Ok(address),
            Ok(Ok(Err(output))) => Err(LoadError::NotStarted(output)),
            Ok(Err(_closed)) => Err(LoadError::NotStarted(String::new())),
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.process.watch()
    }

    /// Waits for it to end after it was asked to, then makes it.
    pub(crate) async fn end(self, grace: Duration) {
        self.process.end(grace).await;
        clear(&self.profile, grace).await;
    }

    /// SIGTERM, `grace`, SIGKILL. The browser itself ends its children and waits for them, so that none is left to init.
    pub(crate) async fn terminate(self, grace: Duration) {
        self.process.terminate(grace).await;
        clear(&self.profile, grace).await;
    }
}

/// Nobody of this attempt is alive, and the next does not pay for its profile.
async fn clear(profile: &Path, grace: Duration) {
    strays::gone(MARK, profile, grace).await;
    if let Err(error) = std::fs::remove_dir_all(profile)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "profile of a browser not removed");
    }
}

async fn listen(stderr: ChildStderr, tell: oneshot::Sender<Result<String, String>>) {
    let mut reader = BufReader::new(stderr);
    let mut said = VecDeque::new();
    while let Some(line) = log::next_line(&mut reader).await {
        if let Some(address) = line.strip_prefix(ANNOUNCEMENT) {
            if tell.send(Ok(address.trim().to_owned())).is_ok() {
                log::rest("chromium", reader, VecDeque::new()).await;
            }
            return;
        }
        tracing::debug!(name = "chromium", line, "stderr");
        log::keep(&mut said, line);
    }
    if tell.send(Err(Vec::from(said).join("\n"))).is_err() {
        tracing::trace!("nobody waits for this browser");
    }
}
