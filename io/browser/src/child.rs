//! A helper process of its own process group that does not outlive us.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{io, process::Stdio, time::Duration};
use tokio::process::{Child, Command};

/// What the helper gets when this process dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnDeath {
    /// It has something to clean up.
    Terminate,
    /// It has not.
    Kill,
}

/// A running helper. Dropping it kills its group.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    group: Option<Pid>,
    name: &'static str,
}

/// A command that will run `program` bound to our life; stdin is null, so that it holds no end of any link.
pub(crate) fn command(program: &str, on_death: OnDeath) -> Command {
    let signal = match on_death {
        OnDeath::Terminate => "TERM",
        OnDeath::Kill => "KILL",
    };
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--", program]);
    command.stdin(Stdio::null()).process_group(0);
    command
}

impl Helper {
    pub(crate) fn spawn(name: &'static str, mut command: Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, group, name })
    }

    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end: what it says of it.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group
            && let Err(error) = kill_process_group(group, signal)
        {
            tracing::trace!(name = self.name, %error, "the group is gone");
        }
    }

    /// SIGTERM, a moment of grace, SIGKILL; waits until it is gone.
    pub(crate) async fn stop(mut self, grace: Duration) {
        if !grace.is_zero() {
            self.signal(Signal::TERM);
            if tokio::time::timeout(grace, self.child.wait()).await.is_ok() {
                return;
            }
            tracing::debug!(name = self.name, "did not end by itself");
        }
        self.signal(Signal::KILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(name = self.name, %error, "could not be waited for");
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal(Signal::KILL);
        }
    }
}
