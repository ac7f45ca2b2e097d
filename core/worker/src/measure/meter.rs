//! Two readings → what was used between them (egress-behaviour.md §6.6).
//!
//! ```text
//! first reading ─► nothing (a since-boot average is not a load: §15.3 #20)
//! every further ─► Sample { idle, load, per group: CPU and memory }
//! ```
//!
//! A process belongs to the child it descends from, or whose process group it is in: a browser that outlives its
//! recorder is adopted by init but keeps its group. Times are in ticks of both files, so no clock is needed: host ticks
//! ÷ host cores is the time that passed.

use super::{GIB, Reading, gib};
use crate::id::ChildId;
use std::collections::BTreeMap;

/// What one child and everything under it uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Group {
    /// Cores.
    pub cpu: f64,
    /// Σ RSS, bytes; shared pages count once per process.
    pub rss: u64,
    /// Σ PSS, bytes, where it was read for all of its processes.
    pub pss: Option<u64>,
}

/// What was used between two readings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Cores of the budget that nobody used; 0 when more than the budget was used.
    pub idle: f64,
    /// 1 − idle ÷ cores: 0 … 1.
    pub load: f64,
    /// Per child.
    pub groups: BTreeMap<ChildId, Group>,
    /// Σ RSS of all visible processes, GiB.
    pub rss: f64,
    /// cgroup memory in use, GiB; `None`: unreadable.
    pub cgroup: Option<f64>,
}

/// Turns readings into samples.
#[derive(Debug, Clone)]
pub struct Meter {
    cores: f64,
    last: Option<Last>,
}

#[derive(Debug, Clone)]
struct Last {
    host_ticks: u64,
    /// (pid, start) → ticks
    processes: BTreeMap<(u32, u64), u64>,
}

impl Meter {
    /// `cores` is the budget ([`super::cgroup::count`]).
    #[must_use]
    pub fn new(cores: f64) -> Self {
        Self { cores, last: None }
    }

    /// What was used since the previous reading; `None` for the first one, and when no time passed.
    /// `children` are the process ids of the children (leaders of their groups).
    pub fn take(&mut self, reading: &Reading, children: &BTreeMap<u32, ChildId>) -> Option<Sample> {
        let processes = reading
            .processes
            .iter()
            .map(|process| ((process.pid, process.started), process.ticks))
            .collect();
        let last = self.last.replace(Last {
            host_ticks: reading.host.ticks,
            processes,
        })?;
        let passed = reading.host.ticks.checked_sub(last.host_ticks)?;
        if passed == 0 {
            return None;
        }
        let parents: BTreeMap<u32, u32> = reading
            .processes
            .iter()
            .map(|process| (process.pid, process.parent))
            .collect();
        let mut sample = Sample {
            cgroup: reading.cgroup_memory.map(gib),
            ..Sample::default()
        };
        let mut used = 0.0;
        for process in &reading.processes {
            // one not seen before began since then: all of its time is new
            let before = last
                .processes
                .get(&(process.pid, process.started))
                .copied()
                .unwrap_or(0);
            let ticks = process.ticks.saturating_sub(before);
            let cpu = share(ticks, passed) * f64::from(reading.host.cores);
            used += cpu;
            sample.rss += gib(process.rss);
            let Some(child) = owner(process.pid, process.group, &parents, children) else {
                continue;
            };
            sample
                .groups
                .entry(child)
                .and_modify(|group| {
                    group.cpu += cpu;
                    group.rss = group.rss.saturating_add(process.rss);
                    group.pss = group
                        .pss
                        .zip(process.pss)
                        .map(|(sum, more)| sum.saturating_add(more));
                })
                .or_insert(Group {
                    cpu,
                    rss: process.rss,
                    pss: process.pss,
                });
        }
        sample.idle = (self.cores - used).max(0.0);
        sample.load = if self.cores > 0.0 {
            1.0 - sample.idle / self.cores
        } else {
            1.0
        };
        Some(sample)
    }
}

impl Group {
    /// Σ RSS in GiB.
    #[must_use]
    pub fn rss_gib(&self) -> f64 {
        gib(self.rss)
    }

    /// A group of that size, for tests and synthetic samples; not more precise than a byte.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped; synthetic values"
    )]
    pub fn of(cpu: f64, rss_gib: f64) -> Self {
        Self {
            cpu,
            rss: (rss_gib.max(0.0) * GIB) as u64,
            pss: None,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks between two readings are far below 2^53"
)]
fn share(ticks: u64, passed: u64) -> f64 {
    ticks as f64 / passed as f64
}

fn owner(
    pid: u32,
    group: u32,
    parents: &BTreeMap<u32, u32>,
    children: &BTreeMap<u32, ChildId>,
) -> Option<ChildId> {
    let mut at = pid;
    // bounded: a torn listing may contain a cycle
    for _ in 0..64 {
        if let Some(child) = children.get(&at) {
            return Some(*child);
        }
        match parents.get(&at) {
            Some(&parent) if parent != at && parent > 1 => at = parent,
            Some(_) | None => break,
        }
    }
    children.get(&group).copied()
}

#[cfg(test)]
mod tests {
    use super::super::{Host, Process};
    use super::*;

    fn process(pid: u32, parent: u32, group: u32, ticks: u64) -> Process {
        Process {
            pid,
            parent,
            group,
            ticks,
            started: 5,
            rss: 1 << 30,
            pss: None,
        }
    }

    fn reading(ticks: u64, processes: Vec<Process>) -> Reading {
        Reading {
            host: Host { ticks, cores: 4 },
            processes,
            cgroup_memory: Some(3 << 30),
        }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn the_first_reading_says_nothing() {
        let mut meter = Meter::new(4.0);
        let children = BTreeMap::new();
        let busy = reading(1_000_000, vec![process(1, 0, 1, 900_000)]);
        assert_eq!(meter.take(&busy, &children), None);
        assert_eq!(meter.take(&busy, &children), None, "no time passed");
        let later = reading(1_000_400, vec![process(1, 0, 1, 900_000)]);
        let sample = meter.take(&later, &children).unwrap();
        close(sample.load, 0.0);
        close(sample.idle, 4.0);
    }

    #[test]
    fn descendants_and_orphans_of_a_group_count_for_their_child() {
        let mut meter = Meter::new(4.0);
        let children = BTreeMap::from([(100, ChildId(7)), (200, ChildId(8))]);
        let before = vec![
            process(10, 1, 10, 50),
            process(100, 10, 100, 100),
            process(101, 100, 100, 10),
            process(102, 101, 102, 0),
            process(200, 10, 200, 0),
        ];
        assert_eq!(meter.take(&reading(1000, before), &children), None);
        let after = vec![
            process(10, 1, 10, 60),     // the service itself: 0.1
            process(100, 10, 100, 150), // 0.5
            process(101, 100, 100, 30), // 0.2
            process(102, 101, 102, 30), // own group, found by descent: 0.3
            process(103, 1, 100, 40),   // new and orphaned, found by group: 0.4
            process(300, 1, 300, 100),  // somebody else's: 1.0
        ];
        // 400 ticks on 4 cores: one second
        let sample = meter.take(&reading(1400, after), &children).unwrap();
        let group = sample.groups.get(&ChildId(7)).unwrap();
        close(group.cpu, 1.4);
        close(group.rss_gib(), 4.0);
        assert_eq!(sample.groups.get(&ChildId(8)), None, "it is gone");
        close(sample.idle, 4.0 - 2.5);
        close(sample.load, 2.5 / 4.0);
        close(sample.rss, 6.0);
        close(sample.cgroup.unwrap(), 3.0);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut meter = Meter::new(4.0);
        let children = BTreeMap::new();
        meter.take(&reading(1000, vec![process(10, 1, 10, 500)]), &children);
        let mut fresh = process(10, 1, 10, 100);
        fresh.started = 99;
        let sample = meter.take(&reading(1400, vec![fresh]), &children).unwrap();
        close(sample.idle, 3.0);
    }

    #[test]
    fn cycles_and_more_use_than_budget_are_survived() {
        let mut meter = Meter::new(1.0);
        let children = BTreeMap::from([(9, ChildId(1))]);
        let cycle = |ticks| vec![process(5, 6, 5, ticks), process(6, 5, 6, ticks)];
        meter.take(&reading(1000, cycle(0)), &children);
        let sample = meter.take(&reading(1400, cycle(400)), &children).unwrap();
        close(sample.idle, 0.0);
        close(sample.load, 1.0);
    }
}
