//! How an attempt to load a page can fail: the texts, the codes and what is worth another attempt (egress-behaviour.md §10.5).

use recording::{Fault, fault};
use std::fmt;

/// Network errors that pass: the certificate verifier changed under a request, a kept connection was closed.
const PASSING: &[&str] = &[
    "net::ERR_CERT_VERIFIER_CHANGED",
    "net::ERR_CONNECTION_CLOSED",
];

/// Why a page did not load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LoadError {
    /// No load event in time.
    TimedOut,
    /// `net::ERR_…`.
    Network(String),
    /// A status of 400 or more, with its text (empty on HTTP/2).
    Status { code: u64, text: String },
    /// The first `div.error` of the page.
    Template(String),
    /// Chromium ended before it could be talked to; what it printed.
    NotStarted(String),
    /// Anything else: no browser, no DevTools, the page or browser ended while loading.
    Other(String),
}

impl LoadError {
    /// Another attempt, with a new browser, may succeed.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::TimedOut => true,
            Self::Network(text) => PASSING.iter().any(|passing| text.contains(passing)),
            Self::Status { .. } | Self::Template(_) | Self::NotStarted(_) | Self::Other(_) => false,
        }
    }

    /// What the recording fails with.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::TimedOut => fault::page_load("timed out"),
            Self::Network(text) | Self::Other(text) => fault::page_load(text),
            // Upstream says "page load error:" twice here, and nothing more on HTTP/2.
            Self::Status { code, text } if text.is_empty() => fault::page_load(code),
            Self::Status { text, .. } => fault::page_load(text),
            Self::Template(text) => fault::template(text),
            Self::NotStarted(output) => fault::chrome_failed(output),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::Code;

    #[test]
    fn every_outcome_has_its_text_its_code_and_its_chance() {
        let status = |text: &str| LoadError::Status {
            code: 404,
            text: text.to_owned(),
        };
        for (error, text, code, passes) in [
            (
                LoadError::TimedOut,
                "page load error: timed out",
                Code::InvalidArgument,
                true,
            ),
            (
                LoadError::Network("net::ERR_CONNECTION_CLOSED".to_owned()),
                "page load error: net::ERR_CONNECTION_CLOSED",
                Code::InvalidArgument,
                true,
            ),
            (
                LoadError::Network("net::ERR_CONNECTION_REFUSED".to_owned()),
                "page load error: net::ERR_CONNECTION_REFUSED",
                Code::InvalidArgument,
                false,
            ),
            (
                status("Not Found"),
                "page load error: Not Found",
                Code::InvalidArgument,
                false,
            ),
            (
                status(""),
                "page load error: 404",
                Code::InvalidArgument,
                false,
            ),
            (
                LoadError::Template("no room".to_owned()),
                "template error: no room",
                Code::InvalidArgument,
                false,
            ),
            (
                LoadError::NotStarted("boom".to_owned()),
                "chrome failed to start:\nboom",
                Code::Internal,
                false,
            ),
            (
                LoadError::Other("x".to_owned()),
                "page load error: x",
                Code::InvalidArgument,
                false,
            ),
        ] {
            assert_eq!(error.fault(), Fault::new(code, text));
            assert_eq!(error.passes(), passes, "{text}");
        }
    }
}
