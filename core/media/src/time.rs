//! Media time: nanoseconds since the recording began.

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A point in media time, in nanoseconds since the recording began. Never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The beginning of the recording.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds since the beginning.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point moved later by `d`, saturating.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// This point in units of `1/timescale` seconds, rounded to nearest.
    #[must_use]
    pub fn in_timescale(self, timescale: u32) -> u64 {
        let scaled = (u128::from(self.0) * u128::from(timescale) + 500_000_000) / 1_000_000_000;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}s",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}
