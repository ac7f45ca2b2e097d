//! What a recording is expected to need, by kind (egress-behaviour.md §6.4).
//!
//! Knows the operator's figures; not how a request is told to be of a kind, which is `recording`'s business.

/// Kinds of recordings that have a cost of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Room composite or template with video.
    RoomComposite,
    /// Room composite or template, sound only, in a browser.
    AudioRoomComposite,
    /// Room composite or template, sound only, from a seat in the room.
    SdkAudioRoomComposite,
    /// Web page with video.
    Web,
    /// Web page, sound only.
    AudioWeb,
    /// Participant, and v2 media that is encoded.
    Participant,
    /// Track composite.
    TrackComposite,
    /// Track, and v2 media that is passed through.
    Track,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::RoomComposite,
        Self::AudioRoomComposite,
        Self::SdkAudioRoomComposite,
        Self::Web,
        Self::AudioWeb,
        Self::Participant,
        Self::TrackComposite,
        Self::Track,
    ];

    /// As it is called in messages.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::RoomComposite => "room composite",
            Self::AudioRoomComposite | Self::SdkAudioRoomComposite => "audio room composite",
            Self::Web => "web",
            Self::AudioWeb => "audio web",
            Self::Participant => "participant",
            Self::TrackComposite => "track composite",
            Self::Track => "track",
        }
    }

    /// The configuration key of its CPU cost.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::RoomComposite => "cpu_cost.room_composite_cpu_cost",
            Self::AudioRoomComposite => "cpu_cost.audio_room_composite_cpu_cost",
            Self::SdkAudioRoomComposite => "cpu_cost.sdk_audio_room_composite_cpu_cost",
            Self::Web => "cpu_cost.web_cpu_cost",
            Self::AudioWeb => "cpu_cost.audio_web_cpu_cost",
            Self::Participant => "cpu_cost.participant_cpu_cost",
            Self::TrackComposite => "cpu_cost.track_composite_cpu_cost",
            Self::Track => "cpu_cost.track_cpu_cost",
        }
    }
}

/// What one recording is expected to need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Need {
    /// Of which kind it is.
    pub kind: Kind,
    /// Cores, by configuration.
    pub cpu: f64,
    /// GiB, by configuration.
    pub memory: f64,
    /// It opens a browser (so the native composition of a room does not).
    pub browser: bool,
    /// `estimated_cpu` of the request: replaces `cpu` in the comparison, never in the reservation (§6.7).
    pub estimate: Option<f64>,
}

impl Need {
    /// The same with the request's `estimated_cpu`; zero, negative and not-a-number mean none.
    #[must_use]
    pub fn estimated(self, cpu: f64) -> Self {
        Self {
            estimate: (cpu.is_finite() && cpu > 0.0).then_some(cpu),
            ..self
        }
    }

    /// The same with or without a browser.
    #[must_use]
    pub fn in_browser(self, browser: bool) -> Self {
        Self { browser, ..self }
    }

    /// Cores that must be free to accept it.
    #[must_use]
    pub fn asked(&self) -> f64 {
        self.estimate.unwrap_or(self.cpu)
    }
}

/// The operator's figures: cores and GiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// [`Kind::RoomComposite`].
    pub room_composite: f64,
    /// [`Kind::AudioRoomComposite`].
    pub audio_room_composite: f64,
    /// [`Kind::SdkAudioRoomComposite`]; `None`: as with a browser.
    pub sdk_audio_room_composite: Option<f64>,
    /// [`Kind::Web`].
    pub web: f64,
    /// [`Kind::AudioWeb`].
    pub audio_web: f64,
    /// [`Kind::Participant`].
    pub participant: f64,
    /// [`Kind::TrackComposite`].
    pub track_composite: f64,
    /// [`Kind::Track`].
    pub track: f64,
    /// Every kind without a figure of its own.
    pub memory: f64,
    /// [`Kind::SdkAudioRoomComposite`]; `None`: as every kind.
    pub sdk_audio_room_composite_memory: Option<f64>,
}

impl Default for Costs {
    /// Upstream's defaults (§6.4).
    fn default() -> Self {
        Self {
            room_composite: 4.0,
            audio_room_composite: 1.0,
            sdk_audio_room_composite: None,
            web: 4.0,
            audio_web: 1.0,
            participant: 2.0,
            track_composite: 1.0,
            track: 0.5,
            memory: 0.0,
            sdk_audio_room_composite_memory: None,
        }
    }
}

impl Costs {
    /// The figures of a kind. Figures that are not positive fall back to the defaults.
    #[must_use]
    pub fn need(&self, kind: Kind) -> Need {
        let or = |given: f64, default: f64| {
            if given.is_finite() && given > 0.0 {
                given
            } else {
                default
            }
        };
        let audio = or(self.audio_room_composite, 1.0);
        let every = or(self.memory, 0.0);
        let (cpu, memory, browser) = match kind {
            Kind::RoomComposite => (or(self.room_composite, 4.0), every, true),
            Kind::AudioRoomComposite => (audio, every, true),
            Kind::SdkAudioRoomComposite => (
                or(self.sdk_audio_room_composite.unwrap_or(audio), audio),
                or(self.sdk_audio_room_composite_memory.unwrap_or(every), every),
                false,
            ),
            Kind::Web => (or(self.web, 4.0), every, true),
            Kind::AudioWeb => (or(self.audio_web, 1.0), every, true),
            Kind::Participant => (or(self.participant, 2.0), every, false),
            Kind::TrackComposite => (or(self.track_composite, 1.0), every, false),
            Kind::Track => (or(self.track, 0.5), every, false),
        };
        Need {
            kind,
            cpu,
            memory,
            browser,
            estimate: None,
        }
    }

    /// What can never be recorded on a machine with so many cores, for the log at start.
    ///
    /// # Errors
    ///
    /// Nothing at all fits: the worker is useless here and should not start.
    pub fn fit(&self, cores: f64) -> Result<Vec<Misfit>, NotEnoughCpu> {
        let misfits: Vec<Misfit> = Kind::ALL
            .into_iter()
            .map(|kind| self.need(kind))
            .filter(|need| need.cpu > cores)
            .map(|need| Misfit { need, cores })
            .collect();
        if misfits.len() == Kind::ALL.len() {
            let smallest = Kind::ALL
                .into_iter()
                .map(|kind| self.need(kind).cpu)
                .fold(f64::INFINITY, f64::min);
            return Err(NotEnoughCpu { cores, smallest });
        }
        Ok(misfits)
    }
}

/// A kind that costs more than the whole machine has.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{} egress needs {:.2} cores, this machine has {cores:.2}: it will never be accepted here; lower {}",
    need.kind.label(), need.cpu, need.kind.key()
)]
pub struct Misfit {
    /// What does not fit.
    pub need: Need,
    /// Cores of the machine.
    pub cores: f64,
}

/// The machine is too small for every kind.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "not enough cpu: the smallest cpu_cost is {smallest:.2} cores, this machine has {cores:.2}"
)]
pub struct NotEnoughCpu {
    /// Cores of the machine.
    pub cores: f64,
    /// The smallest of all costs.
    pub smallest: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_make_no_sense_fall_back() {
        let costs = Costs {
            web: -1.0,
            track: f64::NAN,
            audio_room_composite: 0.7,
            sdk_audio_room_composite: Some(0.0),
            memory: -3.0,
            ..Costs::default()
        };
        let cpu = |kind| costs.need(kind).cpu;
        assert!((cpu(Kind::Web) - 4.0).abs() < 1e-9);
        assert!((cpu(Kind::Track) - 0.5).abs() < 1e-9);
        assert!((cpu(Kind::SdkAudioRoomComposite) - 0.7).abs() < 1e-9);
        assert!(costs.need(Kind::Web).memory.abs() < 1e-9);
    }

    #[test]
    fn an_estimate_is_compared_but_not_reserved() {
        let need = Costs::default().need(Kind::Web);
        assert!((need.asked() - 4.0).abs() < 1e-9);
        let estimated = need.estimated(1.5);
        assert!((estimated.asked() - 1.5).abs() < 1e-9);
        assert!((estimated.cpu - 4.0).abs() < 1e-9);
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(need.estimated(none).estimate, None);
        }
    }

    #[test]
    fn a_small_machine_is_told_what_it_cannot_do() {
        let misfits = Costs::default().fit(2.0).unwrap();
        let texts: Vec<String> = misfits.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "room composite egress needs 4.00 cores, this machine has 2.00: it will never be accepted here; \
                 lower cpu_cost.room_composite_cpu_cost",
                "web egress needs 4.00 cores, this machine has 2.00: it will never be accepted here; \
                 lower cpu_cost.web_cpu_cost",
            ]
        );
        let error = Costs::default().fit(0.25).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not enough cpu: the smallest cpu_cost is 0.50 cores, this machine has 0.25"
        );
    }
}
