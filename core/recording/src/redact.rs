//! The copy of the request that peers, webhooks and logs may see: no secret in it.
//!
//! Markers as upstream (egress-behaviour.md §14.3): `{access_key}`, `{secret}`, … for credentials, `{abc...xyz}` for
//! stream keys, `{...}` for query values. Wider than upstream: any number of outputs, upload blocks inside v2 outputs,
//! proxy credentials, role ARNs, user information in URLs, and query values of page URLs whose names say that they are
//! secret. `webhooks[].signing_key` is the *name* of an API key and is needed by the server: it stays.

use wire::livekit::{
    self, AliOssUpload, AzureBlobUpload, GcpUpload, ImageOutput, ProxyConfig, S3Upload,
    SegmentedFileOutput, StorageConfig, direct_file_output, egress_info, encoded_file_output,
    export_replay_request, image_output, output, room_composite_egress_request,
    segmented_file_output, start_egress_request, storage_config, track_composite_egress_request,
    track_egress_request, web_egress_request,
};
use wire::rpc::start_egress_request::Request;

/// `{` first … last `}`: 3 characters of each end if there are at least 9, 2 if 6, 1 if 3, else none.
#[must_use]
pub fn identifier(key: &str) -> String {
    let shown = match key.chars().count() {
        9.. => 3,
        6.. => 2,
        3.. => 1,
        _ => return "{...}".to_owned(),
    };
    let first: String = key.chars().take(shown).collect();
    let last: Vec<char> = key.chars().rev().take(shown).collect();
    let last: String = last.into_iter().rev().collect();
    format!("{{{first}...{last}}}")
}

/// An RTMP URL with its key (and user information) redacted; `None` if it is not of RTMP's form
/// `rtmp(s)://{host}(/{path})/{app}/{key}( live=1)`.
#[must_use]
pub fn rtmp(url: &str) -> Option<String> {
    let (scheme, rest) = url
        .strip_prefix("rtmps://")
        .map(|rest| ("rtmps://", rest))
        .or_else(|| url.strip_prefix("rtmp://").map(|rest| ("rtmp://", rest)))?;
    let (before, key) = rest.rsplit_once('/')?;
    let (host, app) = before.split_once('/')?;
    let (key, live) = key
        .strip_suffix(" live=1")
        .map_or((key, ""), |key| (key, " live=1"));
    if host.is_empty() || host.contains(char::is_whitespace) || key.contains(char::is_whitespace) {
        return None;
    }
    let host = userinfo(host);
    Some(format!("{scheme}{host}/{app}/{}{live}", identifier(key)))
}

/// A stream URL as it may stand in the copy of the request.
#[must_use]
pub fn stream_url(url: &str) -> String {
    for scheme in ["mux://", "twitch://"] {
        if let Some(key) = url.strip_prefix(scheme) {
            return format!("{scheme}{}", identifier(key));
        }
    }
    rtmp(url).unwrap_or_else(|| any_url(url, |_| true))
}

/// A page URL: user information always, query values and fragment values when their name says secret. What remains
/// still tells which page it is, often the only way to find a web egress again.
#[must_use]
pub fn page_url(url: &str) -> String {
    any_url(url, |name| {
        let name = name.to_ascii_lowercase();
        [
            "token", "key", "secret", "pass", "pwd", "auth", "sig", "cred", "jwt", "session",
            "code",
        ]
        .iter()
        .any(|word| name.contains(word))
    })
}

fn any_url(url: &str, secret: impl Fn(&str) -> bool) -> String {
    let (before, fragment) = url
        .split_once('#')
        .map_or((url, None), |(before, fragment)| (before, Some(fragment)));
    let (base, query) = before
        .split_once('?')
        .map_or((before, None), |(base, query)| (base, Some(query)));
    let mut out = match base.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest
                .find('/')
                .map_or((rest, ""), |slash| rest.split_at(slash));
            format!("{scheme}://{}{path}", userinfo(authority))
        }
        None => base.to_owned(),
    };
    if let Some(query) = query {
        out.push('?');
        out.push_str(&values(query, &secret));
    }
    if let Some(fragment) = fragment {
        out.push('#');
        // Single-page applications keep a query of their own there.
        match fragment.split_once('?') {
            Some((route, query)) => {
                out.push_str(route);
                out.push('?');
                out.push_str(&values(query, &secret));
            }
            None => out.push_str(&values(fragment, &secret)),
        }
    }
    out
}

/// `name=value&…` with every non-empty value of a secret name replaced.
fn values(query: &str, secret: &impl Fn(&str) -> bool) -> String {
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, value)) if !value.is_empty() && secret(name) => format!("{name}={{...}}"),
            Some(_) | None => part.to_owned(),
        })
        .collect();
    parts.join("&")
}

fn userinfo(authority: &str) -> String {
    authority.rsplit_once('@').map_or_else(
        || authority.to_owned(),
        |(_, host)| format!("{{...}}@{host}"),
    )
}

/// The redacted copy of a request, in the place `EgressInfo` has for it.
#[must_use]
pub fn request(request: &Request) -> egress_info::Request {
    match request {
        Request::RoomComposite(request) => {
            let mut copy = request.clone();
            copy.custom_base_url = page_url(&copy.custom_base_url);
            encoded(
                &mut copy.file_outputs,
                &mut copy.stream_outputs,
                &mut copy.segment_outputs,
                &mut copy.image_outputs,
            );
            #[expect(deprecated, reason = "old clients still send the single output")]
            match &mut copy.output {
                Some(room_composite_egress_request::Output::File(o)) => encoded_file(o),
                Some(room_composite_egress_request::Output::Stream(o)) => stream(o),
                Some(room_composite_egress_request::Output::Segments(o)) => segments(o),
                None => {}
            }
            egress_info::Request::RoomComposite(copy)
        }
        Request::Web(request) => {
            let mut copy = request.clone();
            copy.url = page_url(&copy.url);
            encoded(
                &mut copy.file_outputs,
                &mut copy.stream_outputs,
                &mut copy.segment_outputs,
                &mut copy.image_outputs,
            );
            #[expect(deprecated, reason = "old clients still send the single output")]
            match &mut copy.output {
                Some(web_egress_request::Output::File(o)) => encoded_file(o),
                Some(web_egress_request::Output::Stream(o)) => stream(o),
                Some(web_egress_request::Output::Segments(o)) => segments(o),
                None => {}
            }
            egress_info::Request::Web(copy)
        }
        Request::Participant(request) => {
            let mut copy = request.clone();
            encoded(
                &mut copy.file_outputs,
                &mut copy.stream_outputs,
                &mut copy.segment_outputs,
                &mut copy.image_outputs,
            );
            egress_info::Request::Participant(copy)
        }
        Request::TrackComposite(request) => {
            let mut copy = request.clone();
            encoded(
                &mut copy.file_outputs,
                &mut copy.stream_outputs,
                &mut copy.segment_outputs,
                &mut copy.image_outputs,
            );
            #[expect(deprecated, reason = "old clients still send the single output")]
            match &mut copy.output {
                Some(track_composite_egress_request::Output::File(o)) => encoded_file(o),
                Some(track_composite_egress_request::Output::Stream(o)) => stream(o),
                Some(track_composite_egress_request::Output::Segments(o)) => segments(o),
                None => {}
            }
            egress_info::Request::TrackComposite(copy)
        }
        Request::Track(request) => {
            let mut copy = request.clone();
            match &mut copy.output {
                Some(track_egress_request::Output::File(file)) => match &mut file.output {
                    Some(direct_file_output::Output::S3(upload)) => s3(upload),
                    Some(direct_file_output::Output::Gcp(upload)) => gcp(upload),
                    Some(direct_file_output::Output::Azure(upload)) => azure(upload),
                    Some(direct_file_output::Output::AliOss(upload)) => oss(upload),
                    None => {}
                },
                Some(track_egress_request::Output::WebsocketUrl(url)) => {
                    *url = any_url(url, |_| true);
                }
                None => {}
            }
            egress_info::Request::Track(copy)
        }
        Request::Egress(request) => {
            let mut copy = request.clone();
            match &mut copy.source {
                Some(start_egress_request::Source::Template(source)) => template(source),
                Some(start_egress_request::Source::Web(source)) => web(source),
                Some(start_egress_request::Source::Media(_)) | None => {}
            }
            outputs(&mut copy.outputs, copy.storage.as_mut());
            egress_info::Request::Egress(copy)
        }
        Request::Replay(request) => {
            let mut copy = request.clone();
            match &mut copy.source {
                Some(export_replay_request::Source::Template(source)) => template(source),
                Some(export_replay_request::Source::Web(source)) => web(source),
                Some(export_replay_request::Source::Media(_)) | None => {}
            }
            outputs(&mut copy.outputs, copy.storage.as_mut());
            egress_info::Request::Replay(copy)
        }
    }
}

fn template(source: &mut livekit::TemplateSource) {
    source.custom_base_url = page_url(&source.custom_base_url);
}

fn web(source: &mut livekit::WebSource) {
    source.url = page_url(&source.url);
}

fn encoded(
    files: &mut [livekit::EncodedFileOutput],
    streams: &mut [livekit::StreamOutput],
    segment_outputs: &mut [SegmentedFileOutput],
    image_outputs: &mut [ImageOutput],
) {
    files.iter_mut().for_each(encoded_file);
    streams.iter_mut().for_each(stream);
    segment_outputs.iter_mut().for_each(segments);
    image_outputs.iter_mut().for_each(images);
}

fn outputs(outputs: &mut [livekit::Output], request: Option<&mut StorageConfig>) {
    for output in outputs {
        match &mut output.config {
            Some(output::Config::Stream(o)) => stream(o),
            Some(output::Config::Segments(o)) => segments(o),
            Some(output::Config::Images(o)) => images(o),
            Some(output::Config::File(_)) | None => {}
        }
        output.storage.iter_mut().for_each(storage);
    }
    request.into_iter().for_each(storage);
}

fn stream(output: &mut livekit::StreamOutput) {
    for url in &mut output.urls {
        *url = stream_url(url);
    }
}

fn encoded_file(output: &mut livekit::EncodedFileOutput) {
    match &mut output.output {
        Some(encoded_file_output::Output::S3(upload)) => s3(upload),
        Some(encoded_file_output::Output::Gcp(upload)) => gcp(upload),
        Some(encoded_file_output::Output::Azure(upload)) => azure(upload),
        Some(encoded_file_output::Output::AliOss(upload)) => oss(upload),
        None => {}
    }
}

fn segments(output: &mut SegmentedFileOutput) {
    match &mut output.output {
        Some(segmented_file_output::Output::S3(upload)) => s3(upload),
        Some(segmented_file_output::Output::Gcp(upload)) => gcp(upload),
        Some(segmented_file_output::Output::Azure(upload)) => azure(upload),
        Some(segmented_file_output::Output::AliOss(upload)) => oss(upload),
        None => {}
    }
}

fn images(output: &mut ImageOutput) {
    match &mut output.output {
        Some(image_output::Output::S3(upload)) => s3(upload),
        Some(image_output::Output::Gcp(upload)) => gcp(upload),
        Some(image_output::Output::Azure(upload)) => azure(upload),
        Some(image_output::Output::AliOss(upload)) => oss(upload),
        None => {}
    }
}

fn storage(config: &mut StorageConfig) {
    match &mut config.provider {
        Some(storage_config::Provider::S3(upload)) => s3(upload),
        Some(storage_config::Provider::Gcp(upload)) => gcp(upload),
        Some(storage_config::Provider::Azure(upload)) => azure(upload),
        Some(storage_config::Provider::AliOss(upload)) => oss(upload),
        None => {}
    }
}

fn mark(secret: &mut String, marker: &str) {
    if !secret.is_empty() {
        marker.clone_into(secret);
    }
}

fn s3(upload: &mut S3Upload) {
    mark(&mut upload.access_key, "{access_key}");
    mark(&mut upload.secret, "{secret}");
    mark(&mut upload.session_token, "{session_token}");
    mark(&mut upload.assume_role_arn, "{assume_role_arn}");
    mark(&mut upload.assume_role_external_id, "{external_id}");
    upload.proxy.iter_mut().for_each(proxy);
}

fn gcp(upload: &mut GcpUpload) {
    mark(&mut upload.credentials, "{credentials}");
    upload.proxy.iter_mut().for_each(proxy);
}

fn azure(upload: &mut AzureBlobUpload) {
    mark(&mut upload.account_name, "{account_name}");
    mark(&mut upload.account_key, "{account_key}");
}

fn oss(upload: &mut AliOssUpload) {
    mark(&mut upload.access_key, "{access_key}");
    mark(&mut upload.secret, "{secret}");
}

fn proxy(proxy: &mut ProxyConfig) {
    proxy.url = any_url(&proxy.url, |_| true);
    mark(&mut proxy.username, "{username}");
    mark(&mut proxy.password, "{password}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_urls_keep_what_identifies_them() {
        for (url, expect) in [
            ("https://a/b", "https://a/b"),
            (
                "https://u:p@a/b?room=5&access_token=x&k=#/r?jwt=y&z=1",
                "https://{...}@a/b?room=5&access_token={...}&k=#/r?jwt={...}&z=1",
            ),
            (
                "http://a?apiKey=x#token=y",
                "http://a?apiKey={...}#token={...}",
            ),
            ("", ""),
        ] {
            assert_eq!(page_url(url), expect);
        }
    }

    #[test]
    fn other_urls_lose_every_value() {
        assert_eq!(
            stream_url("ws://u:p@h/p?a=1&b=&c#d=e"),
            "ws://{...}@h/p?a={...}&b=&c#d={...}"
        );
        assert_eq!(
            stream_url("rtmp://u:p@h/app/key"),
            "rtmp://{...}@h/app/{k...y}"
        );
        assert_eq!(stream_url("rtmp://h/app/"), "rtmp://h/app/{...}");
    }
}
