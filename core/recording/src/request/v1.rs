//! The five v1 requests: source → encoding → outputs (egress-behaviour.md §1.3).

use super::{Draft, DraftSource, Job, Template, media_flags, page_url};
use crate::Refusal;
use crate::codecs::Format;
use crate::encoding::{self, Options};
use crate::naming::Names;
use crate::outputs::{self, Context, StreamWanted, V1, Wanted};
use crate::plan::{Mixing, RequestType, Subject};
use wire::livekit::{
    self, AudioMixing, participant_egress_request, room_composite_egress_request,
    track_composite_egress_request, track_egress_request, web_egress_request,
};

/// Outputs of a v1 message: lists, and the deprecated single output of the given module.
macro_rules! v1_outputs {
    ($request:expr, $module:ident) => {{
        #[expect(deprecated, reason = "old clients still send the single output")]
        let (file, stream, segment) = match &$request.output {
            Some($module::Output::File(file)) => (Some(file), None, None),
            Some($module::Output::Stream(stream)) => (None, Some(stream), None),
            Some($module::Output::Segments(segment)) => (None, None, Some(segment)),
            None => (None, None, None),
        };
        V1 {
            files: &$request.file_outputs,
            streams: &$request.stream_outputs,
            segments: &$request.segment_outputs,
            images: &$request.image_outputs,
            file,
            stream,
            segment,
        }
    }};
}

/// Encoding options of a v1 message.
macro_rules! v1_options {
    ($request:expr, $module:ident) => {
        match &$request.options {
            Some($module::Options::Preset(preset)) => encoding::preset(*preset),
            Some($module::Options::Advanced(advanced)) => encoding::advanced(advanced)?,
            None => Options::default(),
        }
    };
}

/// What is left to do for every encoded v1 request.
struct Encoded<'a> {
    request_type: RequestType,
    room_name: &'a str,
    source: DraftSource,
    audio: bool,
    video: bool,
    encoding: Options,
    names: Names,
    outputs: V1<'a>,
}

impl Encoded<'_> {
    fn draft(self, job: &Job<'_>) -> Result<Draft, Refusal> {
        let page = match &self.source {
            DraftSource::Web { .. } | DraftSource::Template { .. } => true,
            DraftSource::Room(_) => false,
        };
        let outputs = outputs::v1(
            &self.outputs,
            self.video,
            &Context {
                policy: job.policy,
                names: &self.names,
                encoding: &self.encoding,
                page,
            },
        )?;
        Ok(Draft {
            request_type: self.request_type,
            room_name: self.room_name.to_owned(),
            source: self.source,
            audio: self.audio && !outputs.only_images(),
            video: self.video,
            copy: false,
            encoding: self.encoding,
            names: self.names,
            outputs,
        })
    }
}

pub(super) fn room_composite(
    request: &livekit::RoomCompositeEgressRequest,
    job: &Job<'_>,
) -> Result<Draft, Refusal> {
    let mixing = match AudioMixing::try_from(request.audio_mixing) {
        Ok(AudioMixing::DualChannelAgent) => Mixing::DualChannelAgent,
        Ok(AudioMixing::DualChannelAlternate) => Mixing::DualChannelAlternate,
        Ok(AudioMixing::DefaultMixing) | Err(_) => Mixing::Default,
    };
    let source = Template {
        layout: &request.layout,
        audio_only: request.audio_only,
        video_only: request.video_only,
        custom_base_url: &request.custom_base_url,
        mixing,
    }
    .read(job.policy)?;
    Encoded {
        request_type: RequestType::RoomComposite,
        room_name: &request.room_name,
        source,
        audio: !request.video_only,
        video: !request.audio_only,
        encoding: v1_options!(request, room_composite_egress_request),
        names: job.names(&request.room_name, None),
        outputs: v1_outputs!(request, room_composite_egress_request),
    }
    .draft(job)
}

pub(super) fn web(request: &livekit::WebEgressRequest, job: &Job<'_>) -> Result<Draft, Refusal> {
    page_url("web url", &request.url)?;
    media_flags(request.audio_only, request.video_only)?;
    // The only request without a room of its own.
    let room_name = &job.envelope.room_name;
    Encoded {
        request_type: RequestType::Web,
        room_name,
        source: DraftSource::Web {
            url: request.url.clone(),
            await_start: request.await_start_signal,
        },
        audio: !request.video_only,
        video: !request.audio_only,
        encoding: v1_options!(request, web_egress_request),
        names: job.names(room_name, None),
        outputs: v1_outputs!(request, web_egress_request),
    }
    .draft(job)
}

pub(super) fn participant(
    request: &livekit::ParticipantEgressRequest,
    job: &Job<'_>,
) -> Result<Draft, Refusal> {
    if request.identity.is_empty() {
        return Err(Refusal::field("identity"));
    }
    Encoded {
        request_type: RequestType::Participant,
        room_name: &request.room_name,
        source: DraftSource::Room(Subject::Participant {
            identity: request.identity.clone(),
            screen_share: request.screen_share,
        }),
        audio: true,
        video: true,
        encoding: v1_options!(request, participant_egress_request),
        names: Names {
            publisher: Some(request.identity.clone()),
            ..job.names(&request.room_name, None)
        },
        outputs: V1 {
            files: &request.file_outputs,
            streams: &request.stream_outputs,
            segments: &request.segment_outputs,
            images: &request.image_outputs,
            file: None,
            stream: None,
            segment: None,
        },
    }
    .draft(job)
}

pub(super) fn track_composite(
    request: &livekit::TrackCompositeEgressRequest,
    job: &Job<'_>,
) -> Result<Draft, Refusal> {
    let id = |id: &String| (!id.is_empty()).then(|| id.clone());
    let (audio, video) = (id(&request.audio_track_id), id(&request.video_track_id));
    if audio.is_none() && video.is_none() {
        return Err(Refusal::field("audio_track_id or video_track_id"));
    }
    Encoded {
        request_type: RequestType::TrackComposite,
        room_name: &request.room_name,
        audio: audio.is_some(),
        video: video.is_some(),
        source: DraftSource::Room(Subject::Tracks { audio, video }),
        encoding: v1_options!(request, track_composite_egress_request),
        names: job.names(&request.room_name, None),
        outputs: v1_outputs!(request, track_composite_egress_request),
    }
    .draft(job)
}

pub(super) fn track(
    request: &livekit::TrackEgressRequest,
    job: &Job<'_>,
) -> Result<Draft, Refusal> {
    let sid = &request.track_id;
    if sid.is_empty() {
        return Err(Refusal::field("track_id"));
    }
    let names = Names {
        track: Some(sid.clone()),
        ..job.names(&request.room_name, Some(sid))
    };
    let encoding = Options::default();
    let context = Context {
        policy: job.policy,
        names: &names,
        encoding: &encoding,
        page: false,
    };
    let mut wanted = Wanted::default();
    // Which of the two it is, only the track tells.
    let (mut audio, mut video) = (true, true);
    match &request.output {
        Some(track_egress_request::Output::File(file)) => {
            let upload = outputs::upload_of_direct_file(file);
            wanted.file = Some(outputs::file(
                Format::UnspecifiedFile,
                &file.filepath,
                file.disable_manifest,
                upload.as_ref(),
                &context,
            )?);
        }
        Some(track_egress_request::Output::WebsocketUrl(url)) => {
            (audio, video) = (true, false);
            wanted.stream = Some(StreamWanted::WebSocket(outputs::track_websocket(url)?));
        }
        None => return Err(Refusal::field("output")),
    }
    Ok(Draft {
        request_type: RequestType::Track,
        room_name: request.room_name.clone(),
        source: DraftSource::Room(Subject::Track { sid: sid.clone() }),
        audio,
        video,
        copy: true,
        encoding,
        names,
        outputs: wanted,
    })
}
