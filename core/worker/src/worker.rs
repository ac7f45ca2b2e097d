//! The worker: facts in, effects out (house.md, Cores; egress-behaviour.md §6–§8; psrpc-wire.md §3.1).
//!
//! ```text
//! BidAsked ─► Bid ─► StartRequested ─► Register, Spawn, Create ─► Started ─► Info* ─► Finished ─► Exited+Closed ─► CleanUp
//!              │                          │ any fails: Started(error), child aborted     └ Update*   └ Tell, if it never finished
//!              └ BidLost: free again      └ same id again: see `start`
//! Serving ── SIGTERM, IOInfo gone 10 min ──► Draining ── SIGINT ──► Ending ── again ──► Hurrying      (never back)
//!                                               └──── no recording left, nothing owed ────► Exit
//! ```
//!
//! Owns what was promised, which recording is in which child, and what is owed to whom. The parts decide by themselves
//! ([`crate::admission`], [`crate::bid`], [`crate::child`], [`crate::report`], [`crate::overload`]); here they are tied together:
//! `bids` asks, `start` begins, `end` ends.
//!
//! Knows no process ids, channels, files or metrics formats.

mod bids;
mod end;
mod start;

use crate::admission::{Budget, Ledger};
use crate::bid;
use crate::child::Graces;
use crate::effect::Effect;
use crate::health::{self, Health};
use crate::id::{ChildId, RequestId};
use crate::input::{Drain, Input};
use crate::job::{End, Job};
use crate::metrics::{Ended, Gauges, ratio};
use crate::overload::{self, Action, Candidate, Going, Machine, Watch};
use crate::report::{self, Call, Outcome, Reporter};
use recording::cost::{Class, Table};
use recording::plan::RequestType;
use recording::{EgressId, Now};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Everything the operator can decide about a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What may be used.
    pub budget: Budget,
    /// What recordings cost.
    pub costs: Table,
    /// How to bid.
    pub bids: bid::Policy,
    /// How long children are waited for.
    pub graces: Graces,
    /// How to report.
    pub reports: report::Policy,
    /// When IOInfo counts as gone.
    pub health: health::Policy,
    /// When recordings are ended to save the machine.
    pub overload: overload::Policy,
    /// StopEgress asked → answered at the latest (callers wait 3 s).
    pub stop_answer: Duration,
    /// How long before its caller gives up a start is decided.
    pub start_margin: Duration,
    /// Last recording over → exit, though something is owed to IOInfo.
    pub flush: Duration,
    /// The same once somebody is in a hurry.
    pub hurried_flush: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Config {
    /// Upstream's defaults for a machine with so many cores.
    #[must_use]
    pub fn new(cores: f64) -> Self {
        let budget = Budget::new(cores);
        Self {
            budget,
            costs: Table::default(),
            bids: bid::Policy::default(),
            graces: Graces::default(),
            reports: report::Policy::default(),
            health: health::Policy::default(),
            overload: overload::Policy::new(budget.utilization(), budget.max_memory),
            stop_answer: Duration::from_secs(2),
            start_margin: Duration::from_millis(300),
            flush: Duration::from_secs(600),
            hurried_flush: Duration::from_secs(5),
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Recordings end by themselves.
    Draining,
    /// They were told to.
    Ending,
    /// In seconds.
    Hurrying,
    /// [`Effect::Exit`] was given out.
    Gone,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Worker {
    config: Config,
    phase: Phase,
    ledger: Ledger,
    asks: bids::Asks,
    jobs: BTreeMap<EgressId, Job>,
    children: BTreeMap<ChildId, EgressId>,
    reporter: Reporter,
    watch: Watch,
    results: BTreeMap<(RequestType, Ended), u64>,
    /// Since when nothing records, while draining.
    empty_since: Option<Instant>,
    next_child: u64,
    next_ask: u64,
    effects: VecDeque<Effect>,
}

impl Worker {
    /// An idle machine.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            phase: Phase::Serving,
            ledger: Ledger::new(config.budget),
            asks: bids::Asks::default(),
            jobs: BTreeMap::new(),
            children: BTreeMap::new(),
            reporter: Reporter::new(config.reports, Health::new(config.health), config.seed),
            watch: Watch::new(config.overload),
            results: BTreeMap::new(),
            empty_since: None,
            next_child: 0,
            next_ask: 0,
            effects: VecDeque::new(),
            config,
        }
    }

    /// Takes one fact, and whatever is due by now.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.phase == Phase::Gone {
            return;
        }
        let now = now.mono;
        match input {
            Input::BidAsked {
                request,
                egress,
                need,
            } => self.bid_asked(now, request, egress, need),
            Input::BidLost { request } => self.bid_lost(&request),
            Input::StartRequested(start) => self.start_requested(now, *start),
            Input::Registered { egress, result } => self.registered(now, &egress, result),
            Input::Reported { attempt, result } => {
                let outcome = match result {
                    Ok(()) => self.reporter.acked(now, attempt),
                    Err(failure) => self.reporter.failed(now, attempt, failure),
                };
                match outcome {
                    Outcome::Created(egress) => self.created(now, &egress),
                    Outcome::NotCreated(egress, failure) => {
                        self.not_created(now, &egress, &failure);
                    }
                    Outcome::Noted => {}
                }
            }
            Input::Probed { answered } => self.reporter.probed(now, answered),
            Input::Owed { egress, snapshot } => {
                if !self.jobs.contains_key(&egress) {
                    self.reporter.owed(now, egress, snapshot);
                }
            }
            Input::SpawnFailed { child, error } => self.spawn_failed(now, child, &error),
            Input::Ready { egress } => self.ready(now, &egress),
            Input::Info { egress, snapshot } => self.info(now, &egress, snapshot),
            Input::Answered {
                egress,
                ask,
                result,
            } => self.answered(&egress, ask, result),
            Input::Finished { egress, snapshot } => self.finished(now, &egress, snapshot),
            Input::Exited { child, exit } => self.exited(now, child, exit),
            Input::Closed { child } => self.closed(now, child),
            Input::Told { egress, snapshot } => self.told(now, &egress, snapshot),
            Input::StopRequested { request, egress } => self.stop_requested(now, request, &egress),
            Input::ListRequested { request } => {
                let egresses = self.active().cloned().collect();
                self.effects.push_back(Effect::Listed { request, egresses });
            }
            Input::Measured(sample) => {
                self.ledger.measured(&sample);
                self.save_the_machine(now);
            }
            Input::Drain(kind) => self.drain(now, kind),
            Input::Tick => {}
        }
        self.turn(now);
    }

    /// The next thing to do; drain before the next [`Worker::handle`].
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to say [`Input::Tick`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Gone {
            return None;
        }
        let health = self.reporter.health();
        let exhausted = health
            .exhausted_at()
            .filter(|_| self.phase == Phase::Serving || self.empty_since.is_some());
        self.jobs
            .values()
            .filter_map(Job::deadline)
            .chain(self.ledger.deadline())
            .chain(self.asks.deadline())
            .chain(self.reporter.deadline())
            .chain(health.probe_at())
            .chain(exhausted)
            .chain(self.flush_deadline())
            .min()
    }

    /// Recordings that are not over, as ListActiveEgress and the health page name them.
    pub fn active(&self) -> impl Iterator<Item = &EgressId> {
        self.jobs
            .iter()
            .filter(|(_, job)| job.is_active())
            .map(|(egress, _)| egress)
    }

    /// Which child records it, for questions that are none of the worker's business (UpdateStream). `None`: `not_found`.
    #[must_use]
    pub fn route(&self, egress: &EgressId) -> Option<ChildId> {
        self.jobs
            .get(egress)
            .filter(|job| job.is_active())
            .map(|job| job.child_id)
    }

    /// Nothing is accepted: a drain has begun, or nothing could be reported.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.phase > Phase::Serving || self.reporter.health().is_unhealthy()
    }

    /// What gauges show.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let web = Class::Web.cost(&self.config.costs);
        let mut requests = BTreeMap::new();
        for job in self.jobs.values().filter(|job| job.is_active()) {
            *requests.entry(job.kind).or_insert(0) += 1;
        }
        let (memory, _) = self.ledger.memory();
        let budget = self.ledger.budget();
        Gauges {
            available: self.jobs.is_empty(),
            can_accept_request: !self.is_disabled() && self.ledger.check(None, &web).is_ok(),
            is_disabled: self.is_disabled(),
            is_terminating: self.phase > Phase::Serving,
            requests,
            results: self.results.clone(),
            cpu_load: self.ledger.load(),
            cpu_idle: self.ledger.idle_cores(),
            cpu_free: self.ledger.free().max(0.0),
            cpu_reserved: self.ledger.reserved().max(0.0),
            load_ratio_cpu: ratio(self.ledger.load(), budget.utilization()),
            load_ratio_memory: ratio(memory, budget.max_memory),
            proc_rss: self.ledger.rss(),
            cgroup_memory: self.ledger.cgroup(),
            would_reject_cgroup: self.ledger.cgroup_would_refuse(&web),
            updates_given_up: self.reporter.given_up(),
        }
    }

    /// What is promised and used, for the debug page and for tests.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything that is due by now.
    fn turn(&mut self, now: Instant) {
        self.ledger.expire(now);
        let due: Vec<EgressId> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.deadline().is_some_and(|at| at <= now))
            .map(|(egress, _)| egress.clone())
            .collect();
        for egress in due {
            self.job_due(now, &egress);
        }
        self.reporter.tick(now);
        while let Some(call) = self.reporter.poll_call() {
            self.effects.push_back(match call {
                Call::Create {
                    attempt,
                    egress,
                    snapshot,
                    timeout,
                } => Effect::Create {
                    attempt,
                    egress,
                    snapshot,
                    timeout,
                },
                Call::Update {
                    attempt,
                    egress,
                    snapshot,
                    timeout,
                } => Effect::Update {
                    attempt,
                    egress,
                    snapshot,
                    timeout,
                },
            });
        }
        if self.reporter.probe_due(now) {
            self.effects.push_back(Effect::Probe);
        }
        if self.phase == Phase::Serving && self.reporter.health().is_exhausted(now) {
            self.drain(now, Drain::Terminate);
        }
        self.asks_due(now);
        self.exit_if_done(now);
    }

    fn drain(&mut self, now: Instant, kind: Drain) {
        let next = match (self.phase, kind) {
            (Phase::Serving | Phase::Draining, Drain::Terminate) => Phase::Draining,
            (Phase::Serving | Phase::Draining, Drain::Interrupt) => Phase::Ending,
            (Phase::Ending | Phase::Hurrying, Drain::Terminate | Drain::Interrupt) => {
                Phase::Hurrying
            }
            (Phase::Gone, Drain::Terminate | Drain::Interrupt) => return,
        };
        let before = std::mem::replace(&mut self.phase, next);
        if before == Phase::Serving {
            self.effects.push_back(Effect::CloseAdmission);
            self.decline_all(&bid::Decline::Draining);
        }
        if next >= Phase::Ending && next != before {
            self.end_all(now, next == Phase::Hurrying);
        }
    }

    fn flush_deadline(&self) -> Option<Instant> {
        let wait = if self.phase == Phase::Hurrying {
            self.config.hurried_flush
        } else {
            self.config.flush
        };
        self.empty_since.map(|since| since + wait)
    }

    fn exit_if_done(&mut self, now: Instant) {
        if self.phase < Phase::Draining || self.phase == Phase::Gone || !self.jobs.is_empty() {
            return;
        }
        self.empty_since.get_or_insert(now);
        let given_up = self.flush_deadline().is_some_and(|at| at <= now)
            || self.reporter.health().is_exhausted(now);
        if self.reporter.is_flushed() || given_up {
            self.phase = Phase::Gone;
            let unreported = self.reporter.unreported();
            self.effects.push_back(Effect::Exit { unreported });
        }
    }

    fn save_the_machine(&mut self, now: Instant) {
        let candidates: Vec<Candidate> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.end == End::Recording && !job.child.has_exited())
            .filter_map(|(egress, job)| {
                let (used, allowed) = self.ledger.usage(egress)?;
                Some(Candidate {
                    egress: egress.clone(),
                    used,
                    allowed,
                    going: if job.is_killed() {
                        Going::Killed
                    } else if job.child.is_leaving() {
                        Going::Stopping
                    } else {
                        Going::No
                    },
                })
            })
            .collect();
        let machine = Machine {
            cores: self.config.budget.cores,
            load: self.ledger.load(),
            memory: self.ledger.memory().0,
        };
        for action in self.watch.look(now, machine, &candidates) {
            match action {
                Action::Stop(egress) => self.stop_for_cpu(now, &egress),
                Action::KillCpu(egress, fault) => self.kill(now, &egress, fault, Ended::KilledCpu),
                Action::KillMemory(egress, fault) => {
                    self.kill(now, &egress, fault, Ended::KilledOom);
                }
                Action::Hurry(egress) => self.hurry(now, &egress),
            }
        }
    }

    fn next_child(&mut self) -> ChildId {
        self.next_child += 1;
        ChildId(self.next_child)
    }

    fn decline(&mut self, request: RequestId, reason: bid::Decline) {
        self.effects.push_back(Effect::Decline { request, reason });
    }
}
