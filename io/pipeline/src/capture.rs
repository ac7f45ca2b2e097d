//! A running capture: from a display and a sound server to encoded samples.
//!
//! ```text
//! build ──► (ready) ── start ──► playing ── stop ──► draining ──► Event::End
//!                                   └──────── abort, error ─────► (null)
//! ```
//!
//! Time: both sources are stamped by the pipeline's clock; media time 0 is the first picture (the first sound when there
//! are no pictures). Sound from before is dropped. GStreamer's threads copy, send and return; `blocking_send` into the
//! bounded channel is what holds an encoder back when the consumer is slow.

use crate::{element, graph};
use ::media::{AudioCodec, AudioFormat, Format, Kind, MediaTime, Sample, VideoCodec, VideoFormat};
use bytes::Bytes;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;
use recording::{
    Fault,
    plan::{AudioPath, Media, VideoPath},
};
use std::{
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

pub use graph::{Pictures, Sound};

/// Events waiting for the consumer: some four seconds of sound and pictures.
const EVENTS: usize = 256;

/// What to capture.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Needed when the media has pictures.
    pub display: Option<Pictures>,
    /// Needed when the media has sound.
    pub sound: Option<Sound>,
    /// What to make of it.
    pub media: Media,
    /// x264 threads; 0: as many as size and rate need.
    pub encoder_threads: u32,
}

/// Which streams there will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streams {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

/// What comes out.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// What a stream is; before its first sample.
    Format {
        /// Codec and its private data.
        format: Format,
        /// Encoder delay that timestamps do not account for.
        priming: Duration,
    },
    /// An encoded sample.
    Sample(Sample),
    /// Every stream has begun to flow into its encoder.
    Playing,
    /// Raw frames were thrown away since the last of these events, because encoder or consumer were too slow.
    Dropped {
        /// Of which stream.
        kind: Kind,
        /// How many buffers.
        count: u64,
    },
    /// No more samples come.
    Error(Fault),
    /// Everything captured before `stop` has come out.
    End,
}

/// A capture.
#[derive(Debug)]
pub struct Capture {
    pipeline: gst::Pipeline,
    streams: Streams,
}

/// Shared between the streaming threads.
struct Desk {
    events: mpsc::Sender<Event>,
    streams: Streams,
    /// Running time of media time 0.
    zero: Mutex<Option<gst::ClockTime>>,
    flowing: [AtomicBool; 2],
    ended: [AtomicBool; 2],
    told_playing: AtomicBool,
    told_end: AtomicBool,
    priming: Duration,
}

fn initialise() -> Result<(), Fault> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| {
        outcome = gst::init()
            .map_err(|e| Fault::internal(format!("GStreamer could not be initialised: {e}")));
    });
    outcome
}

impl Capture {
    /// Makes the elements; nothing flows yet. Loads plugins, which takes some 50 ms the first time in a process.
    ///
    /// # Errors
    /// When an element is missing, naming its package, or the plan does not fit what there is to capture.
    pub fn build(config: &Config) -> Result<(Self, mpsc::Receiver<Event>), Fault> {
        initialise()?;
        let mut lines = Vec::new();
        let mut priming = Duration::ZERO;
        if let Some(path) = config.media.video() {
            let VideoPath::Transcode(encode) = path else {
                return Err(copy());
            };
            let from = config
                .display
                .as_ref()
                .ok_or_else(|| Fault::internal("pictures without a display"))?;
            lines.push(graph::video(from, encode, config.encoder_threads));
        }
        if let Some(path) = config.media.audio() {
            let AudioPath::Transcode(encode) = path else {
                return Err(copy());
            };
            let from = config
                .sound
                .as_ref()
                .ok_or_else(|| Fault::internal("sound without a sound server"))?;
            let aac = match encode.codec {
                AudioCodec::Aac => Some(element::aac()?),
                AudioCodec::Opus | AudioCodec::Mp3 | AudioCodec::Pcm => None,
            };
            if let Some(aac) = aac {
                let nanos =
                    u64::from(aac.priming) * 1_000_000_000 / u64::from(encode.sample_rate.max(1));
                priming = Duration::from_nanos(nanos);
            }
            lines.push(graph::audio(from, encode, aac));
        }
        let line = lines.join(" ");
        tracing::debug!(%line, "graph");
        let pipeline = gst::parse::launch(&line)
            .map_err(|e| build_fault(&e))?
            .downcast::<gst::Pipeline>()
            .map_err(|_lost| Fault::internal("the graph is not a pipeline"))?;
        let streams = Streams {
            audio: config.media.audio().is_some(),
            video: config.media.video().is_some(),
        };
        let (events, receiver) = mpsc::channel(EVENTS);
        let desk = Arc::new(Desk {
            events,
            streams,
            zero: Mutex::new(None),
            flowing: [
                AtomicBool::new(!streams.audio),
                AtomicBool::new(!streams.video),
            ],
            ended: [
                AtomicBool::new(!streams.audio),
                AtomicBool::new(!streams.video),
            ],
            told_playing: AtomicBool::new(false),
            told_end: AtomicBool::new(false),
            priming,
        });
        for (kind, wanted) in [(Kind::Audio, streams.audio), (Kind::Video, streams.video)] {
            if wanted {
                connect(&pipeline, kind, &desk)?;
            }
        }
        watch(&pipeline, &desk)?;
        // Display and sound server are opened by `start`: they may still go, and Xlib would take the process with it.
        pipeline
            .set_state(gst::State::Ready)
            .map_err(|_lost| state_fault(&pipeline, "get ready"))?;
        Ok((Self { pipeline, streams }, receiver))
    }

    /// Which streams there will be.
    #[must_use]
    pub const fn streams(&self) -> Streams {
        self.streams
    }

    /// Begins to capture.
    ///
    /// # Errors
    /// When a source refuses.
    pub fn start(&self) -> Result<(), Fault> {
        self.pipeline
            .set_state(gst::State::Playing)
            .map(drop)
            .map_err(|_lost| state_fault(&self.pipeline, "start"))
    }

    /// Ends the sources; what they gave still comes out, then [`Event::End`].
    pub fn stop(&self) {
        // Sending the event takes the sources' stream locks: not on the caller's thread.
        self.pipeline.call_async(|pipeline| {
            if !pipeline.send_event(gst::event::Eos::new()) {
                tracing::warn!("the sources did not take the end of stream");
            }
        });
    }

    /// The next picture becomes a key frame.
    pub fn force_keyframe(&self) {
        if let Some(encoder) = self.pipeline.by_name("video-encoder") {
            let event =
                gst::event::CustomUpstream::new(gst::Structure::new_empty("GstForceKeyUnit"));
            encoder.send_event(event);
        }
    }

    /// Ends everything at once and throws away what is still in the graph. Resolves when display and sound server are
    /// let go of: Xlib ends the process when its display goes first.
    pub fn shut(&self) -> oneshot::Receiver<()> {
        let (done, shut) = oneshot::channel();
        // A streaming thread may be waiting for room in our channel: not on the caller's thread.
        self.pipeline.call_async(move |pipeline| {
            if pipeline.set_state(gst::State::Null).is_err() {
                tracing::warn!("the pipeline did not stop");
            }
            if done.send(()).is_err() {
                tracing::trace!("nobody waited for the capture to end");
            }
        });
        shut
    }

    /// The graph as DOT text, for debugging.
    #[must_use]
    pub fn dot(&self) -> String {
        self.pipeline
            .debug_to_dot_data(gst::DebugGraphDetails::all())
            .to_string()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.shut());
    }
}

fn copy() -> Fault {
    Fault::internal("a capture cannot copy what was never encoded")
}

fn build_fault(error: &gst::glib::Error) -> Fault {
    if error.matches(gst::ParseError::NoSuchElement) {
        // The text names the element in quotes.
        let text = error.to_string();
        if let Some(name) = text.split('"').nth(1) {
            return element::missing(name);
        }
    }
    Fault::internal(format!("the graph could not be built: {error}"))
}

fn state_fault(pipeline: &gst::Pipeline, what: &str) -> Fault {
    let cause = pipeline
        .bus()
        .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    match cause.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => error_fault(error),
        _ => Fault::internal(format!("the capture could not {what}")),
    }
}

fn error_fault(error: &gst::message::Error) -> Fault {
    let source = error
        .src()
        .map(|s| s.name().to_string())
        .unwrap_or_default();
    let details = error.debug().map(|d| d.to_string()).unwrap_or_default();
    tracing::warn!(%source, %details, error = %error.error(), "pipeline error");
    Fault::internal(format!("{source}: {}", error.error()))
}

/// Errors and warnings of the framework.
fn watch(pipeline: &gst::Pipeline, desk: &Arc<Desk>) -> Result<(), Fault> {
    let bus = pipeline
        .bus()
        .ok_or_else(|| Fault::internal("a pipeline without a bus"))?;
    let desk = Arc::downgrade(desk);
    bus.set_sync_handler(move |_, message| {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "forty kinds of message, two of interest"
        )]
        match message.view() {
            gst::MessageView::Error(error) => {
                if let Some(desk) = desk.upgrade() {
                    // Kept on the bus as well for state changes that fail with it.
                    desk.tell_soon(Event::Error(error_fault(error)));
                }
                return gst::BusSyncReply::Pass;
            }
            gst::MessageView::Warning(warning) => {
                tracing::warn!(warning = %warning.error(), "pipeline warning")
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
    Ok(())
}

/// Callbacks of one branch.
fn connect(pipeline: &gst::Pipeline, kind: Kind, desk: &Arc<Desk>) -> Result<(), Fault> {
    let label = match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
    };
    let find = |role: &str| {
        let name = format!("{label}-{role}");
        pipeline
            .by_name(&name)
            .ok_or_else(|| Fault::internal(format!("the graph has no {name}")))
    };
    let sink = find("sink")?
        .downcast::<gst_app::AppSink>()
        .map_err(|_lost| Fault::internal("not an appsink"))?;
    let (on_sample, on_end) = (Arc::clone(desk), Arc::clone(desk));
    let mut told = false;
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_lost| gst::FlowError::Eos)?;
                on_sample.sample(kind, &sample, &mut told)
            })
            .eos(move |_| on_end.end(kind))
            .build(),
    );
    let pad = |element: &gst::Element, name: &str| {
        element
            .static_pad(name)
            .ok_or_else(|| Fault::internal(format!("{} has no pad {name}", element.name())))
    };
    let flowing = Arc::clone(desk);
    pad(&find("encoder")?, "sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(time) = info.buffer().and_then(|b| b.pts()) {
            flowing.flows(kind, time);
        }
        gst::PadProbeReturn::Remove
    });
    count_drops(&find("queue")?, kind, desk)
}

/// A leaky queue tells nobody what it threw away: what went in, less what came out, less what is inside.
fn count_drops(queue: &gst::Element, kind: Kind, desk: &Arc<Desk>) -> Result<(), Fault> {
    let pad = |name: &str| {
        queue
            .static_pad(name)
            .ok_or_else(|| Fault::internal("a queue without pads"))
    };
    let entered = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&entered);
    pad("sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    let (weak, desk) = (queue.downgrade(), Arc::clone(desk));
    let (left, reported) = (AtomicU64::new(0), AtomicU64::new(0));
    pad("src")?.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let left = left.fetch_add(1, Ordering::Relaxed) + 1;
        // Looking once a second or so is enough.
        if left % 32 == 0
            && let Some(queue) = weak.upgrade()
        {
            let inside = u64::from(queue.property::<u32>("current-level-buffers"));
            let gone = entered
                .load(Ordering::Relaxed)
                .saturating_sub(left + inside);
            let before = reported.load(Ordering::Relaxed);
            // One buffer may be on its way between the two counts.
            if gone > before + 1 {
                desk.tell_soon(Event::Dropped {
                    kind,
                    count: gone - before,
                });
                reported.store(gone, Ordering::Relaxed);
            }
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Audio => 0,
        Kind::Video => 1,
    }
}

impl Desk {
    /// From a thread that must not wait: lost when the consumer is a hundred events behind.
    fn tell_soon(&self, event: Event) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(%error, "an event of the pipeline was lost");
        }
    }

    /// From a streaming thread: waits for room; `Eos` when nobody listens any more.
    fn tell(&self, event: Event) -> Result<(), gst::FlowError> {
        self.events
            .blocking_send(event)
            .map_err(|_lost| gst::FlowError::Eos)
    }

    fn flows(&self, kind: Kind, time: gst::ClockTime) {
        if kind == Kind::Video || !self.streams.video {
            let mut zero = self.zero.lock().unwrap_or_else(PoisonError::into_inner);
            zero.get_or_insert(time);
        }
        self.flowing[place(kind)].store(true, Ordering::SeqCst);
        if self.flowing.iter().all(|f| f.load(Ordering::SeqCst))
            && !self.told_playing.swap(true, Ordering::SeqCst)
        {
            self.tell_soon(Event::Playing);
        }
    }

    fn end(&self, kind: Kind) {
        self.ended[place(kind)].store(true, Ordering::SeqCst);
        if self.ended.iter().all(|e| e.load(Ordering::SeqCst))
            && !self.told_end.swap(true, Ordering::SeqCst)
            && self.tell(Event::End).is_err()
        {
            tracing::trace!("nobody listened for the end of the capture");
        }
    }

    fn sample(
        &self,
        kind: Kind,
        sample: &gst::Sample,
        told: &mut bool,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if !*told {
            let Some((format, priming)) = sample.caps().and_then(|caps| self.format(kind, caps))
            else {
                self.tell(Event::Error(Fault::internal(format!(
                    "the {kind:?} encoder did not say what it makes"
                ))))?;
                return Err(gst::FlowError::NotNegotiated);
            };
            self.tell(Event::Format { format, priming })?;
            *told = true;
        }
        if let Some(sample) = self.convert(kind, sample) {
            self.tell(Event::Sample(sample))?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// `None`: from before media time 0, or without a time.
    fn convert(&self, kind: Kind, sample: &gst::Sample) -> Option<Sample> {
        let buffer = sample.buffer()?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        // x264enc moves its segment by 1000 hours; running time takes that out again.
        let time = segment.to_running_time(buffer.pts()?)?;
        let zero = (*self.zero.lock().unwrap_or_else(PoisonError::into_inner))?;
        let pts = MediaTime::from_nanos(time.checked_sub(zero)?.nseconds());
        let data = Bytes::copy_from_slice(&buffer.map_readable().ok()?);
        Some(Sample {
            kind,
            pts,
            // No B-frames: nothing is reordered.
            dts: pts,
            duration: buffer
                .duration()
                .map_or(Duration::ZERO, |d| Duration::from_nanos(d.nseconds())),
            keyframe: kind == Kind::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            data,
        })
    }

    fn format(&self, kind: Kind, caps: &gst::CapsRef) -> Option<(Format, Duration)> {
        let caps = caps.structure(0)?;
        let private = |name: &str| {
            let buffer = caps.get::<gst::Buffer>(name).ok()?;
            buffer
                .map_readable()
                .ok()
                .map(|m| Bytes::copy_from_slice(&m))
        };
        let number = |name: &str| {
            caps.get::<i32>(name)
                .ok()
                .and_then(|n| u32::try_from(n).ok())
        };
        if kind == Kind::Video {
            let config = private("codec_data")?;
            let (width, height) = (number("width")?, number("height")?);
            let format = VideoFormat {
                codec: VideoCodec::H264,
                width,
                height,
                config,
            };
            return Some((Format::Video(format), Duration::ZERO));
        }
        let (codec, config, priming) = match caps.name().as_str() {
            "audio/mpeg" if number("mpegversion") == Some(4) => {
                (AudioCodec::Aac, private("codec_data")?, self.priming)
            }
            "audio/mpeg" => (AudioCodec::Mp3, Bytes::new(), Duration::ZERO),
            "audio/x-opus" => {
                let header = opus_head(caps)?;
                let skip = u64::from(u16::from_le_bytes([*header.get(10)?, *header.get(11)?]));
                (
                    AudioCodec::Opus,
                    header,
                    Duration::from_nanos(skip * 1_000_000_000 / 48_000),
                )
            }
            _ => (AudioCodec::Pcm, Bytes::new(), Duration::ZERO),
        };
        let sample_rate = number("rate")?;
        let channels = u8::try_from(number("channels")?).ok()?;
        Some((
            Format::Audio(AudioFormat {
                codec,
                sample_rate,
                channels,
                config,
            }),
            priming,
        ))
    }
}

fn opus_head(caps: &gst::StructureRef) -> Option<Bytes> {
    let headers = caps.get::<gst::Array>("streamheader").ok()?;
    let first = headers.iter().next()?.get::<gst::Buffer>().ok()?;
    first
        .map_readable()
        .ok()
        .map(|m| Bytes::copy_from_slice(&m))
}
