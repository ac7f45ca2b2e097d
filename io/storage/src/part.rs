//! The file of a recording while it grows: appended in whole blocks, patched near its start at the end.
//!
//! ```text
//! create ──► append* ──► [read_at | append | write_at]* ──► deliver (local::deliver renames it)
//!                └── kill ──► open (repair) ──► truncate ──► …
//! ```
//!
//! Blocking; lives on a thread of its own. Dropping it leaves the file as it is.

use crate::Error;
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A growing file. The end of the file is kept here: one thread writes.
#[derive(Debug)]
pub struct PartFile {
    file: File,
    path: PathBuf,
    end: u64,
}

impl PartFile {
    /// Makes the file, and the directories above it (mode 0755 less umask), empty.
    ///
    /// # Errors
    /// When a directory or the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, Error> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(Error::at("create directory", dir))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(Error::at("create", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            end: 0,
        })
    }

    /// Opens what an earlier process left behind.
    ///
    /// # Errors
    /// When it is not there or cannot be read and written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::at("open", path))?;
        let end = file.metadata().map_err(Error::at("examine", path))?.len();
        Ok(Self {
            file,
            path: path.to_owned(),
            end,
        })
    }

    /// Bytes in the file.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end
    }

    /// Nothing written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a block at the end. After a failure the file is cut back to what it was, so that a disk that filled up in
    /// the middle of a block leaves no torn block.
    ///
    /// # Errors
    /// When the system refuses, a full disk among others.
    pub fn append(&mut self, block: &[u8]) -> Result<(), Error> {
        match self.file.write_all_at(block, self.end) {
            Ok(()) => {
                self.end += block.len() as u64;
                Ok(())
            }
            Err(source) => {
                if let Err(cut) = self.file.set_len(self.end) {
                    tracing::warn!(path = %self.path.display(), error = %cut, "could not cut back a torn block");
                }
                Err(Error {
                    verb: "write",
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }

    /// Overwrites bytes that exist.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(Error::at("write", &self.path))
    }

    /// Reads exactly `buffer.len()` bytes.
    ///
    /// # Errors
    /// When the system refuses or the file is shorter.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(Error::at("read", &self.path))
    }

    /// Cuts the file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn truncate(&mut self, len: u64) -> Result<(), Error> {
        self.file
            .set_len(len)
            .map_err(Error::at("cut", &self.path))?;
        self.end = len;
        Ok(())
    }
}
