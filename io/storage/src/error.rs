//! What can go wrong with a file, said so that the reader knows what to change.

use std::{io, path::Path, path::PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {}: {}", path.display(), explain(source))]
pub struct Error {
    /// What was tried: `create`, `write`, …
    pub verb: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Keeps the context of an [`io::Error`].
    pub(crate) fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { verb, path, source }
    }
}

fn explain(e: &io::Error) -> String {
    let hints = [
        (
            io::ErrorKind::StorageFull,
            "; free space or write to another volume",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "; let the user that runs egress write there",
        ),
        (
            io::ErrorKind::ReadOnlyFilesystem,
            "; mount it writable or write elsewhere",
        ),
    ];
    let hint = hints
        .iter()
        .find(|(kind, _)| *kind == e.kind())
        .map_or("", |(_, hint)| *hint);
    format!("{e}{hint}")
}
