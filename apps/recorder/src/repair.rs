//! What a killed recorder left behind, made an ordinary file and put in its place.

use crate::file::Disk;
use container::mp4;
use std::{path::Path, time::Duration};
use storage::PartFile;

/// A repaired recording in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Absolute path.
    pub location: String,
    /// Bytes.
    pub size: u64,
    /// Length of the media; unknown when the file could be saved but not measured.
    pub duration: Option<Duration>,
}

/// Repairs the part file and delivers it. `Ok(None)`: there was nothing to save (no file, or not one whole fragment: the
/// useless stub is removed). Blocking.
///
/// # Errors
/// When the file cannot be repaired or moved; it is left where it is.
pub fn repair(part: &Path, finished: &Path) -> anyhow::Result<Option<Repaired>> {
    if !part.exists() {
        return Ok(None);
    }
    let mut disk = Disk(PartFile::open(part)?);
    let mut walk = mp4::Repair::new(disk.0.len());
    let duration = match mp4::drive(&mut walk, &mut disk) {
        Ok(summary) => Some(summary.duration),
        Err(mp4::DriveError::Walk(mp4::Error::NothingRecorded)) => {
            drop(disk);
            std::fs::remove_file(part)?;
            return Ok(None);
        }
        // A fragmented file without its final index still plays: better in its place than lost.
        Err(error) => {
            tracing::warn!(file = %part.display(), %error, "could not write the index of a partial recording");
            None
        }
    };
    drop(disk);
    let stored = storage::local::deliver(part, finished)?;
    Ok(Some(Repaired {
        location: stored.location,
        size: stored.size,
        duration,
    }))
}
