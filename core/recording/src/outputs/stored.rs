//! Outputs that are stored: files, HLS, images. Names, retry protection, bounds and destinations of each.

use super::{Context, FileWanted};
use crate::codecs::{self, Format};
use crate::encoding::MAX_SIDE;
use crate::naming::{self, path};
use crate::plan::{ImageSuffix, ImagesOutput, SegmentSuffix, SegmentsOutput};
use crate::{Code, Refusal, destination};
use std::time::Duration;
use wire::livekit::storage_config::Provider;
use wire::livekit::{self, EncodedFileType, ImageCodec, ImageFileSuffix, SegmentedFileSuffix};

/// Longest time between images, seconds.
const MAX_CAPTURE_INTERVAL: u32 = 86_400;
/// Longest segment, seconds.
const MAX_SEGMENT_DURATION: u32 = 3_600;
const DEFAULT_CAPTURE_INTERVAL: u32 = 10;
const DEFAULT_SEGMENT_DURATION: u32 = 4;
/// Bytes appended to segment and image prefixes at most: `_YYYYMMDDHHMMSSmmm.jpeg`.
const NUMBERED: usize = 23;

pub(super) fn file_format(number: i32) -> Format {
    match EncodedFileType::try_from(number) {
        Ok(EncodedFileType::Mp4) => Format::Mp4,
        Ok(EncodedFileType::Ogg) => Format::Ogg,
        Ok(EncodedFileType::Mp3) => Format::Mp3,
        Ok(EncodedFileType::DefaultFiletype) | Err(_) => Format::UnspecifiedFile,
    }
}

/// A file output of any request.
pub(crate) fn file(
    format: Format,
    filepath: &str,
    disable_manifest: bool,
    upload: Option<&Provider>,
    context: &Context<'_>,
) -> Result<FileWanted, Refusal> {
    // Room for the longest extension, which may be added when the container is known.
    path::check("filepath", filepath, 0)?;
    let destination = destination::resolve(upload, context.policy)?;
    let cleaned = path::clean(filepath);
    let fixed = !cleaned.is_empty() && !cleaned.ends_with('/');
    if fixed && !context.names.survives_retry(&cleaned) {
        return Err(no_retry());
    }
    path::check(
        "filepath",
        &naming::file(&cleaned, context.names, None),
        ".webm".len(),
    )?;
    Ok(FileWanted {
        format,
        path: cleaned,
        destination,
        manifest: !disable_manifest,
    })
}

fn no_retry() -> Refusal {
    Refusal::new(
        Code::FailedPrecondition,
        "output configuration does not support retry",
    )
}

pub(super) fn segments(
    output: &livekit::SegmentedFileOutput,
    upload: Option<&Provider>,
    stream: bool,
    context: &Context<'_>,
) -> Result<SegmentsOutput, Refusal> {
    for (field, path) in [
        ("filename_prefix", &output.filename_prefix),
        ("playlist_name", &output.playlist_name),
        ("live_playlist_name", &output.live_playlist_name),
    ] {
        path::check(field, path, 0)?;
    }
    if output.segment_duration > MAX_SEGMENT_DURATION {
        return Err(Refusal::field(format!(
            "segment_duration ({MAX_SEGMENT_DURATION} seconds at most)"
        )));
    }
    let destination = destination::resolve(upload, context.policy)?;
    let prefix = path::clean(&output.filename_prefix);
    let playlist = path::clean(&output.playlist_name);
    let names = context.names;
    let overwrites = if prefix.is_empty() {
        !playlist.is_empty() && !names.survives_retry(&playlist)
    } else {
        !names.survives_retry(&prefix)
    };
    if overwrites {
        return Err(no_retry());
    }
    let resolved = naming::segments::resolve(
        naming::segments::Wanted {
            prefix: &output.filename_prefix,
            playlist: &output.playlist_name,
            live: &output.live_playlist_name,
        },
        names,
    )?;
    let at = |name: &str| format!("{}{name}", resolved.dir);
    path::check("filename_prefix", &at(&resolved.prefix), NUMBERED)?;
    path::check("playlist_name", &at(&resolved.playlist), 0)?;
    if let Some(live) = &resolved.live {
        path::check("live_playlist_name", &at(live), 0)?;
    }
    let seconds = match output.segment_duration {
        0 => DEFAULT_SEGMENT_DURATION,
        seconds => seconds,
    };
    let duration = Duration::from_secs(u64::from(seconds));
    Ok(SegmentsOutput {
        storage_dir: resolved.dir,
        playlist: resolved.playlist,
        live_playlist: resolved.live,
        prefix: resolved.prefix,
        suffix: match SegmentedFileSuffix::try_from(output.filename_suffix) {
            Ok(SegmentedFileSuffix::Timestamp) => SegmentSuffix::Timestamp,
            Ok(SegmentedFileSuffix::Index) | Err(_) => SegmentSuffix::Index,
        },
        duration: context.encoding.segment_duration(duration, stream),
        destination,
        manifest: !output.disable_manifest,
    })
}

pub(super) fn images(
    output: &livekit::ImageOutput,
    upload: Option<&Provider>,
    context: &Context<'_>,
) -> Result<ImagesOutput, Refusal> {
    path::check("filename_prefix", &output.filename_prefix, 0)?;
    if output.capture_interval > MAX_CAPTURE_INTERVAL {
        return Err(Refusal::field(format!(
            "capture_interval ({MAX_CAPTURE_INTERVAL} seconds at most)"
        )));
    }
    let suffix = match ImageFileSuffix::try_from(output.filename_suffix) {
        Ok(ImageFileSuffix::ImageSuffixIndex) => ImageSuffix::Index,
        Ok(ImageFileSuffix::ImageSuffixTimestamp) => ImageSuffix::Timestamp,
        Ok(ImageFileSuffix::ImageSuffixNoneOverwrite) => ImageSuffix::NoneOverwrite,
        Err(_) => return Err(Refusal::field("filename_suffix")),
    };
    match ImageCodec::try_from(output.image_codec) {
        Ok(ImageCodec::IcDefault | ImageCodec::IcJpeg) => {}
        Err(_) => return Err(codecs::no_codec()),
    }
    let default = |size: u32| context.page.then_some(size);
    let width = side("width", output.width)?.or(default(context.encoding.width));
    let height = side("height", output.height)?.or(default(context.encoding.height));
    let destination = destination::resolve(upload, context.policy)?;
    let user_prefix = context.names.expand(&path::clean(&output.filename_prefix));
    let (dir, base) = path::split(&user_prefix);
    let prefix = if base.is_empty() {
        context.names.generated()
    } else {
        base.to_owned()
    };
    path::check("filename_prefix", &format!("{dir}{prefix}"), NUMBERED)?;
    let seconds = match output.capture_interval {
        0 => DEFAULT_CAPTURE_INTERVAL,
        seconds => seconds,
    };
    Ok(ImagesOutput {
        storage_dir: dir.to_owned(),
        prefix,
        suffix,
        interval: Duration::from_secs(u64::from(seconds)),
        width,
        height,
        destination,
        manifest: !output.disable_manifest,
        user_prefix,
    })
}

/// An image's side; 0 leaves it open.
fn side(field: &str, value: i32) -> Result<Option<u32>, Refusal> {
    match value {
        0 => Ok(None),
        16..=MAX_SIDE if value % 2 == 0 => Ok(Some(value.unsigned_abs())),
        _ => Err(Refusal::field(format!(
            "{field} (even, 16 to {MAX_SIDE} for images)"
        ))),
    }
}

macro_rules! upload {
    ($name:ident, $message:ty, $output:path) => {
        /// The upload block of the output, as v2 writes it.
        pub(crate) fn $name(output: &$message) -> Option<Provider> {
            use $output as Output;
            output.output.clone().map(|upload| match upload {
                Output::S3(upload) => Provider::S3(upload),
                Output::Gcp(upload) => Provider::Gcp(upload),
                Output::Azure(upload) => Provider::Azure(upload),
                Output::AliOss(upload) => Provider::AliOss(upload),
            })
        }
    };
}

upload!(
    upload_of_file,
    livekit::EncodedFileOutput,
    livekit::encoded_file_output::Output
);
upload!(
    upload_of_direct_file,
    livekit::DirectFileOutput,
    livekit::direct_file_output::Output
);
upload!(
    upload_of_segments,
    livekit::SegmentedFileOutput,
    livekit::segmented_file_output::Output
);
upload!(
    upload_of_images,
    livekit::ImageOutput,
    livekit::image_output::Output
);
