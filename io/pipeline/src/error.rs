//! What can go wrong while a pipeline is built, started or steered.

use recording::Fault;

/// Faults of this crate. Texts of GStreamer are passed on as they are: operators search for them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// An element is not installed.
    #[error("GStreamer element {element} is missing: install {package}")]
    Missing {
        /// Element factory.
        element: String,
        /// Debian package that has it.
        package: String,
    },
    /// None of several elements for the same work is installed.
    #[error("no {purpose} encoder is installed: install {package}")]
    NoEncoder {
        /// Codec.
        purpose: &'static str,
        /// Debian package of the first choice.
        package: &'static str,
    },
    /// GStreamer could not be initialised, or an element reported an error.
    #[error("{text}")]
    Element {
        /// Element name in the graph; empty when it was the framework itself.
        element: String,
        /// The framework's text.
        text: String,
    },
    /// The configuration asks for what a capture cannot do.
    #[error("{0}")]
    Config(&'static str),
    /// The graph text does not make a pipeline: our bug, or a plugin of another version.
    #[error("pipeline cannot be built: {0}")]
    Graph(String),
    /// A state was not reached in [`crate::capture::STATE_LIMIT`].
    #[error("pipeline frozen")]
    Frozen,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::internal(error.to_string())
    }
}
