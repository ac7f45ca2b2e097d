//! How a recording begins (psrpc-wire.md §3.1, §4.1, §9 #10; egress-behaviour.md §7.1).
//!
//! ```text
//! StartRequested ─► Register ─┐
//!                ├► Spawn    ─┼─ all three ─► Started(STARTING)
//!                └► Create   ─┘
//!                     └─ one fails, or the caller is about to give up ─► Started(error), child aborted
//! ```
//!
//! When a start fails, an UpdateEgress FAILED follows only if CreateEgress was acknowledged and the error is final: after
//! `unavailable` the server tries the same id again, perhaps elsewhere, and our FAILED would overwrite that one's states.
//!
//! **The same id again** is either a retry of a call whose answer was lost, or a mistake. A start is idempotent until its
//! first caller could have heard the answer: while it is pending, and when it was answered after everybody who asked had given
//! up, the next call gets the same info. After an answer in time it is a mistake: `already_exists`. (Upstream: always
//! `already_exists`, which fails starts that worked.)

use super::{Phase, Worker};
use crate::child::{Child, Urgency};
use crate::effect::Effect;
use crate::id::ChildId;
use crate::input;
use crate::job::{Caller, Created, End, Job, Start};
use crate::metrics::Ended;
use crate::report::Failure;
use recording::lifecycle::StopReason;
use recording::{Code, EgressId, Fault, Refusal};
use std::time::{Duration, Instant};

/// An answer needs so long to arrive.
const ON_THE_WAY: Duration = Duration::from_millis(100);

/// A former recording of this name is being taken down, or its end is not told yet.
const CLEANING_UP: &str = "egress is still being cleaned up";

impl Worker {
    pub(super) fn start_requested(&mut self, now: Instant, start: input::Start) {
        let egress = start.plan.identity.egress_id.clone();
        let request = start.request.clone();
        self.ask_granted(&request);
        if self.jobs.contains_key(&egress) {
            return self.start_again(now, &egress, start);
        }
        let decide_by = start
            .expires
            .checked_sub(self.config.start_margin)
            .filter(|at| *at > now);
        let refused = if self.phase > Phase::Serving {
            Err(Refusal::new(Code::Unavailable, "server is shutting down"))
        } else if self.reporter.health().is_unhealthy() {
            Err(Refusal::new(Code::Unavailable, "no IOInfo server answers"))
        } else if self.reporter.owes(&egress) {
            Err(Refusal::new(Code::Unavailable, CLEANING_UP))
        } else {
            decide_by.ok_or(Refusal::new(Code::Unavailable, "request timed out"))
        };
        let decide_by = match refused {
            Ok(at) => at,
            Err(refusal) => {
                self.ledger.lost(&request);
                return self.answer_start(start.request, Err(refusal));
            }
        };
        let child_id = self.next_child();
        if let Err(denial) = self
            .ledger
            .accept(now, egress.clone(), child_id, start.need)
        {
            self.ledger.lost(&request);
            return self.answer_start(start.request, Err(denial.refusal()));
        }
        let mut child = Child::spawned(now, self.config.graces);
        child.ready_by(decide_by);
        self.children.insert(child_id, egress.clone());
        self.jobs.insert(
            egress.clone(),
            Job {
                child_id,
                child,
                kind: start.plan.identity.request_type,
                first: start.first.clone(),
                last: start.first.clone(),
                start: Start::Pending {
                    callers: vec![Caller {
                        request: start.request,
                        expires: start.expires,
                    }],
                    decide_by,
                },
                created: Created::Pending,
                registered: false,
                ready: false,
                end: End::Recording,
                stoppers: Vec::new(),
                fault: None,
                ended: None,
            },
        );
        self.effects.push_back(Effect::Register {
            egress: egress.clone(),
        });
        self.effects.push_back(Effect::Spawn {
            child: child_id,
            egress: egress.clone(),
            plan: start.plan,
        });
        self.reporter.create(now, egress, start.first, decide_by);
    }

    fn start_again(&mut self, now: Instant, egress: &EgressId, start: input::Start) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        let caller = Caller {
            request: start.request,
            expires: start.expires,
        };
        match &mut job.start {
            Start::Pending { callers, .. } => callers.push(caller),
            Start::Answered { in_time: true } => {
                let refusal = Refusal::new(Code::AlreadyExists, "egress already exists");
                self.answer_start(caller.request, Err(refusal));
            }
            Start::Answered { in_time } => {
                *in_time = heard(now, &caller);
                let first = job.first.clone();
                self.answer_start(caller.request, Ok(first));
            }
            Start::Failed => {
                let refusal = Refusal::new(Code::Unavailable, CLEANING_UP);
                self.answer_start(caller.request, Err(refusal));
            }
        }
    }

    pub(super) fn registered(
        &mut self,
        now: Instant,
        egress: &EgressId,
        result: Result<(), String>,
    ) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        match result {
            Ok(()) => {
                job.registered = true;
                self.start_if_complete(now, egress);
            }
            Err(error) => {
                let text = format!("could not subscribe to egress topics: {error}");
                self.fail_start(now, egress, Refusal::new(Code::Internal, text));
            }
        }
    }

    pub(super) fn created(&mut self, now: Instant, egress: &EgressId) {
        if let Some(job) = self.jobs.get_mut(egress) {
            job.created = Created::Yes;
            self.start_if_complete(now, egress);
        }
    }

    pub(super) fn not_created(&mut self, now: Instant, egress: &EgressId, failure: &Failure) {
        if let Some(job) = self.jobs.get_mut(egress) {
            job.created = Created::No;
            self.fail_start(now, egress, failure.refusal());
        }
    }

    pub(super) fn ready(&mut self, now: Instant, egress: &EgressId) {
        if let Some(job) = self.jobs.get_mut(egress) {
            job.ready = true;
            job.child.ready();
            self.start_if_complete(now, egress);
        }
    }

    pub(super) fn spawn_failed(&mut self, now: Instant, child: ChildId, error: &str) {
        let Some(egress) = self.children.get(&child).cloned() else {
            return;
        };
        if let Some(job) = self.jobs.get_mut(&egress) {
            job.child.never_was();
            job.ended = Some(Ended::ProcessError);
        }
        let text = format!("handler failed to start: {error}");
        self.fail_start(now, &egress, Refusal::new(Code::Internal, text));
        self.child_gone(now, &egress);
    }

    /// The child was not ready in time, or went before it was.
    pub(super) fn not_ready(&mut self, now: Instant, egress: &EgressId) {
        if let Some(job) = self.jobs.get_mut(egress) {
            job.ended = Some(Ended::ProcessError);
        }
        let refusal = Refusal::new(Code::Internal, "handler failed to start");
        self.fail_start(now, egress, refusal);
    }

    /// Everybody who waits for the start is about to give up.
    pub(super) fn start_overdue(&mut self, now: Instant, egress: &EgressId) {
        let Some(job) = self.jobs.get(egress) else {
            return;
        };
        if !job.ready {
            return self.not_ready(now, egress);
        }
        let refusal = if job.created == Created::Pending {
            Refusal::new(
                Code::Unavailable,
                "egress could not be announced: request timed out",
            )
        } else {
            Refusal::new(
                Code::Internal,
                "could not subscribe to egress topics: timed out",
            )
        };
        self.fail_start(now, egress, refusal);
    }

    /// The start will not happen. Nothing when it was decided before.
    pub(super) fn fail_start(&mut self, now: Instant, egress: &EgressId, refusal: Refusal) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        let callers = match &mut job.start {
            Start::Pending { callers, .. } => std::mem::take(callers),
            Start::Answered { .. } | Start::Failed => return,
        };
        job.start = Start::Failed;
        let fault = Fault::new(refusal.code, refusal.message.clone());
        job.fault = Some(fault.clone());
        // who is told `unavailable` tries again: that attempt is the one to report
        if refusal.code == Code::Unavailable || job.created == Created::No {
            job.created = Created::No;
            job.end = End::Over;
            self.reporter.forget(egress);
        }
        if !job.child.has_exited() {
            job.child.press(now, Urgency::Abort);
            let child = job.child_id;
            self.effects.push_back(Effect::Stop {
                child,
                egress: egress.clone(),
                reason: StopReason::Kill(fault),
                ask: None,
            });
        }
        for caller in callers {
            self.answer_start(caller.request, Err(refusal.clone()));
        }
        self.child_gone(now, egress);
    }

    fn start_if_complete(&mut self, now: Instant, egress: &EgressId) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        if !(job.registered && job.ready && job.created == Created::Yes) {
            return;
        }
        let callers = match &mut job.start {
            Start::Pending { callers, .. } => std::mem::take(callers),
            Start::Answered { .. } | Start::Failed => return,
        };
        job.start = Start::Answered {
            in_time: callers.iter().any(|caller| heard(now, caller)),
        };
        let first = job.first.clone();
        for caller in callers {
            self.answer_start(caller.request, Ok(first.clone()));
        }
        self.child_gone(now, egress);
    }

    fn answer_start(
        &mut self,
        request: crate::id::RequestId,
        result: Result<crate::snapshot::Snapshot, Refusal>,
    ) {
        self.effects.push_back(Effect::Started { request, result });
    }
}

fn heard(now: Instant, caller: &Caller) -> bool {
    now + ON_THE_WAY < caller.expires
}
