//! The directory of one recording: `<tmp_dir>/<egress id>/`.
//!
//! The worker makes and removes it (its journal lies there); the recorder holds `recorder.lock` in it, keeps the last
//! `EgressInfo` in `info.pb` for the case that the worker dies, and lets the browser work in `work/`.

use anyhow::Context;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Held while the recording runs; dropping it lets go of the lock.
#[derive(Debug)]
pub(crate) struct Workdir {
    dir: PathBuf,
    _lock: File,
}

fn missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

impl Workdir {
    /// Opens (or, without a worker, makes) the directory.
    pub(crate) fn open(tmp: &Path, egress_id: &str) -> anyhow::Result<Self> {
        let dir = tmp.join(egress_id);
        fs::create_dir_all(dir.join("work"))
            .with_context(|| format!("create {}", dir.display()))?;
        let path = dir.join("recorder.lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        lock.try_lock().with_context(|| {
            format!(
                "lock {} (is {egress_id} being recorded already?)",
                path.display()
            )
        })?;
        Ok(Self { dir, _lock: lock })
    }

    /// For the browser: profile, sockets, logs.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Keeps the newest info for whoever comes after us.
    pub(crate) fn keep_info(&self, bytes: &[u8]) {
        let near = self.dir.join("info.recorder.part");
        if let Err(error) =
            fs::write(&near, bytes).and_then(|()| fs::rename(&near, self.dir.join("info.pb")))
        {
            tracing::warn!(dir = %self.dir.display(), %error, "could not keep the state of the recording on disk");
        }
    }

    /// Removes what the browser left. The rest is the worker's.
    pub(crate) fn clear(&self) {
        let work = self.work();
        if let Err(error) = fs::remove_dir_all(&work).or_else(missing) {
            tracing::warn!(dir = %work.display(), %error, "could not remove the working directory");
        }
    }
}
