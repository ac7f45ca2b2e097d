//! From the screen to the encoder, in the screen's thread: frame grid, colours, and the one place where pictures drop.
//!
//! ```text
//! picture ─► grid ─ early ──────────────────────────► counted
//!              │  raw queue full (½ s) ─────────────► dropped; the next one to pass fills its ticks
//!              └► missing ticks: the picture before, again ─► converted picture ─► appsrc
//! ```
//!
//! A repeat shares the memory of the picture it repeats, so a queue of repeats costs nothing; still, with
//! [`REPEATS_SECONDS`] of them unencoded the ticks are left out instead.

use super::{
    stats::{Counters, add},
    watch::Arrivals,
    wishes::Wishes,
};
use crate::{
    Error,
    colour::{self, Plane, Screen},
    grid::{Grid, Place},
    handover::Sender,
};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use gstreamer_video as gst_video;
use gstreamer_video::{VideoFormat, VideoFrameRef, VideoInfo, prelude::*};
use media::{Kind, MediaTime};
use recording::plan::VideoEncode;
use std::sync::Arc;

/// Seconds of repeats that may wait for the encoder.
const REPEATS_SECONDS: u64 = 4;

pub(super) struct Bridge {
    grid: Grid,
    /// Where converted pictures go.
    source: AppSrc,
    /// Memory of converted pictures. Without a maximum: encoders keep pictures, and a limit would stop them for good.
    pool: gst::BufferPool,
    /// What the encoder gets.
    output: VideoInfo,
    /// What the screen gives, with the caps that said so.
    input: Option<(gst::Caps, VideoInfo)>,
    before: Option<gst::Buffer>,
    /// Raw pictures that may wait: half a second.
    raw_limit: u64,
    repeat_limit: u64,
    sender: Sender,
    counters: Arc<Counters>,
    arrivals: Arrivals,
    wishes: Wishes,
}

impl Bridge {
    pub(super) fn new(
        video: &VideoEncode,
        source: AppSrc,
        sender: Sender,
        counters: Arc<Counters>,
        arrivals: Arrivals,
        wishes: Wishes,
    ) -> Result<Self, Error> {
        let graph = |error: gst::glib::BoolError| Error::Graph(error.to_string());
        let output = VideoInfo::builder(VideoFormat::I420, video.width, video.height)
            .build()
            .map_err(graph)?;
        let size = u32::try_from(output.size())
            .map_err(|_huge| Error::Config("pictures are too large"))?;
        let pool = gst::BufferPool::new();
        let mut settings = pool.config();
        settings.set_params(Some(&output.to_caps().map_err(graph)?), size, 0, 0);
        pool.set_config(settings).map_err(graph)?;
        pool.set_active(true).map_err(graph)?;
        let fps = u64::from(video.framerate.max(1));
        Ok(Self {
            grid: Grid::new(video.framerate),
            source,
            pool,
            output,
            input: None,
            before: None,
            raw_limit: fps.div_ceil(2),
            repeat_limit: fps * REPEATS_SECONDS,
            sender,
            counters,
            arrivals,
            wishes,
        })
    }

    /// One captured picture. Never waits for the encoder.
    pub(super) fn picture(
        &mut self,
        sample: &gst::Sample,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        add(&self.counters.captured, 1);
        let Some(running) = running_time(sample, buffer.pts()) else {
            add(&self.counters.early, 1);
            return Ok(gst::FlowSuccess::Ok);
        };
        let (tick, missing) = match self.grid.place(running.nseconds()) {
            Place::Early => {
                add(&self.counters.early, 1);
                return Ok(gst::FlowSuccess::Ok);
            }
            Place::Tick { tick, missing } => (tick, missing),
        };
        if self.source.current_level_buffers() >= self.raw_limit {
            self.drop_one();
            return Ok(gst::FlowSuccess::Ok);
        }
        let converted = self.convert(sample, buffer)?;
        for absent in tick - missing..tick {
            let shown = self.before.as_ref().unwrap_or(&converted);
            if self.source.current_level_buffers() >= self.repeat_limit {
                add(&self.counters.skipped, tick - absent);
                break;
            }
            self.push(shown.copy(), absent)?;
            add(&self.counters.repeated, 1);
        }
        self.before = Some(converted.copy());
        self.push(converted, tick)?;
        self.grid.fill(tick);
        if tick == missing {
            self.arrivals.arrived(Kind::Video);
        }
        self.counters.report(&self.sender);
        Ok(gst::FlowSuccess::Ok)
    }

    fn push(&self, mut buffer: gst::Buffer, tick: u64) -> Result<(), gst::FlowError> {
        let pts = self.grid.pts(tick);
        if self.wishes.grant(MediaTime::from_nanos(pts)) {
            // Travels in order with the pictures: the next one becomes a key frame.
            let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                .all_headers(true)
                .build();
            if !self.source.send_event(event) {
                tracing::debug!(tick, "key frame request was not taken");
            }
        }
        let header = buffer.make_mut();
        header.set_pts(gst::ClockTime::from_nseconds(pts));
        header.set_duration(gst::ClockTime::from_nseconds(self.grid.duration(tick)));
        self.source.push_buffer(buffer).map(|_ok| ())
    }

    fn convert(
        &mut self,
        sample: &gst::Sample,
        from: &gst::BufferRef,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let caps = sample.caps().ok_or(gst::FlowError::Error)?;
        if self
            .input
            .as_ref()
            .is_none_or(|(known, _)| known.as_ref() != caps)
        {
            let info = VideoInfo::from_caps(caps).map_err(|_other| gst::FlowError::Error)?;
            if (info.width(), info.height()) != (self.output.width(), self.output.height()) {
                return Err(gst::FlowError::Error);
            }
            self.input = Some((caps.to_owned(), info));
        }
        let (_, info) = self.input.as_ref().ok_or(gst::FlowError::Error)?;
        let from = VideoFrameRef::from_buffer_ref_readable(from, info)
            .map_err(|_unmappable| gst::FlowError::Error)?;
        let mut buffer = self.pool.acquire_buffer(None)?;
        {
            let target = buffer.get_mut().ok_or(gst::FlowError::Error)?;
            let mut to = VideoFrameRef::from_buffer_ref_writable(target, &self.output)
                .map_err(|_unmappable| gst::FlowError::Error)?;
            let stride = |strides: &[i32], plane: usize| {
                strides
                    .get(plane)
                    .and_then(|s| usize::try_from(*s).ok())
                    .unwrap_or(0)
            };
            let strides = [0, 1, 2].map(|plane| stride(to.plane_stride(), plane));
            let screen = Screen {
                data: from.plane_data(0).map_err(|_none| gst::FlowError::Error)?,
                stride: stride(from.plane_stride(), 0),
            };
            let [y, u, v, _] = to.planes_data_mut();
            let planes = [
                Plane {
                    data: y,
                    stride: strides[0],
                },
                Plane {
                    data: u,
                    stride: strides[1],
                },
                Plane {
                    data: v,
                    stride: strides[2],
                },
            ];
            let pixels = |n: u32| usize::try_from(n).unwrap_or(0);
            colour::convert(
                screen,
                pixels(self.output.width()),
                pixels(self.output.height()),
                planes,
            );
        }
        Ok(buffer)
    }

    fn drop_one(&self) {
        add(&self.counters.dropped, 1);
        // While nothing passes at all: once in half a second.
        if self.counters.unreported() >= self.raw_limit {
            self.counters.report(&self.sender);
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.pool.set_active(false).is_err() {
            tracing::debug!("picture pool did not close");
        }
    }
}

/// Running time of a point in a sample's segment.
pub(super) fn running_time(
    sample: &gst::Sample,
    pts: Option<gst::ClockTime>,
) -> Option<gst::ClockTime> {
    sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>())
        .and_then(|segment| segment.to_running_time(pts?))
}
