//! What the subcommands do: put the parts together and wait for the end.

pub mod demo;
pub mod record;
pub mod recorder;
pub mod serve;

use crate::{
    bus::{self, Bus},
    config::Config,
    http::{Active, Readiness, Snapshot, State},
    metrics::Metrics,
    service::{self, View},
    supervise::process::ChildLog,
};
use recording::{plan::RequestType, support::Built};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use worker::Drain;

/// What this build can do (`recording::support`).
pub const BUILT: Built = Built {
    web: true,
    template: false,
    room_audio: false,
    participant: false,
    track_composite: false,
    track: false,
    media: false,
    mp4: true,
    ogg: false,
    mp3: false,
    segments: false,
    rtmp: false,
    srt: false,
    websocket: false,
    images: false,
    local: true,
    s3: false,
    gcp: false,
    azure: false,
    alioss: false,
};

/// A runtime on this thread: the worker's work is small, and helpers of a recorder die with the thread that started them.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("egress")
        .build()?)
}

/// An id as LiveKit makes them: prefix and 12 readable characters.
fn new_id(prefix: &str) -> String {
    psrpc::id::readable(prefix, &mut rand::random)
}

/// The service's options from a configuration.
fn options(config: &Config, cores: f64, metrics: Arc<Metrics>) -> anyhow::Result<service::Options> {
    let worker = config.worker(cores);
    Ok(service::Options {
        costs: config.cost_table(),
        policy: config.policy(jiff::tz::TimeZone::system()),
        built: BUILT,
        recorder: config.recorder(RequestType::Web),
        cluster_id: config.cluster_id.clone(),
        io_selection: config.io.selection_timeout,
        metrics,
        program: std::env::current_exe()?,
        child_log: ChildLog {
            level: config.logging.level.as_str().to_owned(),
            json: config.logging.json,
            gst_debug: config.gst_debug.clone(),
        },
        worker: worker::Config {
            seed: rand::random(),
            ..worker
        },
    })
}

/// What health and metrics show.
fn state(view: watch::Receiver<View>, bus: &Bus) -> State {
    let bus = bus.state();
    Arc::new(move || {
        let view = view.borrow().clone();
        let gauges = view.gauges;
        let down = matches!(*bus.borrow(), bus::State::Disconnected { .. });
        let readiness = match (view.ready, gauges.is_terminating) {
            (_, true) => Readiness::Draining,
            (true, false) if down => Readiness::BusDown,
            (true, false) => Readiness::Ready,
            (false, false) => Readiness::Starting,
        };
        let active = view
            .recordings
            .into_iter()
            .map(|(egress_id, info)| Active {
                egress_id,
                request: info.request,
            })
            .collect();
        Snapshot {
            readiness,
            available_cpu: gauges.cpu_free,
            active,
            gauges,
        }
    })
}

/// SIGTERM and SIGQUIT drain, SIGINT ends recordings now.
fn signals() -> anyhow::Result<mpsc::Receiver<Drain>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (tell, drains) = mpsc::channel(8);
    for (kind, drain) in [
        (SignalKind::terminate(), Drain::Terminate),
        (SignalKind::quit(), Drain::Terminate),
        (SignalKind::interrupt(), Drain::Interrupt),
    ] {
        let mut signal = signal(kind)?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if tell.send(drain).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(drains)
}
