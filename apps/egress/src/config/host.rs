//! What the configuration may know of the machine: variables, files, directories. Tests bring their own.

use std::io;
use std::path::{Path, PathBuf};

/// The machine as the configuration sees it.
pub trait Host {
    /// An environment variable; `None` when unset, empty or not Unicode.
    fn var(&self, name: &str) -> Option<String>;

    /// A whole file.
    ///
    /// # Errors
    /// What reading says.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Makes the directory with its parents; false when there is none in the end, or it is not writable.
    fn ensure_dir(&self, path: &Path) -> bool;

    /// Where temporary files go on this system.
    fn temp_dir(&self) -> PathBuf;
}

/// This process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Host for Process {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn ensure_dir(&self, path: &Path) -> bool {
        std::fs::create_dir_all(path).is_ok()
            && path
                .metadata()
                .is_ok_and(|meta| meta.is_dir() && !meta.permissions().readonly())
            && probe_write(path)
    }

    fn temp_dir(&self) -> PathBuf {
        std::env::temp_dir()
    }
}

/// Permission bits lie (read-only mounts, other owners): only writing tells.
fn probe_write(dir: &Path) -> bool {
    let probe = dir.join(format!(".egress-probe-{}", std::process::id()));
    let written = std::fs::write(&probe, b"").is_ok();
    written && std::fs::remove_file(&probe).is_ok()
}
