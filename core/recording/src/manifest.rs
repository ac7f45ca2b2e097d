//! The manifest stored beside outputs: what was recorded and where it lies (egress-behaviour.md §3.8).
//!
//! ```text
//! Manifest::new(plan) ─ file / playlist / image facts as they are stored ─► render(ended_at) ─► <dir>/<egress id>.json
//! ```
//!
//! Key order and spelling are upstream's. `track_kind` and `track_source` exist there but are never filled; here they
//! are, once the track is known. Knows nothing of stores.

use crate::Secret;
use crate::naming::late::Joined;
use crate::naming::{self, path};
use crate::plan::{MediaVideo, Plan, RequestType, Source, Subject};
use jiff::tz::TimeZone;
use serde::Serialize;
use std::time::SystemTime;

/// Content type of a stored manifest.
pub const CONTENT_TYPE: &str = "application/json";

/// Everything a manifest says.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Manifest {
    #[serde(skip_serializing_if = "String::is_empty")]
    egress_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    room_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    room_name: String,
    #[serde(skip_serializing_if = "is_blank")]
    url: Secret<String>,
    #[serde(skip_serializing_if = "is_zero")]
    started_at: i64,
    #[serde(skip_serializing_if = "is_zero")]
    ended_at: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    publisher_identity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    track_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    track_kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    track_source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    audio_track_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    video_track_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<Stored>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    playlists: Vec<Playlist>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
}

/// A stored file or segment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stored {
    /// Storage path without the configured prefix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filename: String,
    /// Where it can be found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location: String,
}

/// An HLS output.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Playlist {
    /// Where the main playlist can be found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// Its segments, in the order they were stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Stored>,
}

/// A stored image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Image {
    /// Storage path without the configured prefix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filename: String,
    /// RFC 3339 with nanoseconds, local zone; see [`timestamp`].
    pub timestamp: String,
    /// Where it can be found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_blank(value: &Secret<String>) -> bool {
    value.reveal().is_empty()
}

impl Manifest {
    /// What the plan tells.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let identity = &plan.identity;
        let mut manifest = Self {
            egress_id: identity.egress_id.as_str().to_owned(),
            room_id: identity.room_id.clone(),
            room_name: identity.room_name.clone(),
            started_at: identity.requested_at,
            ..Self::default()
        };
        match &plan.source {
            Source::Page(page) if identity.request_type == RequestType::Web => {
                manifest.url = page.url.clone();
            }
            Source::Page(_) => {}
            Source::Room(room) => match &room.subject {
                Subject::RoomAudio { .. } => {}
                Subject::Participant { identity, .. } => {
                    manifest.publisher_identity.clone_from(identity);
                }
                Subject::Tracks { audio, video } => {
                    manifest.audio_track_id = audio.clone().unwrap_or_default();
                    manifest.video_track_id = video.clone().unwrap_or_default();
                }
                Subject::Track { sid } => manifest.track_id.clone_from(sid),
                Subject::Media { video, audio: _ } => match video {
                    Some(MediaVideo::Track(sid)) => manifest.video_track_id.clone_from(sid),
                    Some(MediaVideo::Participant { identity, .. }) => {
                        manifest.publisher_identity.clone_from(identity);
                    }
                    None => {}
                },
            },
        }
        manifest
    }

    /// What joining told about the copied track.
    pub fn joined(&mut self, joined: &Joined) {
        if let Some(track) = &joined.track {
            track.kind.name().clone_into(&mut self.track_kind);
            self.track_source.clone_from(&track.source);
        }
    }

    /// A file was stored.
    pub fn add_file(&mut self, file: Stored) {
        self.files.push(file);
    }

    /// An HLS output was stored.
    pub fn add_playlist(&mut self, playlist: Playlist) {
        self.playlists.push(playlist);
    }

    /// An image was stored.
    pub fn add_image(&mut self, image: Image) {
        self.images.push(image);
    }
}

/// The manifest's bytes: compact JSON and a newline. `ended_at` in Unix nanoseconds.
#[must_use]
pub fn render(manifest: &Manifest, ended_at: i64) -> Vec<u8> {
    let complete = Manifest {
        ended_at,
        ..manifest.clone()
    };
    let mut bytes =
        serde_json::to_vec(&complete).expect("strings, numbers and lists always serialize");
    bytes.push(b'\n');
    bytes
}

/// Storage path of the manifest beside an output that lies at (or in the directory) `storage_path`.
#[must_use]
pub fn storage_path(storage_path: &str, egress_id: &crate::EgressId) -> String {
    let (dir, _) = path::split(storage_path);
    format!("{dir}{egress_id}.json")
}

/// RFC 3339 as Go writes it: fraction without trailing zeros, `Z` for UTC.
#[must_use]
pub fn timestamp(at: SystemTime, zone: &TimeZone) -> String {
    let at = naming::local(at, zone);
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    let nanos = at.subsec_nanosecond();
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    let minutes = at.offset().seconds() / 60;
    if minutes == 0 {
        text.push('Z');
    } else {
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.abs();
        text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps_are_gos() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 120_000_000);
        assert_eq!(timestamp(at, &TimeZone::UTC), "2023-11-14T22:13:20.12Z");
        let india = TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
        let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(timestamp(whole, &india), "2023-11-15T03:43:20+05:30");
    }

    #[test]
    fn a_manifest_has_upstreams_keys_in_upstreams_order() {
        let mut manifest = Manifest {
            egress_id: "EG_x".into(),
            room_name: "r<&>".into(),
            started_at: 1,
            ..Manifest::default()
        };
        manifest.add_file(Stored {
            filename: "x.mp4".into(),
            location: "/out/x.mp4".into(),
        });
        manifest.add_playlist(Playlist {
            location: "/out/p.m3u8".into(),
            segments: vec![Stored {
                filename: "p_00000.ts".into(),
                location: "/out/p_00000.ts".into(),
            }],
        });
        assert_eq!(
            String::from_utf8(render(&manifest, 2)).unwrap(),
            concat!(
                r#"{"egress_id":"EG_x","room_name":"r<&>","started_at":1,"ended_at":2,"#,
                r#""files":[{"filename":"x.mp4","location":"/out/x.mp4"}],"#,
                r#""playlists":[{"location":"/out/p.m3u8","segments":[{"filename":"p_00000.ts","location":"/out/p_00000.ts"}]}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn it_lies_beside_its_output() {
        let id = crate::EgressId::new("EG_x").unwrap();
        assert_eq!(storage_path("a/b/x.mp4", &id), "a/b/EG_x.json");
        assert_eq!(storage_path("x.mp4", &id), "EG_x.json");
        assert_eq!(storage_path("hls/", &id), "hls/EG_x.json");
    }
}
