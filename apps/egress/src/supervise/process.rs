//! A recorder child process: spawned in a process group of its own, with one end of a socket pair as its stdin.
//!
//! Owns the process, not its protocol. Two traps are avoided here: the `Command` is dropped right after the spawn (it
//! keeps the child's end of the link open), and the child's stdout and stderr are ours, so that its logs are the
//! worker's logs.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
    process::{ExitStatus, Stdio},
};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

const LEVEL: &str = "EGRESS_RECORDER_LOG_LEVEL";
const JSON: &str = "EGRESS_RECORDER_LOG_JSON";

/// How a child logs: said in its environment, because it logs before the link speaks.
#[derive(Clone, Debug)]
pub struct ChildLog {
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
    /// For GStreamer.
    pub gst_debug: String,
}

impl ChildLog {
    /// In the child: what the worker said.
    pub(crate) fn from_env() -> Self {
        Self {
            level: std::env::var(LEVEL).unwrap_or_default(),
            json: std::env::var(JSON).is_ok_and(|v| v == "1"),
            gst_debug: String::new(),
        }
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: i32,
}

impl Process {
    /// Starts `program recorder`; gives the process and our end of the link. The child gets none of our secrets: what it
    /// needs comes over the link.
    pub(crate) fn spawn(program: &Path, log: &ChildLog) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let link = UnixStream::from_std(ours)?;
        let child = Command::new(program)
            .arg("recorder")
            .env_remove("EGRESS_CONFIG_BODY")
            .env_remove("EGRESS_CONFIG_FILE")
            .env_remove("LIVEKIT_API_KEY")
            .env_remove("LIVEKIT_API_SECRET")
            .env(LEVEL, &log.level)
            .env(JSON, if log.json { "1" } else { "0" })
            .env("GST_DEBUG", &log.gst_debug)
            .env("GST_DEBUG_NO_COLOR", "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0)
            .spawn()?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or(0);
        Ok((Self { child, pid }, link))
    }

    /// Process id and id of its group.
    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }
}

/// What the stop ladder sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Ask.
    Terminate,
    /// Do not ask.
    Kill,
}

/// Signals a whole process group; a group that is gone is no error.
pub(crate) fn signal_group(pid: i32, blow: Blow) {
    let signal = match blow {
        Blow::Terminate => Signal::TERM,
        Blow::Kill => Signal::KILL,
    };
    if let Some(group) = Pid::from_raw(pid).filter(|_| pid > 1)
        && let Err(error) = kill_process_group(group, signal)
    {
        tracing::debug!(pid, ?signal, %error, "the process group is gone");
    }
}
