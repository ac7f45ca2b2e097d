//! How good a bid is, and when it is made (psrpc-wire.md §2.5, §6.2, §9 #9; egress-behaviour.md §6.8).
//!
//! The client takes the **first** bid of 1 or more at once and waits half a second for anything lower. Upstream bids 0.5
//! when idle, so that busy machines fill up first, and pays with half a second per start on an idle fleet. Here the order
//! of arrival does that job:
//!
//! ```text
//!                        light job            heavy job (browser, or a large share of the machine)
//! busy, room to spare    1.0 at once          1.0 at once
//! idle                   1.0 after 12 ms      1.0 at once
//! already runs it        1.0 at once          1.0 at once
//! cannot                 silence, or a short wait when only other bids are in the way
//! ```
//!
//! So light jobs collect on machines that already work, heavy ones find an empty machine, and nobody waits.

use crate::admission::Denial;
use recording::cost::Cost;
use std::time::Duration;

/// How to bid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// What an able and idle machine bids. Below 1, as upstream's 0.5, clients wait 500 ms for better ones.
    pub idle_affinity: f32,
    /// How long an idle machine leaves light jobs to busy ones. More than the jitter of a local network, less than
    /// anybody notices.
    pub idle_delay: Duration,
    /// A job up to this share of the machine is light, if it needs no browser.
    pub light_share: f64,
    /// How long an ask may wait for other bids to be decided. Less than the second after which clients give up.
    pub patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            idle_affinity: 1.0,
            idle_delay: Duration::from_millis(12),
            light_share: 0.25,
            patience: Duration::from_millis(700),
        }
    }
}

impl Policy {
    /// Upstream's rule: 0.5 when idle.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            idle_affinity: 0.5,
            idle_delay: Duration::ZERO,
            ..Self::default()
        }
    }

    /// The bid for something that fits.
    #[must_use]
    pub fn offer(&self, need: &Cost, cores: f64, busy: bool) -> Offer {
        if busy {
            return Offer::NOW;
        }
        let light = !need.browser && need.needed_cpu <= cores * self.light_share;
        Offer {
            affinity: self.idle_affinity,
            delay: if light {
                self.idle_delay
            } else {
                Duration::ZERO
            },
        }
    }
}

/// A bid to be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    /// 1: taken at once.
    pub affinity: f32,
    /// When, from now.
    pub delay: Duration,
}

impl Offer {
    /// Take me.
    pub const NOW: Self = Self {
        affinity: 1.0,
        delay: Duration::ZERO,
    };
}

/// Why no bid is made; for logs and metrics, peers see silence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Decline {
    /// A drain has begun.
    #[error("server is shutting down")]
    Draining,
    /// Nothing could be reported about it.
    #[error("no IOInfo server answers")]
    Unreported,
    /// A recording of this name is being taken down here, or its end is not told yet.
    #[error("egress is still being cleaned up")]
    CleaningUp,
    /// No room.
    #[error("{0}")]
    Full(#[from] Denial),
    /// Too many asks wait for other bids to be decided.
    #[error("too many requests at once")]
    Crowded,
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::cost::{Class, Table};

    #[test]
    fn light_jobs_are_left_to_busy_machines_for_a_moment_and_browsers_never_wait() {
        let policy = Policy::default();
        let costs = Table::default();
        let track = Class::Track.cost(&costs);
        let web = Class::Web.cost(&costs);
        assert_eq!(policy.offer(&track, 4.0, true), Offer::NOW);
        assert_eq!(
            policy.offer(&track, 4.0, false).delay,
            Duration::from_millis(12)
        );
        assert!(policy.offer(&track, 4.0, false).affinity >= 1.0);
        assert_eq!(policy.offer(&track, 1.0, false), Offer::NOW, "half of it");
        assert_eq!(policy.offer(&web, 64.0, false), Offer::NOW);
        let classic = Policy::classic().offer(&track, 4.0, false);
        assert!((classic.affinity - 0.5).abs() < 1e-6 && classic.delay.is_zero());
    }
}
