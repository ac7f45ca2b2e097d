//! The exact frame grid: which tick a captured picture belongs to, and which ticks before it need a repeat.
//!
//! ```text
//! captured   ──●────●──────────────●─●──►      running time
//! tick       0    1    2    3    4    5        PTS of tick k = k·10⁹/fps ns, always
//! shown      ●    ●    ◦    ◦    ●             ◦ repeat of the picture before; a second picture on a tick is early
//! ```
//!
//! Tick 0 is media time zero, the moment the pipeline began to play, whether or not the screen was ready by then: the
//! first picture also fills the ticks before it. Knows no pixels and no clock.

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Where a picture goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Its tick already has a picture.
    Early,
    /// It belongs to `tick`; `missing` ticks right before it have no picture.
    Tick {
        /// Tick number.
        tick: u64,
        /// How many ticks directly before have nothing to show.
        missing: u64,
    },
}

/// Grid of one stream.
#[derive(Clone, Debug)]
pub struct Grid {
    fps: u64,
    next: u64,
}

impl Grid {
    /// A grid of so many frames per second; zero counts as one.
    #[must_use]
    pub fn new(fps: u32) -> Self {
        Self {
            fps: u64::from(fps.max(1)),
            next: 0,
        }
    }

    /// PTS of a tick in nanoseconds.
    #[must_use]
    pub fn pts(&self, tick: u64) -> u64 {
        let nanos = u128::from(tick) * u128::from(SECOND) / u128::from(self.fps);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Nanoseconds from a tick to the next.
    #[must_use]
    pub fn duration(&self, tick: u64) -> u64 {
        self.pts(tick.saturating_add(1)) - self.pts(tick)
    }

    /// Where a picture captured at `running` nanoseconds belongs. Changes nothing: see [`Grid::fill`].
    #[must_use]
    pub fn place(&self, running: u64) -> Place {
        let scaled = (u128::from(running) * u128::from(self.fps) + u128::from(SECOND / 2))
            / u128::from(SECOND);
        let tick = u64::try_from(scaled).unwrap_or(u64::MAX);
        if tick < self.next {
            Place::Early
        } else {
            Place::Tick {
                tick,
                missing: tick - self.next,
            }
        }
    }

    /// Everything up to and with `tick` is dealt with.
    pub fn fill(&mut self, tick: u64) {
        self.next = self.next.max(tick.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(grid: &mut Grid, running: u64) -> Place {
        let place = grid.place(running);
        if let Place::Tick { tick, .. } = place {
            grid.fill(tick);
        }
        place
    }

    #[test]
    fn regular_pictures_need_no_repeat() {
        for fps in [1, 24, 25, 30, 60] {
            let mut grid = Grid::new(fps);
            for tick in 0..10_000 {
                let at = grid.pts(tick);
                assert_eq!(take(&mut grid, at), Place::Tick { tick, missing: 0 });
            }
        }
    }

    #[test]
    fn jitter_below_half_a_tick_changes_nothing() {
        let mut grid = Grid::new(30);
        for tick in 1..1000u64 {
            let shift = (tick * 7_919) % 33 * 1_000_000;
            let at = grid.pts(tick) + shift.saturating_sub(16_000_000).min(16_000_000);
            let missing = u64::from(tick == 1);
            assert_eq!(take(&mut grid, at), Place::Tick { tick, missing });
        }
    }

    #[test]
    fn a_gap_is_reported_and_a_second_picture_of_a_tick_is_early() {
        let mut grid = Grid::new(30);
        assert_eq!(
            take(&mut grid, 100_000_000),
            Place::Tick {
                tick: 3,
                missing: 3
            }
        );
        assert_eq!(take(&mut grid, 110_000_000), Place::Early);
        assert_eq!(
            take(&mut grid, 200_000_000),
            Place::Tick {
                tick: 6,
                missing: 2
            }
        );
    }

    #[test]
    fn ticks_never_drift() {
        let grid = Grid::new(30);
        assert_eq!(grid.pts(30 * 3600 * 24), 24 * 3600 * SECOND);
        assert_eq!(grid.pts(1), 33_333_333);
        assert_eq!(
            grid.duration(0) + grid.duration(1) + grid.duration(2),
            SECOND / 10
        );
        assert_eq!(grid.place(u64::MAX), grid.place(u64::MAX));
    }
}
