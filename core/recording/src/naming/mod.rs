//! Names: templates, generated names, segment and image numbering, and where a file lies before it is stored.
//!
//! ```text
//! user's path ─ path::clean ─► Names::expand (what the request knows) ─► plan ─ late::resolve (what joining tells) ─► path
//!                                                                            └ local::file: .part → finished
//! ```
//!
//! Rules of egress-behaviour.md §3. Time and zone are arguments. Knows nothing of stores and messages.

pub mod late;
pub mod local;
pub mod path;
pub mod segments;

use crate::plan::{ImageSuffix, SegmentSuffix};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::time::SystemTime;

/// The wall clock in a zone; a clock beyond the calendar reads as 1970.
#[must_use]
pub fn local(wall: SystemTime, zone: &TimeZone) -> Zoned {
    Timestamp::try_from(wall)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}

/// `{time}`: `YYYY-MM-DDTHHMMSS`.
#[must_use]
pub fn time(at: &Zoned) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}{:02}{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// `{utc}` (local time despite its name, as upstream) and the names of timed segments and images:
/// `YYYYMMDDHHMMSSmmm`.
#[must_use]
pub fn compact(at: &Zoned) -> String {
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:03}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

/// File name of a segment, relative to the storage directory. `index` from 0; `at` is the segment's wall clock.
#[must_use]
pub fn segment(prefix: &str, suffix: SegmentSuffix, index: u64, at: &Zoned) -> String {
    match suffix {
        SegmentSuffix::Index => format!("{prefix}_{index:05}.ts"),
        SegmentSuffix::Timestamp => format!("{prefix}_{}.ts", compact(at)),
    }
}

/// File name of an image, relative to the storage directory. `index` from 0; `at` is the image's wall clock.
#[must_use]
pub fn image(prefix: &str, suffix: ImageSuffix, index: u64, at: &Zoned) -> String {
    match suffix {
        ImageSuffix::Index => format!("{prefix}_{index:05}.jpeg"),
        ImageSuffix::Timestamp => format!("{prefix}_{}.jpeg", compact(at)),
        ImageSuffix::NoneOverwrite => format!("{prefix}.jpeg"),
    }
}

/// What templates can say when the request is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// First part of generated names: room name, `web`, or the track id.
    pub identifier: String,
    /// `{time}`.
    pub time: String,
    /// `{utc}`.
    pub utc: String,
    /// `{room_name}`, `{room_id}`: replaced only when the room's name is known.
    pub room: Option<(String, String)>,
    /// `{publisher_identity}`, when the request names it.
    pub publisher: Option<String>,
    /// `{track_id}`, for track copies.
    pub track: Option<String>,
    /// `{track_type}`, when the request tells.
    pub track_type: Option<&'static str>,
    /// `{retry}`: replaced only when above 0.
    pub retry: i32,
}

impl Names {
    /// Replaces what is known in a cleaned path; see [`path::fill`].
    #[must_use]
    pub fn expand(&self, template: &str) -> String {
        let retry = self.retry.to_string();
        path::fill(template, &|token| match token {
            "room_name" => self.room.as_ref().map(|(name, _)| name.as_str()),
            "room_id" => self.room.as_ref().map(|(_, id)| id.as_str()),
            "time" => Some(&self.time),
            "utc" => Some(&self.utc),
            "publisher_identity" => self.publisher.as_deref(),
            "track_id" => self.track.as_deref(),
            "track_type" => self.track_type,
            "retry" => (self.retry > 0).then_some(retry.as_str()),
            _ => None,
        })
    }

    /// `<identifier>-<time>[-<retry>]`. The identifier is shortened when it would not fit a file name.
    #[must_use]
    pub fn generated(&self) -> String {
        let identifier = path::harmless(&self.identifier);
        let identifier = path::cut(&identifier, 200);
        if self.retry > 0 {
            format!("{identifier}-{}-{}", self.time, self.retry)
        } else {
            format!("{identifier}-{}", self.time)
        }
    }

    /// A template safe to repeat: on a retry a name the user fixed would overwrite the first attempt's.
    #[must_use]
    pub fn survives_retry(&self, template: &str) -> bool {
        self.retry <= 0 || template.contains("{retry}")
    }
}

/// A file path: generated where the user gave none or a directory, `extension` put right (`None`: not known yet).
#[must_use]
pub fn file(cleaned: &str, names: &Names, extension: Option<&str>) -> String {
    let mut path = names.expand(cleaned);
    if path.is_empty() || path.ends_with('/') {
        path.push_str(&names.generated());
    }
    match extension {
        Some(extension) => path::with_extension(&path, extension),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn names_use_the_zone_they_are_given() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let local = local(at(1_700_000_000_042), &zone);
        assert_eq!(time(&local), "2023-11-15T001320");
        assert_eq!(compact(&local), "20231115001320042");
        assert_eq!(
            segment("p", SegmentSuffix::Timestamp, 9, &local),
            "p_20231115001320042.ts"
        );
        assert_eq!(
            segment("d/p", SegmentSuffix::Index, 123_456, &local),
            "d/p_123456.ts"
        );
        assert_eq!(image("p", ImageSuffix::Index, 7, &local), "p_00007.jpeg");
        assert_eq!(
            image("p", ImageSuffix::Timestamp, 7, &local),
            "p_20231115001320042.jpeg"
        );
        assert_eq!(image("p", ImageSuffix::NoneOverwrite, 7, &local), "p.jpeg");
    }

    #[test]
    fn a_clock_beyond_the_calendar_is_no_panic() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 1_000);
        assert_eq!(time(&local(far, &TimeZone::UTC)), "1970-01-01T000000");
    }
}
