//! The command line: what to do, as one [`Action`]. Does nothing itself and reads no environment.
//!
//! ```text
//! egress [--config FILE | --config-body YAML]      the service (upstream's command line)
//! egress config check                              the effective configuration, secrets masked
//! egress record web URL -o FILE …                  one recording, no server needed
//! egress demo                                      ten seconds of the built-in page
//! egress recorder                                  a child of the service; its link is standard input
//! ```

use crate::config::{Sources, duration};
use clap::{ArgAction, Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use wire::livekit::EncodingOptionsPreset as Preset;

/// What the process is to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Serve until told to stop.
    Serve(Sources),
    /// Show the effective configuration and everything wrong with it.
    CheckConfig(Sources),
    /// Record a page from the command line.
    RecordWeb(Sources, RecordWeb),
    /// Record the built-in page.
    Demo(Sources, Demo),
    /// Be a child of the service.
    Recorder,
}

/// Nothing to do but to say something and leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// For standard output, as upstream does also with errors.
    pub text: String,
    /// 0 after `--help` and `--version`, 1 after a mistake (clap's own would be 2; upstream exits with 1).
    pub code: u8,
}

/// `egress record web`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RecordWeb {
    /// Page to open, http:// or https://.
    #[arg(value_parser = page_url)]
    pub url: String,
    /// File to write (.mp4, .ogg, .mp3, .m3u8), or rtmp(s):// or srt:// URL; can be given more than once.
    #[arg(short, long = "output", value_name = "FILE|URL", required = true)]
    pub outputs: Vec<String>,
    /// Stop after this long, for example 10s or 1h30m; otherwise at Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    pub duration: Option<Duration>,
    /// What to encode.
    #[command(flatten)]
    pub encoding: Encoding,
    /// Record sound only.
    #[arg(long, conflicts_with = "video_only")]
    pub audio_only: bool,
    /// Record pictures only.
    #[arg(long)]
    pub video_only: bool,
    /// Begin when the page logs START_RECORDING.
    #[arg(long)]
    pub await_start_signal: bool,
}

/// Encoding: a preset, or numbers over the default preset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
pub struct Encoding {
    /// H264_720P_30, H264_1080P_60, PORTRAIT_H264_720P_30 …
    #[arg(long, value_parser = preset, conflicts_with_all = ["width", "height", "fps", "video_bitrate", "audio_bitrate"])]
    pub preset: Option<Preset>,
    /// Pixels, even.
    #[arg(long, value_parser = even_size)]
    pub width: Option<u32>,
    /// Pixels, even.
    #[arg(long, value_parser = even_size)]
    pub height: Option<u32>,
    /// Frames per second.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: Option<u32>,
    /// kbit/s.
    #[arg(long, value_name = "KBPS", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub video_bitrate: Option<u32>,
    /// kbit/s.
    #[arg(long, value_name = "KBPS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub audio_bitrate: Option<u32>,
}

/// `egress demo`.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Demo {
    /// File to write.
    #[arg(short, long, value_name = "FILE", default_value = "demo.mp4")]
    pub output: PathBuf,
    /// How long to record.
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub duration: Duration,
}

/// Parses the command line, program name first.
///
/// # Errors
/// Help, version, or what is wrong with it.
pub fn parse<I, T>(args: I) -> Result<Action, Exit>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = Cli::try_parse_from(args).map_err(|error| Exit {
        code: u8::from(error.use_stderr()),
        text: error.render().to_string(),
    })?;
    let sources = Sources {
        file: cli.config,
        body: cli.config_body,
    };
    Ok(match cli.command {
        None => Action::Serve(sources),
        Some(Command::Config {
            command: ConfigCommand::Check,
        }) => Action::CheckConfig(sources),
        Some(Command::Record {
            command: RecordCommand::Web(web),
        }) => Action::RecordWeb(sources, web),
        Some(Command::Demo(demo)) => Action::Demo(sources, demo),
        Some(Command::Recorder) => Action::Recorder,
    })
}

#[derive(Parser)]
#[command(
    name = "egress",
    version,
    about = "Records, streams and exports LiveKit rooms and web pages",
    disable_version_flag = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    /// Configuration file; the variable EGRESS_CONFIG_FILE can be used instead.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Configuration itself, YAML; the variable EGRESS_CONFIG_BODY can be used instead. Wins over --config.
    #[arg(long, value_name = "YAML", global = true)]
    config_body: Option<String>,
    /// Print version.
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Record from the command line, without a server.
    Record {
        #[command(subcommand)]
        command: RecordCommand,
    },
    /// Record ten seconds of a built-in page.
    Demo(Demo),
    /// One recording process of the service; not for people.
    #[command(hide = true)]
    Recorder,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the effective configuration with secrets masked, and everything that is wrong with it.
    Check,
}

#[derive(Subcommand)]
enum RecordCommand {
    /// Record a web page.
    Web(RecordWeb),
}

fn page_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .or_else(|| text.strip_prefix("file:///"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("must begin with http:// or https://".to_owned()),
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(duration) if duration.is_zero() => Err("must be longer than 0s".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn even_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(size) if (16..=16_384).contains(&size) && u32::is_multiple_of(size, 2) => Ok(size),
        Ok(_) | Err(_) => Err("must be an even number of pixels from 16 to 16384".to_owned()),
    }
}

/// Presets by their names in the API, in any case, `-` for `_`.
fn preset(text: &str) -> Result<Preset, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    match Preset::from_str_name(&name) {
        Some(Preset::Passthrough) => Err("PASSTHROUGH is for single tracks of a room".to_owned()),
        Some(preset) => Ok(preset),
        None => Err(format!(
            "must be one of {}",
            (0..8)
                .filter_map(|number| Preset::try_from(number).ok())
                .map(|preset| preset.as_str_name())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Action, Exit> {
        parse(line.split(' '))
    }

    fn sources(file: Option<&str>, body: Option<&str>) -> Sources {
        Sources {
            file: file.map(PathBuf::from),
            body: body.map(str::to_owned),
        }
    }

    #[test]
    fn upstreams_command_line_is_the_service() {
        assert_eq!(run("egress"), Ok(Action::Serve(Sources::default())));
        assert_eq!(
            run("egress --config /c.yaml"),
            Ok(Action::Serve(sources(Some("/c.yaml"), None)))
        );
        assert_eq!(
            run("egress --config-body=a: --config=/c.yaml"),
            Ok(Action::Serve(sources(Some("/c.yaml"), Some("a:"))))
        );
    }

    #[test]
    fn subcommands_take_the_configuration_on_either_side() {
        for line in [
            "egress --config /c config check",
            "egress config check --config /c",
            "egress config --config /c check",
        ] {
            assert_eq!(
                run(line),
                Ok(Action::CheckConfig(sources(Some("/c"), None))),
                "{line}"
            );
        }
        assert_eq!(run("egress recorder"), Ok(Action::Recorder));
        assert_eq!(
            run("egress demo -o x.mp4"),
            Ok(Action::Demo(
                Sources::default(),
                Demo {
                    output: "x.mp4".into(),
                    duration: Duration::from_secs(10),
                }
            ))
        );
    }

    #[test]
    fn a_recording_is_described_in_full() {
        let Ok(Action::RecordWeb(sources, web)) = run(
            "egress record web https://e.com -o a.mp4 -o rtmp://h/k --for 1m30s --width 1280 --height 720 --fps 24 \
             --video-bitrate 2000 --audio-bitrate 96 --await-start-signal --audio-only --config /c",
        ) else {
            panic!("not understood");
        };
        assert_eq!(sources.file, Some("/c".into()));
        assert_eq!(
            web,
            RecordWeb {
                url: "https://e.com".to_owned(),
                outputs: vec!["a.mp4".to_owned(), "rtmp://h/k".to_owned()],
                duration: Some(Duration::from_secs(90)),
                encoding: Encoding {
                    preset: None,
                    width: Some(1280),
                    height: Some(720),
                    fps: Some(24),
                    video_bitrate: Some(2000),
                    audio_bitrate: Some(96),
                },
                audio_only: true,
                video_only: false,
                await_start_signal: true,
            }
        );
        let Ok(Action::RecordWeb(_, web)) =
            run("egress record web http://e -o a.mp4 --preset h264-1080p-60")
        else {
            panic!("not understood");
        };
        assert_eq!(web.encoding.preset, Some(Preset::H2641080p60));
    }

    #[test]
    fn mistakes_exit_with_1_and_say_what_to_write() {
        for (line, piece) in [
            ("egress --confg x", "--config"),
            ("egress serve", "serve"),
            ("egress config", "check"),
            ("egress record web https://e.com", "--output"),
            ("egress record web e.com -o a.mp4", "http://"),
            ("egress record web http://e -o a --for 10", "90m"),
            ("egress record web http://e -o a --for 0s", "longer than 0s"),
            (
                "egress record web http://e -o a --width 1281",
                "even number",
            ),
            ("egress record web http://e -o a --fps 0", "1..=120"),
            (
                "egress record web http://e -o a --preset best",
                "H264_720P_30",
            ),
            (
                "egress record web http://e -o a --preset passthrough",
                "single tracks",
            ),
            (
                "egress record web http://e -o a --preset h264_720p_30 --fps 30",
                "cannot be used with",
            ),
            (
                "egress record web http://e -o a --audio-only --video-only",
                "cannot be used with",
            ),
        ] {
            let exit = run(line).unwrap_err();
            assert_eq!(exit.code, 1, "{line}");
            assert!(exit.text.contains(piece), "{line}\n{}", exit.text);
        }
    }

    #[test]
    fn help_and_version_exit_with_0() {
        for line in ["egress --version", "egress -v", "egress -V"] {
            let exit = run(line).unwrap_err();
            assert_eq!(
                (exit.code, exit.text.as_str()),
                (0, concat!("egress ", env!("CARGO_PKG_VERSION"), "\n"))
            );
        }
        let help = run("egress --help").unwrap_err();
        assert_eq!(help.code, 0);
        assert!(help.text.contains("--config-body") && !help.text.contains("recorder"));
    }
}
