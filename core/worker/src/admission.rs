//! What this machine has promised, and whether one more fits (egress-behaviour.md §6.7; psrpc-wire.md §9 #8).
//!
//! ```text
//!            lost · expired (1.5 s)
//!          ┌───────────────────────► free
//! ask ─► bid ── accepted ─► held ── 15 s, or settled ─► measured ── ended ─► free
//!         costs `cost`       costs max(cost, used)      costs `used`
//! ```
//!
//! A bid reserves, so two requests at the same moment cannot be promised the same cores (upstream reserves at the grant
//! and refuses the second one then). `estimated_cpu` replaces the cost in the comparison only: what is reserved is always
//! the operator's figure, as upstream.
//!
//! Knows cores, memory and time; not who asked, nor why.

use crate::id::{ChildId, RequestId};
use crate::measure::{Group, Sample};
use recording::cost::Cost;
use recording::{Code, EgressId, Refusal};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Free memory that must remain, GiB (§6.7).
pub const MEMORY_HEADROOM: f64 = 1.0;

/// Comparison slack, cores and GiB: sums of decimal fractions must not refuse what fits exactly.
const EPSILON: f64 = 1e-9;

/// Where memory use is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemorySource {
    /// Σ RSS of all processes.
    #[default]
    ProcRss,
    /// The cgroup's own figure; Σ RSS while that is unreadable.
    Cgroup,
}

/// What may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Cores of the machine ([`crate::measure::cgroup::count`]).
    pub cores: f64,
    /// Share of them recordings may use together; a first one may use all.
    pub max_cpu_utilization: f64,
    /// GiB; 0: no limit.
    pub max_memory: f64,
    /// Where memory use is read from.
    pub memory_source: MemorySource,
    /// How long a bid reserves. Longer than any client takes to choose (1 s), short enough not to block.
    pub bid: Duration,
    /// How long an accepted recording counts at least at its cost (upstream: 15 s).
    pub hold: Duration,
    /// Ends the hold earlier, so long after the recording became active. `None` (upstream): never earlier.
    pub settle: Option<Duration>,
}

impl Budget {
    /// Upstream's defaults for a machine with so many cores.
    #[must_use]
    pub fn new(cores: f64) -> Self {
        Self {
            cores,
            max_cpu_utilization: 0.8,
            max_memory: 0.0,
            memory_source: MemorySource::ProcRss,
            bid: Duration::from_millis(1500),
            hold: Duration::from_secs(15),
            settle: None,
        }
    }

    /// `max_cpu_utilization`, with upstream's default for values outside of (0, 1].
    #[must_use]
    pub fn utilization(&self) -> f64 {
        if self.max_cpu_utilization > 0.0 && self.max_cpu_utilization <= 1.0 {
            self.max_cpu_utilization
        } else {
            0.8
        }
    }
}

/// Why something does not fit, with the numbers.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Denial {
    /// More than the whole machine.
    #[error(
        "not enough CPU: {} egress needs {:.2} cores, this machine has {cores:.2} cores; lower cpu_cost.{}",
        need.class.label(), need.needed_cpu, need.class.key()
    )]
    TooBig {
        /// What was asked for.
        need: Cost,
        /// The machine.
        cores: f64,
    },
    /// Too much is in use or promised.
    #[error(
        "not enough CPU: {} egress needs {:.2} cores, {free:.2} of {cores:.2} are free (max_cpu_utilization {utilization})",
        need.class.label(), need.needed_cpu
    )]
    Cpu {
        /// What was asked for.
        need: Cost,
        /// Cores left.
        free: f64,
        /// The machine.
        cores: f64,
        /// The share that may be used.
        utilization: f64,
    },
    /// Too much is in use or promised.
    #[error(
        "not enough memory: {} egress needs {:.2} GB and {MEMORY_HEADROOM:.2} GB must stay free, \
         {used:.2} of {limit:.2} GB are used and {promised:.2} GB are promised (max_memory, by {source_name})",
        need.class.label(), need.memory_gb
    )]
    Memory {
        /// What was asked for.
        need: Cost,
        /// GiB in use.
        used: f64,
        /// GiB of recordings that have just begun.
        promised: f64,
        /// `max_memory`.
        limit: f64,
        /// Which figure `used` is: `proc_rss` or `cgroup`.
        source_name: &'static str,
    },
}

impl Denial {
    /// The answer a caller sees: somebody else may have room.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::new(Code::Unavailable, self.to_string())
    }
}

#[derive(Debug, Clone)]
struct Bid {
    request: RequestId,
    need: Cost,
    until: Instant,
}

#[derive(Debug, Clone)]
struct Job {
    child: ChildId,
    need: Cost,
    /// The hold's end; `None`: over, only what is measured counts.
    held: Option<Instant>,
    used: Group,
}

impl Job {
    fn cpu(&self) -> f64 {
        match self.held {
            Some(_) => self.need.cpu.max(self.used.cpu),
            None => self.used.cpu,
        }
    }
}

/// What is promised and used.
#[derive(Debug, Clone)]
pub struct Ledger {
    budget: Budget,
    bids: BTreeMap<EgressId, Bid>,
    jobs: BTreeMap<EgressId, Job>,
    rss: f64,
    cgroup: Option<f64>,
    load: f64,
    idle: f64,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            bids: BTreeMap::new(),
            jobs: BTreeMap::new(),
            rss: 0.0,
            cgroup: None,
            load: 0.0,
            idle: budget.cores,
        }
    }

    /// The limits.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// No recording runs and none is promised.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.bids.is_empty()
    }

    /// At least one recording runs.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Would one more fit, beside everything promised to others?
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, egress: Option<&EgressId>, need: &Cost) -> Result<(), Denial> {
        self.decide(egress, need, true)
    }

    /// Would it fit if every open bid were lost? Then waiting for those is worth while.
    #[must_use]
    pub fn would_fit_without_bids(&self, need: &Cost) -> bool {
        self.decide(None, need, false).is_ok()
    }

    /// Reserves for a bid. An older bid for the same recording is replaced.
    ///
    /// # Errors
    ///
    /// It does not fit; nothing is reserved.
    pub fn bid(
        &mut self,
        now: Instant,
        request: RequestId,
        egress: EgressId,
        need: Cost,
    ) -> Result<(), Denial> {
        self.check(Some(&egress), &need)?;
        let until = now + self.budget.bid;
        self.bids.insert(
            egress,
            Bid {
                request,
                need,
                until,
            },
        );
        Ok(())
    }

    /// The bid came to nothing. True when something was released.
    pub fn lost(&mut self, request: &RequestId) -> bool {
        let before = self.bids.len();
        self.bids.retain(|_, bid| bid.request != *request);
        self.bids.len() < before
    }

    /// Turns a bid into a hold; without a (live) bid it must fit now.
    ///
    /// # Errors
    ///
    /// It does not fit any more.
    pub fn accept(
        &mut self,
        now: Instant,
        egress: EgressId,
        child: ChildId,
        need: Cost,
    ) -> Result<(), Denial> {
        let promised = self
            .bids
            .get(&egress)
            .is_some_and(|bid| bid.until > now && bid.need == need);
        if !promised {
            self.check(Some(&egress), &need)?;
        }
        self.bids.remove(&egress);
        self.jobs.insert(
            egress,
            Job {
                child,
                need,
                held: Some(now + self.budget.hold),
                used: Group::default(),
            },
        );
        Ok(())
    }

    /// The recording is active: with `settle` configured its hold ends sooner.
    pub fn active(&mut self, now: Instant, egress: &EgressId) {
        let Some(settle) = self.budget.settle else {
            return;
        };
        if let Some(held) = self.jobs.get_mut(egress).and_then(|job| job.held.as_mut()) {
            *held = (*held).min(now + settle);
        }
    }

    /// The recording is gone with everything it used. True when something was released.
    pub fn release(&mut self, egress: &EgressId) -> bool {
        self.jobs.remove(egress).is_some()
    }

    /// Takes over what was measured.
    pub fn measured(&mut self, sample: &Sample) {
        self.rss = sample.rss;
        self.cgroup = sample.cgroup;
        self.load = sample.load;
        self.idle = sample.idle;
        for job in self.jobs.values_mut() {
            job.used = sample.groups.get(&job.child).copied().unwrap_or_default();
        }
    }

    /// Lets bids and holds go whose time is over. True when something was released.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.bids.len();
        self.bids.retain(|_, bid| bid.until > now);
        let mut released = self.bids.len() < before;
        for job in self.jobs.values_mut() {
            if job.held.is_some_and(|until| until <= now) {
                job.held = None;
                released = true;
            }
        }
        released
    }

    /// When [`Ledger::expire`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let bids = self.bids.values().map(|bid| bid.until);
        let holds = self.jobs.values().filter_map(|job| job.held);
        bids.chain(holds).min()
    }

    /// Cores a further request could have.
    #[must_use]
    pub fn free(&self) -> f64 {
        self.available(None, true)
    }

    /// Cores promised to bids and holds, at their cost.
    #[must_use]
    pub fn reserved(&self) -> f64 {
        let bids = self.bids.values().map(|bid| bid.need.cpu);
        let holds = self
            .jobs
            .values()
            .filter(|job| job.held.is_some())
            .map(|job| job.need.cpu);
        bids.chain(holds).sum()
    }

    /// How many recordings are promised or running.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bids.len() + self.jobs.len()
    }

    /// What a recording uses and what it may use: (measured, cost). `None` for unknown ones.
    #[must_use]
    pub fn usage(&self, egress: &EgressId) -> Option<(Group, f64)> {
        self.jobs.get(egress).map(|job| (job.used, job.need.cpu))
    }

    /// GiB in use, by the configured source, and which figure it is.
    #[must_use]
    pub fn memory(&self) -> (f64, &'static str) {
        match (self.budget.memory_source, self.cgroup) {
            (MemorySource::Cgroup, Some(used)) => (used, "cgroup"),
            (MemorySource::Cgroup, None) | (MemorySource::ProcRss, _) => (self.rss, "proc_rss"),
        }
    }

    /// 0 … 1 of all cores, as last measured.
    #[must_use]
    pub const fn load(&self) -> f64 {
        self.load
    }

    /// Cores nobody used, as last measured.
    #[must_use]
    pub const fn idle_cores(&self) -> f64 {
        self.idle
    }

    /// Σ RSS of everything visible, GiB.
    #[must_use]
    pub const fn rss(&self) -> f64 {
        self.rss
    }

    /// cgroup memory in use, GiB.
    #[must_use]
    pub const fn cgroup(&self) -> Option<f64> {
        self.cgroup
    }

    /// Would the cgroup's figure refuse this now, whichever source is configured?
    #[must_use]
    pub fn cgroup_would_refuse(&self, need: &Cost) -> bool {
        self.cgroup
            .is_some_and(|used| !self.memory_fits(used, self.promised_memory(None, true), need))
    }

    fn decide(&self, egress: Option<&EgressId>, need: &Cost, bids: bool) -> Result<(), Denial> {
        let (used, source_name) = self.memory();
        let promised = self.promised_memory(egress, bids);
        if !self.memory_fits(used, promised, need) {
            return Err(Denial::Memory {
                need: *need,
                used,
                promised,
                limit: self.budget.max_memory,
                source_name,
            });
        }
        let cores = self.budget.cores;
        if need.needed_cpu > cores + EPSILON {
            return Err(Denial::TooBig { need: *need, cores });
        }
        let free = self.available(egress, bids);
        if need.needed_cpu > free + EPSILON {
            return Err(Denial::Cpu {
                need: *need,
                free: free.max(0.0),
                cores,
                utilization: self.budget.utilization(),
            });
        }
        Ok(())
    }

    /// §6.7; what is promised to `except` itself does not count against it.
    fn available(&self, except: Option<&EgressId>, bids: bool) -> f64 {
        let others = self.bids_besides(except, bids);
        if self.jobs.is_empty() && others.clone().next().is_none() {
            return self.budget.cores;
        }
        let promised: f64 = others.map(|bid| bid.need.cpu).sum();
        let taken: f64 = self.jobs.values().map(Job::cpu).sum();
        self.budget.cores * self.budget.utilization() - promised - taken
    }

    fn promised_memory(&self, except: Option<&EgressId>, bids: bool) -> f64 {
        let promised: f64 = self
            .bids_besides(except, bids)
            .map(|bid| bid.need.memory_gb)
            .sum();
        let held: f64 = self
            .jobs
            .values()
            .filter(|job| job.held.is_some())
            .map(|job| job.need.memory_gb)
            .sum();
        promised + held
    }

    fn bids_besides<'a>(
        &'a self,
        except: Option<&'a EgressId>,
        bids: bool,
    ) -> impl Iterator<Item = &'a Bid> + Clone {
        self.bids
            .iter()
            .filter(move |(egress, _)| bids && Some(*egress) != except)
            .map(|(_, bid)| bid)
    }

    fn memory_fits(&self, used: f64, promised: f64, need: &Cost) -> bool {
        let limit = self.budget.max_memory;
        limit <= 0.0 || used + promised + need.memory_gb + MEMORY_HEADROOM < limit
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an arbitrary beginning of virtual time"
)]
mod tests;
