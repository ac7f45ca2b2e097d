//! Does IOInfo answer? A worker that cannot report must not accept (psrpc-wire.md §4.1 #4, §9 #13).
//!
//! ```text
//! healthy ── several unanswered calls in a row ──► unhealthy ── any answer ──► healthy
//!                                                    │ probes, 2 s … 10 s apart, while nothing else would tell
//!                                                    └─ 10 min ──► exhausted: the worker drains (§7.6)
//! ```
//!
//! Upstream is unhealthy after one failure, which takes all workers out of rotation when a server restarts.

use std::time::{Duration, Instant};

/// When to believe it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// So many unanswered calls in a row …
    pub failures: u32,
    /// … over at least this time (one start alone tries several times within seconds) …
    pub least: Duration,
    /// … or two, this far apart, without an answer in between.
    pub window: Duration,
    /// Unhealthy for so long: the worker drains. `None`: never.
    pub exhausted: Option<Duration>,
    /// The first pause before a probe.
    pub probe: Duration,
    /// The longest pause before a probe.
    pub longest_probe: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failures: 3,
            least: Duration::from_secs(5),
            window: Duration::from_secs(30),
            exhausted: Some(Duration::from_secs(600)),
            probe: Duration::from_secs(2),
            longest_probe: Duration::from_secs(10),
        }
    }
}

/// What is known about IOInfo.
#[derive(Debug, Clone)]
pub struct Health {
    policy: Policy,
    failures: u32,
    first: Option<Instant>,
    unhealthy_since: Option<Instant>,
    probe_at: Option<Instant>,
    pause: Duration,
    probing: bool,
}

impl Health {
    /// Healthy until proven otherwise.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            failures: 0,
            first: None,
            unhealthy_since: None,
            probe_at: None,
            pause: policy.probe,
            probing: false,
        }
    }

    /// Somebody answered, whatever it was.
    pub fn success(&mut self) {
        *self = Self {
            probing: self.probing,
            ..Self::new(self.policy)
        };
    }

    /// Nobody answered.
    pub fn failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let first = *self.first.get_or_insert(now);
        let lasted = now.saturating_duration_since(first);
        let proven = (self.failures >= self.policy.failures && lasted >= self.policy.least)
            || (self.failures >= 2 && lasted >= self.policy.window);
        if proven && self.unhealthy_since.is_none() {
            self.unhealthy_since = Some(now);
            self.probe_at = Some(now + self.pause);
        }
    }

    /// Nothing should be accepted now.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.unhealthy_since.is_some()
    }

    /// Unhealthy for too long.
    #[must_use]
    pub fn is_exhausted(&self, now: Instant) -> bool {
        self.exhausted_at().is_some_and(|at| at <= now)
    }

    /// A probe is due; it must be answered with [`Health::probed`]. Not while `calling`: that answer will tell.
    pub fn due(&mut self, now: Instant, calling: bool) -> bool {
        if self.probing || self.probe_at.is_none_or(|at| at > now) {
            return false;
        }
        self.pause = (self.pause * 2).min(self.policy.longest_probe);
        self.probe_at = Some(now + self.pause);
        self.probing = !calling;
        !calling
    }

    /// The probe was answered (an error is an answer too), or not.
    pub fn probed(&mut self, now: Instant, answered: bool) {
        self.probing = false;
        if answered {
            self.success();
        } else {
            self.failure(now);
        }
    }

    /// When the next probe is due.
    #[must_use]
    pub fn probe_at(&self) -> Option<Instant> {
        self.probe_at.filter(|_| !self.probing)
    }

    /// When it will have been unhealthy for too long.
    #[must_use]
    pub fn exhausted_at(&self) -> Option<Instant> {
        Some(self.unhealthy_since? + self.policy.exhausted?)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an arbitrary beginning of virtual time"
)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn one_failure_is_not_an_outage() {
        let t = Instant::now() + seconds(100);
        let mut health = Health::new(Policy::default());
        health.failure(t);
        health.failure(t + seconds(1));
        assert!(!health.is_unhealthy());
        health.failure(t + seconds(2));
        assert!(!health.is_unhealthy(), "three, but of one moment");
        health.failure(t + seconds(5));
        assert!(health.is_unhealthy());
        health.success();
        assert!(!health.is_unhealthy());
        health.failure(t);
        health.failure(t + seconds(30));
        assert!(health.is_unhealthy(), "two, half a minute apart");
    }

    #[test]
    fn an_unhealthy_worker_probes_and_gives_up_after_ten_minutes() {
        let t = Instant::now() + seconds(100);
        let mut health = Health::new(Policy::default());
        for ago in [10, 5, 0] {
            health.failure(t - seconds(ago));
        }
        let mut probes = Vec::new();
        loop {
            let now = health.probe_at().unwrap();
            if health.is_exhausted(now) {
                break;
            }
            assert!(health.due(now, false));
            assert!(!health.due(now, false), "one at a time");
            probes.push((now - t).as_secs());
            health.probed(now, false);
        }
        assert_eq!(probes[..5], [2, 6, 14, 24, 34]);
        assert_eq!(health.exhausted_at(), Some(t + seconds(600)));
        assert!(!health.is_exhausted(t + seconds(599)));
        health.probed(t + seconds(599), true);
        assert_eq!((health.probe_at(), health.exhausted_at()), (None, None));
    }

    #[test]
    fn a_call_under_way_is_probe_enough() {
        let t = Instant::now() + seconds(100);
        let mut health = Health::new(Policy::default());
        for ago in [10, 5, 0] {
            health.failure(t - seconds(ago));
        }
        assert!(!health.due(t + seconds(2), true));
        assert_eq!(health.probe_at(), Some(t + seconds(6)));
    }
}
