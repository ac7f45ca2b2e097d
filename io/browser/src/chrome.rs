//! The browser process: found, started, and its DevTools address read.

use crate::{
    child::{Helper, OnDeath, command},
    flags::{self, Wishes},
    stage::Stage,
};
use recording::{Code, Fault};
use std::{collections::VecDeque, path::Path, process::Stdio, time::Duration};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Upstream's wait for the DevTools address.
const LAUNCH: Duration = Duration::from_secs(20);
/// Lines of output kept for error messages.
const TAIL: usize = 20;

/// Names looked for on PATH, in order.
const NAMES: &[&str] = &[
    "headless_shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// The browser on PATH.
pub(crate) fn find(path: Option<&std::ffi::OsStr>) -> Result<String, Fault> {
    let dirs: Vec<_> = std::env::split_paths(path.unwrap_or_default()).collect();
    let found = NAMES
        .iter()
        .find_map(|name| dirs.iter().map(|d| d.join(name)).find(|p| p.is_file()));
    found.and_then(|p| p.to_str().map(str::to_owned)).ok_or_else(|| {
        load_fault("no browser was found on PATH: install the package chromium or google-chrome-stable")
    })
}

/// `page load error: …` (egress-behaviour.md §10.5).
pub(crate) fn load_fault(text: impl std::fmt::Display) -> Fault {
    Fault::new(Code::InvalidArgument, format!("page load error: {text}"))
}

/// Starts it; gives the process and its DevTools address.
pub(crate) async fn start(
    program: &str,
    stage: &Stage,
    wishes: &Wishes<'_>,
    workdir: &Path,
) -> Result<(Helper, String), Fault> {
    let mut chrome = command(program, OnDeath::Kill);
    chrome
        .args(flags::arguments(wishes))
        .env("DISPLAY", stage.display())
        .env("HOME", workdir)
        .env("TMPDIR", workdir)
        .env("XDG_CONFIG_HOME", workdir.join("config"))
        .env("XDG_CACHE_HOME", workdir.join("cache"))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match stage.pulse() {
        Some(pulse) => chrome
            .env("PULSE_SERVER", &pulse.server)
            .env("PULSE_SINK", &pulse.sink),
        None => chrome.env_remove("PULSE_SERVER"),
    };
    let mut helper = Helper::spawn("chromium", chrome).map_err(load_fault)?;
    let output = helper
        .process()
        .stderr
        .take()
        .ok_or_else(|| load_fault("the browser has no output"))?;
    let mut lines = BufReader::new(output).lines();
    let mut tail = VecDeque::new();
    let listening = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                return Some(url.trim().to_owned());
            }
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line);
        }
        None
    };
    match tokio::time::timeout(LAUNCH, listening).await {
        Ok(Some(url)) => {
            // Whatever it says later is read and thrown away: a full pipe would stop it.
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    tracing::trace!(%line, "chromium");
                }
            });
            Ok((helper, url))
        }
        Ok(None) => {
            let text: Vec<String> = tail.into();
            Err(Fault::internal(format!(
                "chrome failed to start:\n{}",
                text.join("\n")
            )))
        }
        Err(_) => Err(load_fault(
            "the browser did not open its DevTools port within 20 s",
        )),
    }
}
