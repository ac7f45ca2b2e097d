//! The bus: a caller's selection at one end, psrpc's server at the other.

use super::super::client::{AFFINITY_TIMEOUT, Attempt, SHORT_CIRCUIT, State};
use super::super::machine::Pending;
use super::{Event, Run, World};
use crate::common::plan;
use recording::{Code, Refusal};
use std::time::Duration;
use worker::{Input, RequestId, Snapshot, Start, Status};

impl World {
    pub(super) fn begin(&mut self, index: usize) {
        let call = &mut self.calls[index];
        let text = format!("REQ_{index}_{}", call.attempts.len());
        let request = RequestId::from(text.as_str());
        let expires = self.now + call.timeout();
        call.attempts.push(Attempt {
            request: request.clone(),
            sent: self.now,
            expires,
            best: None,
            winner: None,
            over: false,
        });
        self.by_request.insert(request.clone(), index);
        for machine in 0..self.machines.len() {
            self.publish(Event::Ask {
                machine,
                call: index,
                request: request.clone(),
                expires,
            });
        }
        let decide = Event::Decide {
            call: index,
            request: request.clone(),
        };
        self.schedule(self.now + AFFINITY_TIMEOUT, decide);
        let give_up = Event::GiveUp {
            call: index,
            request,
        };
        self.schedule(expires, give_up);
    }

    pub(super) fn bid(&mut self, call: usize, request: &RequestId, machine: usize, affinity: f32) {
        let now = self.now;
        let Some(attempt) = self.calls[call].attempt(request) else {
            return;
        };
        if attempt.over || attempt.winner.is_some() {
            return;
        }
        assert!(now - attempt.sent <= AFFINITY_TIMEOUT);
        let first = attempt.best.is_none();
        if attempt.best.is_none_or(|(_, best)| affinity > best) {
            attempt.best = Some((machine, affinity));
        }
        if affinity >= 1.0 {
            self.decide(call, request);
        } else if first {
            let request = request.clone();
            self.schedule(now + SHORT_CIRCUIT, Event::Decide { call, request });
        }
    }

    pub(super) fn decide(&mut self, call: usize, request: &RequestId) {
        let Some(attempt) = self.calls[call].attempt(request) else {
            return;
        };
        if attempt.over || attempt.winner.is_some() {
            return;
        }
        let Some((winner, _)) = attempt.best else {
            let refusal = Refusal::new(Code::Unavailable, "no response from servers");
            return self.attempt_failed(call, request, refusal);
        };
        attempt.winner = Some(winner);
        for machine in 0..self.machines.len() {
            self.publish(Event::Grant {
                machine,
                request: request.clone(),
                winner,
            });
        }
    }

    pub(super) fn answer(
        &mut self,
        index: usize,
        request: &RequestId,
        machine: usize,
        result: Result<Snapshot, Refusal>,
    ) {
        let now = self.now;
        let call = &mut self.calls[index];
        let Some(attempt) = call.attempt(request).filter(|attempt| !attempt.over) else {
            return;
        };
        assert!(now <= attempt.expires);
        match result {
            Err(refusal) => self.attempt_failed(index, request, refusal),
            Ok(snapshot) => {
                attempt.over = true;
                call.state = State::Started {
                    machine,
                    run: snapshot.bytes.to_vec(),
                };
                self.slowest_start = self.slowest_start.max(now - call.begun);
                if let Some(after) = call.stop_after {
                    self.schedule(now + after, Event::StopCall(index));
                    let again = now + after + Duration::from_secs(3);
                    self.schedule(again, Event::StopCall(index));
                }
            }
        }
    }

    pub(super) fn attempt_failed(&mut self, index: usize, request: &RequestId, refusal: Refusal) {
        let call = &mut self.calls[index];
        let Some(attempt) = call.attempt(request).filter(|attempt| !attempt.over) else {
            return;
        };
        attempt.over = true;
        if call.tries_again_after(&refusal) {
            let pause =
                self.random.millis(1000, 2000) * u32::try_from(call.attempts.len()).expect("few");
            self.schedule(self.now + pause, Event::Begin(index));
        } else {
            call.state = State::Failed(refusal);
        }
    }

    pub(super) fn stop(&mut self, call: usize) {
        let egress = self.calls[call].egress.clone();
        let serving = self
            .machines
            .iter()
            .position(|machine| machine.is_up() && machine.registered.contains(&egress));
        let Some(machine) = serving else {
            return;
        };
        let request = RequestId::from(format!("STOP_{call}_{}", self.serial).as_str());
        self.machines[machine]
            .stops
            .insert(request.clone(), self.now);
        self.tell(machine, Input::StopRequested { request, egress });
    }

    pub(super) fn asked(
        &mut self,
        machine: usize,
        call: usize,
        request: RequestId,
        expires: Duration,
    ) {
        if !self.machines[machine].accepting || expires <= self.now {
            return;
        }
        let call = &self.calls[call];
        let (egress, need) = (call.egress.clone(), call.need);
        self.machines[machine].pending.insert(
            request.clone(),
            Pending {
                egress: egress.clone(),
                need,
                expires,
                granted: false,
            },
        );
        let expire = Event::Expire {
            machine,
            request: request.clone(),
        };
        self.schedule(expires, expire);
        self.tell(
            machine,
            Input::BidAsked {
                request,
                egress,
                need,
            },
        );
    }

    pub(super) fn granted(&mut self, index: usize, request: RequestId, winner: usize) {
        let machine = &mut self.machines[index];
        if winner != index {
            if machine.pending.remove(&request).is_some() {
                self.tell(index, Input::BidLost { request });
            }
            return;
        }
        let Some(pending) = machine.pending.get_mut(&request) else {
            return;
        };
        pending.granted = true;
        let pending = pending.clone();
        let run = format!("{index}:{request}").into_bytes();
        let fresh = Run {
            machine: index,
            ..Run::default()
        };
        self.runs.insert(run.clone(), fresh);
        let start = Start {
            request,
            expires: self.t0 + pending.expires,
            plan: plan(&pending.egress),
            need: pending.need,
            first: Snapshot::new(Status::Starting, run),
        };
        self.tell(index, Input::StartRequested(Box::new(start)));
    }
}
