//! `egress recorder`: a child of the service. Its link is standard input.

use super::runtime;
use crate::{
    config::{Level, Logging},
    log,
    supervise::process::ChildLog,
};

/// Serves the worker until it is gone and every recording is over.
///
/// # Errors
/// When the link is none, or the worker cannot be understood.
pub fn run() -> anyhow::Result<()> {
    let settings = ChildLog::from_env();
    let logging = Logging {
        json: settings.json,
        level: match settings.level.as_str() {
            "debug" => Level::Debug,
            "warn" => Level::Warn,
            "error" => Level::Error,
            _ => Level::Info,
        },
        component_levels: Vec::new(),
        sample: false,
    };
    log::init(&logging, &log::Identity::default())?;
    runtime()?.block_on(async {
        ignore_terminal_signals()?;
        recorder::serve(recorder::serve::link_from_stdin()?).await
    })
}

/// SIGINT at a terminal reaches the worker, which decides; SIGTERM is the stop ladder's second step and ends us the same way
/// as a closed link does.
fn ignore_terminal_signals() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move { while interrupt.recv().await.is_some() {} });
    Ok(())
}
