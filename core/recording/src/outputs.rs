//! The outputs of a request: v1's lists by kind and v2's list of outputs become the same [`Wanted`].
//!
//! ```text
//! v1  file → stream → segments → images       (each list or, if empty, the deprecated single output)
//! v2  in list order                            (each with a storage of its own)
//! ```
//!
//! Owns per-output validation, naming and destinations (egress-behaviour.md §1.3, §1.5, §3). Knows nothing of codecs:
//! the container of an unspecified file is settled later, see [`FileWanted`].

use crate::codecs::{self, Format};
use crate::encoding::{MAX_SIDE, Options};
use crate::naming::{self, Names, path};
use crate::plan::{
    Destination, ImageSuffix, ImagesOutput, SegmentSuffix, SegmentsOutput, StreamOutput,
    StreamProtocol, StreamUrl,
};
use crate::policy::Policy;
use crate::stream_url::{self, Kind, MAX_URLS};
use crate::{Code, Refusal, destination};
use std::time::Duration;
use wire::livekit::storage_config::Provider;
use wire::livekit::{self, EncodedFileType, ImageCodec, ImageFileSuffix, SegmentedFileSuffix};

/// Most image outputs of one request.
const MAX_IMAGE_OUTPUTS: usize = 16;
/// Longest time between images, seconds.
const MAX_CAPTURE_INTERVAL: u32 = 86_400;
/// Longest segment, seconds.
const MAX_SEGMENT_DURATION: u32 = 3_600;
const DEFAULT_CAPTURE_INTERVAL: u32 = 10;
const DEFAULT_SEGMENT_DURATION: u32 = 4;
/// Bytes appended to segment and image prefixes at most: `_YYYYMMDDHHMMSSmmm.jpeg`.
const NUMBERED: usize = 23;

/// What outputs depend on besides themselves.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) names: &'a Names,
    pub(crate) encoding: &'a Options,
    /// Images without a size have the encoding's (pages) or the publisher's (rooms).
    pub(crate) page: bool,
}

/// All outputs of a request.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) file: Option<FileWanted>,
    pub(crate) stream: Option<StreamWanted>,
    pub(crate) segments: Option<SegmentsOutput>,
    pub(crate) images: Vec<ImagesOutput>,
}

/// A file whose container may still be open.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct FileWanted {
    pub(crate) format: Format,
    /// As the user gave it, cleaned.
    pub(crate) path: String,
    pub(crate) destination: Destination,
    pub(crate) manifest: bool,
}

/// RTMP or SRT, or PCM over a WebSocket.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum StreamWanted {
    Stream(StreamOutput),
    WebSocket(StreamUrl),
}

impl Wanted {
    /// RTMP or SRT is among the outputs.
    pub(crate) fn protocol(&self) -> Option<StreamProtocol> {
        match &self.stream {
            Some(StreamWanted::Stream(stream)) => Some(stream.protocol),
            Some(StreamWanted::WebSocket(_)) | None => None,
        }
    }

    /// PCM over a WebSocket is among the outputs.
    pub(crate) fn websocket(&self) -> bool {
        matches!(self.stream, Some(StreamWanted::WebSocket(_)))
    }

    /// Nothing but images.
    pub(crate) fn only_images(&self) -> bool {
        self.file.is_none() && self.stream.is_none() && self.segments.is_none()
    }

    fn streams_nowhere(&self) -> bool {
        matches!(&self.stream, Some(StreamWanted::Stream(stream)) if stream.urls.is_empty())
    }

    fn only_stream(&self) -> bool {
        self.file.is_none() && self.segments.is_none() && self.images.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.only_images() && self.images.is_empty()
    }
}

/// v1's outputs, lists first, deprecated single outputs where a list is empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V1<'a> {
    pub(crate) files: &'a [livekit::EncodedFileOutput],
    pub(crate) streams: &'a [livekit::StreamOutput],
    pub(crate) segments: &'a [livekit::SegmentedFileOutput],
    pub(crate) images: &'a [livekit::ImageOutput],
    pub(crate) file: Option<&'a livekit::EncodedFileOutput>,
    pub(crate) stream: Option<&'a livekit::StreamOutput>,
    pub(crate) segment: Option<&'a livekit::SegmentedFileOutput>,
}

fn one<'a, T>(
    list: &'a [T],
    single: Option<&'a T>,
    several: &str,
) -> Result<Option<&'a T>, Refusal> {
    match list {
        [] => Ok(single),
        [one] => Ok(Some(one)),
        _ => Err(Refusal::field(several)),
    }
}

/// Reads v1's outputs.
pub(crate) fn v1(request: &V1<'_>, video: bool, context: &Context<'_>) -> Result<Wanted, Refusal> {
    let mut wanted = Wanted::default();
    if let Some(file) = one(request.files, request.file, "multiple file outputs")? {
        let upload = upload_of_file(file);
        let format = file_format(file.file_type);
        wanted.file = Some(self::file(
            format,
            &file.filepath,
            file.disable_manifest,
            upload.as_ref(),
            context,
        )?);
    }
    if let Some(stream) = one(request.streams, request.stream, "multiple stream outputs")? {
        wanted.stream = Some(StreamWanted::Stream(v1_stream(stream)?));
        let others = wanted.file.is_some()
            || !request.segments.is_empty()
            || request.segment.is_some()
            || !request.images.is_empty();
        if stream.urls.is_empty() && !others {
            return Err(Refusal::field("stream url"));
        }
    }
    let several = "multiple segmented file outputs";
    if let Some(segments) = one(request.segments, request.segment, several)? {
        let upload = upload_of_segments(segments);
        let stream = wanted.stream.is_some();
        wanted.segments = Some(self::segments(segments, upload.as_ref(), stream, context)?);
    }
    if !request.images.is_empty() {
        if !video {
            return Err(Refusal::field("audio_only images"));
        }
        count_images(request.images.len())?;
        for images in request.images {
            let upload = upload_of_images(images);
            let images = self::images(images, upload.as_ref(), context)?;
            wanted.images.push(images);
        }
    }
    if wanted.is_empty() {
        return Err(Refusal::field("output"));
    }
    Ok(wanted)
}

/// Which media remain after v2's outputs had their say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enabled {
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

/// Reads v2's outputs. A WebSocket switches pictures off, images alone switch sound off.
pub(crate) fn v2(
    outputs: &[livekit::Output],
    request_storage: Option<&livekit::StorageConfig>,
    enabled: &mut Enabled,
    context: &Context<'_>,
) -> Result<Wanted, Refusal> {
    use livekit::output::Config;
    let mut wanted = Wanted::default();
    let mut segments_wanted = None;
    for output in outputs {
        let storage = output.storage.as_ref().or(request_storage);
        let upload = storage.and_then(|storage| storage.provider.as_ref());
        match &output.config {
            Some(Config::File(file)) => {
                if wanted.file.is_some() {
                    return Err(Refusal::field("multiple file outputs"));
                }
                wanted.file = Some(self::file(
                    file_format(file.file_type),
                    &file.filepath,
                    file.disable_manifest,
                    upload,
                    context,
                )?);
            }
            Some(Config::Stream(stream)) => {
                if wanted.stream.is_some() {
                    return Err(Refusal::field("multiple stream outputs"));
                }
                let alone = outputs.len() == 1;
                let stream = v2_stream(stream, alone)?;
                if matches!(stream, StreamWanted::WebSocket(_)) && enabled.audio {
                    enabled.video = false;
                }
                wanted.stream = Some(stream);
            }
            Some(Config::Segments(segments)) => {
                if segments_wanted.is_some() {
                    return Err(Refusal::field("multiple segmented file outputs"));
                }
                wanted.segments = Some(self::segments(segments, upload, false, context)?);
                segments_wanted = Some(segments);
            }
            Some(Config::Images(images)) => {
                if !enabled.video {
                    return Err(Refusal::field("audio_only images"));
                }
                count_images(wanted.images.len() + 1)?;
                wanted.images.push(self::images(images, upload, context)?);
            }
            None => return Err(Refusal::field("output config")),
        }
    }
    if wanted.is_empty() || (wanted.streams_nowhere() && wanted.only_stream()) {
        return Err(Refusal::field("output"));
    }
    if !wanted.images.is_empty() && !enabled.video {
        // The WebSocket came after the images and took the pictures away.
        return Err(Refusal::field("audio_only images"));
    }
    let stream = wanted.protocol().is_some();
    if let Some(segments) = &mut wanted.segments {
        segments.duration = context.encoding.segment_duration(segments.duration, stream);
    }
    Ok(wanted)
}

fn count_images(count: usize) -> Result<(), Refusal> {
    if count > MAX_IMAGE_OUTPUTS {
        return Err(Refusal::field(format!(
            "image outputs ({MAX_IMAGE_OUTPUTS} at most)"
        )));
    }
    Ok(())
}

fn file_format(number: i32) -> Format {
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

fn v1_stream(stream: &livekit::StreamOutput) -> Result<StreamOutput, Refusal> {
    let protocol = match livekit::StreamProtocol::try_from(stream.protocol) {
        Ok(livekit::StreamProtocol::Rtmp) => StreamProtocol::Rtmp,
        Ok(livekit::StreamProtocol::Srt) => StreamProtocol::Srt,
        Ok(livekit::StreamProtocol::DefaultProtocol) => match first_kind(&stream.urls)? {
            (_, Kind::Rtmp) => StreamProtocol::Rtmp,
            (_, Kind::Srt) => StreamProtocol::Srt,
            // Upstream takes it and fails later, with a text about codecs.
            (url, Kind::WebSocket) => {
                return Err(stream_url::invalid(
                    url,
                    "websocket streams need a track request or the v2 API",
                ));
            }
        },
        Ok(livekit::StreamProtocol::Websocket) | Err(_) => {
            // No type of v1 goes with it: what upstream says depends on the first URL's scheme.
            return Err(match stream.urls.first() {
                Some(url) if stream_url::kind(url)?.is_some() => {
                    stream_url::invalid(url, "invalid scheme")
                }
                Some(_) | None => Refusal::field("stream output type"),
            });
        }
    };
    Ok(StreamOutput {
        protocol,
        urls: urls(&stream.urls, protocol.into())?,
    })
}

fn v2_stream(stream: &livekit::StreamOutput, alone: bool) -> Result<StreamWanted, Refusal> {
    let kind = match livekit::StreamProtocol::try_from(stream.protocol) {
        Ok(livekit::StreamProtocol::Rtmp) => Kind::Rtmp,
        Ok(livekit::StreamProtocol::Srt) => Kind::Srt,
        Ok(livekit::StreamProtocol::Websocket) => Kind::WebSocket,
        Ok(livekit::StreamProtocol::DefaultProtocol) => first_kind(&stream.urls)?.1,
        Err(_) => return Err(Refusal::field("stream protocol")),
    };
    let mut urls = urls(&stream.urls, kind)?;
    Ok(match kind {
        Kind::Rtmp => StreamWanted::Stream(StreamOutput {
            protocol: StreamProtocol::Rtmp,
            urls,
        }),
        Kind::Srt => StreamWanted::Stream(StreamOutput {
            protocol: StreamProtocol::Srt,
            urls,
        }),
        Kind::WebSocket => match (urls.pop(), urls.is_empty()) {
            (Some(url), true) => StreamWanted::WebSocket(url),
            // Upstream would serve one of them, any one.
            (Some(_), false) => {
                return Err(Refusal::field("stream url (one websocket url at most)"));
            }
            (None, _) if alone => return Err(Refusal::field("output")),
            (None, _) => return Err(Refusal::field("stream url")),
        },
    })
}

fn first_kind(urls: &[String]) -> Result<(&str, Kind), Refusal> {
    let first = urls
        .first()
        .ok_or_else(|| Refusal::field("stream protocol"))?;
    let kind =
        stream_url::kind(first)?.ok_or_else(|| stream_url::invalid(first, "invalid protocol"))?;
    Ok((first, kind))
}

/// Each URL once, in the request's order.
fn urls(urls: &[String], kind: Kind) -> Result<Vec<StreamUrl>, Refusal> {
    if urls.len() > MAX_URLS {
        return Err(Refusal::field(format!("stream url ({MAX_URLS} at most)")));
    }
    let mut read: Vec<StreamUrl> = Vec::with_capacity(urls.len());
    for url in urls {
        let url = stream_url::parse(url, kind)?;
        if !read.contains(&url) {
            read.push(url);
        }
    }
    Ok(read)
}

/// The WebSocket of a track egress.
pub(crate) fn track_websocket(url: &str) -> Result<StreamUrl, Refusal> {
    stream_url::parse(url, Kind::WebSocket)
}

fn segments(
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

fn images(
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
