//! The names of an HLS output: where playlists and segments lie (egress-behaviour.md §3.5, `segment_naming.json`).

use super::Names;
use super::path::{clean, split};
use crate::Refusal;

/// What the user asked for, cleaned and filled in here.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `filename_prefix`.
    pub prefix: &'a str,
    /// `playlist_name`.
    pub playlist: &'a str,
    /// `live_playlist_name`.
    pub live: &'a str,
}

/// Where everything lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// Directory with trailing `/`, or empty.
    pub dir: String,
    /// `….m3u8` in `dir`.
    pub playlist: String,
    /// `….m3u8` in `dir`.
    pub live: Option<String>,
    /// Segment prefix in `dir`; may hold a directory of its own.
    pub prefix: String,
}

/// Applies the six steps of the specification.
///
/// # Errors
/// A live playlist elsewhere than the playlist, or of the same name.
pub fn resolve(wanted: Wanted<'_>, names: &Names) -> Result<Resolved, Refusal> {
    let ready = |path: &str| names.expand(&clean(path));
    let (prefix, playlist, live) = (
        ready(wanted.prefix),
        ready(wanted.playlist),
        ready(wanted.live),
    );
    let (prefix_dir, prefix_base) = split(&prefix);
    let (playlist_dir, playlist_base) = split(&playlist);
    let (live_dir, live_base) = split(&live);
    if !live.is_empty() && live_dir != playlist_dir {
        return Err(Refusal::field(
            "live_playlist_name must be in same directory as playlist_name",
        ));
    }
    let playlist_base = without_extension(playlist_base);
    let live_base = without_extension(live_base);

    let mut dir = playlist_dir;
    let mut kept_dir = prefix_dir;
    if dir.is_empty() {
        dir = prefix_dir;
    }
    if kept_dir == dir {
        kept_dir = "";
    }
    let playlist = match (playlist_base, prefix_base) {
        ("", "") => names.generated(),
        ("", base) | (base, _) => base.to_owned(),
    };
    let prefix_base = if prefix_base.is_empty() {
        playlist.as_str()
    } else {
        prefix_base
    };
    if live_base == playlist {
        return Err(Refusal::field(
            "live_playlist_name cannot be identical to playlist_name",
        ));
    }
    Ok(Resolved {
        dir: dir.to_owned(),
        prefix: format!("{kept_dir}{prefix_base}"),
        live: (!live_base.is_empty()).then(|| format!("{live_base}.m3u8")),
        playlist: format!("{playlist}.m3u8"),
    })
}

/// Everything after the last dot goes, known extension or not.
fn without_extension(name: &str) -> &str {
    name.rfind('.').map_or(name, |dot| &name[..dot])
}
