//! How a recording ends: asked to stop, killed, finished by itself, crashed (egress-behaviour.md §7.4, §7.6, §8.5, §15.1 #2).
//!
//! ```text
//! Finished(info) ─► reported, child must exit          ┐
//! Exited: group killed ── Closed, or 5 s ── it had not finished ─► Tell ─► Told ─► reported ─┤─► Deregister, CleanUp
//!                                                                                            ┘
//! ```
//!
//! A child's own last word is never overwritten by how its process ended (upstream replaces COMPLETE by FAILED).

use super::{Phase, Worker};
use crate::child::{Exit, Order, Signal, Urgency};
use crate::effect::{Effect, Stopping};
use crate::id::{ChildId, RequestId};
use crate::job::{Created, End, Start, Stopper};
use crate::metrics::Ended;
use crate::snapshot::{Snapshot, Status};
use recording::lifecycle::{Ask, StopReason};
use recording::{Code, EgressId, Fault, Refusal};
use std::time::Instant;

impl Worker {
    pub(super) fn info(&mut self, now: Instant, egress: &EgressId, snapshot: Snapshot) {
        if snapshot.terminal {
            return self.finished(now, egress, Some(snapshot));
        }
        // who reports has taken it up, said so or not
        self.ready(now, egress);
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        if job.end != End::Recording {
            return;
        }
        job.child.alive();
        job.last = snapshot.clone();
        if snapshot.status == Status::Active {
            self.ledger.active(now, egress);
        }
        self.reporter.offer(now, egress, snapshot);
    }

    pub(super) fn finished(&mut self, now: Instant, egress: &EgressId, snapshot: Option<Snapshot>) {
        self.ready(now, egress);
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        job.child.finished(now);
        if job.end != End::Recording {
            return;
        }
        job.end = End::Over;
        match snapshot {
            Some(snapshot) => {
                let snapshot = Snapshot {
                    terminal: true,
                    ..snapshot
                };
                job.last = snapshot.clone();
                self.reporter.offer(now, egress, snapshot);
            }
            None => {
                job.ended = Some(Ended::DuplicateIdentity);
                // an announcement under way still decides the start
                if job.created == Created::Yes {
                    self.reporter.forget(egress);
                }
            }
        }
        self.answer_stoppers(egress);
    }

    pub(super) fn exited(&mut self, now: Instant, child: ChildId, exit: Exit) {
        let Some(egress) = self.children.get(&child).cloned() else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&egress) else {
            return;
        };
        job.child.exited(now, exit);
        self.effects.push_back(Effect::Signal {
            child,
            signal: Signal::Kill,
        });
        self.child_gone(now, &egress);
    }

    pub(super) fn closed(&mut self, now: Instant, child: ChildId) {
        let Some(egress) = self.children.get(&child).cloned() else {
            return;
        };
        if let Some(job) = self.jobs.get_mut(&egress) {
            job.child.closed(now);
            self.child_gone(now, &egress);
        }
    }

    pub(super) fn told(&mut self, now: Instant, egress: &EgressId, snapshot: Snapshot) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        if job.end != End::Telling {
            return;
        }
        let snapshot = Snapshot {
            terminal: true,
            ..snapshot
        };
        job.end = End::Over;
        job.last = snapshot.clone();
        self.reporter.offer(now, egress, snapshot);
        self.answer_stoppers(egress);
        self.child_gone(now, egress);
    }

    pub(super) fn stop_requested(&mut self, now: Instant, request: RequestId, egress: &EgressId) {
        let ask = Ask(self.next_ask);
        self.next_ask += 1;
        let overdue = now + self.config.stop_answer;
        let Some(job) = self
            .jobs
            .get_mut(egress)
            .filter(|job| !matches!(job.start, Start::Failed))
        else {
            let refusal = Refusal::new(Code::NotFound, "egress not found");
            self.effects.push_back(Effect::Stopped {
                request,
                result: Err(refusal),
            });
            return;
        };
        match job.end {
            End::Over => {
                let result = Ok(Stopping::Now(job.last.clone()));
                self.effects.push_back(Effect::Stopped { request, result });
            }
            End::Telling => job.stoppers.push(Stopper {
                request,
                ask,
                overdue,
            }),
            End::Recording => {
                job.child.press(now, Urgency::Stop);
                job.stoppers.push(Stopper {
                    request,
                    ask,
                    overdue,
                });
                let child = job.child_id;
                self.effects.push_back(Effect::Stop {
                    child,
                    egress: egress.clone(),
                    reason: StopReason::Api,
                    ask: Some(ask),
                });
            }
        }
    }

    pub(super) fn answered(
        &mut self,
        egress: &EgressId,
        ask: Ask,
        result: Result<Snapshot, Refusal>,
    ) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        job.child.alive();
        let Some(at) = job.stoppers.iter().position(|stopper| stopper.ask == ask) else {
            return;
        };
        let request = job.stoppers.swap_remove(at).request;
        let result = result.map(Stopping::Now);
        self.effects.push_back(Effect::Stopped { request, result });
    }

    pub(super) fn stop_for_cpu(&mut self, now: Instant, egress: &EgressId) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        job.ended.get_or_insert(Ended::StoppedCpu);
        job.child.press(now, Urgency::Stop);
        let child = job.child_id;
        self.effects.push_back(Effect::Stop {
            child,
            egress: egress.clone(),
            reason: StopReason::CpuExhausted,
            ask: None,
        });
    }

    /// It shall end now and be FAILED; what was recorded is kept. Once per recording.
    pub(super) fn kill(&mut self, now: Instant, egress: &EgressId, fault: Fault, ended: Ended) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        if job.end != End::Recording || job.is_killed() {
            return;
        }
        if let Start::Pending { .. } = job.start {
            job.ended = Some(ended);
            let refusal = Refusal::new(Code::Unavailable, fault.message);
            return self.fail_start(now, egress, refusal);
        }
        job.fault = Some(fault.clone());
        job.ended = Some(ended);
        job.child.press(now, Urgency::Kill);
        let child = job.child_id;
        self.effects.push_back(Effect::Stop {
            child,
            egress: egress.clone(),
            reason: StopReason::Kill(fault),
            ask: None,
        });
    }

    pub(super) fn hurry(&mut self, now: Instant, egress: &EgressId) {
        if let Some(job) = self.jobs.get_mut(egress) {
            job.child.press(now, Urgency::Hurry);
        }
    }

    /// SIGINT, and once more.
    pub(super) fn end_all(&mut self, now: Instant, hurry: bool) {
        let all: Vec<EgressId> = self.jobs.keys().cloned().collect();
        for egress in all {
            let fault = Fault::new(Code::PermissionDenied, "server is shutting down");
            self.kill(now, &egress, fault, Ended::KilledShutdown);
            if hurry {
                self.hurry(now, &egress);
            }
        }
    }

    /// One of the recording's deadlines has come.
    pub(super) fn job_due(&mut self, now: Instant, egress: &EgressId) {
        while let Some((child, order)) = self
            .jobs
            .get_mut(egress)
            .and_then(|job| Some((job.child_id, job.child.due(now)?)))
        {
            match order {
                Order::NotReady => self.not_ready(now, egress),
                Order::Signal(signal) => {
                    self.effects.push_back(Effect::Signal { child, signal });
                }
                Order::DropLink => {
                    self.effects.push_back(Effect::DropLink { child });
                    self.child_gone(now, egress);
                }
            }
        }
        let late = self.jobs.get(egress).is_some_and(|job| match &job.start {
            Start::Pending { decide_by, .. } => *decide_by <= now,
            Start::Answered { .. } | Start::Failed => false,
        });
        if late {
            self.start_overdue(now, egress);
        }
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        let last = job.last.clone();
        let (overdue, waiting) = std::mem::take(&mut job.stoppers)
            .into_iter()
            .partition(|stopper| stopper.overdue <= now);
        job.stoppers = waiting;
        let overdue: Vec<Stopper> = overdue;
        for stopper in overdue {
            let answer = if last.status == Status::Ending {
                Stopping::Now(last.clone())
            } else {
                Stopping::Overdue(last.clone())
            };
            self.effects.push_back(Effect::Stopped {
                request: stopper.request,
                result: Ok(answer),
            });
        }
    }

    /// Goes on with a recording whose child may be gone.
    pub(super) fn child_gone(&mut self, now: Instant, egress: &EgressId) {
        let Some(job) = self.jobs.get_mut(egress).filter(|job| job.child.is_gone()) else {
            return;
        };
        self.ledger.release(egress);
        if !job.ready && matches!(job.start, Start::Pending { .. }) {
            // comes back here with the start decided
            return self.not_ready(now, egress);
        }
        if job.end == End::Recording {
            job.end = End::Telling;
            self.effects.push_back(Effect::Tell {
                egress: egress.clone(),
                last: job.last.clone(),
                fault: job.story(),
            });
            return;
        }
        if !job.is_removable() {
            return;
        }
        let Some(job) = self.jobs.remove(egress) else {
            return;
        };
        self.children.remove(&job.child_id);
        *self.results.entry((job.kind, job.result())).or_insert(0) += 1;
        if job.ended == Some(Ended::DuplicateIdentity) && self.phase < Phase::Gone {
            self.reporter.forget(egress);
        }
        self.effects.push_back(Effect::Deregister {
            egress: egress.clone(),
        });
        self.effects.push_back(Effect::CleanUp {
            egress: egress.clone(),
            child: job.child_id,
        });
    }

    fn answer_stoppers(&mut self, egress: &EgressId) {
        let Some(job) = self.jobs.get_mut(egress) else {
            return;
        };
        for stopper in std::mem::take(&mut job.stoppers) {
            self.effects.push_back(Effect::Stopped {
                request: stopper.request,
                result: Ok(Stopping::Now(job.last.clone())),
            });
        }
    }
}
