//! The `egress` command.

use egress::app::{
    demo,
    record::{self, Finished},
    recorder, serve,
};
use egress::cli::{self, Action};
use egress::config::{self, Loaded, Process, Purpose, Sources};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let action = match cli::parse(std::env::args_os()) {
        Ok(action) => action,
        Err(exit) => {
            say(&exit.text);
            return ExitCode::from(exit.code);
        }
    };
    match action {
        Action::CheckConfig(sources) => check(&sources),
        Action::Serve(sources) => load(&sources, Purpose::Service, |loaded| {
            ended(serve::run(loaded))
        }),
        Action::RecordWeb(sources, web) => load(&sources, Purpose::Record, |loaded| {
            recorded(record::run(loaded, &web), "")
        }),
        Action::Demo(sources, demo) => load(&sources, Purpose::Record, |loaded| {
            recorded(demo::run(loaded, &demo), demo::codecs())
        }),
        Action::Recorder => ended(recorder::run()),
    }
}

fn load(sources: &Sources, purpose: Purpose, run: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match config::load(sources, &Process, purpose) {
        Ok(loaded) => run(loaded),
        Err(rejected) => {
            say(&format!("{rejected}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Startup errors go to standard output, as upstream's do.
fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn recorded(outcome: anyhow::Result<Finished>, codecs: &str) -> ExitCode {
    match outcome {
        Ok(finished) => {
            say(&record::summary(&finished));
            if !finished.is_good() {
                return ExitCode::FAILURE;
            }
            if !codecs.is_empty() {
                say(&format!("{codecs}\n"));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The effective configuration on standard output, problems on standard error.
fn check(sources: &Sources) -> ExitCode {
    match config::load(sources, &Process, Purpose::Service) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(warning);
            }
            say(&loaded.config.masked_yaml());
            ExitCode::SUCCESS
        }
        Err(rejected) => {
            complain(&rejected);
            ExitCode::FAILURE
        }
    }
}

/// Standard output may be closed (`| head`): nothing to do about it.
fn say(text: &impl Display) {
    write!(std::io::stdout(), "{text}").unwrap_or_default();
}

fn complain(problem: &impl Display) {
    writeln!(std::io::stderr(), "{problem}").unwrap_or_default();
}
