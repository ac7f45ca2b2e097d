//! ffprobe and ffmpeg as judges of what came out.

use serde_json::Value;
use std::{path::Path, process::Command};

/// What ffprobe says of a file.
pub(crate) struct Probe(Value);

impl Probe {
    pub(crate) fn of(file: &Path) -> Self {
        let out = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-show_format",
                "-show_streams",
                "-of",
                "json",
            ])
            .arg(file)
            .output()
            .expect("ffprobe is installed (./dev setup test)");
        assert!(
            out.status.success(),
            "ffprobe {}: {}",
            file.display(),
            String::from_utf8_lossy(&out.stderr)
        );
        Self(serde_json::from_slice(&out.stdout).expect("ffprobe prints JSON"))
    }

    /// Seconds.
    pub(crate) fn duration(&self) -> f64 {
        number(&self.0["format"]["duration"])
    }

    pub(crate) fn stream(&self, kind: &str) -> Option<Stream<'_>> {
        let streams = self.0["streams"].as_array().expect("streams");
        streams.iter().find(|s| s["codec_type"] == kind).map(Stream)
    }

    pub(crate) fn format(&self) -> &str {
        self.0["format"]["format_name"].as_str().unwrap_or("")
    }
}

/// One stream.
pub(crate) struct Stream<'a>(&'a Value);

impl Stream<'_> {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or("")
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        number(&self.0[key])
    }

    /// Average frames per second.
    pub(crate) fn frame_rate(&self) -> f64 {
        let (n, d) = self
            .text("avg_frame_rate")
            .split_once('/')
            .expect("a ratio");
        n.parse::<f64>().expect("a number") / d.parse::<f64>().expect("a number")
    }
}

fn number(v: &Value) -> f64 {
    v.as_f64()
        .or_else(|| v.as_str().and_then(|s| s.parse().ok()))
        .unwrap_or(f64::NAN)
}

/// Decodes everything; panics with what ffmpeg complains about.
pub(crate) fn decodes_cleanly(file: &Path) {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed (./dev setup test)");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && said.is_empty(),
        "{}: {said}",
        file.display()
    );
}

/// Presentation times of the video packets in seconds, and which are key frames.
pub(crate) fn frames(file: &Path) -> Vec<(f64, bool)> {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "packet=pts_time,flags",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .expect("ffprobe is installed (./dev setup test)");
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|line| {
            let (time, flags) = line.split_once(',')?;
            Some((time.parse().ok()?, flags.starts_with('K')))
        })
        .collect()
}

/// Runs a filter that prints frame metadata; gives (time, value of `key`) per frame.
fn metadata(file: &Path, selector: &str, filter: &str, key: &str) -> Vec<(f64, f64)> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args([selector, filter, "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed (./dev setup test)");
    let mut time = f64::NAN;
    let mut values = Vec::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        if let Some(at) = line.split("pts_time:").nth(1) {
            time = at
                .split_whitespace()
                .next()
                .and_then(|t| t.parse().ok())
                .unwrap_or(f64::NAN);
        } else if let Some(value) = line.strip_prefix(key).and_then(|v| v.strip_prefix('=')) {
            // Silence has the level "-inf".
            values.push((time, value.parse().unwrap_or(f64::NEG_INFINITY)));
        }
    }
    values
}

/// Mean luma of the whole picture, four times a second.
pub(crate) fn luma(file: &Path) -> Vec<f64> {
    metadata(
        file,
        "-vf",
        "fps=4,signalstats,metadata=print:file=-",
        "lavfi.signalstats.YAVG",
    )
    .into_iter()
    .map(|(_, y)| y)
    .collect()
}

/// Times at which the flash of the demo page (the top 6 % of the picture turns white) begins.
pub(crate) fn flashes(file: &Path) -> Vec<f64> {
    let strip = "crop=iw:ih/25:0:0,signalstats,metadata=print:file=-";
    onsets(
        metadata(file, "-vf", strip, "lavfi.signalstats.YAVG"),
        130.0,
    )
}

/// Times at which the beep of the demo page (880 Hz) begins.
pub(crate) fn beeps(file: &Path) -> Vec<f64> {
    let filter = "aresample=48000,asetnsamples=n=240:p=0,bandpass=f=880:width_type=h:w=100,\
                  astats=metadata=1:reset=1,ametadata=print:file=-";
    onsets(
        metadata(file, "-af", filter, "lavfi.astats.1.RMS_level"),
        -35.0,
    )
}

/// First moments over a threshold, at least 200 ms apart.
fn onsets(values: Vec<(f64, f64)>, threshold: f64) -> Vec<f64> {
    let mut found: Vec<f64> = Vec::new();
    let mut last_over = f64::NEG_INFINITY;
    for (time, value) in values {
        if value >= threshold {
            if time - last_over > 0.2 {
                found.push(time);
            }
            last_over = time;
        }
    }
    found
}
