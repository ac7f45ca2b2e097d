//! Local disk: the part file becomes the recording by one rename.

use crate::Error;
use std::{fs, io, path::Path};

/// A recording in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Absolute path.
    pub location: String,
    /// Bytes, as the file system says.
    pub size: u64,
}

/// Moves a finished part file to its place, replacing what was there, and reads its size back.
///
/// # Errors
/// When it cannot be moved; the part file then stays where it is.
pub fn deliver(part: &Path, finished: &Path) -> Result<Stored, Error> {
    if let Some(dir) = finished.parent() {
        fs::create_dir_all(dir).map_err(Error::at("create directory", dir))?;
    }
    match fs::rename(part, finished) {
        Ok(()) => {}
        // Part and place on two file systems: copy beside the place first, so that the place never holds half a file.
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            let near = finished.with_extension("part");
            fs::copy(part, &near).map_err(Error::at("copy", &near))?;
            fs::rename(&near, finished).map_err(Error::at("rename to", finished))?;
            fs::remove_file(part).map_err(Error::at("remove", part))?;
        }
        Err(e) => return Err(Error::at("rename to", finished)(e)),
    }
    let size = fs::metadata(finished)
        .map_err(Error::at("examine", finished))?
        .len();
    Ok(Stored {
        location: finished.display().to_string(),
        size,
    })
}

/// Writes a small file (a manifest) in one go: beside its place, then renamed.
///
/// # Errors
/// When it cannot be written.
pub fn put(place: &Path, bytes: &[u8]) -> Result<Stored, Error> {
    if let Some(dir) = place.parent() {
        fs::create_dir_all(dir).map_err(Error::at("create directory", dir))?;
    }
    let mut near = place.as_os_str().to_owned();
    near.push(".part");
    let near = Path::new(&near);
    fs::write(near, bytes).map_err(Error::at("write", near))?;
    deliver(near, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartFile;

    #[test]
    fn a_delivered_file_is_whole_and_the_part_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (part, place) = (dir.path().join("a/.x.part"), dir.path().join("b/c/x.mp4"));
        let mut file = PartFile::create(&part).unwrap();
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.write_at(0, b"J").unwrap();
        let stored = deliver(&part, &place).unwrap();
        assert_eq!(stored.size, 11);
        assert_eq!(fs::read(&place).unwrap(), b"Jello world");
        assert!(!part.exists());
    }

    #[test]
    fn a_place_that_cannot_be_made_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let blocker = dir.path().join("file");
        fs::write(&blocker, b"x").unwrap();
        let error = PartFile::create(&blocker.join("sub/x.part"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("create directory") && error.contains("file/sub"),
            "{error}"
        );
    }

    #[test]
    fn an_opened_part_goes_on_where_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("x.part");
        PartFile::create(&part)
            .unwrap()
            .append(b"0123456789")
            .unwrap();
        let mut file = PartFile::open(&part).unwrap();
        file.truncate(4).unwrap();
        file.append(b"abc").unwrap();
        let mut all = vec![0; 7];
        file.read_at(0, &mut all).unwrap();
        assert_eq!(all, b"0123abc");
    }

    #[test]
    fn a_manifest_is_put_in_one_go() {
        let dir = tempfile::tempdir().unwrap();
        let stored = put(&dir.path().join("EG_x.json"), b"{}\n").unwrap();
        assert_eq!(stored.size, 3);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
