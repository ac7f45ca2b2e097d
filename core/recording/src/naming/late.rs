//! What only joining the room tells: who publishes, which kind of track, the room's name; and with a track's codec the
//! container of a copy.
//!
//! Runs in the recorder. Total: a strange identity gives a strange but harmless name, never an error.

use super::path;
use crate::codecs::Format;
use crate::plan::{Container, FileOutput, ImagesOutput, Output, Outputs, SegmentsOutput};

/// Facts learned after joining; `None` leaves the template as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Joined {
    /// `{room_name}`, when the request did not know it.
    pub room_name: Option<String>,
    /// `{publisher_identity}`: of the video track if there is one, else of the audio track.
    pub publisher_identity: Option<String>,
    /// The track that is copied.
    pub track: Option<Track>,
}

/// The track that is copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Track {
    /// `{track_id}`.
    pub sid: String,
    /// `{track_type}`: sound (`audio`) or pictures (`video`).
    pub kind: TrackKind,
    /// `{track_source}`: `microphone`, `camera`, `screen_share`, `screen_share_audio`, `unknown`.
    pub source: String,
    /// The container its codec calls for.
    pub format: Format,
}

/// Sound or pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl TrackKind {
    /// `audio` or `video`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl Joined {
    fn fill(&self, template: &str) -> String {
        let track = self.track.as_ref();
        path::fit(&path::fill(template, &|token| match token {
            "room_name" => self.room_name.as_deref(),
            "publisher_identity" => self.publisher_identity.as_deref(),
            "track_id" => track.map(|track| track.sid.as_str()),
            "track_type" => track.map(|track| track.kind.name()),
            "track_source" => track.map(|track| track.source.as_str()),
            _ => None,
        }))
    }
}

/// The outputs with every name final.
#[must_use]
pub fn resolve(outputs: &Outputs, joined: &Joined) -> Outputs {
    Outputs {
        first: output(&outputs.first, joined),
        rest: outputs.rest.iter().map(|o| output(o, joined)).collect(),
    }
}

fn output(output: &Output, joined: &Joined) -> Output {
    match output {
        Output::File(file) => Output::File(FileOutput {
            storage_path: file_path(file, joined),
            ..file.clone()
        }),
        Output::Segments(segments) => Output::Segments(SegmentsOutput {
            storage_dir: joined.fill(&segments.storage_dir),
            playlist: joined.fill(&segments.playlist),
            live_playlist: segments.live_playlist.as_deref().map(|l| joined.fill(l)),
            prefix: joined.fill(&segments.prefix),
            ..segments.clone()
        }),
        Output::Images(images) => Output::Images(ImagesOutput {
            storage_dir: joined.fill(&images.storage_dir),
            user_prefix: joined.fill(&images.user_prefix),
            prefix: joined.fill(&images.prefix),
            ..images.clone()
        }),
        Output::Stream(_) | Output::WebSocket(_) => output.clone(),
    }
}

/// The storage path of a file with every name final and, for a copy of a known track, its extension.
#[must_use]
pub fn file_path(file: &FileOutput, joined: &Joined) -> String {
    let path = joined.fill(&file.storage_path);
    match (file.container, &joined.track) {
        (Container::ByTrack, Some(track)) => {
            path::fit(&path::with_extension(&path, track.format.extension()))
        }
        (Container::ByTrack | Container::Mp4 | Container::Ogg | Container::Mp3, _) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Destination, Store};

    fn file(path: &str) -> FileOutput {
        FileOutput {
            container: Container::ByTrack,
            storage_path: path.to_owned(),
            destination: Destination {
                store: Store::Local,
                prefix: String::new(),
                presign: false,
                backup: None,
            },
            manifest: true,
        }
    }

    fn microphone() -> Joined {
        Joined {
            room_name: None,
            publisher_identity: Some("da/../vid".to_owned()),
            track: Some(Track {
                sid: "TR_x".to_owned(),
                kind: TrackKind::Audio,
                source: "microphone".to_owned(),
                format: Format::Ogg,
            }),
        }
    }

    #[test]
    fn a_track_copy_gets_its_names_and_extension_from_the_track() {
        let path = file_path(
            &file("{track_type}-{track_source}-{track_id}-{room_id}"),
            &microphone(),
        );
        assert_eq!(path, "audio-microphone-TR_x-{room_id}.ogg");
        assert_eq!(
            file_path(&file("d/{publisher_identity}.mp4"), &microphone()),
            "d/da/vid.ogg"
        );
    }

    #[test]
    fn names_stay_usable_whatever_the_identity() {
        let joined = Joined {
            publisher_identity: Some("x".repeat(5_000)),
            ..microphone()
        };
        let path = file_path(&file("d/{publisher_identity}"), &joined);
        assert!(path.split('/').all(|name| name.len() <= path::MAX_NAME));
        assert!(path.ends_with(".ogg"));
    }
}
