//! What will be recorded, decided in full: nothing in a [`Plan`] is left to interpretation.
//!
//! A plan is made once by the worker (see [`crate::request`]) and given to the recorder over the link. The same
//! input gives the same plan; no secret shows in `Debug`.

use crate::{EgressId, Secret};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One recording, complete and immutable.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Who and what for; what `EgressInfo` repeats.
    pub identity: Identity,
    /// Where the media comes from.
    pub source: Source,
    /// What is made of it.
    pub media: Media,
    /// Where it goes.
    pub outputs: Outputs,
    /// When it must end by itself.
    pub limits: Limits,
}

/// What `EgressInfo` repeats of the request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// `EG_…`.
    pub egress_id: EgressId,
    /// From the envelope; never corrected later.
    pub room_id: String,
    /// From the envelope and the request.
    pub room_name: String,
    /// From the envelope.
    pub retry_count: i32,
    /// When the request was taken, Unix nanoseconds: `EgressInfo.started_at`.
    pub requested_at: i64,
    /// Which request it was.
    pub request_type: RequestType,
    /// A serialized `EgressInfo` that holds nothing but the redacted copy of the request.
    pub redacted_request: Vec<u8>,
}

/// Request labels of logs and metrics (egress-behaviour.md §14.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum RequestType {
    /// v1.
    RoomComposite,
    /// v1 and v2.
    Web,
    /// v1.
    Participant,
    /// v1.
    TrackComposite,
    /// v1, and v2 media with PASSTHROUGH.
    Track,
    /// v2.
    Template,
    /// v2.
    Media,
}

impl RequestType {
    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::RoomComposite => "room_composite",
            Self::Web => "web",
            Self::Participant => "participant",
            Self::TrackComposite => "track_composite",
            Self::Track => "track",
            Self::Template => "template",
            Self::Media => "media",
        }
    }
}

/// Where the media comes from. `EgressInfo.source_type` is WEB for pages, SDK for rooms.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A page in a browser: Web egress, and room composites that need the browser.
    Page(Page),
    /// A seat in the room.
    Room(Room),
}

/// A page to open.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Page {
    /// Complete URL to navigate to (may carry a room token).
    pub url: Secret<String>,
    /// Wait for `START_RECORDING` on the console before recording.
    pub await_start_signal: bool,
}

/// A room to join.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Room {
    /// Server, `ws(s)://…`.
    pub ws_url: String,
    /// Access token of the hidden recorder.
    pub token: Secret<String>,
    /// What is recorded there.
    pub subject: Subject,
}

/// What is recorded in a room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Subject {
    /// Everybody's sound, mixed.
    RoomAudio {
        /// Who goes to which channel.
        mixing: Mixing,
    },
    /// One participant's camera and microphone, or screen share.
    Participant {
        /// Whose.
        identity: String,
        /// Screen share instead of camera and microphone.
        screen_share: bool,
    },
    /// One or two tracks, re-encoded.
    Tracks {
        /// Audio track sid.
        audio: Option<String>,
        /// Video track sid.
        video: Option<String>,
    },
    /// One track as it is.
    Track {
        /// Track sid.
        sid: String,
    },
    /// v2 media source.
    Media {
        /// Pictures of.
        video: Option<MediaVideo>,
        /// Sound of.
        audio: Option<MediaAudio>,
    },
}

/// `AudioMixing` of the v1 room composite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mixing {
    /// All to both channels.
    Default,
    /// Agents left, all others right.
    DualChannelAgent,
    /// Participants take turns.
    DualChannelAlternate,
}

/// v2: which pictures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum MediaVideo {
    /// This track.
    Track(String),
    /// This participant's camera or screen share.
    Participant {
        /// Whose.
        identity: String,
        /// Screen share instead of camera.
        screen_share: bool,
    },
}

/// v2: which sound.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum MediaAudio {
    /// All of it, both channels.
    All,
    /// First matching route wins; the rest is not recorded.
    Routes(Vec<Route>),
}

/// One audio route.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Which tracks; `None` never matches.
    pub matcher: Option<RouteMatch>,
    /// To which channel.
    pub channel: Channel,
}

/// Which tracks a route takes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum RouteMatch {
    /// Track sid.
    Track(String),
    /// Participant identity.
    Identity(String),
    /// `ParticipantInfo.Kind` number.
    Kind(i32),
}

/// Target of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Channel {
    /// Both.
    Both,
    /// Left only.
    Left,
    /// Right only.
    Right,
}

/// What is made: sound, pictures or both ("neither" cannot be written).
///
/// A copy of a track whose kind only the room knows is `Both` with `Copy` twice; one of them will flow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Media {
    /// Sound only.
    Audio(AudioPath),
    /// Pictures only.
    Video(VideoPath),
    /// Both.
    Both {
        /// Sound.
        audio: AudioPath,
        /// Pictures.
        video: VideoPath,
    },
}

impl Media {
    /// The sound path, if there is sound.
    #[must_use]
    pub const fn audio(&self) -> Option<&AudioPath> {
        match self {
            Self::Audio(audio) | Self::Both { audio, .. } => Some(audio),
            Self::Video(_) => None,
        }
    }

    /// The picture path, if there are pictures.
    #[must_use]
    pub const fn video(&self) -> Option<&VideoPath> {
        match self {
            Self::Video(video) | Self::Both { video, .. } => Some(video),
            Self::Audio(_) => None,
        }
    }
}

/// How sound travels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum AudioPath {
    /// As published (track egress).
    Copy,
    /// Decoded, mixed, encoded.
    Transcode(AudioEncode),
}

/// How pictures travel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum VideoPath {
    /// As published.
    Copy,
    /// Decoded or captured, composed, encoded.
    Transcode(VideoEncode),
}

/// Sound encoding.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AudioEncode {
    /// Codec.
    pub codec: media::AudioCodec,
    /// kbit/s; meaningless for PCM.
    pub bitrate_kbps: u32,
    /// Hz; 48000 for Opus and PCM.
    pub sample_rate: u32,
}

/// H.264 encoding (nothing else is ever encoded, as upstream).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VideoEncode {
    /// Profile.
    pub profile: H264Profile,
    /// Pixels, even, ≥ 16.
    pub width: u32,
    /// Pixels, even, ≥ 16.
    pub height: u32,
    /// Depth of the X screen: 8, 16 or 24.
    pub depth: u8,
    /// Frames per second.
    pub framerate: u32,
    /// kbit/s.
    pub bitrate_kbps: u32,
    /// Where key frames come from.
    pub keyframes: KeyFrames,
    /// Streams are among the outputs: no lookahead delay, constant bitrate.
    pub live: bool,
}

/// H.264 profiles on offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum H264Profile {
    /// Constrained baseline.
    Baseline,
    /// Main.
    Main,
    /// High.
    High,
}

/// Where key frames come from (egress-behaviour.md §2.3).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum KeyFrames {
    /// The encoder decides, scene cuts on.
    Encoder,
    /// Exactly this often, no scene cuts.
    Every(Duration),
    /// Only when the segmenter asks (every segment duration), no scene cuts.
    Segments,
}

/// Never empty.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outputs {
    /// The first output.
    pub first: Output,
    /// The others.
    pub rest: Vec<Output>,
}

impl Outputs {
    /// All outputs in order: file, stream, segments, images.
    pub fn iter(&self) -> impl Iterator<Item = &Output> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// One output.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// One file.
    File(FileOutput),
    /// HLS.
    Segments(SegmentsOutput),
    /// RTMP or SRT, any number of URLs.
    Stream(StreamOutput),
    /// Raw sound over a WebSocket.
    WebSocket(WebSocketOutput),
    /// JPEG series.
    Images(ImagesOutput),
}

/// A single file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FileOutput {
    /// Container; for track copies known only when the track is.
    pub container: Container,
    /// `FileInfo.filename`: storage path without the configured prefix. May hold templates that only joining resolves.
    pub storage_path: String,
    /// Where to.
    pub destination: Destination,
    /// A manifest is wanted beside it.
    pub manifest: bool,
}

/// Kinds of file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Container {
    /// MP4.
    Mp4,
    /// OGG with Opus.
    Ogg,
    /// MP3 with a Xing header.
    Mp3,
    /// What the track's codec calls for: Opus, PCMU, PCMA → OGG; H.264 → MP4; VP8, VP9 → WebM.
    ByTrack,
}

/// HLS.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SegmentsOutput {
    /// Directory (with trailing `/`, or empty), without the configured prefix.
    pub storage_dir: String,
    /// `….m3u8`, in `storage_dir`.
    pub playlist: String,
    /// `….m3u8`, in `storage_dir`.
    pub live_playlist: Option<String>,
    /// Prefix of segment names, in `storage_dir`; may hold a directory of its own.
    pub prefix: String,
    /// Segment names by number or by time.
    pub suffix: SegmentSuffix,
    /// Target length.
    pub duration: Duration,
    /// Where to.
    pub destination: Destination,
    /// A manifest is wanted beside it.
    pub manifest: bool,
}

/// Segment names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SegmentSuffix {
    /// `_00000.ts`.
    Index,
    /// `_YYYYMMDDHHMMSSmmm.ts`.
    Timestamp,
}

/// RTMP or SRT.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StreamOutput {
    /// Protocol of all URLs.
    pub protocol: StreamProtocol,
    /// May be empty beside other outputs: UpdateStream adds.
    pub urls: Vec<StreamUrl>,
}

/// Stream protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StreamProtocol {
    /// RTMP, RTMPS.
    Rtmp,
    /// SRT.
    Srt,
}

/// One stream target.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamUrl {
    /// Complete URL with key.
    pub url: Secret<String>,
    /// `StreamInfo.url`, as peers may see it. SRT and WebSocket URLs stand there as given, as upstream's clients expect,
    /// so this is not for logs; `Debug` shows the stricter form.
    pub redacted: String,
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::redact::stream_url(&self.redacted))
    }
}

/// Raw PCM to a WebSocket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WebSocketOutput {
    /// Target.
    pub url: StreamUrl,
}

/// JPEG series.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImagesOutput {
    /// Directory (with trailing `/`, or empty), without the configured prefix.
    pub storage_dir: String,
    /// As the user gave it: `ImagesInfo.filename_prefix`.
    pub user_prefix: String,
    /// Prefix of names, in `storage_dir`.
    pub prefix: String,
    /// Names by number, by time, or always the same.
    pub suffix: ImageSuffix,
    /// One picture every.
    pub interval: Duration,
    /// Pixels; `None`: the publisher's size.
    pub width: Option<u32>,
    /// Pixels; `None`: the publisher's size.
    pub height: Option<u32>,
    /// Where to.
    pub destination: Destination,
    /// A manifest is wanted beside it.
    pub manifest: bool,
}

/// Image names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ImageSuffix {
    /// `_00000.jpeg`.
    Index,
    /// `_YYYYMMDDHHMMSSmmm.jpeg`.
    Timestamp,
    /// Always the same name.
    NoneOverwrite,
}

/// Where finished bytes go.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Destination {
    /// First choice.
    pub store: Store,
    /// Configured prefix, joined before every storage path.
    pub prefix: String,
    /// Locations are presigned URLs.
    pub presign: bool,
    /// When the first choice fails.
    pub backup: Option<Box<Destination>>,
}

/// A store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful per recording, in no hot path"
)]
pub enum Store {
    /// Files on this machine.
    Local,
    /// S3 and everything that speaks it.
    S3(S3),
    /// Google Cloud Storage.
    Gcp(Gcp),
    /// Azure blobs.
    Azure(Azure),
    /// Alibaba OSS.
    AliOss(AliOss),
}

/// S3.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct S3 {
    /// Empty: the AWS default chain.
    pub access_key: Secret<String>,
    /// Empty: the AWS default chain.
    pub secret: Secret<String>,
    /// May be empty.
    pub session_token: Secret<String>,
    /// Role to assume; empty for none.
    pub assume_role_arn: String,
    /// May be empty.
    pub assume_role_external_id: Secret<String>,
    /// May be empty.
    pub region: String,
    /// May be empty.
    pub endpoint: String,
    /// Bucket.
    pub bucket: String,
    /// Path style instead of virtual host.
    pub force_path_style: bool,
    /// Object metadata, sorted by key.
    pub metadata: Vec<(String, String)>,
    /// Object tags, URL-encoded pairs.
    pub tagging: String,
    /// Content-Disposition; empty: `inline`.
    pub content_disposition: String,
    /// HTTP proxy.
    pub proxy: Option<Proxy>,
    /// Attempts after the first.
    pub max_retries: u32,
    /// Longest pause between attempts.
    pub max_retry_delay: Duration,
    /// Shortest pause between attempts.
    pub min_retry_delay: Duration,
}

/// HTTP proxy.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Proxy {
    /// URL (may carry credentials).
    pub url: Secret<String>,
    /// May be empty.
    pub username: Secret<String>,
    /// May be empty.
    pub password: Secret<String>,
}

/// Google Cloud Storage.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Gcp {
    /// Service-account JSON; empty: ambient credentials.
    pub credentials_json: Secret<String>,
    /// Bucket.
    pub bucket: String,
    /// HTTP proxy.
    pub proxy: Option<Proxy>,
}

/// Azure blobs.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Azure {
    /// Account.
    pub account_name: Secret<String>,
    /// Shared key.
    pub account_key: Secret<String>,
    /// Container.
    pub container: String,
}

/// Alibaba OSS.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AliOss {
    /// Key id.
    pub access_key: Secret<String>,
    /// Key secret.
    pub secret: Secret<String>,
    /// Endpoint.
    pub endpoint: String,
    /// Bucket.
    pub bucket: String,
}

/// When a recording ends by itself.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// The smallest limit among the output kinds present; counted from when the source is open.
    pub max_duration: Option<Duration>,
    /// Bytes on disk.
    pub max_file_size: Option<u64>,
    /// How long a source may take to give its start signal or first media; upstream has none.
    pub start_timeout: Option<Duration>,
}
