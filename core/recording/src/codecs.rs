//! Which codec goes into which output, and which are chosen for a set of outputs.
//!
//! Owns upstream's tables (`vectors/codec_tables.json`) and the selection algorithm (egress-behaviour.md §2.2):
//!
//! ```text
//! wish (off | any | exactly) ∩ file ∩ segments ∩ stream ∩ websocket ─► empty: refusal
//!                                                                    └► file type if unspecified ─► default codec of
//!                                                                       the first output that can have it
//! ```
//!
//! Knows nothing of bit rates, paths or requests.

use crate::plan::StreamProtocol;
use crate::{Code, Refusal};

/// A codec by its MIME-like name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mime {
    /// `audio/aac`.
    Aac,
    /// `audio/opus`.
    Opus,
    /// `audio/x-raw`.
    Raw,
    /// `audio/mpeg`.
    Mp3,
    /// `video/h264`.
    H264,
    /// `video/vp8`.
    Vp8,
    /// `video/vp9`.
    Vp9,
}

/// Everything that can be encoded, in order of preference when nothing else decides.
pub const ENCODABLE_AUDIO: [Mime; 4] = [Mime::Aac, Mime::Opus, Mime::Raw, Mime::Mp3];
/// The same for pictures.
pub const ENCODABLE_VIDEO: [Mime; 1] = [Mime::H264];

impl Mime {
    /// All codecs.
    pub const ALL: [Self; 7] = [
        Self::Aac,
        Self::Opus,
        Self::Raw,
        Self::Mp3,
        Self::H264,
        Self::Vp8,
        Self::Vp9,
    ];

    /// The name in error texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aac => "audio/aac",
            Self::Opus => "audio/opus",
            Self::Raw => "audio/x-raw",
            Self::Mp3 => "audio/mpeg",
            Self::H264 => "video/h264",
            Self::Vp8 => "video/vp8",
            Self::Vp9 => "video/vp9",
        }
    }

    /// As the media crate calls it; `None` for pictures.
    #[must_use]
    pub const fn audio(self) -> Option<media::AudioCodec> {
        match self {
            Self::Aac => Some(media::AudioCodec::Aac),
            Self::Opus => Some(media::AudioCodec::Opus),
            Self::Raw => Some(media::AudioCodec::Pcm),
            Self::Mp3 => Some(media::AudioCodec::Mp3),
            Self::H264 | Self::Vp8 | Self::Vp9 => None,
        }
    }
}

/// An output format; its name is also the content type of uploads and the word in error texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// PCM over a WebSocket.
    Raw,
    /// OGG.
    Ogg,
    /// MP3.
    Mp3,
    /// IVF (never chosen).
    Ivf,
    /// MP4.
    Mp4,
    /// MPEG-TS, one segment.
    Ts,
    /// WebM (copies only).
    WebM,
    /// One image.
    Jpeg,
    /// RTMP.
    Rtmp,
    /// SRT.
    Srt,
    /// HLS playlist.
    Hls,
    /// A file of a type not chosen yet.
    UnspecifiedFile,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 12] = [
        Self::Raw,
        Self::Ogg,
        Self::Mp3,
        Self::Ivf,
        Self::Mp4,
        Self::Ts,
        Self::WebM,
        Self::Jpeg,
        Self::Rtmp,
        Self::Srt,
        Self::Hls,
        Self::UnspecifiedFile,
    ];

    /// The name in error texts and as content type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "audio/x-raw",
            Self::Ogg => "audio/ogg",
            Self::Mp3 => "audio/mpeg",
            Self::Ivf => "video/x-ivf",
            Self::Mp4 => "video/mp4",
            Self::Ts => "video/mp2t",
            Self::WebM => "video/webm",
            Self::Jpeg => "image/jpeg",
            Self::Rtmp => "rtmp",
            Self::Srt => "srt",
            Self::Hls => "application/x-mpegurl",
            Self::UnspecifiedFile => "file",
        }
    }

    /// File extension with its dot; empty where there is none.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Raw => ".raw",
            Self::Ogg => ".ogg",
            Self::Mp3 => ".mp3",
            Self::Ivf => ".ivf",
            Self::Mp4 => ".mp4",
            Self::Ts => ".ts",
            Self::WebM => ".webm",
            Self::Jpeg => ".jpeg",
            Self::Hls => ".m3u8",
            Self::Rtmp | Self::Srt | Self::UnspecifiedFile => "",
        }
    }

    /// The sound codec it gets when there is a choice.
    #[must_use]
    pub const fn default_audio(self) -> Option<Mime> {
        match self {
            Self::Raw => Some(Mime::Raw),
            Self::Ogg | Self::WebM => Some(Mime::Opus),
            Self::Mp3 => Some(Mime::Mp3),
            Self::Mp4 | Self::Ts | Self::Rtmp | Self::Srt | Self::Hls => Some(Mime::Aac),
            Self::Ivf | Self::Jpeg | Self::UnspecifiedFile => None,
        }
    }

    /// The picture codec it gets when there is a choice.
    #[must_use]
    pub const fn default_video(self) -> Option<Mime> {
        match self {
            Self::Mp4 | Self::Ts | Self::Rtmp | Self::Srt | Self::Hls => Some(Mime::H264),
            Self::Ivf | Self::WebM => Some(Mime::Vp8),
            Self::Raw | Self::Ogg | Self::Mp3 | Self::Jpeg | Self::UnspecifiedFile => None,
        }
    }

    /// Upstream's compatibility table. MP3 is listed there with codecs it cannot hold; see [`Format::holds`].
    #[must_use]
    pub const fn compatible(self) -> &'static [Mime] {
        match self {
            Self::Raw => &[Mime::Raw],
            Self::Ogg => &[Mime::Opus],
            Self::Mp3 => &[Mime::Mp3, Mime::Opus, Mime::Aac, Mime::Raw],
            Self::Ivf => &[Mime::Vp8, Mime::Vp9],
            Self::Mp4 | Self::Ts => &[Mime::Aac, Mime::Opus, Mime::H264],
            Self::WebM => &[Mime::Opus, Mime::Vp8, Mime::Vp9],
            Self::Rtmp | Self::Srt | Self::Hls => &[Mime::Aac, Mime::H264],
            Self::UnspecifiedFile => &[
                Mime::Aac,
                Mime::Opus,
                Mime::Mp3,
                Mime::H264,
                Mime::Vp8,
                Mime::Vp9,
            ],
            Self::Jpeg => &[],
        }
    }

    /// What the format can really hold: the table without its MP3 quirk (upstream lets Opus and AAC into an MP3
    /// file through validation and then fails in the pipeline).
    #[must_use]
    pub const fn holds(self) -> &'static [Mime] {
        match self {
            Self::Mp3 => &[Mime::Mp3],
            Self::Raw
            | Self::Ogg
            | Self::Ivf
            | Self::Mp4
            | Self::Ts
            | Self::WebM
            | Self::Jpeg
            | Self::Rtmp
            | Self::Srt
            | Self::Hls
            | Self::UnspecifiedFile => self.compatible(),
        }
    }
}

/// The members of `set` that `allowed` has too.
#[must_use]
pub fn intersection(set: &[Mime], allowed: &[Mime]) -> Vec<Mime> {
    set.iter()
        .copied()
        .filter(|codec| allowed.contains(codec))
        .collect()
}

/// The first candidate that has a codec in common with each given set.
#[must_use]
pub fn pick(
    candidates: &[Format],
    audio: Option<&[Mime]>,
    video: Option<&[Mime]>,
) -> Option<Format> {
    let fits = |format: Format, set: Option<&[Mime]>| {
        set.is_none_or(|set| !intersection(set, format.holds()).is_empty())
    };
    candidates
        .iter()
        .copied()
        .find(|&format| fits(format, audio) && fits(format, video))
}

/// What is wanted of one medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Not recorded.
    Off,
    /// Recorded, codec open.
    Any,
    /// This codec.
    Exactly(Mime),
}

/// What the selection depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Sound.
    pub audio: Wish,
    /// Pictures.
    pub video: Wish,
    /// Type of the file output, if there is one.
    pub file: Option<Format>,
    /// HLS is among the outputs.
    pub segments: bool,
    /// RTMP or SRT is among the outputs.
    pub stream: Option<StreamProtocol>,
    /// PCM over WebSocket is among the outputs.
    pub websocket: bool,
}

/// What was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selection {
    /// Sound codec.
    pub audio: Option<Mime>,
    /// Picture codec.
    pub video: Option<Mime>,
    /// Type of the file output, if there is one.
    pub file: Option<Format>,
}

/// Chooses.
///
/// # Errors
/// `invalid_argument` when no codec or file type suits all outputs.
pub fn select(ask: &Ask) -> Result<Selection, Refusal> {
    let (mut audio, mut video) = (ask.audio, ask.video);
    if ask.stream.is_some() {
        overwrite(&mut audio, Mime::Aac);
        overwrite(&mut video, Mime::H264);
    }
    if ask.websocket {
        overwrite(&mut audio, Mime::Raw);
    }
    let mut formats = outputs(ask, ask.file);
    let audio_set = narrow(audio, &ENCODABLE_AUDIO, &formats)?;
    let video_set = narrow(video, &ENCODABLE_VIDEO, &formats)?;
    let mut file = ask.file;
    if file == Some(Format::UnspecifiedFile) {
        let candidates: &[Format] = match (&audio_set, &video_set) {
            (_, None) => &[Format::Ogg, Format::Mp4, Format::Mp3],
            (None | Some(_), Some(_)) => &[Format::Mp4],
        };
        let picked = pick(candidates, audio_set.as_deref(), video_set.as_deref());
        file = Some(picked.ok_or_else(|| {
            Refusal::new(
                Code::InvalidArgument,
                "no supported file output type is compatible with the selected codecs",
            )
        })?);
        formats = outputs(ask, file);
    }
    let choose = |set: Option<Vec<Mime>>, default: fn(Format) -> Option<Mime>| {
        let set = set?;
        formats
            .iter()
            .filter_map(|&format| default(format))
            .find(|codec| set.contains(codec))
            .or_else(|| set.first().copied())
    };
    Ok(Selection {
        audio: choose(audio_set, Format::default_audio),
        video: choose(video_set, Format::default_video),
        file,
    })
}

fn overwrite(wish: &mut Wish, codec: Mime) {
    if *wish != Wish::Off {
        *wish = Wish::Exactly(codec);
    }
}

/// Encoded outputs in the order they are looked at.
fn outputs(ask: &Ask, file: Option<Format>) -> Vec<Format> {
    let stream = ask.stream.map(|protocol| match protocol {
        StreamProtocol::Rtmp => Format::Rtmp,
        StreamProtocol::Srt => Format::Srt,
    });
    [
        file,
        ask.segments.then_some(Format::Hls),
        stream,
        ask.websocket.then_some(Format::Raw),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn narrow(wish: Wish, universe: &[Mime], formats: &[Format]) -> Result<Option<Vec<Mime>>, Refusal> {
    let mut set = match wish {
        Wish::Off => return Ok(None),
        Wish::Any => universe.to_vec(),
        Wish::Exactly(codec) => vec![codec],
    };
    for format in formats {
        set = intersection(&set, format.holds());
        if set.is_empty() {
            return Err(match wish {
                Wish::Exactly(codec) => incompatible(*format, codec),
                Wish::Any | Wish::Off => no_codec(),
            });
        }
    }
    Ok(Some(set))
}

/// `format <output> incompatible with codec <codec>`.
#[must_use]
pub fn incompatible(format: Format, codec: Mime) -> Refusal {
    Refusal::new(
        Code::InvalidArgument,
        format!(
            "format {} incompatible with codec {}",
            format.name(),
            codec.name()
        ),
    )
}

/// `no supported codec is compatible with all outputs`.
#[must_use]
pub fn no_codec() -> Refusal {
    Refusal::new(
        Code::InvalidArgument,
        "no supported codec is compatible with all outputs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(audio: Wish, video: Wish, file: Option<Format>) -> Ask {
        Ask {
            audio,
            video,
            file,
            segments: false,
            stream: None,
            websocket: false,
        }
    }

    fn error(ask: &Ask) -> String {
        select(ask).unwrap_err().message
    }

    #[test]
    fn the_table_of_requests_and_results_holds() {
        use Wish::{Any, Exactly, Off};
        let unset = Some(Format::UnspecifiedFile);
        let both = select(&ask(Any, Any, unset)).unwrap();
        assert_eq!(
            (both.file, both.audio, both.video),
            (Some(Format::Mp4), Some(Mime::Aac), Some(Mime::H264))
        );
        let opus = select(&ask(Exactly(Mime::Opus), Any, unset)).unwrap();
        assert_eq!(
            (opus.file, opus.audio),
            (Some(Format::Mp4), Some(Mime::Opus))
        );
        assert_eq!(
            error(&ask(Exactly(Mime::Mp3), Any, unset)),
            "no supported file output type is compatible with the selected codecs"
        );
        for (codec, file) in [
            (Any, Format::Ogg),
            (Exactly(Mime::Aac), Format::Mp4),
            (Exactly(Mime::Mp3), Format::Mp3),
        ] {
            assert_eq!(
                select(&ask(codec, Off, unset)).unwrap().file,
                Some(file),
                "{codec:?}"
            );
        }
        assert_eq!(
            select(&ask(Any, Off, Some(Format::Mp3))).unwrap().audio,
            Some(Mime::Mp3)
        );
        let video = select(&ask(Off, Any, unset)).unwrap();
        assert_eq!(
            (video.file, video.audio, video.video),
            (Some(Format::Mp4), None, Some(Mime::H264))
        );
        for (segments, stream) in [
            (true, None),
            (false, Some(StreamProtocol::Rtmp)),
            (false, Some(StreamProtocol::Srt)),
        ] {
            let got = select(&Ask {
                segments,
                stream,
                ..ask(Any, Off, unset)
            })
            .unwrap();
            assert_eq!(
                (got.file, got.audio),
                (Some(Format::Mp4), Some(Mime::Aac)),
                "audio file beside HLS or a stream"
            );
        }
    }

    #[test]
    fn codecs_that_do_not_fit_are_named() {
        use Wish::{Any, Exactly, Off};
        let hls = |codec| {
            error(&Ask {
                segments: true,
                ..ask(Exactly(codec), Off, None)
            })
        };
        assert_eq!(
            hls(Mime::Opus),
            "format application/x-mpegurl incompatible with codec audio/opus"
        );
        assert_eq!(
            hls(Mime::Mp3),
            "format application/x-mpegurl incompatible with codec audio/mpeg"
        );
        assert_eq!(
            error(&Ask {
                stream: Some(StreamProtocol::Rtmp),
                ..ask(Any, Off, Some(Format::Ogg))
            }),
            "format audio/ogg incompatible with codec audio/aac"
        );
        for (file, name) in [
            (Format::Mp4, "video/mp4"),
            (Format::Ogg, "audio/ogg"),
            (Format::Mp3, "audio/mpeg"),
        ] {
            assert_eq!(
                error(&Ask {
                    websocket: true,
                    ..ask(Any, Off, Some(file))
                }),
                format!("format {name} incompatible with codec audio/x-raw")
            );
        }
        for codec in [Mime::Opus, Mime::Aac] {
            assert_eq!(
                error(&ask(Exactly(codec), Off, Some(Format::Mp3))),
                format!("format audio/mpeg incompatible with codec {}", codec.name()),
                "an MP3 file holds MP3 only"
            );
        }
        assert_eq!(
            error(&Ask {
                segments: true,
                ..ask(Any, Off, Some(Format::Mp3))
            }),
            "no supported codec is compatible with all outputs"
        );
    }

    #[test]
    fn a_stream_overrules_the_codecs_asked_for() {
        let got = select(&Ask {
            stream: Some(StreamProtocol::Rtmp),
            ..ask(Wish::Exactly(Mime::Opus), Wish::Any, None)
        })
        .unwrap();
        assert_eq!((got.audio, got.video), (Some(Mime::Aac), Some(Mime::H264)));
    }
}
