//! One child process with its whole group: started, watched, ended, reaped.
//!
//! ```text
//! Running ──► Exited(how) ──► Gone       how: exit status, or the signal
//!    │  order: Terminate (SIGTERM) · Kill (SIGKILL), both to the group
//!    └─ handle dropped: Kill
//! ```
//!
//! A task owns the child: it alone signals, so no signal can hit a recycled pid before the child was waited for. When the
//! leader is gone, the rest of its group is killed, and `Gone` says that no member is alive: nothing holds a descriptor or
//! writes a file any more. (Orphans of the leader are for init to reap; one that takes its time keeps zombies, not us.) If the task itself is dropped (runtime ended), the group is killed on the way out.
//!
//! stdin is null: a grandchild that inherits the recorder's stdin would keep its link to the worker open.

use crate::spawner;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use std::{env, fs, io};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How long a killed member of a group may take to end; one that waits for a dead disk may take for ever.
const STRAGGLERS: Duration = Duration::from_secs(2);
/// Pause between two looks at such a group.
const LOOK: Duration = Duration::from_millis(3);

/// Where a process is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Running,
    Exited(String),
    Gone(String),
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Terminate,
    Kill,
}

/// A running child. Dropping it kills its group.
#[derive(Debug)]
pub(crate) struct Process {
    orders: mpsc::Sender<Order>,
    state: Watch,
}

/// Sees when a process ends, without owning it.
#[derive(Clone, Debug)]
pub(crate) struct Watch(watch::Receiver<State>);

/// The ends of a child's pipes that were asked for.
pub(crate) struct Pipes {
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

/// What to start.
pub(crate) struct Launch<'a> {
    /// For logs.
    pub(crate) name: &'static str,
    /// Resolved path.
    pub(crate) program: &'a Path,
    /// Without the program.
    pub(crate) args: Vec<OsString>,
    /// Complete environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Read its stdout; otherwise null.
    pub(crate) stdout: bool,
}

impl Process {
    /// Starts it in a group of its own, stderr piped.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) async fn launch(launch: Launch<'_>) -> io::Result<(Self, Pipes)> {
        let mut command: Command = spawner::bound_to_us(launch.program, launch.args);
        command
            .env_clear()
            .envs(launch.env)
            .stdin(Stdio::null())
            .stdout(if launch.stdout {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = spawner::spawn(command).await?;
        let pipes = Pipes {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        let group = Group::of(&child)?;
        tracing::debug!(
            name = launch.name,
            pid = group.0.as_raw_nonzero(),
            "started"
        );
        let (orders, inbox) = mpsc::channel(4);
        let (publish, state) = watch::channel(State::Running);
        tokio::spawn(mind(launch.name, child, group, inbox, publish));
        let state = Watch(state);
        Ok((Self { orders, state }, pipes))
    }

    /// Sees when it ends.
    pub(crate) fn watch(&self) -> Watch {
        self.state.clone()
    }

    /// Waits up to `grace` for it to end by itself, then SIGTERM and again `grace`, then SIGKILL. Returns when nothing of its
    /// group is left.
    pub(crate) async fn end(self, grace: Duration) {
        if tokio::time::timeout(grace, self.state.gone())
            .await
            .is_err()
        {
            self.terminate(grace).await;
        }
    }

    /// SIGTERM, `grace`, SIGKILL.
    pub(crate) async fn terminate(self, grace: Duration) {
        self.order(Order::Terminate).await;
        if tokio::time::timeout(grace, self.state.gone())
            .await
            .is_err()
        {
            self.kill().await;
        }
    }

    /// SIGKILL to the group, now.
    pub(crate) async fn kill(self) {
        self.order(Order::Kill).await;
        self.state.gone().await;
    }

    async fn order(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            tracing::trace!(?order, "already gone");
        }
    }
}

impl Watch {
    /// How it ended, once it has.
    pub(crate) async fn exited(&self) -> String {
        self.until(|state| *state != State::Running).await
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        match &*self.0.borrow() {
            State::Running => None,
            State::Exited(how) | State::Gone(how) => Some(how.clone()),
        }
    }

    async fn gone(&self) -> String {
        self.until(|state| matches!(state, State::Gone(_))).await
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) -> String {
        let mut state = self.0.clone();
        match state.wait_for(reached).await {
            Ok(state) => match &*state {
                State::Running => String::new(),
                State::Exited(how) | State::Gone(how) => how.clone(),
            },
            // The minding task was dropped with its runtime, and killed the group.
            Err(_closed) => "killed".to_owned(),
        }
    }
}

/// Kills the group when dropped, whatever became of the task that held it.
struct Group(Pid);

impl Group {
    fn of(child: &Child) -> io::Result<Self> {
        child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw)
            .map(Self)
            .ok_or_else(|| io::Error::other("ended at once"))
    }

    fn signal(&self, signal: Signal) {
        // ESRCH: the last member is already gone, which is what was wanted.
        if let Err(error) = kill_process_group(self.0, signal) {
            tracing::trace!(%error, ?signal, "group not signalled");
        }
    }

    fn is_empty(&self) -> bool {
        test_kill_process_group(self.0).is_err()
    }

    /// No member but zombies.
    fn is_dead(&self) -> bool {
        self.is_empty() || !self.any_alive().unwrap_or(false)
    }

    /// Looks through all processes: only when somebody is left, and only at the end.
    fn any_alive(&self) -> io::Result<bool> {
        let group = self.0.as_raw_nonzero().get();
        for entry in fs::read_dir("/proc")? {
            // Most are no processes, and processes end while we look.
            let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
                continue;
            };
            if member(&stat) == Some((true, group)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_empty() {
            self.signal(Signal::KILL);
        }
    }
}

async fn mind(
    name: &'static str,
    mut child: Child,
    group: Group,
    mut orders: mpsc::Receiver<Order>,
    publish: watch::Sender<State>,
) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            order = orders.recv() => match order {
                Some(Order::Terminate) => group.signal(Signal::TERM),
                Some(Order::Kill) => group.signal(Signal::KILL),
                None => {
                    group.signal(Signal::KILL);
                    break child.wait().await;
                }
            },
        }
    };
    let how = match status {
        Ok(status) => describe(status),
        Err(error) => error.to_string(),
    };
    tracing::debug!(name, how, "ended");
    publish.send_replace(State::Exited(how.clone()));

    group.signal(Signal::KILL);
    let deadline = Instant::now() + STRAGGLERS;
    while !group.is_dead() {
        if Instant::now() >= deadline {
            tracing::warn!(name, "a killed process does not end");
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    publish.send_replace(State::Gone(how));
}

/// Whether a process is more than a zombie, and its group, from `/proc/<pid>/stat`: `pid (name) state parent group …`; the
/// name may contain anything.
fn member(stat: &str) -> Option<(bool, i32)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some((!matches!(state, "Z" | "X"), group))
}

/// `exit status: 1`, `signal: 9 (SIGKILL)`.
fn describe(status: ExitStatus) -> String {
    status.to_string()
}

/// What a child may know of our environment: how to find and show things, never what we were configured with (the
/// recorder's environment may hold keys).
const PASSED_ON: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "CHROME_DEVEL_SANDBOX",
];

/// Things of the user that change what pages see: certificates of the operator's own authority, fonts.
const OF_THE_USER: &[&str] = &[".pki", ".fonts", ".local/share/fonts", ".config/fontconfig"];

/// The environment of every child: home, temporary files and runtime directory are `dir`, no session bus.
pub(crate) fn environment(dir: &Path) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = PASSED_ON
        .iter()
        .filter_map(|name| Some((OsString::from(name), env::var_os(name)?)))
        .collect();
    for name in [
        "HOME",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
    ] {
        let place = match name {
            "XDG_CONFIG_HOME" => dir.join(".config"),
            "XDG_CACHE_HOME" => dir.join(".cache"),
            _ => dir.to_owned(),
        };
        env.push((name.into(), place.into()));
    }
    // An absent session bus would be started by libdbus (dbus-launch), and stay.
    for name in ["DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"] {
        env.push((name.into(), "disabled:".into()));
    }
    env
}

/// Makes `dir` a home that knows the user's certificates and fonts.
///
/// # Errors
/// When links cannot be made.
pub(crate) fn furnish(dir: &Path) -> io::Result<()> {
    let Some(home) = env::var_os("HOME") else {
        return Ok(());
    };
    for name in OF_THE_USER {
        let theirs = Path::new(&home).join(name);
        if theirs.is_absolute() && theirs.exists() {
            let ours = dir.join(name);
            if let Some(parent) = ours.parent() {
                fs::create_dir_all(parent)?;
            }
            std::os::unix::fs::symlink(theirs, ours)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zombies_are_told_from_the_living_whatever_their_name() {
        assert_eq!(member("12 (a b) S 1 10 10 0"), Some((true, 10)));
        assert_eq!(member("12 (a) R 3) Z 1 77 10 0"), Some((false, 77)));
        assert_eq!(member("nonsense"), None);
    }

    #[tokio::test]
    async fn a_group_ends_as_one() {
        let script = "sleep 1000 & sleep 1000 & trap '' TERM; echo ready; wait; wait";
        let (process, pipes) = Process::launch(Launch {
            name: "sh",
            program: Path::new("/bin/sh"),
            args: vec!["-c".into(), script.into()],
            env: vec![("PATH".into(), env::var_os("PATH").unwrap())],
            stdout: true,
        })
        .await
        .unwrap();
        let mut stdout = tokio::io::BufReader::new(pipes.stdout.unwrap());
        let line = crate::log::next_line(&mut stdout).await;
        assert_eq!(line.as_deref(), Some("ready"));
        let watch = process.watch();
        assert_eq!(watch.ended(), None);
        process.kill().await;
        assert_eq!(watch.ended().as_deref(), Some("signal: 9 (SIGKILL)"));
        // The sleepers held the other end of this pipe.
        assert_eq!(crate::log::next_line(&mut stdout).await, None);
    }
}
