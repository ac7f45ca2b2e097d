//! Finds what left its process group.
//!
//! Chromium starts two crash handlers in sessions of their own (no flag prevents it without harm). They end when they see
//! the browser gone, a moment after it. Everything that ever descended from one of ours carries a mark of it in its
//! environment; by that it is found, waited for, and in the end killed.
//!
//! Reads `/proc`: at the end of a browser only, some milliseconds.

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};
use tokio::time::Instant;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Returns when nobody who was started with `<name>=<place>` is alive; those that are after `grace` are killed.
pub(crate) async fn gone(name: &str, place: &Path, grace: Duration) {
    let mark = [name.as_bytes(), b"=", place.as_os_str().as_bytes()].concat();
    let patience = Instant::now() + grace;
    let limit = patience + grace;
    loop {
        let now = Instant::now();
        let alive = match alive(&mark) {
            Ok(alive) => alive,
            Err(error) => {
                tracing::warn!(%error, "cannot look for what a browser left");
                return;
            }
        };
        if alive.is_empty() {
            return;
        }
        if now >= limit {
            tracing::warn!(?alive, "killed processes of a browser do not end");
            return;
        }
        if now >= patience {
            for pid in alive {
                // It may just have ended by itself.
                if let Err(error) = kill_process(pid, Signal::KILL) {
                    tracing::trace!(%error, ?pid, "stray not killed");
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Zombies have no environment any more, and are not found.
fn alive(mark: &[u8]) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        // Of another user, or ended while we look: not ours.
        let Ok(environment) = fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment.split(|byte| *byte == 0).any(|one| one == mark) {
            found.push(pid);
        }
    }
    Ok(found)
}
