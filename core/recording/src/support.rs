//! What this build can record: a plan it cannot carry out is refused before anything starts, naming what is missing.
//!
//! [`Built`] is a plain list of flags; later work flips them. Planning itself is total and knows none of them.

use crate::plan::{
    Container, Destination, Output, Plan, RequestType, Source, Store, StreamProtocol, Subject,
};
use crate::{Code, Refusal};

/// What a build can do. Everything is off by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a list of independent abilities"
)]
pub struct Built {
    /// Pages a user names: Web egress.
    pub web: bool,
    /// Template pages: room composites and v2 templates that need the browser.
    pub template: bool,
    /// Room composites with sound only and without a browser.
    pub room_audio: bool,
    /// Participant egress.
    pub participant: bool,
    /// Track composite egress.
    pub track_composite: bool,
    /// Track egress and v2 PASSTHROUGH.
    pub track: bool,
    /// v2 media.
    pub media: bool,
    /// MP4 files.
    pub mp4: bool,
    /// OGG files.
    pub ogg: bool,
    /// MP3 files.
    pub mp3: bool,
    /// HLS.
    pub segments: bool,
    /// RTMP.
    pub rtmp: bool,
    /// SRT.
    pub srt: bool,
    /// PCM over WebSocket.
    pub websocket: bool,
    /// JPEG series.
    pub images: bool,
    /// Files of this machine.
    pub local: bool,
    /// S3.
    pub s3: bool,
    /// Google Cloud Storage.
    pub gcp: bool,
    /// Azure blobs.
    pub azure: bool,
    /// Alibaba OSS.
    pub alioss: bool,
}

impl Built {
    /// Everything: for tests, and for the day it is true.
    pub const ALL: Self = Self {
        web: true,
        template: true,
        room_audio: true,
        participant: true,
        track_composite: true,
        track: true,
        media: true,
        mp4: true,
        ogg: true,
        mp3: true,
        segments: true,
        rtmp: true,
        srt: true,
        websocket: true,
        images: true,
        local: true,
        s3: true,
        gcp: true,
        azure: true,
        alioss: true,
    };
}

/// Whether this build can carry out the plan.
///
/// # Errors
/// `unimplemented`: `<what> is not implemented in this version`, for the source first, then outputs in order.
pub fn check(plan: &Plan, built: &Built) -> Result<(), Refusal> {
    let (can, what) = source(plan, built);
    require(can, what)?;
    for output in plan.outputs.iter() {
        let (can, what, destination) = self::output(output, built);
        require(can, what)?;
        let mut next = destination;
        while let Some(destination) = next {
            let (can, what) = store(destination, built);
            require(can, what)?;
            next = destination.backup.as_deref();
        }
    }
    Ok(())
}

fn require(can: bool, what: &str) -> Result<(), Refusal> {
    if can {
        return Ok(());
    }
    Err(Refusal::new(
        Code::Unimplemented,
        format!("{what} is not implemented in this version"),
    ))
}

fn source(plan: &Plan, built: &Built) -> (bool, &'static str) {
    match &plan.source {
        Source::Page(_) => match plan.identity.request_type {
            RequestType::Web => (built.web, "web egress"),
            RequestType::Template => (built.template, "template egress"),
            RequestType::RoomComposite
            | RequestType::Participant
            | RequestType::TrackComposite
            | RequestType::Track
            | RequestType::Media => (built.template, "room composite egress"),
        },
        Source::Room(room) => match &room.subject {
            Subject::RoomAudio { .. } => (built.room_audio, "audio-only room composite egress"),
            Subject::Participant { .. } => (built.participant, "participant egress"),
            Subject::Tracks { .. } => (built.track_composite, "track composite egress"),
            Subject::Track { .. } => (built.track, "track egress"),
            Subject::Media { .. } => (built.media, "media egress"),
        },
    }
}

fn output<'a>(output: &'a Output, built: &Built) -> (bool, &'static str, Option<&'a Destination>) {
    match output {
        Output::File(file) => {
            let (can, what) = match file.container {
                Container::Mp4 => (built.mp4, "MP4 file output"),
                Container::Ogg => (built.ogg, "OGG file output"),
                Container::Mp3 => (built.mp3, "MP3 file output"),
                // Whoever can copy a track has the containers for it.
                Container::ByTrack => (built.track, "track file output"),
            };
            (can, what, Some(&file.destination))
        }
        Output::Segments(segments) => (
            built.segments,
            "segmented file output",
            Some(&segments.destination),
        ),
        Output::Stream(stream) => match stream.protocol {
            StreamProtocol::Rtmp => (built.rtmp, "RTMP output", None),
            StreamProtocol::Srt => (built.srt, "SRT output", None),
        },
        Output::WebSocket(_) => (built.websocket, "WebSocket output", None),
        Output::Images(images) => (built.images, "image output", Some(&images.destination)),
    }
}

fn store(destination: &Destination, built: &Built) -> (bool, &'static str) {
    match &destination.store {
        Store::Local => (built.local, "local storage"),
        Store::S3(_) => (built.s3, "S3 storage"),
        Store::Gcp(_) => (built.gcp, "GCP storage"),
        Store::Azure(_) => (built.azure, "Azure storage"),
        Store::AliOss(_) => (built.alioss, "AliOSS storage"),
    }
}
