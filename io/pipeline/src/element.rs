//! Which GStreamer elements do a job here, and which Debian package brings those that are missing.

use recording::Fault;

/// An AAC encoder and how it is told its bitrate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AacEncoder {
    /// Element name.
    pub element: &'static str,
    /// Samples of encoder delay that its timestamps do not account for.
    pub priming: u32,
}

/// In order of quality.
pub const AAC: &[AacEncoder] = &[
    AacEncoder {
        element: "fdkaacenc",
        priming: 2048,
    },
    AacEncoder {
        element: "avenc_aac",
        priming: 1024,
    },
    AacEncoder {
        element: "voaacenc",
        priming: 1600,
    },
];

/// Debian 12 package of an element, for error messages.
#[must_use]
pub fn package(element: &str) -> &'static str {
    match element {
        "ximagesrc" => "gstreamer1.0-x",
        "pulsesrc" => "gstreamer1.0-pulseaudio",
        "x264enc" => "gstreamer1.0-plugins-ugly",
        "avenc_aac" => "gstreamer1.0-libav",
        "voaacenc" | "fdkaacenc" => "gstreamer1.0-plugins-bad",
        "lamemp3enc" => "gstreamer1.0-plugins-good",
        _ => "gstreamer1.0-plugins-base",
    }
}

/// Whether an element is installed. GStreamer must be initialised.
#[must_use]
pub fn is_installed(element: &str) -> bool {
    gstreamer::ElementFactory::find(element).is_some()
}

/// The best AAC encoder installed.
///
/// # Errors
/// When none is.
pub fn aac() -> Result<AacEncoder, Fault> {
    AAC.iter()
        .find(|e| is_installed(e.element))
        .copied()
        .ok_or_else(|| missing("avenc_aac"))
}

/// What is said of a missing element.
#[must_use]
pub fn missing(element: &str) -> Fault {
    Fault::internal(format!(
        "GStreamer element {element} is missing: install the package {}",
        package(element)
    ))
}
