//! From command line and environment to a [`Config`] or everything that is wrong with it.
//!
//! ```text
//! --config-body | EGRESS_CONFIG_BODY ──┐ wins
//! --config      | EGRESS_CONFIG_FILE ──┴─► text ─► decode ─► Loaded | Rejected
//! ```

use super::block::Reader;
use super::decode;
use super::document::Document;
use super::host::Host;
use super::model::Config;
use super::problem::{Problem, Rejected, Severity};
use std::path::PathBuf;

/// What the command line says about the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--config-body`.
    pub body: Option<String>,
}

/// What it is loaded for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The service: there must be a configuration, with Redis.
    Service,
    /// A recording from the command line: neither is needed.
    Record,
}

/// A configuration to start with.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
}

/// Loads the configuration.
///
/// # Errors
/// Everything that is wrong, not only the first thing.
pub fn load(sources: &Sources, host: &dyn Host, purpose: Purpose) -> Result<Loaded, Rejected> {
    let mut problems = Vec::new();
    let (origin, text) = match find(sources, host, &mut problems) {
        Ok(Some(found)) => found,
        Ok(None) if purpose == Purpose::Record => (String::new(), String::new()),
        Ok(None) => {
            return Err(Rejected {
                problems: vec![Problem::general("missing config")],
            });
        }
        Err(problem) => {
            return Err(Rejected {
                problems: vec![problem],
            });
        }
    };
    let document = Document::parse(&text).map_err(|unreadable| Rejected {
        problems: vec![Problem {
            severity: Severity::Error,
            origin: origin.clone(),
            line: unreadable.line,
            key: String::new(),
            message: format!("could not parse config: {}", unreadable.message),
        }],
    })?;
    let reader = Reader::new(document, origin);
    let config = reader.root(|block| decode::config(block, host, purpose, &mut problems));
    problems.splice(0..0, reader.into_problems());
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(Rejected { problems });
    }
    Ok(Loaded {
        config,
        warnings: problems,
    })
}

/// The text and where it is from.
fn find(
    sources: &Sources,
    host: &dyn Host,
    problems: &mut Vec<Problem>,
) -> Result<Option<(String, String)>, Problem> {
    let body = sources
        .body
        .clone()
        .filter(|body| !body.is_empty())
        .map(|body| ("--config-body", body))
        .or_else(|| Some(("EGRESS_CONFIG_BODY", host.var("EGRESS_CONFIG_BODY")?)));
    if let Some((origin, body)) = body {
        if sources.file.is_some() {
            problems.push(Problem {
                severity: Severity::Warning,
                origin: "command line".to_owned(),
                line: None,
                key: "--config".to_owned(),
                message: format!("is not used, because {origin} is set"),
            });
        }
        return Ok(Some((origin.to_owned(), body)));
    }
    let file = sources
        .file
        .clone()
        .filter(|file| !file.as_os_str().is_empty())
        .or_else(|| host.var("EGRESS_CONFIG_FILE").map(PathBuf::from));
    let Some(file) = file else {
        return Ok(None);
    };
    match host.read(&file) {
        Ok(text) => Ok(Some((file.display().to_string(), text))),
        Err(error) => Err(Problem::general(format!(
            "could not read config {}: {error}",
            file.display()
        ))),
    }
}
