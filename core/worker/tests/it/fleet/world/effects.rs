//! The driver: tells a worker a fact, checks what must hold, carries out what it wants.

use super::super::recorder;
use super::{Event, World};
use crate::common::at;
use recording::{Code, EgressId};
use std::time::Duration;
use worker::report::Failure;
use worker::{Effect, Input, Snapshot, Status};

impl World {
    pub(super) fn tell(&mut self, index: usize, input: Input) {
        let machine = &mut self.machines[index];
        if !machine.is_up() {
            return;
        }
        let run = if let Input::StartRequested(start) = &input {
            start.first.bytes.to_vec()
        } else {
            Vec::new()
        };
        let now = at(self.t0, self.now);
        machine.worker.handle(now, input);
        let effects: Vec<Effect> = std::iter::from_fn(|| machine.worker.poll_effect()).collect();
        let ledger = machine.worker.ledger();
        assert!(
            ledger.count() <= 1
                || ledger.reserved() <= machine.cores * ledger.budget().utilization() + 1e-6,
            "seed {}: {} cores promised of {}",
            self.seed,
            ledger.reserved(),
            machine.cores
        );
        let wakes = machine.worker.poll_timeout();
        if wakes != machine.wakes || wakes.is_some_and(|at| at <= now.mono) {
            machine.wakes = wakes;
            if let Some(at) = wakes {
                let when = (at - self.t0).max(self.now);
                self.schedule(when, Event::Wake(index));
            }
        }
        for effect in effects {
            self.carry_out(index, effect, &run);
        }
    }

    pub(super) fn carry_out(&mut self, index: usize, effect: Effect, run: &[u8]) {
        assert!(
            !self.machines[index].exited,
            "seed {}: {effect:?} after exit",
            self.seed
        );
        match effect {
            Effect::Bid { request, affinity } => {
                let call = self.by_request[&request];
                if self.machines[index].pending.contains_key(&request) {
                    self.publish(Event::Bid {
                        call,
                        request,
                        machine: index,
                        affinity,
                    });
                }
            }
            Effect::Decline { request, .. } => {
                let pending = self.machines[index].pending.remove(&request);
                assert!(pending.is_some_and(|pending| !pending.granted));
            }
            Effect::Started { request, result } => {
                let pending = self.machines[index].pending.remove(&request);
                assert!(
                    pending.is_some_and(|pending| pending.granted),
                    "seed {}: {request} answered twice",
                    self.seed
                );
                match &result {
                    Ok(snapshot) => {
                        if let Some(run) = self.runs.get_mut(&*snapshot.bytes) {
                            run.answered = true;
                        }
                    }
                    Err(refusal) => {
                        let run = format!("{index}:{request}").into_bytes();
                        if let Some(run) = self.runs.get_mut(&run) {
                            run.disowned = refusal.code == Code::Unavailable;
                        }
                    }
                }
                let call = self.by_request[&request];
                self.publish(Event::Answer {
                    call,
                    request,
                    machine: index,
                    result,
                });
            }
            Effect::Stopped { request, .. } => {
                let asked = self.machines[index].stops.remove(&request);
                let asked = asked.expect("a stop is answered once");
                assert!(self.now - asked < Duration::from_secs(3));
            }
            Effect::Listed { .. } => {}
            Effect::Register { egress } => {
                let fails = self.setup.fire && self.random.percent(1);
                let result = if fails {
                    Err("connection lost".to_owned())
                } else {
                    Ok(())
                };
                self.machines[index].registered.insert(egress.clone());
                let when = self.now + self.random.millis(0, 3);
                let registered = Input::Registered { egress, result };
                self.schedule(when, Event::Feed(index, registered));
            }
            Effect::Deregister { egress } => {
                assert!(self.machines[index].registered.remove(&egress));
            }
            Effect::Create { timeout, .. } | Effect::Update { timeout, .. } => {
                let when = self.now + self.random.millis(1, 5);
                self.schedule(
                    when,
                    Event::Io {
                        machine: index,
                        effect,
                        timeout,
                    },
                );
            }
            Effect::Probe => {
                let answered = !self.io.is_down(self.now);
                let when = self.now + self.random.millis(1, 5);
                self.schedule(when, Event::Feed(index, Input::Probed { answered }));
            }
            Effect::Spawn { child, egress, .. } => self.spawn(index, child, egress, run.to_vec()),
            Effect::Stop {
                child,
                egress,
                reason,
                ask,
            } => self.stop_recorder(index, child, &egress, &reason, ask),
            Effect::Signal { child, signal } => self.signal(index, child, signal),
            Effect::DropLink { child } => {
                assert!(!self.machines[index].recorders[&child].closed_is_told);
            }
            Effect::Tell { egress, last, .. } => {
                let when = self.now + self.random.millis(0, 50);
                let snapshot = Snapshot::last(Status::Failed, last.bytes);
                self.schedule(when, Event::Feed(index, Input::Told { egress, snapshot }));
            }
            Effect::CleanUp { egress, child } => {
                let machine = &mut self.machines[index];
                assert_eq!(machine.runs.remove(&child), Some(egress));
                if let Some(recorder) = machine.recorders.remove(&child) {
                    assert_eq!(recorder.state, recorder::State::Dead, "it was not reaped");
                }
            }
            Effect::CloseAdmission => self.machines[index].accepting = false,
            Effect::Exit { unreported } => self.exit(index, unreported),
        }
    }

    pub(super) fn io_call(&mut self, index: usize, effect: Effect, timeout: Duration) {
        let (attempt, egress, snapshot, create) = match effect {
            Effect::Create {
                attempt,
                egress,
                snapshot,
                ..
            } => (attempt, egress, snapshot, true),
            Effect::Update {
                attempt,
                egress,
                snapshot,
                ..
            } => (attempt, egress, snapshot, false),
            Effect::Bid { .. }
            | Effect::Decline { .. }
            | Effect::Started { .. }
            | Effect::Stopped { .. }
            | Effect::Listed { .. }
            | Effect::Register { .. }
            | Effect::Deregister { .. }
            | Effect::Probe
            | Effect::Spawn { .. }
            | Effect::Stop { .. }
            | Effect::Signal { .. }
            | Effect::DropLink { .. }
            | Effect::Tell { .. }
            | Effect::CleanUp { .. }
            | Effect::CloseAdmission
            | Effect::Exit { .. } => unreachable!("not a call"),
        };
        let quick = self.now + self.random.millis(1, 5);
        let slow = self.now + timeout;
        let timed_out = || Failure::TimedOut("request timed out".into());
        let dice = if self.setup.fire {
            self.random.below(100)
        } else {
            50
        };
        let (when, result) = if self.io.is_down(self.now) {
            if dice < 50 {
                let nobody = Failure::NoResponse("no response from servers".into());
                (quick, Err(nobody))
            } else {
                (slow, Err(timed_out()))
            }
        } else if dice < 3 {
            (slow, Err(timed_out()))
        } else if dice < 5 {
            let message = "could not update egress info".to_owned();
            let code = Code::Unknown;
            (quick, Err(Failure::Answered { code, message }))
        } else {
            if create {
                self.io.create(egress);
            } else {
                self.io.update(&egress, snapshot);
            }
            // the answer may be lost
            if dice < 8 {
                (slow, Err(timed_out()))
            } else {
                (quick, Ok(()))
            }
        };
        self.schedule(
            when,
            Event::Feed(index, Input::Reported { attempt, result }),
        );
    }

    pub(super) fn exit(&mut self, index: usize, unreported: Vec<(EgressId, Snapshot)>) {
        for (_, snapshot) in unreported {
            if let Some(run) = self.runs.get_mut(&*snapshot.bytes) {
                run.handed_over = true;
            }
        }
        let seed = self.seed;
        let machine = &mut self.machines[index];
        machine.exited = true;
        assert!(
            machine.recorders.is_empty(),
            "seed {seed}: {:?}",
            machine.recorders
        );
        assert!(machine.runs.is_empty(), "seed {seed}");
        assert!(machine.registered.is_empty(), "seed {seed}");
        assert!(machine.stops.is_empty(), "seed {seed}");
        assert!(
            machine.pending.values().all(|pending| !pending.granted),
            "seed {seed}"
        );
    }
}
