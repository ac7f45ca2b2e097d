//! Where a file lies on this machine while it is written and when it is finished.
//!
//! ```text
//! Store::Local   <dir of the destination>/.<basename>.<egress id>.part ─ rename ─► <dir>/<basename>   (one file system)
//! anything else  <tmp>/<egress id>/.<basename>.<egress id>.part        ─ rename ─► <tmp>/<egress id>/<basename> ─► upload
//! ```
//!
//! Only computes paths; the recorder creates, renames and removes.

use super::path;
use crate::EgressId;
use crate::plan::{Destination, FileOutput, Store};
use std::path::{Path, PathBuf};

/// Both places of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalFile {
    /// While it is written.
    pub part: PathBuf,
    /// When it is finished; for a local destination this is where it stays.
    pub finished: PathBuf,
}

/// The working directory of a recording.
#[must_use]
pub fn work_dir(egress_id: &EgressId, tmp_dir: &Path) -> PathBuf {
    tmp_dir.join(egress_id.as_str())
}

/// The object key (or path below the working directory's root): configured prefix and storage path, cleaned.
#[must_use]
pub fn key(destination: &Destination, storage_path: &str) -> String {
    path::join(&destination.prefix, storage_path)
}

/// Where a local destination keeps `storage_path`: relative ones lie under `cwd` (upstream's handlers run in `/`).
#[must_use]
pub fn stored(destination: &Destination, storage_path: &str, cwd: &Path) -> PathBuf {
    cwd.join(key(destination, storage_path))
}

/// `location` of something stored locally: the absolute path, as a `file://` URL when locations are presigned.
#[must_use]
pub fn location(destination: &Destination, storage_path: &str, cwd: &Path) -> String {
    let path = stored(destination, storage_path, cwd);
    let path = path.to_string_lossy();
    if destination.presign {
        format!("file://{path}")
    } else {
        path.into_owned()
    }
}

/// Places of the file output. `file.storage_path` must be final (see [`super::late`]).
#[must_use]
pub fn file(file: &FileOutput, egress_id: &EgressId, tmp_dir: &Path, cwd: &Path) -> LocalFile {
    let (dir, name) = path::split(&file.storage_path);
    let part = part_name(name, egress_id);
    match &file.destination.store {
        Store::Local => {
            let dir = stored(&file.destination, dir, cwd);
            LocalFile {
                part: dir.join(part),
                finished: dir.join(name),
            }
        }
        Store::S3(_) | Store::Gcp(_) | Store::Azure(_) | Store::AliOss(_) => {
            let dir = work_dir(egress_id, tmp_dir);
            LocalFile {
                part: dir.join(part),
                finished: dir.join(name),
            }
        }
    }
}

/// `.<basename>.<egress id>.part`, the basename shortened if the whole would be no file name.
fn part_name(name: &str, egress_id: &EgressId) -> String {
    let around = egress_id.as_str().len() + ".".len() * 2 + ".part".len();
    let name = path::cut(name, path::MAX_NAME - around);
    format!(".{name}.{egress_id}.part")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Container, S3};

    fn output(store: Store, prefix: &str, path: &str) -> FileOutput {
        FileOutput {
            container: Container::Mp4,
            storage_path: path.to_owned(),
            destination: Destination {
                store,
                prefix: prefix.to_owned(),
                presign: false,
                backup: None,
            },
            manifest: true,
        }
    }

    fn places(output: &FileOutput) -> (String, String) {
        let id = EgressId::new("EG_x").unwrap();
        let places = file(output, &id, Path::new("/tmp/egress"), Path::new("/"));
        (
            places.part.to_string_lossy().into_owned(),
            places.finished.to_string_lossy().into_owned(),
        )
    }

    #[test]
    fn a_local_file_is_written_beside_its_destination() {
        assert_eq!(
            places(&output(Store::Local, "", "/out/x.mp4")),
            ("/out/.x.mp4.EG_x.part".into(), "/out/x.mp4".into())
        );
        assert_eq!(
            places(&output(Store::Local, "", "d/x.mp4")),
            ("/d/.x.mp4.EG_x.part".into(), "/d/x.mp4".into())
        );
        assert_eq!(
            places(&output(Store::Local, "", "x.mp4")),
            ("/.x.mp4.EG_x.part".into(), "/x.mp4".into())
        );
        assert_eq!(
            places(&output(Store::Local, "/var/rec", "/out/x.mp4")).1,
            "/var/rec/out/x.mp4"
        );
    }

    #[test]
    fn a_file_to_be_uploaded_lies_in_the_working_directory() {
        assert_eq!(
            places(&output(Store::S3(S3::default()), "p", "/out/x.mp4")),
            (
                "/tmp/egress/EG_x/.x.mp4.EG_x.part".into(),
                "/tmp/egress/EG_x/x.mp4".into()
            )
        );
    }

    #[test]
    fn a_long_name_still_gives_a_part_name() {
        let (part, _) = places(&output(
            Store::Local,
            "",
            &format!("{}.mp4", "ü".repeat(125)),
        ));
        assert!(part.len() <= 1 + path::MAX_NAME);
        assert!(part.ends_with(".EG_x.part"));
    }

    #[test]
    fn a_presigned_local_location_is_a_file_url() {
        let mut output = output(Store::Local, "/var/storage/", "foo.mp4");
        assert_eq!(
            location(&output.destination, "foo.mp4", Path::new("/")),
            "/var/storage/foo.mp4"
        );
        output.destination.presign = true;
        assert_eq!(
            location(&output.destination, "/foo.mp4", Path::new("/")),
            "file:///var/storage/foo.mp4"
        );
    }
}
