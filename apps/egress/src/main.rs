//! The `egress` command.

use egress::cli::{self, Action};
use egress::config::{self, Process, Purpose, Sources};
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
        Action::Serve(_) | Action::RecordWeb(..) | Action::Demo(..) | Action::Recorder => {
            say(&"this build can only check configurations\n");
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
