//! One Xvfb: a screen of exactly the recorded size.
//!
//! The server chooses its number itself and says it when it is ready (`-displayfd`), so there is neither a collision nor a
//! race. It listens on the abstract socket only and writes no lock: whatever kills it, no file is left behind.

use crate::log::{self, Tail};
use crate::process::{self, Launch, Process, Watch};
use crate::{Config, lookup};
use recording::{Fault, fault};
use std::ffi::OsString;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, BufReader};

/// A running X server.
#[derive(Debug)]
pub(crate) struct Display {
    name: String,
    process: Process,
}

impl Display {
    /// Starts Xvfb and waits until clients can connect.
    ///
    /// # Errors
    /// `failed to launch xvfb: …`.
    pub(crate) async fn launch(config: &Config, dir: &Path) -> Result<Self, Fault> {
        start(config, dir)
            .await
            .map_err(|cause| fault::launch("xvfb", cause))
    }

    /// `:99`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn watch(&self) -> Watch {
        self.process.watch()
    }

    /// Ends it; it holds nothing worth saving.
    pub(crate) async fn kill(self) {
        self.process.kill().await;
    }
}

async fn start(config: &Config, dir: &Path) -> Result<Display, String> {
    let program = lookup::helper("Xvfb", "xvfb")?;
    let (process, pipes) = Process::launch(Launch {
        name: "Xvfb",
        program: &program,
        args: arguments(config),
        env: process::environment(dir),
        stdout: true,
    })
    .await
    .map_err(|error| error.to_string())?;
    let complaints = log::drain("Xvfb", pipes.stderr);
    let stdout = pipes.stdout.ok_or("its stdout is closed")?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    let limit = config.limits.helpers;
    match tokio::time::timeout(limit, reader.read_line(&mut line)).await {
        Err(_elapsed) => Err(format!("not ready after {limit:?}")),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) => match line.trim().parse::<u32>() {
            Ok(number) => Ok(Display {
                name: format!(":{number}"),
                process,
            }),
            Err(_no_number) => Err(explain(&process, complaints).await),
        },
    }
}

async fn explain(process: &Process, complaints: Tail) -> String {
    let how = process.watch().exited().await;
    let text = complaints.text().await;
    if text.is_empty() {
        how
    } else {
        format!("{text} ({how})")
    }
}

fn arguments(config: &Config) -> Vec<OsString> {
    let screen = format!("{}x{}x{}", config.width, config.height, config.depth);
    let mut args = vec![
        "-displayfd",
        "1",
        "-screen",
        "0",
        &screen,
        "-ac",
        "-nolisten",
        "tcp",
        "-nolisten",
        "unix",
        "-nolock",
        // A browser of a second attempt finds the server as the first left it; captures stay connected.
        "-noreset",
    ];
    // GLX loads Mesa and LLVM: 54 of 66 MB. Only a browser whose GPU was switched back on could use it.
    if crate::flags::without_gpu(config) {
        args.extend(["-extension", "GLX"]);
    }
    args.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::Secret;
    use recording::settings::ChromeFlag;

    #[test]
    fn the_screen_has_the_size_and_depth_of_the_plan() {
        let mut config = Config::new(Secret::new(String::new()), "/tmp".into());
        (config.width, config.height, config.depth) = (640, 360, 16);
        let args = arguments(&config);
        assert!(args.contains(&"640x360x16".into()));
        assert!(args.contains(&"GLX".into()));
        config
            .flags
            .insert("disable-gpu".to_owned(), ChromeFlag::Switch(false));
        assert!(!arguments(&config).contains(&"GLX".into()));
    }
}
