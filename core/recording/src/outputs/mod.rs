//! The outputs of a request: v1's lists by kind and v2's list of outputs become the same `Wanted`.
//!
//! ```text
//! v1  file → stream → segments → images       (each list or, if empty, the deprecated single output)
//! v2  in list order                            (each with a storage of its own)
//! ```
//!
//! Owns per-output validation, naming and destinations (egress-behaviour.md §1.3, §1.5, §3). Knows nothing of codecs:
//! the container of an unspecified file is settled later, see `FileWanted`.

mod stored;
mod streams;

use crate::Refusal;
use crate::codecs::Format;
use crate::encoding::Options;
use crate::naming::Names;
use crate::plan::{
    Destination, ImagesOutput, SegmentsOutput, StreamOutput, StreamProtocol, StreamUrl,
};
use crate::policy::Policy;
use wire::livekit;

pub(crate) use stored::{file, upload_of_direct_file};
use stored::{file_format, upload_of_file, upload_of_images, upload_of_segments};
pub(crate) use streams::track_websocket;
use streams::{v1_stream, v2_stream};

/// Most image outputs of one request.
const MAX_IMAGE_OUTPUTS: usize = 16;

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
        wanted.file = Some(stored::file(
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
        wanted.segments = Some(stored::segments(
            segments,
            upload.as_ref(),
            stream,
            context,
        )?);
    }
    if !request.images.is_empty() {
        if !video {
            return Err(Refusal::field("audio_only images"));
        }
        count_images(request.images.len())?;
        for images in request.images {
            let upload = upload_of_images(images);
            let images = stored::images(images, upload.as_ref(), context)?;
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
                wanted.file = Some(stored::file(
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
                wanted.segments = Some(stored::segments(segments, upload, false, context)?);
                segments_wanted = Some(segments);
            }
            Some(Config::Images(images)) => {
                if !enabled.video {
                    return Err(Refusal::field("audio_only images"));
                }
                count_images(wanted.images.len() + 1)?;
                wanted.images.push(stored::images(images, upload, context)?);
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
