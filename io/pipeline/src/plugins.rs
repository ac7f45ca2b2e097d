//! Which elements are used, and which Debian 12 package has each. Owns the texts an operator sees when one is missing.

use crate::Error;
use gstreamer as gst;

/// Element → Debian package. Everything a graph may name is here (checked by a test of [`crate::graph`]).
const PACKAGES: &[(&str, &str)] = &[
    ("appsink", "gstreamer1.0-plugins-base"),
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("audiorate", "gstreamer1.0-plugins-base"),
    ("audioresample", "gstreamer1.0-plugins-base"),
    ("avenc_aac", "gstreamer1.0-libav"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("lamemp3enc", "gstreamer1.0-plugins-good"),
    ("openh264enc", "gstreamer1.0-plugins-bad"),
    ("opusenc", "gstreamer1.0-plugins-base"),
    ("pulsesrc", "gstreamer1.0-pulseaudio"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
    ("videoscale", "gstreamer1.0-plugins-base"),
    ("voaacenc", "gstreamer1.0-plugins-bad"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("ximagesrc", "gstreamer1.0-plugins-good"),
];

/// What a capture of pages needs at least; alternatives are judged by [`crate::encoder`].
const REQUIRED: &[&str] = &[
    "appsink",
    "appsrc",
    "audioconvert",
    "audiorate",
    "audioresample",
    "lamemp3enc",
    "opusenc",
    "pulsesrc",
    "videoconvert",
    "ximagesrc",
    "x264enc",
];

/// The package that has an element; the base set for elements unknown here.
#[must_use]
pub fn package(element: &str) -> &'static str {
    PACKAGES
        .iter()
        .find(|(name, _)| *name == element)
        .map_or("gstreamer1.0-plugins-base", |(_, package)| package)
}

/// Whether this table knows the element.
#[must_use]
pub fn known(element: &str) -> bool {
    PACKAGES.iter().any(|(name, _)| *name == element)
}

/// Initialises GStreamer; safe to repeat.
///
/// # Errors
/// [`Error::Element`] with GStreamer's text.
pub fn init() -> Result<(), Error> {
    gst::init().map_err(|error| Error::Element {
        element: String::new(),
        text: error.to_string(),
    })
}

/// Whether an element can be made. Call [`init`] first.
#[must_use]
pub fn installed(element: &str) -> bool {
    gst::ElementFactory::find(element).is_some()
}

/// [`Error::Missing`] for the first element that is not installed.
///
/// # Errors
/// As said.
pub fn require<'a>(elements: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    elements
        .into_iter()
        .find(|element| !installed(element))
        .map_or(Ok(()), |element| Err(missing(element)))
}

/// Everything missing on this machine for capturing pages, for `egress doctor` and start-up checks.
///
/// # Errors
/// [`Error::Element`] when GStreamer itself does not start.
pub fn probe() -> Result<Vec<Error>, Error> {
    init()?;
    let mut gaps: Vec<Error> = REQUIRED
        .iter()
        .filter(|element| !installed(element))
        .map(|element| missing(element))
        .collect();
    gaps.extend(crate::encoder::aac(installed).err());
    Ok(gaps)
}

fn missing(element: &str) -> Error {
    Error::Missing {
        element: element.to_owned(),
        package: package(element).to_owned(),
    }
}
