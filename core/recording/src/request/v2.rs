//! The v2 request: encoding → passthrough shape → source → outputs (egress-behaviour.md §1.5).
//!
//! Beyond upstream: empty track ids and identities are refused, which there never match anything.

use super::{Draft, DraftSource, Job, Template, media_flags, page_url};
use crate::Refusal;
use crate::encoding::{self, Options};
use crate::naming::Names;
use crate::outputs::{self, Context, Enabled};
use crate::plan::{
    Channel, MediaAudio, MediaVideo, Mixing, RequestType, Route, RouteMatch, Subject,
};
use wire::livekit::{
    self, AudioChannel, EncodedFileType, audio_route, media_source, output,
    start_egress_request::{Encoding, Source},
};

/// Most audio routes of one request.
const MAX_ROUTES: usize = 256;

struct Read {
    request_type: RequestType,
    source: DraftSource,
    enabled: Enabled,
    names: Names,
}

pub(super) fn start(
    request: &livekit::StartEgressRequest,
    job: &Job<'_>,
) -> Result<Draft, Refusal> {
    let encoding = match &request.encoding {
        Some(Encoding::Preset(preset)) => encoding::preset(*preset),
        Some(Encoding::Advanced(advanced)) => encoding::advanced(advanced)?,
        None => Options::default(),
    };
    let copied = if encoding.passthrough {
        Some(passthrough(request)?)
    } else {
        None
    };
    let room_name = match request.room_name.as_str() {
        "" => &job.envelope.room_name,
        name => name,
    };
    let mut read = source(request, room_name, copied.as_ref(), job)?;
    let page = match &read.source {
        DraftSource::Web { .. } | DraftSource::Template { .. } => true,
        DraftSource::Room(_) => false,
    };
    let outputs = outputs::v2(
        &request.outputs,
        request.storage.as_ref(),
        &mut read.enabled,
        &Context {
            policy: job.policy,
            names: &read.names,
            encoding: &encoding,
            page,
        },
    )?;
    Ok(Draft {
        request_type: read.request_type,
        room_name: room_name.to_owned(),
        source: read.source,
        audio: read.enabled.audio && !outputs.only_images(),
        video: read.enabled.video,
        copy: copied.is_some(),
        encoding,
        names: read.names,
        outputs,
    })
}

/// The one track of a passthrough request.
struct Copied {
    sid: String,
    video: bool,
}

/// PASSTHROUGH copies exactly one track, named by its id, into exactly one file of the track's own type.
fn passthrough(request: &livekit::StartEgressRequest) -> Result<Copied, Refusal> {
    let refuse = |what: &str| Err(Refusal::field(format!("passthrough {what}")));
    let media = match &request.source {
        Some(Source::Media(media)) => media,
        Some(Source::Template(_) | Source::Web(_)) | None => return refuse("source"),
    };
    let video = match &media.video {
        Some(media_source::Video::VideoTrackId(id)) if id.is_empty() => {
            return refuse("video_track_id");
        }
        Some(media_source::Video::VideoTrackId(id)) => Some(id),
        Some(media_source::Video::ParticipantVideo(_)) => return refuse("participant_video"),
        None => None,
    };
    let mut audio = None;
    if let Some(wanted) = &media.audio {
        if wanted.capture_all {
            return refuse("capture_all");
        }
        match wanted.routes.as_slice() {
            [] => {}
            [route] => match &route.r#match {
                Some(audio_route::Match::TrackId(id)) if id.is_empty() => {
                    return refuse("audio route track_id");
                }
                Some(audio_route::Match::TrackId(id)) => audio = Some(id),
                Some(
                    audio_route::Match::ParticipantIdentity(_)
                    | audio_route::Match::ParticipantKind(_),
                )
                | None => return refuse("audio route match"),
            },
            _ => return refuse("audio routes"),
        }
    }
    let copied = match (audio, video) {
        (Some(sid), None) => Copied {
            sid: sid.clone(),
            video: false,
        },
        (None, Some(sid)) => Copied {
            sid: sid.clone(),
            video: true,
        },
        (Some(_), Some(_)) | (None, None) => return refuse("track_id"),
    };
    match request.outputs.as_slice() {
        [output] => match &output.config {
            Some(output::Config::File(file)) => {
                if file.file_type != EncodedFileType::DefaultFiletype as i32 {
                    return refuse("file_type");
                }
            }
            Some(
                output::Config::Stream(_) | output::Config::Segments(_) | output::Config::Images(_),
            )
            | None => return refuse("output"),
        },
        _ => return refuse("outputs"),
    }
    Ok(copied)
}

fn source(
    request: &livekit::StartEgressRequest,
    room_name: &str,
    copied: Option<&Copied>,
    job: &Job<'_>,
) -> Result<Read, Refusal> {
    match &request.source {
        Some(Source::Template(template)) => {
            let source = Template {
                layout: &template.layout,
                audio_only: template.audio_only,
                video_only: template.video_only,
                custom_base_url: &template.custom_base_url,
                mixing: Mixing::Default,
            }
            .read(job.policy)?;
            Ok(Read {
                request_type: RequestType::Template,
                source,
                enabled: Enabled {
                    audio: !template.video_only,
                    video: !template.audio_only,
                },
                names: job.names(room_name, None),
            })
        }
        Some(Source::Web(web)) => {
            page_url("web url", &web.url)?;
            media_flags(web.audio_only, web.video_only)?;
            Ok(Read {
                request_type: RequestType::Web,
                source: DraftSource::Web {
                    url: web.url.clone(),
                    await_start: web.await_start_signal,
                },
                enabled: Enabled {
                    audio: !web.video_only,
                    video: !web.audio_only,
                },
                names: job.names(room_name, None),
            })
        }
        Some(Source::Media(media)) => match copied {
            Some(copied) => Ok(Read {
                request_type: RequestType::Track,
                source: DraftSource::Room(Subject::Track {
                    sid: copied.sid.clone(),
                }),
                enabled: Enabled {
                    audio: !copied.video,
                    video: copied.video,
                },
                names: Names {
                    track: Some(copied.sid.clone()),
                    track_type: Some(if copied.video { "video" } else { "audio" }),
                    ..job.names(room_name, Some(&copied.sid))
                },
            }),
            None => self::media(media, room_name, job),
        },
        None => Err(Refusal::field("source")),
    }
}

fn media(media: &livekit::MediaSource, room_name: &str, job: &Job<'_>) -> Result<Read, Refusal> {
    let video = match &media.video {
        Some(media_source::Video::VideoTrackId(id)) => {
            Some(MediaVideo::Track(named("video_track_id", id)?))
        }
        Some(media_source::Video::ParticipantVideo(participant)) => Some(MediaVideo::Participant {
            identity: named("participant_video identity", &participant.identity)?,
            screen_share: participant.prefer_screen_share,
        }),
        None => None,
    };
    let audio = match &media.audio {
        Some(audio) if audio.capture_all => Some(MediaAudio::All),
        Some(audio) if !audio.routes.is_empty() => Some(MediaAudio::Routes(routes(&audio.routes)?)),
        Some(_) | None => None,
    };
    if video.is_none() && audio.is_none() {
        return Err(Refusal::field("audio or video"));
    }
    Ok(Read {
        request_type: RequestType::Media,
        enabled: Enabled {
            audio: audio.is_some(),
            video: video.is_some(),
        },
        source: DraftSource::Room(Subject::Media { video, audio }),
        names: job.names(room_name, None),
    })
}

fn named(field: &str, id: &str) -> Result<String, Refusal> {
    if id.is_empty() {
        return Err(Refusal::field(field));
    }
    Ok(id.to_owned())
}

fn routes(routes: &[livekit::AudioRoute]) -> Result<Vec<Route>, Refusal> {
    if routes.len() > MAX_ROUTES {
        return Err(Refusal::field(format!(
            "audio routes ({MAX_ROUTES} at most)"
        )));
    }
    routes
        .iter()
        .map(|route| {
            let matcher = match &route.r#match {
                Some(audio_route::Match::TrackId(id)) => {
                    Some(RouteMatch::Track(named("audio route track_id", id)?))
                }
                Some(audio_route::Match::ParticipantIdentity(identity)) => Some(
                    RouteMatch::Identity(named("audio route participant_identity", identity)?),
                ),
                Some(audio_route::Match::ParticipantKind(kind)) => Some(RouteMatch::Kind(*kind)),
                None => None,
            };
            Ok(Route {
                matcher,
                channel: match AudioChannel::try_from(route.channel) {
                    Ok(AudioChannel::Left) => Channel::Left,
                    Ok(AudioChannel::Right) => Channel::Right,
                    Ok(AudioChannel::Both) | Err(_) => Channel::Both,
                },
            })
        })
        .collect()
}
