//! The pipeline as text. Pure: every configuration has exactly one text, held by snapshots.
//!
//! ```text
//! screen ! [videoscale|videoconvert] ! frames(appsink)   ┄ bridge: colour, grid ┄►   pictures(appsrc) ! encoder ! video(appsink)
//! sound ! audiorate ! audioconvert ! audioresample ! caps ! encoder ! audio(appsink)
//! ```
//!
//! Names of elements are constants here; [`crate::capture`] finds them by these.

use crate::{
    Error,
    capture::{Config, Picture, Sound},
    encoder,
};
use recording::plan::{AudioPath, VideoEncode, VideoPath};

/// Name of the picture source.
pub const SCREEN: &str = "screen";
/// Name of the appsink that gives captured pictures to the bridge.
pub const FRAMES: &str = "frames";
/// Name of the appsrc that takes them back on the frame grid.
pub const PICTURES: &str = "pictures";
/// Name of the sound source.
pub const SOUND: &str = "sound";
/// Name of the element that makes sound continuous.
pub const RATE: &str = "rate";
/// Name of the appsink with H.264.
pub const VIDEO: &str = "video";
/// Name of the appsink with encoded sound.
pub const AUDIO: &str = "audio";
/// Name of the H.264 encoder.
pub const VIDEO_ENCODER: &str = "video_encoder";

/// `audiorate` leaves jitter up to this alone (egress-behaviour.md §12.1).
const SOUND_TOLERANCE_NS: u64 = 3_000_000;
/// What may collect while this machine is busy before sound is lost. 500 ms made `pulsesrc` begin 0.6 s late or move its
/// sound by 40 ms twice in the first seconds.
const SOUND_BUFFER_US: u64 = 400_000;
/// How much sound the server hands over at a time. Measured with 40 ms: 0.012 core, sound −28…+8 ms after the picture;
/// with 20 ms 0.016 core and −43…−14 ms; with 10 ms 0.020 core and −82…−36 ms.
const SOUND_CHUNK_US: u64 = 40_000;
/// Appsinks hand over in the thread that pushes: nothing is queued, kept, or held back for the clock.
const SINK: &str = "sync=false async=false max-buffers=1 enable-last-sample=false";

/// A graph and what it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Graph {
    /// For `gst_parse_launch`.
    pub text: String,
    /// Element factories named in it.
    pub elements: Vec<&'static str>,
    /// The sound encoder, if there is sound.
    pub sound: Option<encoder::Sound>,
}

/// The graph of a configuration.
///
/// # Errors
/// [`Error::Config`] when media and sources do not fit, [`Error::NoEncoder`].
pub fn describe(config: &Config, installed: impl Fn(&str) -> bool + Copy) -> Result<Graph, Error> {
    let mut parts = Vec::new();
    let mut elements = vec!["appsink"];
    let mut sound = None;
    match (config.media.video(), &config.picture) {
        (Some(VideoPath::Transcode(video)), Some(picture)) => {
            let h264 = encoder::h264(installed)?;
            elements.extend(["appsrc", h264.element()]);
            if h264 == encoder::H264::OpenH264 {
                elements.push("h264parse");
            }
            parts.push(capture(picture, video, &mut elements));
            parts.push(format!(
                "appsrc name={PICTURES} format=time is-live=true block=false max-bytes=0 max-buffers=0 max-time=0 \
                 caps=\"{}\" ! {} ! video/x-h264,profile={},stream-format=avc,alignment=au ! appsink name={VIDEO} {SINK}",
                raw_caps(video),
                encoder::h264_text(h264, video, config.encoder_threads),
                encoder::profile(video),
            ));
        }
        (None, None) => {}
        (Some(VideoPath::Copy), _) => {
            return Err(Error::Config("a screen cannot be copied, only encoded"));
        }
        (Some(VideoPath::Transcode(_)), None) => {
            return Err(Error::Config("pictures are wanted, but there is no screen"));
        }
        (None, Some(_)) => {
            return Err(Error::Config(
                "there is a screen, but no pictures are wanted",
            ));
        }
    }
    match (config.media.audio(), &config.sound) {
        (Some(AudioPath::Transcode(audio)), Some(source)) => {
            let choice = encoder::Sound::choose(audio.codec, installed)?;
            elements.extend(["audiorate", "audioconvert", "audioresample"]);
            elements.extend(choice.element());
            parts.push(format!(
                "{} ! audiorate name={RATE} tolerance={SOUND_TOLERANCE_NS} ! audioconvert ! audioresample ! {} ! appsink name={AUDIO} {SINK}",
                listen(source, &mut elements),
                choice.text(audio),
            ));
            sound = Some(choice);
        }
        (None, None) => {}
        (Some(AudioPath::Copy), _) => {
            return Err(Error::Config(
                "captured sound cannot be copied, only encoded",
            ));
        }
        (Some(AudioPath::Transcode(_)), None) => {
            return Err(Error::Config(
                "sound is wanted, but there is no source of it",
            ));
        }
        (None, Some(_)) => {
            return Err(Error::Config(
                "there is a sound source, but no sound is wanted",
            ));
        }
    }
    Ok(Graph {
        text: parts.join("\n"),
        elements,
        sound,
    })
}

/// Caps of pictures on their way into the encoder: BT.709 limited range, which ends up in the stream's VUI.
#[must_use]
pub fn raw_caps(video: &VideoEncode) -> String {
    format!(
        "video/x-raw,format=I420,width={},height={},framerate={}/1,pixel-aspect-ratio=1/1,interlace-mode=progressive,colorimetry=bt709,chroma-site=mpeg2",
        video.width, video.height, video.framerate,
    )
}

fn capture(picture: &Picture, video: &VideoEncode, elements: &mut Vec<&'static str>) -> String {
    let tail = format!("appsink name={FRAMES} {SINK}");
    match picture {
        Picture::X11(x11) => {
            elements.push("ximagesrc");
            let mut caps = format!("video/x-raw,framerate={}/1", video.framerate);
            let mut steps = Vec::new();
            // An X screen of depth 24 is BGRx already.
            if video.depth != 24 {
                elements.push("videoconvert");
                steps.push("videoconvert");
            }
            if (x11.width, x11.height) != (video.width, video.height) {
                elements.push("videoscale");
                steps.push("videoscale");
            }
            if !steps.is_empty() {
                caps += &format!(" ! {} ! video/x-raw", steps.join(" ! "));
            }
            format!(
                "ximagesrc name={SCREEN} display-name={} use-damage=false show-pointer=false ! {caps},format=BGRx,width={},height={} ! {tail}",
                quote(&x11.name),
                video.width,
                video.height,
            )
        }
        Picture::Made(source) => format!(
            "{source} name={SCREEN} ! video/x-raw,format=BGRx,width={},height={},framerate={}/1 ! {tail}",
            video.width, video.height, video.framerate,
        ),
    }
}

fn listen(sound: &Sound, elements: &mut Vec<&'static str>) -> String {
    match sound {
        Sound::Pulse(pulse) => {
            elements.push("pulsesrc");
            format!(
                "pulsesrc name={SOUND} server={} device={} client-name=egress provide-clock=false slave-method=skew \
                 buffer-time={SOUND_BUFFER_US} latency-time={SOUND_CHUNK_US} ! audio/x-raw,format=S16LE,rate=48000,channels=2",
                quote(&pulse.server),
                quote(&pulse.source),
            )
        }
        Sound::Made(source) => format!("{source} name={SOUND} ! audio/x-raw,rate=48000,channels=2"),
    }
}

/// A string as a property value of graph text, whatever is in it.
fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pulse, X11, plugins};
    use media::AudioCodec;
    use recording::plan::{AudioEncode, H264Profile, KeyFrames, Media};
    use std::time::Duration;

    fn video() -> VideoEncode {
        VideoEncode {
            profile: H264Profile::Main,
            width: 1280,
            height: 720,
            depth: 24,
            framerate: 30,
            bitrate_kbps: 3000,
            keyframes: KeyFrames::Encoder,
            live: false,
        }
    }

    fn audio(codec: AudioCodec) -> AudioEncode {
        AudioEncode {
            codec,
            bitrate_kbps: 128,
            sample_rate: 44_100,
        }
    }

    fn config(video: Option<VideoEncode>, audio: Option<AudioEncode>) -> Config {
        let picture = video.as_ref().map(|_| {
            Picture::X11(X11 {
                name: ":7".into(),
                width: 1280,
                height: 720,
            })
        });
        let sound = audio.as_ref().map(|_| {
            Sound::Pulse(Pulse {
                server: "unix:/tmp/a b/\"p\"".into(),
                source: "EG_x.monitor".into(),
            })
        });
        let media = match (
            video.map(VideoPath::Transcode),
            audio.map(AudioPath::Transcode),
        ) {
            (Some(video), Some(audio)) => Media::Both { audio, video },
            (Some(video), None) => Media::Video(video),
            (None, Some(audio)) => Media::Audio(audio),
            (None, None) => unreachable!("no test asks for nothing"),
        };
        Config {
            picture,
            sound,
            media,
            encoder_threads: 0,
        }
    }

    fn text(config: &Config) -> String {
        describe(config, |_| true).unwrap().text
    }

    #[test]
    fn every_media() {
        let mut all = String::new();
        for video in [None, Some(video())] {
            for codec in [
                None,
                Some(AudioCodec::Aac),
                Some(AudioCodec::Opus),
                Some(AudioCodec::Mp3),
                Some(AudioCodec::Pcm),
            ] {
                if video.is_some() || codec.is_some() {
                    all += &format!(
                        "# {codec:?} {}\n{}\n\n",
                        video.is_some(),
                        text(&config(video.clone(), codec.map(audio)))
                    );
                }
            }
        }
        insta::assert_snapshot!("every_media", all);
    }

    #[test]
    fn every_way_to_encode_pictures() {
        let mut all = String::new();
        for profile in [H264Profile::Baseline, H264Profile::Main, H264Profile::High] {
            for keyframes in [
                KeyFrames::Encoder,
                KeyFrames::Every(Duration::from_secs(4)),
                KeyFrames::Segments,
            ] {
                for live in [false, true] {
                    for encoder in ["x264enc", "openh264enc"] {
                        let config = config(
                            Some(VideoEncode {
                                profile,
                                keyframes,
                                live,
                                ..video()
                            }),
                            None,
                        );
                        let graph = describe(&config, |e| e == encoder).unwrap();
                        let encode = graph.text.lines().last().unwrap_or_default();
                        let encode = encode.split(" ! ").skip(1).collect::<Vec<_>>().join(" ! ");
                        all += &format!("# {profile:?} {keyframes:?} live={live}\n{encode}\n\n");
                    }
                }
            }
        }
        insta::assert_snapshot!("every_way_to_encode_pictures", all);
    }

    #[test]
    fn screens_of_other_depths_and_sizes_are_converted() {
        let mut odd = config(
            Some(VideoEncode {
                depth: 16,
                framerate: 60,
                width: 1920,
                height: 1080,
                ..video()
            }),
            None,
        );
        odd.encoder_threads = 3;
        insta::assert_snapshot!("other_depth_and_size", text(&odd));
    }

    #[test]
    fn without_the_first_aac_encoder_the_second() {
        let graph = describe(&config(None, Some(audio(AudioCodec::Aac))), |e| {
            e == "voaacenc"
        })
        .unwrap();
        insta::assert_snapshot!("second_aac", graph.text);
    }

    #[test]
    fn elements_are_all_known_to_the_package_table_and_named_in_the_text() {
        for codec in [
            AudioCodec::Aac,
            AudioCodec::Opus,
            AudioCodec::Mp3,
            AudioCodec::Pcm,
        ] {
            for encoder in ["x264enc", "openh264enc"] {
                let depth = VideoEncode {
                    depth: 8,
                    width: 640,
                    ..video()
                };
                let graph = describe(&config(Some(depth), Some(audio(codec))), |e| {
                    !e.ends_with("264enc") || e == encoder
                })
                .unwrap();
                for element in &graph.elements {
                    assert!(plugins::known(element), "{element}");
                    assert!(graph.text.contains(element), "{element}");
                }
            }
        }
    }

    #[test]
    fn media_and_sources_must_fit() {
        let mut screen_only = config(Some(video()), None);
        screen_only.picture = None;
        assert!(matches!(
            describe(&screen_only, |_| true),
            Err(Error::Config(_))
        ));
        let mut copy = config(Some(video()), None);
        copy.media = Media::Video(VideoPath::Copy);
        assert!(matches!(describe(&copy, |_| true), Err(Error::Config(_))));
        let mut surplus = config(Some(video()), Some(audio(AudioCodec::Aac)));
        surplus.media = Media::Video(VideoPath::Transcode(video()));
        assert!(matches!(
            describe(&surplus, |_| true),
            Err(Error::Config(_))
        ));
    }
}
