//! Stream outputs: which protocol, which URLs.
//!
//! v1 knows RTMP and SRT; v2 also PCM over one WebSocket. The URLs themselves are [`crate::stream_url`]'s.

use super::StreamWanted;
use crate::Refusal;
use crate::plan::{StreamOutput, StreamProtocol, StreamUrl};
use crate::stream_url::{self, Kind, MAX_URLS};
use wire::livekit;

pub(super) fn v1_stream(stream: &livekit::StreamOutput) -> Result<StreamOutput, Refusal> {
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

pub(super) fn v2_stream(
    stream: &livekit::StreamOutput,
    alone: bool,
) -> Result<StreamWanted, Refusal> {
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
