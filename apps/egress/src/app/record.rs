//! `egress record web`: one recording without any server.
//!
//! The same service as ever on a bus inside this process; we are its LiveKit server: we order, take its reports, stop it.

use super::{new_id, options, runtime};
use crate::{
    bus::{
        Bus, local,
        rpc::{Handler, Node},
    },
    cli::{Encoding, RecordWeb},
    config::{Level, Loaded},
    log,
    metrics::Metrics,
    service::{self, View},
};
use anyhow::Context;
use bytes::Bytes;
use psrpc::{Method, Selection, Topic, client::Options};
use recording::info;
use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use wire::{
    livekit::{self, EgressInfo, EgressStatus},
    prost::Message,
    rpc::{StartEgressRequest, start_egress_request::Request},
};
use worker::Drain;

/// How the recording went.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The last word on it.
    pub info: EgressInfo,
}

impl Finished {
    /// A good file.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(
            self.info.status(),
            EgressStatus::EgressComplete | EgressStatus::EgressLimitReached
        )
    }
}

/// Records until the time is over, Ctrl-C, or the page ends it.
///
/// # Errors
/// What kept it from starting.
pub fn run(loaded: Loaded, web: &RecordWeb) -> anyhow::Result<Finished> {
    quiet(&loaded)?;
    let request = request(web)?;
    runtime()?.block_on(record(loaded, request, web.duration))
}

/// Only what somebody should look at: the terminal shows the progress.
pub(super) fn quiet(loaded: &Loaded) -> anyhow::Result<()> {
    let mut logging = loaded.config.logging.clone();
    logging.level = logging.level.max(Level::Warn);
    log::init(&logging, &log::Identity::default())?;
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "configuration");
    }
    Ok(())
}

fn request(web: &RecordWeb) -> anyhow::Result<livekit::WebEgressRequest> {
    let cwd = std::env::current_dir().context("the current directory")?;
    let mut request = livekit::WebEgressRequest {
        url: web.url.clone(),
        audio_only: web.audio_only,
        video_only: web.video_only,
        await_start_signal: web.await_start_signal,
        options: options_of(&web.encoding),
        ..Default::default()
    };
    for output in &web.outputs {
        if output.contains("://") {
            let urls = vec![output.clone()];
            request.stream_outputs.push(livekit::StreamOutput {
                urls,
                ..Default::default()
            });
            continue;
        }
        let path = cwd.join(output).display().to_string();
        let extension = Path::new(output)
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("");
        match extension {
            "m3u8" => request.segment_outputs.push(livekit::SegmentedFileOutput {
                playlist_name: path,
                disable_manifest: true,
                ..Default::default()
            }),
            _ => request.file_outputs.push(livekit::EncodedFileOutput {
                file_type: match extension {
                    "ogg" => livekit::EncodedFileType::Ogg,
                    "mp3" => livekit::EncodedFileType::Mp3,
                    _ => livekit::EncodedFileType::Mp4,
                } as i32,
                filepath: path,
                disable_manifest: true,
                ..Default::default()
            }),
        }
    }
    Ok(request)
}

fn options_of(encoding: &Encoding) -> Option<livekit::web_egress_request::Options> {
    use livekit::web_egress_request::Options;
    let number = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    let Encoding {
        preset,
        width,
        height,
        fps,
        video_bitrate,
        audio_bitrate,
    } = *encoding;
    match preset {
        Some(preset) => Some(Options::Preset(preset as i32)),
        None if width
            .or(height)
            .or(fps)
            .or(video_bitrate)
            .or(audio_bitrate)
            .is_some() =>
        {
            Some(Options::Advanced(livekit::EncodingOptions {
                width: number(width),
                height: number(height),
                framerate: number(fps),
                video_bitrate: number(video_bitrate),
                audio_bitrate: number(audio_bitrate),
                ..Default::default()
            }))
        }
        None => None,
    }
}

/// Runs one recording on a service of our own.
pub(super) async fn record(
    loaded: Loaded,
    web: livekit::WebEgressRequest,
    duration: Option<Duration>,
) -> anyhow::Result<Finished> {
    let hub = local::Hub::new();
    let metrics = Arc::new(Metrics::new("", ""));
    let mut options = options(
        &loaded.config,
        service::cores(loaded.config.cpu_request),
        metrics,
    )?;
    // One recording, asked for by the person at the keyboard: this machine will do it, whatever it costs elsewhere.
    options.costs.web_cpu_cost = f64::MIN_POSITIVE;
    options.costs.audio_web_cpu_cost = f64::MIN_POSITIVE;
    options.worker.costs = options.costs;
    options.child_log.level = Level::Warn.as_str().to_owned();
    options.child_log.gst_debug = "none".to_owned();
    let (view, views) = watch::channel(View::default());
    let (drain, drains) = mpsc::channel(4);
    let node = Node::spawn(Bus::Local(hub.clone()));
    let mut reports = reports(&node).await?;
    let mut ready = views.clone();
    let service = tokio::spawn(service::run(options, Bus::Local(hub), drains, view));
    tokio::select! {
        changed = ready.wait_for(|v| v.ready) => drop(changed.context("the service did not start")?),
        ended = &mut Box::pin(async { tokio::time::sleep(Duration::from_secs(10)).await }) => {
            let () = ended;
            if service.is_finished() {
                service.await.context("the service")??;
            }
            anyhow::bail!("the service did not start within 10 s");
        }
    }
    let desk = Desk {
        node,
        views,
        duration,
        drain,
    };
    let outcome = desk.run(web, &mut reports).await;
    // Whatever happened, the service ends before we do.
    if desk.drain.send(Drain::Interrupt).await.is_err() {
        tracing::debug!("the service has ended already");
    }
    if let Err(error) = service.await {
        tracing::error!(%error, "the service ended abnormally");
    }
    outcome
}

/// Takes CreateEgress and UpdateEgress, as a LiveKit server does.
async fn reports(node: &Node) -> anyhow::Result<mpsc::Receiver<EgressInfo>> {
    let (tell, reports) = mpsc::channel(64);
    for method in ["CreateEgress", "UpdateEgress"] {
        let tell = tell.clone();
        let handler = Handler::new(move |incoming| {
            let tell = tell.clone();
            async move {
                let info = EgressInfo::decode(incoming.raw_request)
                    .map_err(psrpc::Error::malformed_request)?;
                // Nobody listens any more when the recording is over.
                drop(tell.send(info).await);
                Ok(Bytes::new())
            }
        });
        let registration = node
            .serve("IOInfo", Method::queue(method), Topic::none(), handler)
            .await?;
        registration.confirmed().await;
        registration.keep();
    }
    Ok(reports)
}

struct Desk {
    node: Node,
    views: watch::Receiver<View>,
    duration: Option<Duration>,
    drain: mpsc::Sender<Drain>,
}

impl Desk {
    async fn run(
        &self,
        web: livekit::WebEgressRequest,
        reports: &mut mpsc::Receiver<EgressInfo>,
    ) -> anyhow::Result<Finished> {
        let egress_id = new_id("EG_");
        let request = StartEgressRequest {
            egress_id: egress_id.clone(),
            request: Some(Request::Web(web)),
            ..Default::default()
        };
        let method = Method::affinity("StartEgress");
        let mut how = Options::of(&method);
        how.timeout = Duration::from_secs(15);
        how.selection = Selection::start_egress();
        let bytes = request.encode_to_vec().into();
        self.node
            .call("EgressInternal", &method, &Topic::none(), bytes, how)
            .await?;
        let mut interrupt =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let progress = Progress::new(self.duration);
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let mut active: Option<Instant> = None;
        let mut stopping = false;
        loop {
            let over = active
                .zip(self.duration)
                .map(|(since, duration)| since + duration);
            let wait = async {
                match over {
                    Some(at) if !stopping => tokio::time::sleep_until(at.into()).await,
                    _ => std::future::pending().await,
                }
            };
            let stop = tokio::select! {
                Some(info) = reports.recv() => {
                    if info.status() == EgressStatus::EgressActive {
                        active.get_or_insert_with(Instant::now);
                    }
                    if info::is_terminal(info.status) {
                        progress.clear();
                        return Ok(Finished { info });
                    }
                    false
                }
                () = wait => true,
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                _ = tick.tick() => {
                    let stats = self.views.borrow().stats.clone();
                    progress.show(active.map(|since| since.elapsed()), stats.bytes_written, stopping);
                    false
                }
            };
            if stop && stopping {
                // Asked twice: do not wait for a good end.
                self.drain.send(Drain::Interrupt).await?;
            } else if stop {
                stopping = true;
                self.stop(&egress_id).await;
            }
        }
    }

    async fn stop(&self, egress_id: &str) {
        let method = Method::own_queue("StopEgress");
        let bytes = livekit::StopEgressRequest {
            egress_id: egress_id.to_owned(),
        }
        .encode_to_vec()
        .into();
        let stopped = self
            .node
            .call(
                "EgressHandler",
                &method,
                &Topic::of(&[egress_id]),
                bytes,
                Options::of(&method),
            )
            .await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "the recording could not be asked to stop");
        }
    }
}

/// One line on a terminal; nothing anywhere else.
struct Progress {
    duration: Option<Duration>,
    terminal: bool,
}

impl Progress {
    fn new(duration: Option<Duration>) -> Self {
        Self {
            duration,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&self, elapsed: Option<Duration>, bytes: u64, stopping: bool) {
        if self.terminal {
            say(&format!(
                "\r\x1b[K{}",
                line(elapsed, self.duration, bytes, stopping)
            ));
        }
    }

    fn clear(&self) {
        if self.terminal {
            say("\r\x1b[K");
        }
    }
}

fn say(text: &str) {
    // A terminal that is gone needs no progress.
    let mut out = std::io::stderr();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        tracing::trace!("no terminal");
    }
}

fn line(
    elapsed: Option<Duration>,
    duration: Option<Duration>,
    bytes: u64,
    stopping: bool,
) -> String {
    const WIDTH: usize = 30;
    let Some(elapsed) = elapsed else {
        return "opening the page …".to_owned();
    };
    let seconds = elapsed.as_secs_f64();
    let size = bytes / 1000;
    let end = if stopping { ", finishing" } else { "" };
    match duration {
        Some(duration) => {
            let part = (seconds / duration.as_secs_f64()).min(1.0);
            // A part of 30 is a small number.
            let full = (0..WIDTH)
                .filter(|i| (*i as f64) < part * WIDTH as f64)
                .count();
            let (done, left) = ("█".repeat(full), "░".repeat(WIDTH - full));
            format!(
                "{done}{left} {:.1} of {:.1} s, {size} kB{end}",
                seconds.min(duration.as_secs_f64()),
                duration.as_secs_f64()
            )
        }
        None => format!("recording {seconds:.1} s, {size} kB{end} (Ctrl-C ends it)"),
    }
}

/// What became of it, for the terminal.
#[must_use]
pub fn summary(finished: &Finished) -> String {
    let info = &finished.info;
    let mut text = String::new();
    for file in &info.file_results {
        if !file.location.is_empty() {
            let seconds =
                std::time::Duration::from_nanos(u64::try_from(file.duration).unwrap_or(0))
                    .as_secs_f64();
            let size = u64::try_from(file.size).unwrap_or(0);
            let megabytes = std::time::Duration::from_micros(size).as_secs_f64();
            text += &format!("{}: {seconds:.1} s, {megabytes:.2} MB\n", file.location);
        }
    }
    if !finished.is_good() {
        text += &format!("{}: {}\n", info.status().as_str_name(), info.error);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_shows_how_far_it_is() {
        let ten = Some(Duration::from_secs(10));
        assert_eq!(line(None, ten, 0, false), "opening the page …");
        let half = line(Some(Duration::from_secs(5)), ten, 1_234_567, false);
        assert_eq!(
            half,
            format!(
                "{}{} 5.0 of 10.0 s, 1234 kB",
                "█".repeat(15),
                "░".repeat(15)
            )
        );
        assert!(
            line(Some(Duration::from_secs(11)), ten, 0, true)
                .ends_with("10.0 of 10.0 s, 0 kB, finishing")
        );
    }

    #[test]
    fn numbers_over_the_default_preset_are_advanced_options() {
        assert_eq!(options_of(&Encoding::default()), None);
        let encoding = Encoding {
            width: Some(640),
            ..Encoding::default()
        };
        let Some(livekit::web_egress_request::Options::Advanced(options)) = options_of(&encoding)
        else {
            panic!("not advanced");
        };
        assert_eq!((options.width, options.height), (640, 0));
    }
}
