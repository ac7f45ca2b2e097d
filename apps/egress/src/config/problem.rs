//! What is wrong with a configuration, told so that it can be mended without reading source code.
//!
//! Rule: where upstream would not start, or where guessing could put recordings in the wrong place, it is an
//! [`Severity::Error`]; where upstream carries on, we do too and say so as a [`Severity::Warning`].

use std::fmt;

/// May the service start with it?
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// No.
    Error,
    /// Yes, but somebody should look.
    Warning,
}

/// One thing wrong at one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// May the service start with it?
    pub severity: Severity,
    /// File name, `config body` or `environment`; empty when it is about no particular text.
    pub origin: String,
    /// Line in the origin, from 1.
    pub line: Option<usize>,
    /// Key, dotted: `redis.address`; empty for the whole.
    pub key: String,
    /// What is wrong and what to write instead; never holds the value of a secret.
    pub message: String,
}

impl Problem {
    /// An error without a place.
    pub(crate) fn general(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            origin: String::new(),
            line: None,
            key: String::new(),
            message: message.into(),
        }
    }

    /// A warning about an environment variable or flag.
    pub(crate) fn environment(name: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            origin: "environment".to_owned(),
            line: None,
            key: name.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    /// `config.yaml:3: error: redis.adress: unknown key, …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() {
            write!(f, "{}:", self.origin)?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        match self.severity {
            Severity::Error => f.write_str("error: ")?,
            Severity::Warning => f.write_str("warning: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration the service cannot start with: every error, and the warnings found on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// In the order of the text.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Rejected {
    /// One problem a line. A lone general error is printed bare, as upstream does (`missing config`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice()
            && only.origin.is_empty()
            && only.key.is_empty()
        {
            return f.write_str(&only.message);
        }
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}
