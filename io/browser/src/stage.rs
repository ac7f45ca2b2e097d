//! Display and sound server of one recording.

use crate::child::{Helper, OnDeath, command};
use recording::Fault;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UnixStream,
};

/// Longest wait for a display or a sound server.
const READY: Duration = Duration::from_secs(10);
/// Name of the null sink; its monitor is what is recorded.
const SINK: &str = "egress";

/// A private sound server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// `unix:/…/pulse.sock`.
    pub server: String,
    /// The sink pages play to.
    pub sink: String,
    /// The source that hears it.
    pub source: String,
}

/// Display and sound, up and running.
#[derive(Debug)]
pub struct Stage {
    display: String,
    pulse: Option<Pulse>,
    xvfb: Helper,
    pulseaudio: Option<Helper>,
}

impl Stage {
    /// Starts both at once and waits until they answer. `workdir` must exist; sockets are made in it.
    ///
    /// # Errors
    /// `failed to launch xvfb: …`, `failed to launch pulse: …`, with the package to install.
    pub async fn raise(
        width: u32,
        height: u32,
        depth: u8,
        sound: bool,
        workdir: &Path,
    ) -> Result<Self, Fault> {
        let display = raise_display(width, height, depth);
        let pulse = async {
            if sound {
                raise_sound(workdir).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let ((display, xvfb), pulse) = tokio::try_join!(display, pulse)?;
        let (pulse, pulseaudio) =
            pulse.map_or((None, None), |(pulse, helper)| (Some(pulse), Some(helper)));
        Ok(Self {
            display,
            pulse,
            xvfb,
            pulseaudio,
        })
    }

    /// `:99`.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }

    /// The sound server, if there is one.
    #[must_use]
    pub const fn pulse(&self) -> Option<&Pulse> {
        self.pulse.as_ref()
    }

    /// Resolves when display or sound server have ended: what happened.
    pub async fn fallen(&mut self) -> String {
        let sound = async {
            match &mut self.pulseaudio {
                Some(helper) => helper.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            how = self.xvfb.ended() => format!("the display ended: {how}"),
            how = sound => format!("the sound server ended: {how}"),
        }
    }

    /// Ends both. Whoever captures from them must have let go before: Xlib ends its process when the display goes.
    pub async fn strike(self) {
        let grace = Duration::from_secs(1);
        let sound = async {
            if let Some(helper) = self.pulseaudio {
                helper.stop(Duration::ZERO).await;
            }
        };
        // The display removes its lock file when asked to end.
        tokio::join!(self.xvfb.stop(grace), sound);
    }
}

fn launch_fault(what: &str, package: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::internal(format!(
        "failed to launch {what}: {error} (is the package {package} installed?)"
    ))
}

async fn raise_display(width: u32, height: u32, depth: u8) -> Result<(String, Helper), Fault> {
    let fault = |e: &dyn std::fmt::Display| launch_fault("xvfb", "xvfb", e);
    let mut xvfb = command("Xvfb", OnDeath::Terminate);
    // The server picks a free number and writes it when clients may connect.
    xvfb.args([
        "-displayfd",
        "1",
        "-screen",
        "0",
        &format!("{width}x{height}x{depth}"),
    ])
    .args([
        "-ac",
        "-nolisten",
        "tcp",
        "-nolisten",
        "unix",
        "-noreset",
        "-dpi",
        "96",
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::null());
    let mut helper = Helper::spawn("xvfb", xvfb).map_err(|e| fault(&e))?;
    let out = helper
        .process()
        .stdout
        .take()
        .ok_or_else(|| fault(&"no output"))?;
    let mut line = String::new();
    let mut reader = BufReader::new(out);
    let read = tokio::time::timeout(READY, reader.read_line(&mut line)).await;
    match read {
        Ok(Ok(_)) if !line.trim().is_empty() => Ok((format!(":{}", line.trim()), helper)),
        Ok(Ok(_)) => {
            let how = helper.ended().await;
            Err(fault(&how))
        }
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(fault(&"no display within 10 s")),
    }
}

async fn raise_sound(workdir: &Path) -> Result<(Pulse, Helper), Fault> {
    let fault = |e: &dyn std::fmt::Display| launch_fault("pulse", "pulseaudio", e);
    let socket: PathBuf = workdir.join("pulse.sock");
    if socket.as_os_str().len() > 100 {
        return Err(fault(&format!(
            "the path {} is too long for a socket: shorten tmp_dir",
            socket.display()
        )));
    }
    let mut pulse = command("pulseaudio", OnDeath::Kill);
    pulse
        .args([
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            "--disallow-exit=yes",
        ])
        .args([
            "--realtime=no",
            "--high-priority=no",
            "--log-target=stderr",
            "--log-level=error",
        ])
        .args(["--resample-method=speex-float-1"])
        .args([
            "-L",
            &format!(
                "module-native-protocol-unix auth-anonymous=1 socket={}",
                socket.display()
            ),
        ])
        .args([
            "-L",
            &format!("module-null-sink sink_name={SINK} rate=48000 channels=2 norewinds=1"),
        ])
        .env("HOME", workdir)
        .env("XDG_RUNTIME_DIR", workdir)
        .env("PULSE_RUNTIME_PATH", workdir.join("pulse"))
        .env("PULSE_STATE_PATH", workdir.join("pulse"))
        .env_remove("PULSE_SERVER")
        .env_remove("DISPLAY")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut helper = Helper::spawn("pulseaudio", pulse).map_err(|e| fault(&e))?;
    let deadline = Instant::now() + READY;
    loop {
        if UnixStream::connect(&socket).await.is_ok() {
            let server = format!("unix:{}", socket.display());
            let pulse = Pulse {
                server,
                sink: SINK.to_owned(),
                source: format!("{SINK}.monitor"),
            };
            return Ok((pulse, helper));
        }
        if let Ok(Some(status)) = helper.process().try_wait() {
            return Err(fault(&status));
        }
        if Instant::now() > deadline {
            return Err(fault(&"no answer within 10 s"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
