//! One capture: a display and a sound source in, encoded samples out.
//!
//! ```text
//! build ─► READY ── start ─► PLAYING ── stop ─► draining ─► Event::End      abort or drop: NULL from anywhere
//!            │                  │ first buffer of every stream: Event::Playing
//!            └── Err            └ Event::Format, Event::Sample…, Event::Dropped, Event::Error
//! ```
//!
//! Back pressure: a receiver that falls a whole budget behind ([`crate::handover`]), or an encoder that is too slow,
//! fills the raw queue in front of the encoder; captured pictures are then dropped *there*, counted, and their ticks
//! repeat the picture before. The encoded stream is never torn.
//!
//! When the X server dies, Xlib ends this *process* (exit code 1, `XIO: fatal IO error` on stderr) before GStreamer could
//! say anything; nothing safe can prevent it. A capture therefore lives in a process whose end somebody is prepared for.
//!
//! [`Capture`]'s methods block on GStreamer: call them from a blocking thread where a sound server or an X server that
//! hangs must not stop the world. Knows nothing of recordings: when to give up is decided by whoever hears the events.

mod bridge;
mod config;
mod outlet;
mod stats;
mod watch;
mod wishes;

pub use config::{Config, Event, Picture, Pulse, Sound, X11};
pub use stats::Stats;

use crate::{Error, Events, encoder, graph, handover, plugins};
use bridge::Bridge;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use handover::Sender;
use media::{Kind, MediaTime};
use outlet::Outlet;
use recording::plan::{AudioPath, VideoEncode, VideoPath};
use stats::Counters;
use std::{sync::Arc, time::Duration};
use watch::Watch;
use wishes::Wishes;

/// How long a state change may take before the pipeline counts as frozen (egress-behaviour.md §12.8).
pub const STATE_LIMIT: Duration = Duration::from_secs(15);

/// A capture; dropping it aborts.
#[derive(Debug)]
pub struct Capture {
    pipeline: gst::Pipeline,
    sender: Sender,
    counters: Arc<Counters>,
    watch: Watch,
    wishes: Wishes,
}

impl Capture {
    /// Makes all elements and brings them to READY: what is missing is known now. A display or sound server that cannot
    /// be reached may come out here or in [`Capture::start`].
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NoEncoder`], [`Error::Config`], or what an element had to say.
    pub fn build(config: &Config) -> Result<(Self, Events), Error> {
        plugins::init()?;
        let graph = graph::describe(config, plugins::installed)?;
        plugins::require(graph.elements.iter().copied())?;
        tracing::debug!(graph = %graph.text, "pipeline");
        let pipeline = gst::parse::launch(&graph.text)
            .map_err(|error| Error::Graph(error.to_string()))?
            .downcast::<gst::Pipeline>()
            .map_err(|other| Error::Graph(format!("not a pipeline: {}", other.name())))?;
        // Both sources are stamped by this clock, never by the sound server's.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));

        let (sender, events) = handover::channel();
        let counters = Arc::new(Counters::default());
        let watch = Watch::new(sender.clone());
        if let Some(bus) = pipeline.bus() {
            let watch = watch.clone();
            bus.set_sync_handler(move |_bus, message| watch.hear(message));
        }
        let capture = Self {
            pipeline,
            sender,
            counters,
            watch,
            wishes: Wishes::default(),
        };
        capture.connect(config, graph.sound)?;
        capture.set_state(gst::State::Ready)?;
        Ok((capture, events))
    }

    /// Begins: media time zero is now.
    ///
    /// # Errors
    /// What an element had to say, or [`Error::Frozen`] after [`STATE_LIMIT`].
    pub fn start(&self) -> Result<(), Error> {
        self.set_state(gst::State::Playing)
    }

    /// Asks for a key frame: the next captured picture, or the first one at or after `at`. A time that was captured
    /// already means the next picture; the encoder holds up to a third of a second, so ask well ahead.
    pub fn force_keyframe(&self, at: Option<MediaTime>) {
        self.wishes.add(at.unwrap_or(MediaTime::ZERO));
    }

    /// Ends the sources; what was captured is encoded and handed over, then comes [`Event::End`]. Returns at once.
    pub fn stop(&self) {
        for name in [graph::SCREEN, graph::SOUND] {
            if let Some(source) = self.pipeline.by_name(name)
                && !source.send_event(gst::event::Eos::new())
            {
                tracing::debug!(source = name, "end of stream was not taken");
            }
        }
    }

    /// Ends now: nothing more is handed over. Blocks until all threads of the pipeline have ended.
    pub fn abort(self) {
        drop(self);
    }

    /// How much has gone through, and how much was lost where.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.read();
        if let Some(rate) = self.pipeline.by_name(graph::RATE) {
            stats.sound_added = rate.property::<u64>("add");
            stats.sound_dropped = rate.property::<u64>("drop");
        }
        stats
    }

    /// Media time of this moment; `None` before [`Capture::start`].
    #[must_use]
    pub fn position(&self) -> Option<MediaTime> {
        let now = self.pipeline.current_running_time()?;
        Some(MediaTime::from_nanos(now.nseconds()))
    }

    /// The graph as it is now, for Graphviz.
    #[must_use]
    pub fn dot(&self) -> String {
        self.pipeline
            .debug_to_dot_data(gst::DebugGraphDetails::all())
            .to_string()
    }

    /// Puts our code where the graph has ends.
    fn connect(&self, config: &Config, sound: Option<encoder::Sound>) -> Result<(), Error> {
        let video = match config.media.video() {
            Some(VideoPath::Transcode(video)) => Some(video),
            Some(VideoPath::Copy) | None => None,
        };
        let arrivals = watch::Arrivals::new(self.sender.clone(), video.is_some(), sound.is_some());
        if let Some(video) = video {
            self.connect_pictures(video, &arrivals)?;
        }
        if let (Some(sound), Some(AudioPath::Transcode(audio))) = (sound, config.media.audio()) {
            let rate = sound.rate(audio);
            let outlet = Outlet::sound(
                audio.codec,
                sound,
                rate,
                self.sender.clone(),
                &self.counters,
            );
            self.outlet(graph::AUDIO, outlet)?;
            if let Some(pad) = self.element(graph::RATE)?.static_pad("sink") {
                pad.add_probe(gst::PadProbeType::BUFFER, move |_pad, _info| {
                    arrivals.arrived(Kind::Audio);
                    gst::PadProbeReturn::Remove
                });
            }
        }
        Ok(())
    }

    fn connect_pictures(
        &self,
        video: &VideoEncode,
        arrivals: &watch::Arrivals,
    ) -> Result<(), Error> {
        let source = cast::<AppSrc>(self.element(graph::PICTURES)?)?;
        let (sender, counters) = (self.sender.clone(), Arc::clone(&self.counters));
        let mut bridge = Bridge::new(
            video,
            source.clone(),
            self.sender.clone(),
            Arc::clone(&self.counters),
            arrivals.clone(),
            self.wishes.clone(),
        )?;
        cast::<AppSink>(self.element(graph::FRAMES)?)?.set_callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_ended| gst::FlowError::Eos)?;
                    bridge.picture(&sample).inspect_err(|flow| {
                        if *flow == gst::FlowError::Error {
                            gst::element_error!(
                                sink,
                                gst::StreamError::Format,
                                ("captured picture has an unexpected size or format")
                            );
                        }
                    })
                })
                .eos(move |_sink| {
                    counters.report(&sender);
                    if source.end_of_stream().is_err() {
                        tracing::debug!("the encoder had already ended");
                    }
                })
                .build(),
        );
        let outlet = Outlet::pictures(video, self.sender.clone(), &self.counters);
        self.outlet(graph::VIDEO, outlet)
    }

    fn outlet(&self, name: &'static str, mut outlet: Outlet) -> Result<(), Error> {
        cast::<AppSink>(self.element(name)?)?.set_callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_ended| gst::FlowError::Eos)?;
                    outlet.sample(&sample)
                })
                .build(),
        );
        Ok(())
    }

    fn element(&self, name: &'static str) -> Result<gst::Element, Error> {
        self.pipeline
            .by_name(name)
            .ok_or_else(|| Error::Graph(format!("no element {name}")))
    }

    fn set_state(&self, state: gst::State) -> Result<(), Error> {
        let frozen = |_failed| self.watch.first().unwrap_or(Error::Frozen);
        self.pipeline.set_state(state).map_err(frozen)?;
        let limit = gst::ClockTime::try_from(STATE_LIMIT).unwrap_or(gst::ClockTime::MAX);
        let (change, reached, _pending) = self.pipeline.state(limit);
        change.map_err(frozen)?;
        if reached == state {
            Ok(())
        } else {
            Err(self.watch.first().unwrap_or(Error::Frozen))
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Without this a thread that waits for the receiver would keep the state change waiting for it.
        self.sender.close();
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("pipeline did not end cleanly");
        }
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

fn cast<T: IsA<gst::Element>>(element: gst::Element) -> Result<T, Error> {
    element
        .downcast::<T>()
        .map_err(|other| Error::Graph(format!("{} is of another kind", other.name())))
}
