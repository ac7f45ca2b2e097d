//! Requests in the JSON that Go's `encoding/json` makes of protobuf structs: what upstream's health page shows.
//!
//! Fields by their proto names, zero values left out, enums as numbers; a oneof stands under the Go name of the oneof,
//! inside it the Go name of the variant, `null` when unset (egress-behaviour.md §9.1). One table per message.

use serde_json::{Map, Value, json};
use wire::livekit as lk;
use wire::livekit::egress_info::Request;

/// `{"RoomComposite": {…}}`.
pub(crate) fn request(request: &Request) -> Value {
    match request {
        Request::Egress(r) => json!({ "Egress": r.go() }),
        Request::Replay(r) => json!({ "Replay": r.go() }),
        Request::RoomComposite(r) => json!({ "RoomComposite": r.go() }),
        Request::Web(r) => json!({ "Web": r.go() }),
        Request::Participant(r) => json!({ "Participant": r.go() }),
        Request::TrackComposite(r) => json!({ "TrackComposite": r.go() }),
        Request::Track(r) => json!({ "Track": r.go() }),
    }
}

/// A message as Go shows it.
trait Go {
    fn go(&self) -> Value;
}

/// A struct under construction.
#[derive(Default)]
struct Struct(Map<String, Value>);

impl Struct {
    /// `omitempty` for scalars.
    fn scalar<T: PartialEq + Default + Clone + Into<Value>>(
        mut self,
        name: &str,
        value: &T,
    ) -> Self {
        if *value != T::default() {
            self.0.insert(name.to_owned(), value.clone().into());
        }
        self
    }

    /// A repeated message, left out when empty.
    fn list<T: Go>(mut self, name: &str, items: &[T]) -> Self {
        if !items.is_empty() {
            self.0
                .insert(name.to_owned(), items.iter().map(Go::go).collect());
        }
        self
    }

    /// Repeated text, left out when empty.
    fn texts(mut self, name: &str, items: &[String]) -> Self {
        if !items.is_empty() {
            self.0.insert(name.to_owned(), json!(items));
        }
        self
    }

    /// A message pointer, left out when nil.
    fn message<T: Go>(mut self, name: &str, message: Option<&T>) -> Self {
        if let Some(message) = message {
            self.0.insert(name.to_owned(), message.go());
        }
        self
    }

    /// A oneof: has no JSON name in Go, so it shows under its Go name, and as `null` when unset.
    fn oneof<T: Go>(mut self, name: &str, oneof: Option<&T>) -> Self {
        self.0
            .insert(name.to_owned(), oneof.map_or(Value::Null, Go::go));
        self
    }

    fn end(self) -> Value {
        Value::Object(self.0)
    }
}

macro_rules! messages {
    ($($message:ty { $($kind:ident $name:literal $field:ident),* $(,)? })*) => {
        $(impl Go for $message {
            fn go(&self) -> Value {
                Struct::default()$(.$kind($name, messages!(@ $kind self.$field)))*.end()
            }
        })*
    };
    (@ message $value:expr) => { $value.as_ref() };
    (@ oneof $value:expr) => { $value.as_ref() };
    (@ $kind:ident $value:expr) => { &$value };
}

messages! {
    lk::RoomCompositeEgressRequest {
        scalar "room_name" room_name, scalar "layout" layout, scalar "audio_only" audio_only,
        scalar "audio_mixing" audio_mixing, scalar "video_only" video_only, scalar "custom_base_url" custom_base_url,
        list "file_outputs" file_outputs, list "stream_outputs" stream_outputs,
        list "segment_outputs" segment_outputs, list "image_outputs" image_outputs,
        oneof "Output" output, oneof "Options" options, list "webhooks" webhooks,
    }
    lk::WebEgressRequest {
        scalar "url" url, scalar "audio_only" audio_only, scalar "video_only" video_only,
        scalar "await_start_signal" await_start_signal,
        list "file_outputs" file_outputs, list "stream_outputs" stream_outputs,
        list "segment_outputs" segment_outputs, list "image_outputs" image_outputs,
        oneof "Output" output, oneof "Options" options, list "webhooks" webhooks,
    }
    lk::ParticipantEgressRequest {
        scalar "room_name" room_name, scalar "identity" identity, scalar "screen_share" screen_share,
        list "file_outputs" file_outputs, list "stream_outputs" stream_outputs,
        list "segment_outputs" segment_outputs, list "image_outputs" image_outputs,
        oneof "Options" options, list "webhooks" webhooks,
    }
    lk::TrackCompositeEgressRequest {
        scalar "room_name" room_name, scalar "audio_track_id" audio_track_id, scalar "video_track_id" video_track_id,
        list "file_outputs" file_outputs, list "stream_outputs" stream_outputs,
        list "segment_outputs" segment_outputs, list "image_outputs" image_outputs,
        oneof "Output" output, oneof "Options" options, list "webhooks" webhooks,
    }
    lk::TrackEgressRequest {
        scalar "room_name" room_name, scalar "track_id" track_id, oneof "Output" output, list "webhooks" webhooks,
    }
    lk::StartEgressRequest {
        scalar "room_name" room_name, oneof "Source" source, oneof "Encoding" encoding,
        list "outputs" outputs, message "storage" storage, list "webhooks" webhooks,
    }
    lk::ExportReplayRequest {
        scalar "replay_id" replay_id, scalar "start_offset_ms" start_offset_ms, scalar "end_offset_ms" end_offset_ms,
        oneof "Source" source, oneof "Encoding" encoding,
        list "outputs" outputs, message "storage" storage, list "webhooks" webhooks,
    }
    lk::TemplateSource {
        scalar "layout" layout, scalar "audio_only" audio_only, scalar "video_only" video_only,
        scalar "custom_base_url" custom_base_url,
    }
    lk::WebSource {
        scalar "url" url, scalar "audio_only" audio_only, scalar "video_only" video_only,
        scalar "await_start_signal" await_start_signal,
    }
    lk::MediaSource { oneof "Video" video, message "audio" audio }
    lk::ParticipantVideo { scalar "identity" identity, scalar "prefer_screen_share" prefer_screen_share }
    lk::AudioConfig { scalar "capture_all" capture_all, list "routes" routes }
    lk::AudioRoute { oneof "Match" r#match, scalar "channel" channel }
    lk::Output { oneof "Config" config, message "storage" storage }
    lk::StorageConfig { oneof "Provider" provider }
    lk::FileOutput {
        scalar "file_type" file_type, scalar "filepath" filepath, scalar "disable_manifest" disable_manifest,
    }
    lk::EncodedFileOutput {
        scalar "file_type" file_type, scalar "filepath" filepath, scalar "disable_manifest" disable_manifest,
        oneof "Output" output,
    }
    lk::DirectFileOutput {
        scalar "filepath" filepath, scalar "disable_manifest" disable_manifest, oneof "Output" output,
    }
    lk::SegmentedFileOutput {
        scalar "protocol" protocol, scalar "filename_prefix" filename_prefix, scalar "playlist_name" playlist_name,
        scalar "live_playlist_name" live_playlist_name, scalar "segment_duration" segment_duration,
        scalar "filename_suffix" filename_suffix, scalar "disable_manifest" disable_manifest, oneof "Output" output,
    }
    lk::ImageOutput {
        scalar "capture_interval" capture_interval, scalar "width" width, scalar "height" height,
        scalar "filename_prefix" filename_prefix, scalar "filename_suffix" filename_suffix,
        scalar "image_codec" image_codec, scalar "disable_manifest" disable_manifest, oneof "Output" output,
    }
    lk::StreamOutput { scalar "protocol" protocol, texts "urls" urls }
    lk::AzureBlobUpload {
        scalar "account_name" account_name, scalar "account_key" account_key, scalar "container_name" container_name,
    }
    lk::GcpUpload { scalar "credentials" credentials, scalar "bucket" bucket, message "proxy" proxy }
    lk::AliOssUpload {
        scalar "access_key" access_key, scalar "secret" secret, scalar "region" region, scalar "endpoint" endpoint,
        scalar "bucket" bucket,
    }
    lk::ProxyConfig { scalar "url" url, scalar "username" username, scalar "password" password }
    lk::WebhookConfig { scalar "url" url, scalar "signing_key" signing_key, message "filter_params" filter_params }
    lk::FilterParams { texts "include_events" include_events, texts "exclude_events" exclude_events }
}

impl Go for lk::S3Upload {
    fn go(&self) -> Value {
        let object = Struct::default()
            .scalar("access_key", &self.access_key)
            .scalar("secret", &self.secret)
            .scalar("session_token", &self.session_token)
            .scalar("assume_role_arn", &self.assume_role_arn)
            .scalar("assume_role_external_id", &self.assume_role_external_id)
            .scalar("region", &self.region)
            .scalar("endpoint", &self.endpoint)
            .scalar("bucket", &self.bucket)
            .scalar("force_path_style", &self.force_path_style)
            .scalar("tagging", &self.tagging)
            .scalar("content_disposition", &self.content_disposition)
            .message("proxy", self.proxy.as_ref());
        let mut object = object.0;
        if !self.metadata.is_empty() {
            // serde_json sorts the keys, as Go does.
            object.insert("metadata".to_owned(), json!(self.metadata));
        }
        Value::Object(object)
    }
}

impl Go for lk::EncodingOptions {
    #[expect(deprecated, reason = "old clients still send the two quality fields")]
    fn go(&self) -> Value {
        Struct::default()
            .scalar("width", &self.width)
            .scalar("height", &self.height)
            .scalar("depth", &self.depth)
            .scalar("framerate", &self.framerate)
            .scalar("audio_codec", &self.audio_codec)
            .scalar("audio_bitrate", &self.audio_bitrate)
            .scalar("audio_frequency", &self.audio_frequency)
            .scalar("video_codec", &self.video_codec)
            .scalar("video_bitrate", &self.video_bitrate)
            .scalar("key_frame_interval", &self.key_frame_interval)
            .scalar("audio_quality", &self.audio_quality)
            .scalar("video_quality", &self.video_quality)
            .end()
    }
}

/// A oneof: every variant under its Go name. Scalars of a oneof show even when zero.
macro_rules! oneofs {
    ($($(#[$attr:meta])* $oneof:ty { $($variant:ident $kind:ident),* $(,)? })*) => {
        $($(#[$attr])* impl Go for $oneof {
            fn go(&self) -> Value {
                match self {
                    $(Self::$variant(value) => json!({ stringify!($variant): oneofs!(@ $kind value) }),)*
                }
            }
        })*
    };
    (@ message $value:expr) => { $value.go() };
    (@ scalar $value:expr) => { $value };
}

oneofs! {
    #[expect(deprecated, reason = "v1's single outputs are deprecated and in daily use")]
    lk::room_composite_egress_request::Output { File message, Stream message, Segments message }
    lk::room_composite_egress_request::Options { Preset scalar, Advanced message }
    #[expect(deprecated, reason = "v1's single outputs are deprecated and in daily use")]
    lk::web_egress_request::Output { File message, Stream message, Segments message }
    lk::web_egress_request::Options { Preset scalar, Advanced message }
    lk::participant_egress_request::Options { Preset scalar, Advanced message }
    #[expect(deprecated, reason = "v1's single outputs are deprecated and in daily use")]
    lk::track_composite_egress_request::Output { File message, Stream message, Segments message }
    lk::track_composite_egress_request::Options { Preset scalar, Advanced message }
    lk::track_egress_request::Output { File message, WebsocketUrl scalar }
    lk::encoded_file_output::Output { S3 message, Gcp message, Azure message, AliOss message }
    lk::direct_file_output::Output { S3 message, Gcp message, Azure message, AliOss message }
    lk::segmented_file_output::Output { S3 message, Gcp message, Azure message, AliOss message }
    lk::image_output::Output { S3 message, Gcp message, Azure message, AliOss message }
    lk::storage_config::Provider { S3 message, Gcp message, Azure message, AliOss message }
    lk::start_egress_request::Source { Template message, Web message, Media message }
    lk::start_egress_request::Encoding { Preset scalar, Advanced message }
    lk::export_replay_request::Source { Template message, Web message, Media message }
    lk::export_replay_request::Encoding { Preset scalar, Advanced message }
    lk::output::Config { File message, Stream message, Segments message, Images message }
    lk::media_source::Video { VideoTrackId scalar, ParticipantVideo message }
    lk::audio_route::Match { TrackId scalar, ParticipantIdentity scalar, ParticipantKind scalar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_request_shows_only_its_oneofs() {
        assert_eq!(
            request(&Request::RoomComposite(
                lk::RoomCompositeEgressRequest::default()
            )),
            json!({"RoomComposite": {"Output": null, "Options": null}})
        );
        assert_eq!(
            request(&Request::Participant(
                lk::ParticipantEgressRequest::default()
            )),
            json!({"Participant": {"Options": null}})
        );
        assert_eq!(
            request(&Request::Replay(lk::ExportReplayRequest::default())),
            json!({"Replay": {"Source": null, "Encoding": null}})
        );
    }

    #[test]
    fn a_room_composite_to_s3() {
        let room = lk::RoomCompositeEgressRequest {
            room_name: "my-room".to_owned(),
            layout: "grid".to_owned(),
            audio_mixing: 1,
            file_outputs: vec![lk::EncodedFileOutput {
                file_type: 1,
                filepath: "out.mp4".to_owned(),
                output: Some(lk::encoded_file_output::Output::S3(lk::S3Upload {
                    access_key: "{access_key}".to_owned(),
                    bucket: "b".to_owned(),
                    metadata: [("k".to_owned(), "v".to_owned())].into(),
                    ..lk::S3Upload::default()
                })),
                ..lk::EncodedFileOutput::default()
            }],
            options: Some(lk::room_composite_egress_request::Options::Preset(0)),
            ..lk::RoomCompositeEgressRequest::default()
        };
        assert_eq!(
            request(&Request::RoomComposite(room)),
            json!({"RoomComposite": {
                "room_name": "my-room", "layout": "grid", "audio_mixing": 1,
                "file_outputs": [{
                    "file_type": 1, "filepath": "out.mp4",
                    "Output": {"S3": {"access_key": "{access_key}", "bucket": "b", "metadata": {"k": "v"}}},
                }],
                "Output": null,
                "Options": {"Preset": 0},
            }})
        );
    }

    #[test]
    fn a_track_to_a_websocket_and_a_v2_request() {
        let track = lk::TrackEgressRequest {
            track_id: "TR_x".to_owned(),
            output: Some(lk::track_egress_request::Output::WebsocketUrl(
                "wss://h".to_owned(),
            )),
            ..lk::TrackEgressRequest::default()
        };
        assert_eq!(
            request(&Request::Track(track)),
            json!({"Track": {"track_id": "TR_x", "Output": {"WebsocketUrl": "wss://h"}}})
        );
        let v2 = lk::StartEgressRequest {
            source: Some(lk::start_egress_request::Source::Media(lk::MediaSource {
                video: Some(lk::media_source::Video::VideoTrackId("TR_v".to_owned())),
                audio: Some(lk::AudioConfig {
                    capture_all: false,
                    routes: vec![lk::AudioRoute {
                        channel: 1,
                        r#match: Some(lk::audio_route::Match::ParticipantKind(4)),
                    }],
                }),
            })),
            outputs: vec![lk::Output {
                storage: Some(lk::StorageConfig::default()),
                config: Some(lk::output::Config::Stream(lk::StreamOutput {
                    protocol: 1,
                    urls: vec!["rtmp://h/{k...y}".to_owned()],
                })),
            }],
            ..lk::StartEgressRequest::default()
        };
        assert_eq!(
            request(&Request::Egress(v2)),
            json!({"Egress": {
                "Source": {"Media": {
                    "Video": {"VideoTrackId": "TR_v"},
                    "audio": {"routes": [{"channel": 1, "Match": {"ParticipantKind": 4}}]},
                }},
                "Encoding": null,
                "outputs": [{
                    "Config": {"Stream": {"protocol": 1, "urls": ["rtmp://h/{k...y}"]}},
                    "storage": {"Provider": null},
                }],
            }})
        );
    }
}
