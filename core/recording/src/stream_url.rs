//! Stream targets: what a user may give, what is really dialled, and what peers may see (egress-behaviour.md §5.1).
//!
//! ```text
//! rtmp(s)://host[/path]/app/key[ live=1]        as given                      key redacted
//! mux://KEY                                     Mux's RTMPS ingest            key redacted
//! twitch://KEY, rtmp(s)://*.contribute.live-video.net/app/KEY  Twitch ingest  key redacted
//! srt://…  ws(s)://…                            as given                      as given (peers rely on it)
//! ```
//!
//! The same function serves StartEgress and UpdateStream, so that a short form finds what it was expanded to. Upstream
//! asks Twitch for the nearest ingest on every call; here it is Twitch's global name, which resolves to the nearest
//! one, and planning stays free of the network.

use crate::plan::{StreamProtocol, StreamUrl};
use crate::redact;
use crate::{Code, Refusal, Secret};

/// Longest URL taken, bytes.
pub const MAX_URL: usize = 4096;
/// Most URLs of one stream output.
pub const MAX_URLS: usize = 32;

const MUX_INGEST: &str = "rtmps://global-live.mux.com:443/app/";
const TWITCH_INGEST: &str = "rtmps://ingest.global-contribute.live-video.net/app/";
const TWITCH_HOSTS: &str = ".contribute.live-video.net";
const RTMP_FORM: &str =
    "rtmp urls must be of format rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1)";

/// What a scheme stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `rtmp`, `rtmps`, `mux`, `twitch`.
    Rtmp,
    /// `srt`.
    Srt,
    /// `ws`, `wss`.
    WebSocket,
}

impl From<StreamProtocol> for Kind {
    fn from(protocol: StreamProtocol) -> Self {
        match protocol {
            StreamProtocol::Rtmp => Self::Rtmp,
            StreamProtocol::Srt => Self::Srt,
        }
    }
}

/// `invalid url <url>: <reason>`.
#[must_use]
pub fn invalid(url: &str, reason: &str) -> Refusal {
    Refusal::new(
        Code::InvalidArgument,
        format!("invalid url {url}: {reason}"),
    )
}

/// What the scheme of a URL stands for; `None` for unknown schemes.
///
/// # Errors
/// `invalid url …` for what is no URL at all.
pub fn kind(url: &str) -> Result<Option<Kind>, Refusal> {
    if url.len() > MAX_URL {
        return Err(invalid(
            &format!("{}...", crate::naming::path::cut(url, 64)),
            &format!("{MAX_URL} bytes at most"),
        ));
    }
    if url.chars().any(char::is_control) {
        return Err(invalid(
            &url.escape_debug().to_string(),
            "invalid control character in URL",
        ));
    }
    let scheme = match url.split_once(':') {
        Some(("", _)) => return Err(invalid(url, "missing protocol scheme")),
        Some((scheme, _)) => scheme.to_ascii_lowercase(),
        None => return Ok(None),
    };
    Ok(match scheme.as_str() {
        "rtmp" | "rtmps" | "mux" | "twitch" => Some(Kind::Rtmp),
        "srt" => Some(Kind::Srt),
        "ws" | "wss" => Some(Kind::WebSocket),
        _ => None,
    })
}

/// Reads a target of a known kind.
///
/// # Errors
/// `invalid url <url>: <reason>`: another scheme, or not of the form the scheme wants.
pub fn parse(url: &str, wanted: Kind) -> Result<StreamUrl, Refusal> {
    if kind(url)? != Some(wanted) {
        return Err(invalid(url, "invalid scheme"));
    }
    match wanted {
        Kind::Rtmp => {
            let real = expand(url);
            let redacted = redact::rtmp(&real).ok_or_else(|| invalid(url, RTMP_FORM))?;
            Ok(StreamUrl {
                url: Secret::new(real),
                redacted,
            })
        }
        Kind::Srt | Kind::WebSocket => {
            let host = url
                .split_once("://")
                .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
            if host.is_none_or(str::is_empty) || url.contains(char::is_whitespace) {
                return Err(invalid(url, "missing or invalid host"));
            }
            Ok(StreamUrl {
                url: Secret::new(url.to_owned()),
                redacted: url.to_owned(),
            })
        }
    }
}

/// Short forms and Twitch's ingests become the URL that is dialled.
fn expand(url: &str) -> String {
    if let Some(key) = url.strip_prefix("mux://") {
        return format!("{MUX_INGEST}{key}");
    }
    let twitch_key = url.strip_prefix("twitch://").or_else(|| {
        let rest = url
            .strip_prefix("rtmps://")
            .or_else(|| url.strip_prefix("rtmp://"))?;
        let (host, rest) = rest.split_once('/')?;
        host.ends_with(TWITCH_HOSTS)
            .then(|| rest.strip_prefix("app/"))
            .flatten()
    });
    twitch_key.map_or_else(|| url.to_owned(), |key| format!("{TWITCH_INGEST}{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_targets_are_named() {
        for (url, kind, reason) in [
            ("rtmp://h/a/k k", Kind::Rtmp, RTMP_FORM),
            ("rtmp:///a/k", Kind::Rtmp, RTMP_FORM),
            ("RTMP://h/a/k", Kind::Rtmp, RTMP_FORM),
            ("ws://", Kind::WebSocket, "missing or invalid host"),
            ("srt:host:1", Kind::Srt, "missing or invalid host"),
            ("srt://h:1", Kind::Rtmp, "invalid scheme"),
            ("nothing", Kind::Rtmp, "invalid scheme"),
            ("://h", Kind::Rtmp, "missing protocol scheme"),
        ] {
            assert_eq!(
                parse(url, kind).unwrap_err().message,
                format!("invalid url {url}: {reason}")
            );
        }
        assert!(parse("rtmp://h/a/\nk", Kind::Rtmp).is_err());
        let long = parse(&format!("rtmp://h/a/{}", "k".repeat(5_000)), Kind::Rtmp).unwrap_err();
        assert!(long.message.len() < 200, "{}", long.message);
    }

    #[test]
    fn a_live_suffix_is_kept() {
        let url = parse("rtmp://h/p/app/streamkey live=1", Kind::Rtmp).unwrap();
        assert_eq!(url.url.reveal(), "rtmp://h/p/app/streamkey live=1");
        assert_eq!(url.redacted, "rtmp://h/p/app/{str...key} live=1");
    }

    #[test]
    fn an_ingest_of_somebody_else_under_the_same_domain_is_left_alone() {
        let url = "rtmps://abc.global-contribute.live-video.net:443/app/sk_key";
        assert_eq!(parse(url, Kind::Rtmp).unwrap().url.reveal(), url);
    }
}
