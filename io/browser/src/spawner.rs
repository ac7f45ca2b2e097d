//! Starts processes from one thread that lives as long as this process.
//!
//! Children are started through `setpriv --pdeathsig KILL` (util-linux) so that they die with us even when we are killed
//! with SIGKILL. The kernel ties that signal to the *thread* that forked, not to the process: a runtime's worker thread that
//! retires would take a healthy browser with it. Hence this one thread, which never ends.
//!
//! Without `setpriv` on PATH children are started directly: they then outlive a SIGKILL of ours.

use crate::lookup;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Job {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// A command line that makes `program` die with this process.
pub(crate) fn bound_to_us(program: &Path, args: impl IntoIterator<Item = OsString>) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let setpriv = SETPRIV.get_or_init(|| {
        let found = lookup::on_path("setpriv");
        if found.is_none() {
            tracing::warn!(
                "setpriv was not found on PATH (package util-linux): browsers will outlive a SIGKILL of this process"
            );
        }
        found
    });
    let mut command = match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(args);
    command
}

/// Starts it from the spawner thread; must be called within a runtime.
///
/// # Errors
/// When the operating system refuses.
pub(crate) async fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = oneshot::channel();
    let job = Job {
        command,
        runtime: Handle::current(),
        reply,
    };
    thread()?
        .send(job)
        .map_err(|gone| io::Error::other(gone.to_string()))?;
    answer.await.map_err(io::Error::other)?
}

fn thread() -> io::Result<&'static mpsc::Sender<Job>> {
    static THREAD: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    if let Some(sender) = THREAD.get() {
        return Ok(sender);
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new()
        .name("browser-spawn".to_owned())
        .spawn(move || serve(&jobs))?;
    // Lost a race against another first call: the other sender wins, our thread ends with its channel, having spawned nothing.
    Ok(THREAD.get_or_init(|| sender))
}

fn serve(jobs: &mpsc::Receiver<Job>) {
    while let Ok(mut job) = jobs.recv() {
        let child = {
            let _inside = job.runtime.enter();
            job.command.spawn()
        };
        // The command holds the child's ends of its pipes; nobody may read end of file late because of us.
        drop(job.command);
        if job.reply.send(child).is_err() {
            tracing::debug!("a process was started for nobody; it is killed by being dropped");
        }
    }
}
