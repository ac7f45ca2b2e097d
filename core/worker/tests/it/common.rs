//! A beginning of virtual time, a plan, a random number: what every test of a worker needs.

use recording::cost::{Class, Cost, Table};
use recording::plan::{
    AudioPath, Container, Destination, FileOutput, Identity, Limits, Media, Output, Outputs,
    RequestType, Room, Source, Store, Subject,
};
use recording::{EgressId, Now, Plan, Secret};
use std::time::{Duration, Instant, SystemTime};

/// An arbitrary beginning.
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
pub(crate) fn beginning() -> Instant {
    Instant::now() + Duration::from_secs(1000)
}

/// Both clocks, so long after the beginning.
pub(crate) fn at(beginning: Instant, since: Duration) -> Now {
    Now {
        mono: beginning + since,
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + since,
    }
}

/// Cores, without a browser.
pub(crate) fn need(cpu: f64) -> Cost {
    Cost {
        cpu,
        needed_cpu: cpu,
        browser: false,
        ..Class::Track.cost(&Table::default())
    }
}

/// Some valid id.
pub(crate) fn id(text: &str) -> EgressId {
    EgressId::new(text).expect("a usable id")
}

/// The smallest plan there is.
pub(crate) fn plan(egress: &EgressId) -> Box<Plan> {
    Box::new(Plan {
        identity: Identity {
            egress_id: egress.clone(),
            room_id: String::new(),
            room_name: "room".into(),
            retry_count: 0,
            requested_at: 0,
            request_type: RequestType::Track,
            redacted_request: Vec::new(),
        },
        source: Source::Room(Room {
            ws_url: "ws://localhost:7880".into(),
            token: Secret::new("token".into()),
            subject: Subject::Track { sid: "TR_1".into() },
        }),
        media: Media::Audio(AudioPath::Copy),
        outputs: Outputs {
            first: Output::File(FileOutput {
                container: Container::Ogg,
                storage_path: "a.ogg".into(),
                destination: Destination {
                    store: Store::Local,
                    prefix: String::new(),
                    presign: false,
                    backup: None,
                },
                manifest: false,
            }),
            rest: Vec::new(),
        },
        limits: Limits::default(),
    })
}

/// splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly, both ends included.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.next() % ((to - from) * 1000 + 1))
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }

    #[expect(clippy::cast_precision_loss, reason = "a fraction is enough")]
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
