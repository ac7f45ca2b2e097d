//! The two clocks, read once per turn by the driver.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines and durations.
    pub mono: Instant,
    /// For what people and peers see.
    pub wall: SystemTime,
}

impl Now {
    /// The wall clock in Unix nanoseconds, as `EgressInfo` has it; 0 before 1970.
    #[must_use]
    pub fn unix_nanos(&self) -> i64 {
        let since = self
            .wall
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }
}
