//! What is on disk about recordings in progress, so that the next worker can finish the stories of a dead one.
//!
//! ```text
//! <tmp_dir>/<egress id>/          one directory per recording, removed when its end was acknowledged
//!    journal.json                 which files belong to it (written before the recorder starts)
//!    info.pb                      the last EgressInfo (written by the recorder and by the worker)
//!    worker.lock  recorder.lock   held while the process lives: the system drops them with it
//! ```
//!
//! A directory whose `worker.lock` can be taken belongs to nobody; its files are safe to touch once `recorder.lock` can
//! be taken too (the recorder of a dead worker finishes by itself first).

use anyhow::Context;
use recording::EgressId;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

const JOURNAL: &str = "journal.json";
const INFO: &str = "info.pb";
const WORKER_LOCK: &str = "worker.lock";
const RECORDER_LOCK: &str = "recorder.lock";

/// What belongs to a recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Whose.
    pub(crate) egress_id: EgressId,
    /// The growing file and its place, for local file outputs.
    pub(crate) file: Option<FilePair>,
}

/// A part file and where it belongs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FilePair {
    /// While it grows.
    pub(crate) part: PathBuf,
    /// When it is whole.
    pub(crate) finished: PathBuf,
}

/// A directory of ours; dropping it lets go of the lock.
#[derive(Debug)]
pub(crate) struct Open {
    dir: PathBuf,
    lock: File,
}

/// A recording that an earlier worker left behind.
#[derive(Debug)]
pub(crate) struct Orphan {
    /// Its directory, now locked by us.
    pub(crate) open: Open,
    /// What belongs to it.
    pub(crate) entry: Entry,
}

/// The directory of one recording.
pub(crate) fn dir(tmp: &Path, id: &EgressId) -> PathBuf {
    tmp.join(id.as_str())
}

impl Open {
    /// Makes and locks the directory and writes the entry. What a recording of the same id left there is removed.
    pub(crate) fn create(tmp: &Path, entry: &Entry) -> anyhow::Result<Self> {
        let dir = dir(tmp, &entry.egress_id);
        match fs::remove_dir_all(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("empty {}", dir.display())),
        }
        fs::create_dir_all(&dir)
            .with_context(|| format!("create {} (tmp_dir must be writable)", dir.display()))?;
        let lock =
            take(&dir.join(WORKER_LOCK))?.context("the directory of a new recording is locked")?;
        let bytes = serde_json::to_vec(entry).context("write the journal")?;
        fs::write(dir.join(JOURNAL), bytes)
            .with_context(|| format!("write the journal in {}", dir.display()))?;
        Ok(Self { dir, lock })
    }

    /// Keeps the newest info. A failure is only worth a log line: the bus still gets it.
    pub(crate) fn keep_info(&self, bytes: &[u8]) {
        let near = self.dir.join("info.worker.part");
        if let Err(error) =
            fs::write(&near, bytes).and_then(|()| fs::rename(&near, self.dir.join(INFO)))
        {
            tracing::warn!(dir = %self.dir.display(), %error, "could not journal the state of a recording");
        }
    }

    /// The newest info kept, if any.
    pub(crate) fn last_info(&self) -> Option<Vec<u8>> {
        fs::read(self.dir.join(INFO)).ok()
    }

    /// Whether the recorder that wrote here has ended.
    pub(crate) fn recorder_has_ended(&self) -> bool {
        take(&self.dir.join(RECORDER_LOCK)).is_ok_and(|lock| lock.is_some())
    }

    /// The story is told: nothing is left.
    pub(crate) fn remove(self) {
        let Self { dir, lock } = self;
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "could not remove the directory of a recording");
        }
        drop(lock);
    }
}

/// Directories whose worker is gone.
pub(crate) fn orphans(tmp: &Path) -> Vec<Orphan> {
    let Ok(entries) = fs::read_dir(tmp) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for dir in entries.flatten().map(|e| e.path()) {
        let Ok(bytes) = fs::read(dir.join(JOURNAL)) else {
            continue;
        };
        let lock = match take(&dir.join(WORKER_LOCK)) {
            Ok(Some(lock)) => lock,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "could not look at what an earlier worker left");
                continue;
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(entry) => found.push(Orphan {
                open: Open { dir, lock },
                entry,
            }),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "unreadable journal, left alone")
            }
        }
    }
    found.sort_by(|a, b| a.entry.egress_id.cmp(&b.entry.egress_id));
    found
}

/// Takes a lock file; `None` when somebody alive holds it.
fn take(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            egress_id: EgressId::new("EG_a").unwrap(),
            file: None,
        }
    }

    #[test]
    fn a_living_workers_recording_is_nobodys_orphan() {
        let tmp = tempfile::tempdir().unwrap();
        let open = Open::create(tmp.path(), &entry()).unwrap();
        assert!(orphans(tmp.path()).is_empty());
        drop(open);
        assert_eq!(orphans(tmp.path()).len(), 1);
    }

    #[test]
    fn an_orphan_keeps_the_last_info() {
        let tmp = tempfile::tempdir().unwrap();
        Open::create(tmp.path(), &entry())
            .unwrap()
            .keep_info(b"state");
        let orphan = orphans(tmp.path()).remove(0);
        assert_eq!(orphan.entry, entry());
        assert_eq!(orphan.open.last_info().unwrap(), b"state");
        assert!(orphan.open.recorder_has_ended());
        orphan.open.remove();
        assert!(orphans(tmp.path()).is_empty());
    }

    #[test]
    fn a_recorder_that_still_finishes_is_seen() {
        let tmp = tempfile::tempdir().unwrap();
        let open = Open::create(tmp.path(), &entry()).unwrap();
        let held = take(&open.dir.join(RECORDER_LOCK)).unwrap();
        assert!(!open.recorder_has_ended());
        drop(held);
        assert!(open.recorder_has_ended());
    }

    #[test]
    fn an_unreadable_journal_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("EG_b");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(JOURNAL), b"{").unwrap();
        assert!(orphans(tmp.path()).is_empty());
        assert!(dir.exists());
    }
}
