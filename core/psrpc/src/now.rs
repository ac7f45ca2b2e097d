//! The time, as the driver read it. Owns nothing; knows no clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks, read once per turn by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For waiting.
    pub mono: Instant,
    /// For what peers are told and tell us (`sent_at`, `expiry`).
    pub wall: SystemTime,
}

impl Now {
    /// Unix nanoseconds of the wall clock, saturating.
    #[must_use]
    pub fn unix_nanos(&self) -> i64 {
        match self.wall.duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => nanos(before.duration()).saturating_neg(),
        }
    }
}

/// Nanoseconds of a duration, saturating.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// `at + after`, or a year later if that cannot be written.
pub(crate) fn later(at: Instant, after: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    at.checked_add(after.min(YEAR)).unwrap_or(at)
}
