//! One PulseAudio for one page: a null sink that the page plays to and whose monitor is recorded.
//!
//! Private in every respect: started with no script and its own `daemon.conf`, reachable over one unix socket in a
//! directory of ours. What upstream shares between all recordings (one daemon, 60 clients, one crash) is nobody else's here.

use crate::log::{self, Tail};
use crate::process::{self, Launch, Process, Watch};
use crate::{Config, lookup};
use recording::{Fault, fault};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};
use tokio::net::UnixStream;
use tokio::time::Instant;

const SINK: &str = "egress";
/// Longest path of a unix socket, bytes (`sun_path` less its terminator).
pub(crate) const SOCKET_PATH: usize = 107;
/// Pause between two looks for the socket.
const LOOK: Duration = Duration::from_millis(2);

/// Not the machine's settings. No realtime thread: a process that may starve others does not belong into a worker that runs
/// many. The usual nice level instead, where permitted (root, `CAP_SYS_NICE`).
const DAEMON_CONF: &str = "daemonize = no\n\
    exit-idle-time = -1\n\
    allow-exit = no\n\
    use-pid-file = no\n\
    cpu-limit = no\n\
    realtime-scheduling = no\n\
    high-priority = yes\n\
    nice-level = -11\n\
    resample-method = speex-float-3\n\
    avoid-resampling = no\n\
    flat-volumes = no\n\
    default-sample-format = s16le\n\
    default-sample-rate = 48000\n\
    default-sample-channels = 2\n\
    log-target = stderr\n\
    log-level = notice\n";

/// Where a capture finds the page's sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PulseServer {
    /// `unix:<path>`: the `server` of a PulseAudio client.
    pub server: String,
    /// The `device` to record, 48 kHz stereo.
    pub source: String,
}

/// A running sound server.
#[derive(Debug)]
pub(crate) struct Sound {
    server: PulseServer,
    process: Process,
}

impl Sound {
    /// Starts PulseAudio and waits until clients can connect.
    ///
    /// # Errors
    /// `failed to launch pulse: …`.
    pub(crate) async fn launch(config: &Config, dir: &Path) -> Result<Self, Fault> {
        start(config, dir)
            .await
            .map_err(|cause| fault::launch("pulse", cause))
    }

    pub(crate) fn server(&self) -> &PulseServer {
        &self.server
    }

    /// What makes a client play here and nowhere else.
    pub(crate) fn client_environment(&self) -> [(OsString, OsString); 2] {
        [
            ("PULSE_SERVER".into(), self.server.server.clone().into()),
            ("PULSE_SINK".into(), SINK.into()),
        ]
    }

    pub(crate) fn watch(&self) -> Watch {
        self.process.watch()
    }

    /// Ends it; it holds nothing worth saving.
    pub(crate) async fn kill(self) {
        self.process.kill().await;
    }
}

async fn start(config: &Config, dir: &Path) -> Result<Sound, String> {
    let program = lookup::helper("pulseaudio", "pulseaudio")?;
    let socket = dir.join("pulse.sock");
    if socket.as_os_str().len() > SOCKET_PATH {
        return Err(format!(
            "the path {} is too long for a unix socket: use a shorter working directory",
            socket.display()
        ));
    }
    let conf = dir.join("daemon.conf");
    fs::write(&conf, DAEMON_CONF).map_err(|error| format!("{}: {error}", conf.display()))?;
    let mut env = process::environment(dir);
    env.push(("PULSE_CONFIG".into(), conf.into()));
    let (process, pipes) = Process::launch(Launch {
        name: "pulseaudio",
        program: &program,
        args: arguments(&socket),
        env,
        stdout: false,
    })
    .await
    .map_err(|error| error.to_string())?;
    let complaints = log::drain("pulseaudio", pipes.stderr);
    ready(&socket, &process, config.limits.helpers, complaints).await?;
    Ok(Sound {
        server: PulseServer {
            server: format!("unix:{}", socket.display()),
            source: format!("{SINK}.monitor"),
        },
        process,
    })
}

/// The sink is loaded first: whoever can connect finds it. Without rewinds its latency is 50 ms instead of 2 s, so that a
/// capture hears something at once, not a second after it began.
fn arguments(socket: &Path) -> Vec<OsString> {
    let sink = format!("module-null-sink sink_name={SINK} rate=48000 channels=2 norewinds=1");
    let mut protocol = OsString::from("module-native-protocol-unix auth-anonymous=1 socket=");
    protocol.push(socket);
    vec![
        "-n".into(),
        "--daemonize=no".into(),
        "--load".into(),
        sink.into(),
        "--load".into(),
        protocol,
    ]
}

async fn ready(
    socket: &PathBuf,
    process: &Process,
    limit: Duration,
    complaints: Tail,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    let watch = process.watch();
    loop {
        match UnixStream::connect(socket).await {
            Ok(_connection) => return Ok(()),
            Err(error) if pending(&error) => {}
            Err(error) => return Err(error.to_string()),
        }
        if let Some(how) = watch.ended() {
            let text = complaints.text().await;
            return Err(if text.is_empty() {
                how
            } else {
                format!("{text} ({how})")
            });
        }
        if Instant::now() >= deadline {
            return Err(format!("not ready after {limit:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn pending(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}
