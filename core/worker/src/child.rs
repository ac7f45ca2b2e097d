//! One child process: alive, asked to go, made to go, gone (house.md, Processes; egress-behaviour.md §15.1 #3).
//!
//! ```text
//! Starting ── ready ──► Running ── final report ──► Finished (10 s to exit)
//!    │ 10 s                │ stop, kill, link closed      │
//!    ▼                     ▼                              ▼
//!  too late ─────────► Leaving:  asked ── grace ──► SIGTERM ── grace ──► SIGKILL of the group, again every 10 s
//!                                                                              │
//!            exited (its group is killed: no browser outlives it) ◄────────────┘
//!               │ descriptors closed, or 5 s
//!               ▼
//!             Gone
//! ```
//!
//! Upstream has no ladder: a wedged handler survives its kill and the drain never ends. Here every wait has an end. A
//! child that was asked to stop and shows no sign of it is wedged; one that answers may take as long as its uploads may.
//!
//! Knows one child and time; not what it records. With several recordings in one child (later) the ladder is
//! for the whole child; a single one is stopped over the link.

use std::time::{Duration, Instant};

/// How long is waited, and for what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Graces {
    /// Spawn → ready (upstream: 10 s).
    pub ready: Duration,
    /// Stop sent → any sign of it.
    pub acknowledge: Duration,
    /// Stop sent → exit, with uploads (upstream: `max_upload_queue`, 60 min).
    pub stop: Duration,
    /// Kill sent → exit: it still drains and uploads what there is.
    pub kill: Duration,
    /// The same once somebody has asked twice.
    pub hurry: Duration,
    /// Final report → exit.
    pub exit: Duration,
    /// Link closed → SIGTERM: a child without its worker drains by itself.
    pub orphan: Duration,
    /// SIGTERM → SIGKILL.
    pub terminate: Duration,
    /// SIGTERM → SIGKILL when in a hurry, or when nothing was recorded yet.
    pub terminate_soon: Duration,
    /// SIGKILL → SIGKILL again.
    pub again: Duration,
    /// Exit → the link is dropped though something still holds the other end.
    pub descriptors: Duration,
}

impl Default for Graces {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(10),
            acknowledge: Duration::from_secs(45),
            stop: Duration::from_secs(60 * 60),
            kill: Duration::from_secs(5 * 60),
            hurry: Duration::from_secs(5),
            exit: Duration::from_secs(10),
            orphan: Duration::from_secs(60),
            terminate: Duration::from_secs(30),
            terminate_soon: Duration::from_secs(3),
            again: Duration::from_secs(10),
            descriptors: Duration::from_secs(5),
        }
    }
}

/// How urgently a child should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Finish properly.
    Stop,
    /// Finish, but within minutes.
    Kill,
    /// Finish within seconds.
    Hurry,
    /// Nothing is worth keeping: SIGTERM at once.
    Abort,
}

/// A signal for a process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// Exit code 0.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self == Self::Code(0)
    }
}

/// As Go's `exec.ExitError` prints it: upstream's error texts of crashed handlers.
impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Code(code) => return write!(f, "exit status {code}"),
            Self::Signal(1) => "hangup",
            Self::Signal(2) => "interrupt",
            Self::Signal(3) => "quit",
            Self::Signal(4) => "illegal instruction",
            Self::Signal(6) => "aborted",
            Self::Signal(7) => "bus error",
            Self::Signal(8) => "floating point exception",
            Self::Signal(9) => "killed",
            Self::Signal(11) => "segmentation fault",
            Self::Signal(13) => "broken pipe",
            Self::Signal(15) => "terminated",
            Self::Signal(number) => return write!(f, "signal: signal {number}"),
        };
        write!(f, "signal: {name}")
    }
}

/// What a deadline asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It was not ready in time; [`Child::press`] it with [`Urgency::Abort`].
    NotReady,
    /// Send to its group.
    Signal(Signal),
    /// It is gone but its link is held open by a stranger: drop our end.
    DropLink,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting {
        until: Instant,
    },
    Running,
    /// SIGTERM follows.
    Asked {
        until: Instant,
    },
    /// SIGKILL follows.
    Terminated {
        until: Instant,
    },
    /// SIGKILL follows again.
    Killed {
        until: Instant,
    },
    Exited {
        drop_link: Option<Instant>,
    },
}

/// One child.
#[derive(Debug, Clone)]
pub struct Child {
    graces: Graces,
    phase: Phase,
    urgency: Option<(Urgency, Instant)>,
    acknowledged: bool,
    /// Whatever it says, no later: it has nothing left to do, or nobody to say it to.
    ceiling: Option<Instant>,
    exit: Option<Exit>,
    closed: bool,
}

impl Child {
    /// Just being spawned.
    #[must_use]
    pub fn spawned(now: Instant, graces: Graces) -> Self {
        Self {
            graces,
            phase: Phase::Starting {
                until: now + graces.ready,
            },
            urgency: None,
            acknowledged: false,
            ceiling: None,
            exit: None,
            closed: false,
        }
    }

    /// Must be ready earlier than the usual limit (the caller gives up then).
    pub fn ready_by(&mut self, limit: Instant) {
        if let Phase::Starting { until } = &mut self.phase {
            *until = (*until).min(limit);
        }
    }

    /// It said that it is ready.
    pub fn ready(&mut self) {
        if let Phase::Starting { .. } = self.phase {
            self.phase = Phase::Running;
        }
    }

    /// It was asked to go (the caller sends the words). Never makes the end later.
    pub fn press(&mut self, now: Instant, urgency: Urgency) {
        if self.urgency.is_some_and(|(before, _)| before >= urgency) {
            return;
        }
        self.urgency = Some((urgency, now));
        let limit = match urgency {
            Urgency::Stop => now + self.graces.acknowledge,
            Urgency::Kill if self.acknowledged => now + self.graces.kill,
            Urgency::Kill => now + self.graces.acknowledge,
            Urgency::Hurry => now + self.graces.hurry,
            Urgency::Abort => now,
        };
        match &mut self.phase {
            Phase::Starting { .. } | Phase::Running => self.phase = Phase::Asked { until: limit },
            Phase::Asked { until } => *until = limit.min(*until),
            Phase::Terminated { until } if urgency >= Urgency::Hurry => {
                *until = (*until).min(now + self.graces.terminate_soon);
            }
            Phase::Terminated { .. } | Phase::Killed { .. } | Phase::Exited { .. } => {}
        }
    }

    /// A sign of life after it was asked to go: it may take its time now.
    pub fn alive(&mut self) {
        let Some((urgency, since)) = self.urgency else {
            return;
        };
        if self.acknowledged {
            return;
        }
        self.acknowledged = true;
        if let Phase::Asked { until } = &mut self.phase {
            let limit = match urgency {
                Urgency::Stop => since + self.graces.stop,
                Urgency::Kill => since + self.graces.kill,
                Urgency::Hurry | Urgency::Abort => *until,
            };
            *until = self.ceiling.map_or(limit, |ceiling| limit.min(ceiling));
        }
    }

    /// It made its final report and has nothing left to do.
    pub fn finished(&mut self, now: Instant) {
        let limit = now + self.graces.exit;
        self.ceiling = Some(limit);
        match &mut self.phase {
            Phase::Starting { .. } | Phase::Running => self.phase = Phase::Asked { until: limit },
            Phase::Asked { until } => *until = (*until).min(limit),
            Phase::Terminated { .. } | Phase::Killed { .. } | Phase::Exited { .. } => {}
        }
    }

    /// It was waited for. Always followed by a SIGKILL of its group, so that nothing it started outlives it.
    pub fn exited(&mut self, now: Instant, exit: Exit) {
        self.exit = Some(exit);
        self.phase = Phase::Exited {
            drop_link: (!self.closed).then(|| now + self.graces.descriptors),
        };
    }

    /// The other end of its link is closed.
    pub fn closed(&mut self, now: Instant) {
        self.closed = true;
        let limit = now + self.graces.orphan;
        self.ceiling = Some(self.ceiling.map_or(limit, |ceiling| ceiling.min(limit)));
        match &mut self.phase {
            Phase::Starting { .. } | Phase::Running => self.phase = Phase::Asked { until: limit },
            Phase::Asked { until } => *until = (*until).min(limit),
            Phase::Exited { drop_link } => *drop_link = None,
            Phase::Terminated { .. } | Phase::Killed { .. } => {}
        }
    }

    /// Nothing was spawned at all.
    pub fn never_was(&mut self) {
        self.closed = true;
        self.exit = None;
        self.phase = Phase::Exited { drop_link: None };
    }

    /// Exited and its descriptors closed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Exited { drop_link: None })
    }

    /// It was waited for; descriptors may still be open.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        matches!(self.phase, Phase::Exited { .. })
    }

    /// How it ended, once it did.
    #[must_use]
    pub const fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Somebody asked it to go.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.urgency.is_some()
    }

    /// The next deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { until }
            | Phase::Asked { until }
            | Phase::Terminated { until }
            | Phase::Killed { until } => Some(until),
            Phase::Exited { drop_link } => drop_link,
            Phase::Running => None,
        }
    }

    /// What is due now, if anything; call until `None`.
    pub fn due(&mut self, now: Instant) -> Option<Order> {
        if self.deadline().is_none_or(|until| until > now) {
            return None;
        }
        match self.phase {
            Phase::Running => None,
            Phase::Starting { .. } => {
                self.phase = Phase::Asked {
                    until: now + self.graces.terminate,
                };
                Some(Order::NotReady)
            }
            Phase::Asked { .. } => {
                let soon = self
                    .urgency
                    .is_some_and(|(urgency, _)| urgency >= Urgency::Hurry);
                let grace = if soon {
                    self.graces.terminate_soon
                } else {
                    self.graces.terminate
                };
                self.phase = Phase::Terminated { until: now + grace };
                Some(Order::Signal(Signal::Terminate))
            }
            Phase::Terminated { .. } | Phase::Killed { .. } => {
                self.phase = Phase::Killed {
                    until: now + self.graces.again,
                };
                Some(Order::Signal(Signal::Kill))
            }
            Phase::Exited { .. } => {
                self.closed = true;
                self.phase = Phase::Exited { drop_link: None };
                Some(Order::DropLink)
            }
        }
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

    fn running(t: Instant) -> Child {
        let mut child = Child::spawned(t, Graces::default());
        child.ready();
        child
    }

    /// (seconds after `t`, order) until nothing is due any more or `limit` seconds passed.
    fn timeline(child: &mut Child, t: Instant, limit: u64) -> Vec<(u64, Order)> {
        let mut seen = Vec::new();
        while let Some(at) = child.deadline().filter(|at| *at <= t + seconds(limit)) {
            while let Some(order) = child.due(at) {
                seen.push(((at - t).as_secs(), order));
            }
        }
        seen
    }

    const TERM: Order = Order::Signal(Signal::Terminate);
    const KILL: Order = Order::Signal(Signal::Kill);

    #[test]
    fn a_child_that_is_not_ready_in_time_is_reported_then_pressed() {
        let t = Instant::now();
        let mut child = Child::spawned(t, Graces::default());
        assert_eq!(child.due(t + seconds(9)), None);
        assert_eq!(child.due(t + seconds(10)), Some(Order::NotReady));
        child.press(t + seconds(10), Urgency::Abort);
        assert_eq!(timeline(&mut child, t, 14), [(10, TERM), (13, KILL)]);
    }

    #[test]
    fn a_wedged_child_is_terminated_then_killed_again_and_again() {
        let t = Instant::now();
        let mut child = running(t);
        child.press(t, Urgency::Stop);
        assert_eq!(
            timeline(&mut child, t, 100),
            [(45, TERM), (75, KILL), (85, KILL), (95, KILL)]
        );
    }

    #[test]
    fn a_child_that_answers_may_upload_for_long() {
        let t = Instant::now();
        let mut child = running(t);
        child.press(t, Urgency::Stop);
        child.alive();
        child.press(t, Urgency::Stop);
        assert_eq!(timeline(&mut child, t, 3630), [(3600, TERM), (3630, KILL)]);
    }

    #[test]
    fn more_urgency_shortens_and_never_lengthens() {
        let t = Instant::now();
        let mut child = running(t);
        child.press(t, Urgency::Stop);
        child.alive();
        child.press(t + seconds(10), Urgency::Kill);
        assert_eq!(child.deadline(), Some(t + seconds(310)));
        child.press(t + seconds(20), Urgency::Hurry);
        child.press(t + seconds(24), Urgency::Kill);
        assert_eq!(timeline(&mut child, t, 30), [(25, TERM), (28, KILL)]);
    }

    #[test]
    fn a_finished_child_must_exit() {
        let t = Instant::now();
        let mut child = running(t);
        child.finished(t);
        assert_eq!(timeline(&mut child, t, 40), [(10, TERM), (40, KILL)]);
    }

    #[test]
    fn gone_means_waited_for_and_descriptors_closed_in_either_order() {
        let t = Instant::now();
        let mut child = running(t);
        child.exited(t, Exit::Signal(9));
        assert!(child.has_exited() && !child.is_gone());
        child.closed(t);
        assert!(child.is_gone());
        let mut child = running(t);
        child.closed(t);
        assert!(!child.is_gone());
        child.exited(t, Exit::Code(0));
        assert!(child.is_gone());
        assert_eq!(child.deadline(), None);
    }

    #[test]
    fn a_stranger_that_holds_the_link_open_is_not_waited_for() {
        let t = Instant::now();
        let mut child = running(t);
        child.exited(t, Exit::Code(0));
        assert_eq!(timeline(&mut child, t, 60), [(5, Order::DropLink)]);
        assert!(child.is_gone());
    }

    #[test]
    fn exits_read_as_upstream_prints_them() {
        assert_eq!(Exit::Code(1).to_string(), "exit status 1");
        assert_eq!(Exit::Signal(9).to_string(), "signal: killed");
        assert_eq!(Exit::Signal(11).to_string(), "signal: segmentation fault");
    }
}
