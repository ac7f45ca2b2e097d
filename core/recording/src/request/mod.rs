//! From a request and the operator's policy to a complete [`Plan`], or to the refusal the caller sees.
//!
//! ```text
//! egressID ─► v1: source → encoding → outputs ┐
//!         └─► v2: encoding → passthrough shape → source → outputs ┴► Draft ─► preset → token → ws_url → codecs ─► Plan
//! ```
//!
//! That is the order in which wrong requests are refused (egress-behaviour.md §1.2). Pure: the same request, policy and
//! time give the same plan. Knows nothing of what this build or machine can do; see [`crate::support`] and
//! [`crate::cost`].

pub mod labels;
mod v1;
mod v2;

use crate::codecs::{self, Ask, Format, Mime, Wish};
use crate::encoding::Options;
use crate::naming::{self, Names};
use crate::outputs::{FileWanted, StreamWanted, Wanted};
use crate::plan::{
    AudioPath, Container, FileOutput, Identity, Limits, Media, Mixing, Output, Outputs, Page,
    RequestType, Room, Source, Subject, VideoEncode, VideoPath, WebSocketOutput,
};
use crate::policy::Policy;
use crate::{Code, EgressId, Now, Plan, Refusal, Secret, redact, token};
use std::time::Duration;
use url::Url;
use wire::livekit;
use wire::prost::Message as _;
use wire::rpc::StartEgressRequest;
use wire::rpc::start_egress_request::Request;

/// Longest page URL, bytes.
const MAX_URL: usize = 4096;

/// Plans a recording.
///
/// # Errors
/// What is wrong with the request, with upstream's code and text.
pub fn plan(request: &StartEgressRequest, policy: &Policy, now: Now) -> Result<Plan, Refusal> {
    let egress_id = EgressId::new(&request.egress_id).ok_or_else(|| Refusal::field("egressID"))?;
    let Some(asked) = &request.request else {
        return Err(Refusal::field("request"));
    };
    let job = Job {
        envelope: request,
        policy,
        now,
    };
    let draft = match asked {
        Request::RoomComposite(asked) => v1::room_composite(asked, &job),
        Request::Web(asked) => v1::web(asked, &job),
        Request::Participant(asked) => v1::participant(asked, &job),
        Request::TrackComposite(asked) => v1::track_composite(asked, &job),
        Request::Track(asked) => v1::track(asked, &job),
        Request::Egress(asked) => v2::start(asked, &job),
        // The open-source service has no recordings to export from.
        Request::Replay(_) => Err(Refusal::new(
            Code::Unimplemented,
            "replay export is not implemented in this version",
        )),
    }?;
    draft.finish(egress_id, asked, &job)
}

/// Room composites and templates that need no browser: sound only, no layout, no page of their own.
#[must_use]
pub const fn without_browser(audio_only: bool, layout: &str, custom_base_url: &str) -> bool {
    audio_only && layout.is_empty() && custom_base_url.is_empty()
}

/// What every request is read with.
struct Job<'a> {
    envelope: &'a StartEgressRequest,
    policy: &'a Policy,
    now: Now,
}

impl Job<'_> {
    /// Names of a request about `room_name` (may be empty); `identifier` begins generated names when it is not the
    /// room's.
    fn names(&self, room_name: &str, identifier: Option<&str>) -> Names {
        let at = naming::local(self.now.wall, &self.policy.zone);
        let room =
            (!room_name.is_empty()).then(|| (room_name.to_owned(), self.envelope.room_id.clone()));
        let identifier = identifier
            .or((!room_name.is_empty()).then_some(room_name))
            .unwrap_or("web");
        Names {
            identifier: identifier.to_owned(),
            time: naming::time(&at),
            utc: naming::compact(&at),
            room,
            publisher: None,
            track: None,
            track_type: None,
            retry: self.envelope.retry_count,
        }
    }
}

/// What every valid request comes down to.
struct Draft {
    request_type: RequestType,
    room_name: String,
    source: DraftSource,
    audio: bool,
    video: bool,
    /// Media are copied, not encoded.
    copy: bool,
    encoding: Options,
    names: Names,
    outputs: Wanted,
}

enum DraftSource {
    /// A page of the user's.
    Web { url: String, await_start: bool },
    /// A template page.
    Template { base: String, layout: String },
    /// A seat in the room.
    Room(Subject),
}

impl Draft {
    fn finish(self, egress_id: EgressId, asked: &Request, job: &Job<'_>) -> Result<Plan, Refusal> {
        if self.encoding.passthrough && !self.copy {
            return Err(Refusal::field("preset"));
        }
        let source = self.source(&egress_id, job)?;
        let (media, format) = self.media()?;
        let limits = self.limits(job.policy);
        let outputs = self.outputs(format)?;
        let info = livekit::EgressInfo {
            request: Some(redact::request(asked)),
            ..Default::default()
        };
        Ok(Plan {
            identity: Identity {
                egress_id,
                room_id: job.envelope.room_id.clone(),
                room_name: self.room_name,
                retry_count: job.envelope.retry_count,
                requested_at: job.now.unix_nanos(),
                request_type: self.request_type,
                redacted_request: info.encode_to_vec(),
            },
            source,
            media,
            outputs,
            limits,
        })
    }

    fn source(&self, egress_id: &EgressId, job: &Job<'_>) -> Result<Source, Refusal> {
        Ok(match &self.source {
            DraftSource::Web { url, await_start } => Source::Page(Page {
                url: Secret::new(url.clone()),
                await_start_signal: *await_start,
            }),
            DraftSource::Template { base, layout } => {
                let (ws_url, token) = self.connection(egress_id, job)?;
                Source::Page(Page {
                    url: Secret::new(template_url(base, layout, &ws_url, token.reveal())),
                    await_start_signal: true,
                })
            }
            DraftSource::Room(subject) => {
                let (ws_url, token) = self.connection(egress_id, job)?;
                Source::Room(Room {
                    ws_url,
                    token,
                    subject: self.heard_and_seen(subject),
                })
            }
        })
    }

    /// Server and token: the envelope's, else the operator's.
    fn connection(
        &self,
        egress_id: &EgressId,
        job: &Job<'_>,
    ) -> Result<(String, Secret<String>), Refusal> {
        let policy = job.policy;
        let given = &job.envelope.token;
        let secret = policy.api_secret.reveal();
        let token = if !given.is_empty() {
            Secret::new(given.clone())
        } else if policy.api_key.is_empty() || secret.is_empty() || self.room_name.is_empty() {
            return Err(Refusal::field("token or api key/secret"));
        } else {
            let seconds = job.now.unix_nanos() / 1_000_000_000;
            token::mint(egress_id, &self.room_name, &policy.api_key, secret, seconds)
        };
        let ws_url = [&job.envelope.ws_url, &policy.ws_url]
            .into_iter()
            .find(|url| !url.is_empty())
            .ok_or_else(|| Refusal::field("ws_url"))?;
        Ok((ws_url.clone(), token))
    }

    /// The subject without what outputs switched off.
    fn heard_and_seen(&self, subject: &Subject) -> Subject {
        match subject.clone() {
            Subject::Tracks { audio, video } => Subject::Tracks {
                audio: audio.filter(|_| self.audio),
                video: video.filter(|_| self.video),
            },
            Subject::Media { video, audio } => Subject::Media {
                video: video.filter(|_| self.video),
                audio: audio.filter(|_| self.audio),
            },
            whole @ (Subject::RoomAudio { .. }
            | Subject::Participant { .. }
            | Subject::Track { .. }) => whole,
        }
    }

    /// Codecs, and the file's format.
    fn media(&self) -> Result<(Media, Option<Format>), Refusal> {
        if self.copy {
            let media = if self.outputs.websocket() {
                let pcm = self.encoding.audio(media::AudioCodec::Pcm);
                Media::Audio(AudioPath::Transcode(pcm))
            } else {
                self.shape(Some(AudioPath::Copy), Some(VideoPath::Copy))?
            };
            return Ok((media, None));
        }
        let wish = |enabled: bool, codec: Option<Mime>| match (enabled, codec) {
            (false, _) => Wish::Off,
            (true, None) => Wish::Any,
            (true, Some(codec)) => Wish::Exactly(codec),
        };
        let segments = self.outputs.segments.is_some();
        let stream = self.outputs.protocol();
        let selection = codecs::select(&Ask {
            audio: wish(self.audio, self.encoding.audio_codec),
            video: wish(self.video, self.encoding.video_codec),
            file: self.outputs.file.as_ref().map(|file| file.format),
            segments,
            stream,
            websocket: self.outputs.websocket(),
        })?;
        let audio = selection
            .audio
            .and_then(Mime::audio)
            .map(|codec| AudioPath::Transcode(self.encoding.audio(codec)));
        let video = selection.video.map(|_| {
            VideoPath::Transcode(VideoEncode {
                profile: self.encoding.profile,
                width: self.encoding.width,
                height: self.encoding.height,
                depth: self.encoding.depth,
                framerate: self.encoding.framerate,
                bitrate_kbps: self.encoding.video_bitrate_kbps,
                keyframes: self.encoding.key_frames(segments, stream.is_some()),
                live: stream.is_some(),
            })
        });
        Ok((self.shape(audio, video)?, selection.file))
    }

    fn shape(&self, audio: Option<AudioPath>, video: Option<VideoPath>) -> Result<Media, Refusal> {
        match (audio.filter(|_| self.audio), video.filter(|_| self.video)) {
            (Some(audio), Some(video)) => Ok(Media::Both { audio, video }),
            (Some(audio), None) => Ok(Media::Audio(audio)),
            (None, Some(video)) => Ok(Media::Video(video)),
            (None, None) => Err(Refusal::field("audio or video")),
        }
    }

    fn limits(&self, policy: &Policy) -> Limits {
        let limits = &policy.limits;
        let outputs = &self.outputs;
        let max_duration = [
            limits.file.filter(|_| outputs.file.is_some()),
            limits.stream.filter(|_| outputs.stream.is_some()),
            limits.segments.filter(|_| outputs.segments.is_some()),
            limits.images.filter(|_| !outputs.images.is_empty()),
        ]
        .into_iter()
        .flatten()
        .filter(|limit| *limit > Duration::ZERO)
        .min();
        Limits {
            max_duration,
            max_file_size: limits
                .file_size
                .filter(|size| *size > 0 && outputs.file.is_some()),
            start_timeout: limits.start_timeout.filter(|limit| *limit > Duration::ZERO),
        }
    }

    /// File, stream, segments, images: never empty.
    fn outputs(&self, format: Option<Format>) -> Result<Outputs, Refusal> {
        let wanted = &self.outputs;
        let file = wanted.file.as_ref().map(|file| self.file(file, format));
        let stream = wanted.stream.as_ref().map(|stream| match stream {
            StreamWanted::Stream(stream) => Output::Stream(stream.clone()),
            StreamWanted::WebSocket(url) => Output::WebSocket(WebSocketOutput { url: url.clone() }),
        });
        let segments = wanted.segments.clone().map(Output::Segments);
        let mut all = [file, stream, segments]
            .into_iter()
            .flatten()
            .chain(wanted.images.iter().cloned().map(Output::Images));
        let first = all.next().ok_or_else(|| Refusal::field("output"))?;
        Ok(Outputs {
            first,
            rest: all.collect(),
        })
    }

    fn file(&self, wanted: &FileWanted, format: Option<Format>) -> Output {
        let container = match format {
            Some(Format::Mp4) => Container::Mp4,
            Some(Format::Ogg) => Container::Ogg,
            Some(Format::Mp3) => Container::Mp3,
            Some(
                Format::Raw
                | Format::Ivf
                | Format::Ts
                | Format::WebM
                | Format::Jpeg
                | Format::Rtmp
                | Format::Srt
                | Format::Hls
                | Format::UnspecifiedFile,
            )
            | None => Container::ByTrack,
        };
        let extension = match container {
            Container::ByTrack => None,
            Container::Mp4 | Container::Ogg | Container::Mp3 => format.map(Format::extension),
        };
        Output::File(FileOutput {
            container,
            storage_path: naming::file(&wanted.path, &self.names, extension),
            destination: wanted.destination.clone(),
            manifest: wanted.manifest,
        })
    }
}

/// A page's URL: absolute http or https, of bearable length.
fn page_url(field: &str, url: &str) -> Result<(), Refusal> {
    if url.len() > MAX_URL {
        return Err(Refusal::field(format!("{field} ({MAX_URL} bytes at most)")));
    }
    let well_formed = !url.chars().any(char::is_control)
        && Url::parse(url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if well_formed {
        Ok(())
    } else {
        Err(Refusal::field(field))
    }
}

/// A template source, v1 and v2.
struct Template<'a> {
    layout: &'a str,
    audio_only: bool,
    video_only: bool,
    custom_base_url: &'a str,
    mixing: Mixing,
}

impl Template<'_> {
    /// Checks base URL, then flags; chooses between browser and seat.
    fn read(&self, policy: &Policy) -> Result<DraftSource, Refusal> {
        let base = match self.custom_base_url {
            "" => policy.template_base.as_str(),
            custom => custom,
        };
        page_url("template base url", base)?;
        media_flags(self.audio_only, self.video_only)?;
        if without_browser(self.audio_only, self.layout, self.custom_base_url) {
            return Ok(DraftSource::Room(Subject::RoomAudio {
                mixing: self.mixing,
            }));
        }
        Ok(DraftSource::Template {
            base: base.to_owned(),
            layout: self.layout.to_owned(),
        })
    }
}

fn media_flags(audio_only: bool, video_only: bool) -> Result<(), Refusal> {
    if audio_only && video_only {
        return Err(Refusal::field("audio_only and video_only"));
    }
    Ok(())
}

/// The base with its own query kept and `layout`, `token`, `url` set, keys in alphabetical order.
fn template_url(base: &str, layout: &str, ws_url: &str, token: &str) -> String {
    let (before, fragment) = base
        .split_once('#')
        .map_or((base, None), |(before, fragment)| (before, Some(fragment)));
    let (address, query) = before.split_once('?').unwrap_or((before, ""));
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .filter(|(name, _)| !matches!(name.as_str(), "layout" | "token" | "url"))
        .collect();
    for (name, value) in [("layout", layout), ("token", token), ("url", ws_url)] {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    // Stable: several values of one name keep their order.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    match fragment {
        Some(fragment) => format!("{address}?{query}#{fragment}"),
        None => format!("{address}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_url_keeps_its_own_query_and_overrules_ours() {
        assert_eq!(
            template_url("http://localhost:7980/", "", "ws://h:7880", "a.b"),
            "http://localhost:7980/?layout=&token=a.b&url=ws%3A%2F%2Fh%3A7880"
        );
        assert_eq!(
            template_url(
                "https://x/p?z=1&token=old&a=%20#frag",
                "speaker light",
                "wss://h",
                "t"
            ),
            "https://x/p?a=+&layout=speaker+light&token=t&url=wss%3A%2F%2Fh&z=1#frag"
        );
    }

    #[test]
    fn page_urls_must_be_absolute_http() {
        for bad in [
            "",
            "notaurl",
            "ftp://x",
            "file:///etc/passwd",
            "http://",
            "http://x\n/",
            "javascript:1",
        ] {
            assert!(page_url("web url", bad).is_err(), "{bad:?}");
        }
        assert!(page_url("web url", &format!("http://x/{}", "a".repeat(5_000))).is_err());
        for good in ["http://x", "https://u:p@x:1/a?b#c", "HTTP://x"] {
            assert!(page_url("web url", good).is_ok(), "{good}");
        }
    }
}
