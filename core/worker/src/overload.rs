//! When the machine is used up: who is asked to stop, who is killed (egress-behaviour.md §6.9, §6.10, §15.3 #23).
//!
//! ```text
//! CPU, once per sample:
//!   load ≤ threshold ── five in a row ──► forget
//!   load > threshold, two recordings or more ── 10 in a row ──► the largest of those over their cost is asked to stop
//!                                            └─ 20 in a row ──► the largest of all, if recordings are what uses the CPU
//!   still above after the grace, and it has not ended ──► it is killed
//! memory:
//!   use > limit for the whole grace ──► the largest is killed; 10 s later, if it still is the largest: hurried; then the next
//! ```
//!
//! Upstream never stops anything as long as every recording stays within its cost, and kills one recording per second
//! while memory has not come back yet. When other processes use the CPU, ending recordings does not help: nothing is done.
//!
//! Knows numbers; how somebody is stopped or killed is the worker's business. "Killed" means: finish now, and be FAILED.

use crate::measure::Group;
use recording::{Code, EgressId, Fault};
use std::time::{Duration, Instant};

const LOWS_TO_FORGET: u32 = 5;
const HIGHS_TO_STOP: u32 = 10;
const HIGHS_TO_STOP_ANY: u32 = 20;

/// When to act.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Load above which the machine is overloaded, 0 … 1.
    pub threshold: f64,
    /// Asked to stop → killed (`cpu_kill_grace_sec`).
    pub cpu_grace: Duration,
    /// GiB; 0: no limit.
    pub max_memory: f64,
    /// Above the limit → killed (`memory_kill_grace_sec`).
    pub memory_grace: Duration,
    /// How long a kill may take to free memory before more is done.
    pub settle: Duration,
}

impl Policy {
    /// Upstream's: 0.95, or half way between the utilization and 1 when that is higher.
    #[must_use]
    pub fn new(max_cpu_utilization: f64, max_memory: f64) -> Self {
        Self {
            threshold: if max_cpu_utilization >= 0.95 {
                f64::midpoint(1.0, max_cpu_utilization)
            } else {
                0.95
            },
            cpu_grace: Duration::from_secs(30),
            max_memory,
            memory_grace: Duration::ZERO,
            settle: Duration::from_secs(10),
        }
    }
}

/// A recording that could be ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub egress: EgressId,
    /// What it uses.
    pub used: Group,
    /// Its cost: cores it may use.
    pub allowed: f64,
    /// How far it is on its way out.
    pub going: Going,
}

/// How far a recording is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Going {
    /// Recording.
    No,
    /// Asked to stop, by anybody.
    Stopping,
    /// Killed.
    Killed,
}

/// The machine as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Cores.
    pub cores: f64,
    /// 0 … 1.
    pub load: f64,
    /// GiB in use, by the configured source.
    pub memory: f64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask it to stop: end reason `CPU exhausted`, result `stopped_cpu`.
    Stop(EgressId),
    /// Result `killed_cpu`.
    KillCpu(EgressId, Fault),
    /// Result `killed_oom`.
    KillMemory(EgressId, Fault),
    /// It was killed and takes too long.
    Hurry(EgressId),
}

/// Watches.
#[derive(Debug, Clone)]
pub struct Watch {
    policy: Policy,
    lows: u32,
    highs: u32,
    stopping: Option<(EgressId, Instant)>,
    over_memory_since: Option<Instant>,
    memory_settles_at: Option<Instant>,
    hurried: Option<EgressId>,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            lows: 0,
            highs: 0,
            stopping: None,
            over_memory_since: None,
            memory_settles_at: None,
            hurried: None,
        }
    }

    /// One sample (one per second).
    pub fn look(
        &mut self,
        now: Instant,
        machine: Machine,
        candidates: &[Candidate],
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        actions.extend(self.cpu(now, machine, candidates));
        actions.extend(self.memory(now, machine, candidates));
        actions
    }

    fn cpu(&mut self, now: Instant, machine: Machine, candidates: &[Candidate]) -> Option<Action> {
        self.stopping
            .take_if(|(egress, _)| !candidates.iter().any(|c| c.egress == *egress));
        if machine.load <= self.policy.threshold {
            self.lows = self.lows.saturating_add(1);
            if self.lows >= LOWS_TO_FORGET {
                self.highs = 0;
                self.stopping = None;
            }
            return None;
        }
        self.lows = 0;
        if let Some((egress, kill_at)) = &self.stopping {
            if *kill_at > now {
                return None;
            }
            let victim = candidates.iter().find(|c| c.egress == *egress)?;
            self.stopping = None;
            if victim.going == Going::Killed {
                return None;
            }
            let fault = Fault::new(
                Code::PermissionDenied,
                format!("CPU exhausted: {:.2} cores used", victim.used.cpu),
            );
            return Some(Action::KillCpu(victim.egress.clone(), fault));
        }
        if candidates.len() <= 1 {
            return None;
        }
        self.highs = self.highs.saturating_add(1);
        if self.highs < HIGHS_TO_STOP {
            return None;
        }
        let ours: f64 = candidates.iter().map(|c| c.used.cpu).sum();
        let any = self.highs >= HIGHS_TO_STOP_ANY && ours >= machine.load * machine.cores / 2.0;
        let victim = candidates
            .iter()
            .filter(|c| c.going == Going::No && (any || c.used.cpu > c.allowed))
            .max_by(|a, b| a.used.cpu.total_cmp(&b.used.cpu))?;
        self.highs = 0;
        self.stopping = Some((victim.egress.clone(), now + self.policy.cpu_grace));
        Some(Action::Stop(victim.egress.clone()))
    }

    fn memory(
        &mut self,
        now: Instant,
        machine: Machine,
        candidates: &[Candidate],
    ) -> Option<Action> {
        let limit = self.policy.max_memory;
        if limit <= 0.0 || machine.memory <= limit {
            self.over_memory_since = None;
            self.memory_settles_at = None;
            return None;
        }
        let since = *self.over_memory_since.get_or_insert(now);
        if now < since + self.policy.memory_grace
            || self.memory_settles_at.is_some_and(|at| now < at)
        {
            return None;
        }
        let largest = |c: &&Candidate| c.used.rss;
        let first = candidates.iter().max_by_key(largest)?;
        self.memory_settles_at = Some(now + self.policy.settle);
        if first.going == Going::Killed && self.hurried.as_ref() != Some(&first.egress) {
            self.hurried = Some(first.egress.clone());
            return Some(Action::Hurry(first.egress.clone()));
        }
        let victim = candidates
            .iter()
            .filter(|c| c.going < Going::Killed)
            .max_by_key(largest)?;
        let fault = Fault::new(
            Code::PermissionDenied,
            format!("OOM: {:.2} GB used", victim.used.rss_gib()),
        );
        Some(Action::KillMemory(victim.egress.clone(), fault))
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an arbitrary beginning of virtual time"
)]
mod tests {
    use super::*;

    fn candidate(name: &str, cpu: f64, rss: f64, allowed: f64) -> Candidate {
        Candidate {
            egress: EgressId::new(name).unwrap(),
            used: Group::of(cpu, rss),
            allowed,
            going: Going::No,
        }
    }

    fn machine(load: f64, memory: f64) -> Machine {
        Machine {
            cores: 4.0,
            load,
            memory,
        }
    }

    fn second(t: Instant, n: u64) -> Instant {
        t + Duration::from_secs(n)
    }

    #[test]
    fn the_largest_over_its_cost_is_stopped_after_ten_seconds_and_killed_after_the_grace() {
        let t = Instant::now();
        let mut watch = Watch::new(Policy::new(0.8, 0.0));
        let mut all = [
            candidate("a", 1.9, 0.0, 2.0),
            candidate("b", 1.2, 0.0, 1.0),
            candidate("c", 0.8, 0.0, 0.5),
        ];
        let mut seen = Vec::new();
        for n in 1..=60 {
            for action in watch.look(second(t, n), machine(0.99, 0.0), &all) {
                if let Action::Stop(egress) = &action {
                    let victim = all.iter_mut().find(|c| c.egress == *egress).unwrap();
                    victim.going = Going::Stopping;
                }
                if let Action::KillCpu(egress, _) = &action {
                    let victim = all.iter_mut().find(|c| c.egress == *egress).unwrap();
                    victim.going = Going::Killed;
                }
                seen.push((n, action));
            }
        }
        let b = EgressId::new("b").unwrap();
        let c = EgressId::new("c").unwrap();
        let fault = Fault::new(Code::PermissionDenied, "CPU exhausted: 1.20 cores used");
        assert_eq!(
            seen,
            [
                (10, Action::Stop(b.clone())),
                (40, Action::KillCpu(b, fault)),
                (50, Action::Stop(c)),
            ]
        );
    }

    #[test]
    fn five_quiet_seconds_forget_and_one_recording_alone_may_use_everything() {
        let t = Instant::now();
        let mut watch = Watch::new(Policy::new(0.8, 0.0));
        let two = [candidate("a", 2.0, 0.0, 1.0), candidate("b", 2.0, 0.0, 4.0)];
        let mut n = 0;
        let mut look = |load: f64, all: &[Candidate]| {
            n += 1;
            watch.look(second(t, n), machine(load, 0.0), all)
        };
        for _ in 0..9 {
            assert_eq!(look(0.96, &two), []);
        }
        for _ in 0..5 {
            assert_eq!(look(0.95, &two), [], "not above");
        }
        for _ in 0..9 {
            assert_eq!(look(0.96, &two), []);
        }
        for _ in 0..4 {
            assert_eq!(look(0.5, &two), []);
        }
        assert_eq!(look(0.96, &two).len(), 1, "four are not enough to forget");
        let mut watch = Watch::new(Policy::new(0.8, 0.0));
        for n in 0..100 {
            let alone = watch.look(second(t, n), machine(1.0, 0.0), &two[..1]);
            assert_eq!(alone, []);
        }
    }

    #[test]
    fn nobody_over_cost_still_ends_an_overload_that_is_ours_but_not_a_foreign_one() {
        let t = Instant::now();
        let stops = |cpu: f64| {
            let mut watch = Watch::new(Policy::new(0.8, 0.0));
            let all = [candidate("a", cpu, 0.0, 4.0), candidate("b", 0.1, 0.0, 4.0)];
            (1..=25)
                .filter(|n| {
                    !watch
                        .look(second(t, *n), machine(1.0, 0.0), &all)
                        .is_empty()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(stops(3.0), [20]);
        assert_eq!(stops(1.0), Vec::<u64>::new());
    }

    #[test]
    fn memory_over_the_limit_for_the_grace_kills_the_largest_once() {
        let t = Instant::now();
        let mut watch = Watch::new(Policy {
            memory_grace: Duration::from_secs(3),
            ..Policy::new(0.8, 8.0)
        });
        let mut all = [candidate("a", 0.0, 2.0, 1.0), candidate("b", 0.0, 5.5, 1.0)];
        let mut seen = Vec::new();
        for n in 1..=30 {
            let memory = if n == 2 { 8.0 } else { 9.0 };
            for action in watch.look(second(t, n), machine(0.1, memory), &all) {
                if let Action::KillMemory(..) = action {
                    all[1].going = Going::Killed;
                }
                seen.push((n, action));
            }
        }
        let a = EgressId::new("a").unwrap();
        let b = EgressId::new("b").unwrap();
        let fault = |text: &str| Fault::new(Code::PermissionDenied, text);
        assert_eq!(
            seen,
            [
                (6, Action::KillMemory(b.clone(), fault("OOM: 5.50 GB used"))),
                (16, Action::Hurry(b)),
                (26, Action::KillMemory(a, fault("OOM: 2.00 GB used"))),
            ]
        );
    }

    #[test]
    fn the_threshold_follows_a_high_utilization() {
        assert!((Policy::new(0.8, 0.0).threshold - 0.95).abs() < 1e-9);
        assert!((Policy::new(0.96, 0.0).threshold - 0.98).abs() < 1e-9);
    }
}
