//! What a dead recorder left on disk.

use crate::journal::FilePair;
use recording::crash::Partial;

/// Repairs a part file and puts it in its place; nothing if there was nothing to save. Blocking.
pub(super) fn save(file: &FilePair) -> Option<Partial> {
    match recorder::repair::repair(&file.part, &file.finished) {
        Ok(Some(repaired)) => {
            tracing::info!(location = %repaired.location, bytes = repaired.size, "a partial recording was saved");
            Some(Partial {
                location: repaired.location,
                size: repaired.size,
                duration: repaired.duration,
            })
        }
        Ok(None) => None,
        Err(error) => {
            tracing::error!(file = %file.part.display(), error = format!("{error:#}"), "could not save a partial recording; it stays where it is");
            None
        }
    }
}

/// Removes what a recording that was never begun, as far as anybody was told, left behind.
pub(super) fn discard(file: &FilePair) {
    match std::fs::remove_file(&file.part) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(file = %file.part.display(), %error, "could not remove"),
    }
}
