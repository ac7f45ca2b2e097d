//! From an encoder's appsink to the receiver: copies the bytes, says the format first, moves PTS to media time.
//!
//! Running time is media time: the pipeline's clock starts at zero when it begins to play, pictures lie on the grid that
//! starts there, and `audiorate` fills the sound from there. Only AAC has to be moved ([`crate::encoder`]).

use super::{
    Event,
    bridge::running_time,
    stats::{Counters, add},
};
use crate::{encoder, handover::Sender};
use bytes::Bytes;
use gstreamer as gst;
use media::{AudioCodec, AudioFormat, Format, Kind, MediaTime, Sample, VideoCodec, VideoFormat};
use recording::plan::VideoEncode;
use std::{sync::Arc, time::Duration};

/// What a stream is, but for what its caps tell.
enum Stream {
    Pictures {
        width: u32,
        height: u32,
    },
    Sound {
        codec: AudioCodec,
        encoder: encoder::Sound,
        rate: u32,
    },
}

pub(super) struct Outlet {
    stream: Stream,
    sender: Sender,
    counters: Arc<Counters>,
    /// The caps the receiver knows the format of.
    told: Option<gst::Caps>,
    /// Units before this are left out, the others come earlier by it.
    shift: Duration,
}

impl Outlet {
    pub(super) fn pictures(video: &VideoEncode, sender: Sender, counters: &Arc<Counters>) -> Self {
        Self {
            stream: Stream::Pictures {
                width: video.width,
                height: video.height,
            },
            sender,
            counters: Arc::clone(counters),
            told: None,
            shift: Duration::ZERO,
        }
    }

    pub(super) fn sound(
        codec: AudioCodec,
        encoder: encoder::Sound,
        rate: u32,
        sender: Sender,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            stream: Stream::Sound {
                codec,
                encoder,
                rate,
            },
            sender,
            counters: Arc::clone(counters),
            told: None,
            shift: encoder.shift(rate),
        }
    }

    /// One access unit. Waits for a receiver that is a budget behind; ends the stream when there is none.
    pub(super) fn sample(
        &mut self,
        sample: &gst::Sample,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let caps = sample.caps().ok_or(gst::FlowError::NotNegotiated)?;
        if self.told.as_ref().is_none_or(|told| told.as_ref() != caps) {
            self.tell(caps);
        }
        // Stream headers in the stream (opusenc) are part of the format.
        if buffer.flags().contains(gst::BufferFlags::HEADER) && buffer.pts().is_none() {
            return Ok(gst::FlowSuccess::Ok);
        }
        let running = running_time(sample, buffer.pts())
            .map(Duration::from)
            .unwrap_or_default();
        // Half a millisecond: PTS are rounded to nanoseconds more than once on their way.
        let Some(pts) = (running + Duration::from_micros(500)).checked_sub(self.shift) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let pts = pts.saturating_sub(Duration::from_micros(500));
        let pts = MediaTime::ZERO.plus(pts);
        let map = buffer
            .map_readable()
            .map_err(|_unmappable| gst::FlowError::Error)?;
        let data = Bytes::copy_from_slice(map.as_slice());
        drop(map);
        let (kind, counter, keyframe) = match self.stream {
            Stream::Pictures { .. } => (
                Kind::Video,
                &self.counters.pictures,
                !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            ),
            Stream::Sound { .. } => (Kind::Audio, &self.counters.sounds, true),
        };
        add(counter, 1);
        add(&self.counters.bytes, u64::try_from(data.len()).unwrap_or(0));
        self.sender
            .sample(Sample {
                kind,
                pts,
                dts: pts,
                duration: buffer.duration().map(Duration::from).unwrap_or_default(),
                keyframe,
                data,
            })
            .map(|()| gst::FlowSuccess::Ok)
            .map_err(|_closed| gst::FlowError::Flushing)
    }

    fn tell(&mut self, caps: &gst::CapsRef) {
        let structure = caps.structure(0);
        let buffer = |field: &str| {
            structure
                .and_then(|s| s.get::<gst::Buffer>(field).ok())
                .and_then(|b| {
                    b.map_readable()
                        .ok()
                        .map(|m| Bytes::copy_from_slice(m.as_slice()))
                })
        };
        let (format, priming) = match self.stream {
            Stream::Pictures { width, height } => (
                Format::Video(VideoFormat {
                    codec: VideoCodec::H264,
                    width,
                    height,
                    config: buffer("codec_data").unwrap_or_default(),
                }),
                Duration::ZERO,
            ),
            Stream::Sound {
                codec,
                encoder,
                rate,
            } => {
                let config = match codec {
                    AudioCodec::Opus => opus_head(structure),
                    AudioCodec::Aac => buffer("codec_data"),
                    AudioCodec::Mp3 | AudioCodec::Pcm => None,
                }
                .unwrap_or_default();
                let priming = encoder.priming(rate, &config);
                let format = Format::Audio(AudioFormat {
                    codec,
                    sample_rate: rate,
                    channels: 2,
                    config,
                });
                (format, priming)
            }
        };
        self.told = Some(caps.to_owned());
        self.sender.fact(Event::Format { format, priming });
    }
}

/// The first of the two Ogg headers in Opus caps.
fn opus_head(caps: Option<&gst::StructureRef>) -> Option<Bytes> {
    let headers = caps?.get::<gst::Array>("streamheader").ok()?;
    let head = headers.as_slice().first()?.get::<gst::Buffer>().ok()?;
    let map = head.map_readable().ok()?;
    Some(Bytes::copy_from_slice(map.as_slice()))
}
